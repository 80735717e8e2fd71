#!/usr/bin/env python3
"""Makes the golden value files of this folder with PyTorch.

    python make_golden.py [folder [file...]]
                    (default: the folder of this script, all files)

Any environment with torch, numpy and h5py will do; the CPU build of torch is
enough. Building and testing Weft needs none of them: the files are checked in.
README.md in this folder describes their layout.

Every case draws its values from a generator seeded by SEED and its own name, so
adding a case changes no other. Values are drawn in float64 and rounded to
float32 before use: the _f32 and _f64 form of a case have equal inputs, and the
float64 result is the truth for both. One thread, kernels that do not depend on
the CPU where PyTorch lets us choose, and no times in the files: a rerun with
the same versions gives the same bytes.
"""
import math
import os
import sys
import zlib

os.environ["MKL_CBWR"] = "COMPATIBLE"            # read when torch is imported
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import h5py
import numpy as np
import torch
import torch.nn.functional as F

SEED = 20240229
DTYPES = {"f64": torch.float64, "f32": torch.float32}
SGD, ADAM = 0, 1                                 # attribute kind of a trace
CONSTANT, COSINE = 0, 1                          # attribute kind of a schedule
MEAN, SUM = 0, 1                                 # attribute reduction


# ---- values and files ----

def rng_of(name):
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def round32(a):
    return np.asarray(a).astype(np.float32).astype(np.float64)


def draw(rng, *shape):
    """Standard normal values that float32 can hold."""
    return round32(rng.standard_normal(shape))


def tensor(a, dtype, grad=False):
    return torch.tensor(a, dtype=dtype, requires_grad=grad)


def put(group, name, value):
    """One contiguous dataset, no filters; 0-d arrays get a scalar dataspace."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    group.create_dataset(name, data=np.ascontiguousarray(value)
                         .reshape(np.shape(value)), track_times=False)


def put_attrs(group, **attrs):
    """Integers as int64, real numbers as float64, lists as int64 arrays."""
    for name, v in attrs.items():
        real = isinstance(np.ravel(v)[0], float)
        group.attrs[name] = np.asarray(v, np.float64 if real else np.int64)[()]


def create(path):
    f = h5py.File(path, "w", libver=("v108", "v108"))   # small headers
    f.attrs["torch_version"] = np.bytes_(torch.__version__.split("+")[0])
    put_attrs(f, seed=SEED)
    return f


# ---- ops.h5 ----

def add_case(f, op, case, fn, inputs, labels=None, **attrs):
    """Writes <op>/<case>_f64 and _f32: the op on inputs, and its gradients.

    fn takes the inputs as tensors; labels is (name suffix, integer array)."""
    suffix, y = labels or ("", None)
    for tag, dtype in DTYPES.items():
        x = [tensor(a, dtype, grad=True) for a in inputs]
        out = fn(*x)
        gout = tensor(draw(rng_of(f"{op}/{case}/gout"), *out.shape), dtype)
        gin = torch.autograd.grad(out, x, gout)

        g = f.create_group(f"{op}/{case}_{tag}{suffix}")
        for i in range(len(x)):
            put(g, f"in{i}", x[i])
            put(g, f"gin{i}", gin[i])
        if y is not None:
            put(g, f"in{len(x)}", y)
        put(g, "out", out)
        put(g, "gout", gout)
        put_attrs(g, **attrs)


def elementwise(f):
    pairs = {
        "2d": ((3, 4), (3, 4)), "1d": ((5,), (5,)), "one": ((1,), (1,)),
        "empty": ((0, 4), (0, 4)), "3d": ((2, 3, 4), (2, 3, 4)),
        "bcast_row": ((3, 4), (4,)), "bcast_col": ((3, 4), (3, 1)),
        "bcast_both": ((2, 1, 4), (3, 1)), "bcast_one": ((1,), (3, 4)),
        "bcast_empty": ((0, 4), (4,)),
    }
    for op, fn in (("add", torch.add), ("mul", torch.mul)):
        for case, shapes in pairs.items():
            rng = rng_of(f"{op}/{case}")
            add_case(f, op, case, fn, [draw(rng, *s) for s in shapes])

    for case, shape in (("2d", (3, 4)), ("empty", (0, 4))):
        x = draw(rng_of(f"scale/{case}"), *shape)
        add_case(f, "scale", case, lambda x: x * -1.75, [x], alpha=-1.75)

        x = draw(rng_of(f"relu/{case}"), *shape)
        x.reshape(-1)[::5] = 0.0                 # the gradient at 0 is 0
        add_case(f, "relu", case, torch.relu, [x])


def products(f):
    for b, i, o in ((3, 4, 5), (1, 1, 1), (0, 4, 5), (7, 3, 1), (64, 33, 17)):
        case = f"{b}x{i}x{o}"
        rng = rng_of(f"matmul/{case}")
        add_case(f, "matmul", case, torch.matmul,
                 [draw(rng, b, i), draw(rng, i, o)])

    for batch, i, o in (((5,), 7, 3), ((1,), 1, 1), ((0,), 7, 3),
                        ((32,), 48, 16), ((2, 5), 7, 3)):
        size = "x".join(map(str, (*batch, i, o)))
        for bias, relu in ((1, 0), (0, 0), (1, 1), (0, 1)):
            case = size + ("_bias" if bias else "_nobias") + "_relu" * relu
            rng = rng_of(f"linear/{case}")
            inputs = [draw(rng, *batch, i), draw(rng, o, i)]
            if bias:
                inputs.append(draw(rng, o))

            def fn(*a, relu=relu):
                y = F.linear(*a)
                # a sum that rounds to the other side of 0 would make the
                # float32 and the float64 gradients differ
                assert not relu or (y.detach().abs() > 1e-5).all()
                return torch.relu(y) if relu else y

            add_case(f, "linear", case, fn, inputs, has_bias=bias, relu=relu)


def shapes(f):
    for case, old, new in (("2d", (3, 4), [2, 6]), ("flat", (3, 4), [-1]),
                           ("3d", (2, 3, 4), [6, 4])):
        x = draw(rng_of(f"reshape/{case}"), *old)
        add_case(f, "reshape", case, lambda x: x.reshape(new), [x], shape=new)

    for op, fn in (("sum", torch.sum), ("mean", torch.mean)):
        cases = {"2d": (3, 4), "3d": (2, 3, 4), "one": (1,)}
        if op == "sum":
            cases["empty"] = (0, 4)              # the mean of nothing is NaN
        for case, shape in cases.items():
            x = draw(rng_of(f"{op}/{case}"), *shape)
            add_case(f, op, case + "_all", fn, [x])
            for dim in (0, 1, -1):
                if dim >= len(shape):
                    continue
                for keep in (0, 1):
                    name = f"{case}_dim{dim}".replace("-1", "last")
                    add_case(f, op, name + "_keep" * keep,
                             lambda x: fn(x, dim=dim, keepdim=bool(keep)),
                             [x], dim=dim, keepdim=keep)


def losses(f):
    big = np.full((4, 10), 1e3)                  # 0: all equal and large
    big[1] = -1e3                                # 1: all equal, negative
    big[2, ::3] = -1e3                           # 2: both
    big[3] += np.arange(10) / 2                  # 3: small differences on top
    cases = {"2d": (3, 5), "one": (1, 1), "empty": (0, 5), "3d": (2, 3, 5)}
    x = {c: draw(rng_of(f"softmax/{c}"), *s) for c, s in cases.items()}
    x["large"] = round32(big)
    for case in x:
        add_case(f, "softmax", case, lambda x: torch.softmax(x, -1), [x[case]],
                 dim=x[case].ndim - 1)

    for case, (b, c), factor in (("4x10", (4, 10), 1), ("1x1", (1, 1), 1),
                                 ("128x10", (128, 10), 1),
                                 ("large", (4, 10), 1e3)):
        rng = rng_of(f"cross_entropy/{case}")
        x = round32(draw(rng, b, c) * factor)
        y = rng.integers(0, c, b)
        for reduction, word in ((MEAN, "mean"), (SUM, "sum")):
            def fn(x):
                return F.cross_entropy(x, torch.tensor(y), reduction=word)

            stored = {"": np.int64}
            if case == "4x10":
                stored.update(_i32=np.int32, _u8=np.uint8)
            for suffix, t in stored.items():
                add_case(f, "cross_entropy", f"{case}_{word}", fn, [x],
                         labels=(suffix, y.astype(t)), reduction=reduction)


# ---- losses.h5 ----

def log_probs(x):
    """Logarithms of probabilities that float32 can hold."""
    return round32(np.log(np.exp(x) / np.exp(x).sum(-1, keepdims=True)))


def label_losses(f):
    """Cross entropy and nll with their options."""
    weight = [0.5, 2.0, 0.0, 1.25, 0.75]
    options = {
        "plain": {}, "ignore": dict(ignore_index=-100),
        "weight": dict(weight=weight), "smooth": dict(smoothing=0.1),
        "all": dict(ignore_index=-100, weight=weight, smoothing=0.25),
        "zero": dict(ignore_zero=1),
    }
    for op, fn in (("cross_entropy", F.cross_entropy), ("nll_loss", F.nll_loss)):
        for case, o in options.items():
            if op == "nll_loss" and case not in ("all", "zero"):
                continue
            o = {k: v for k, v in o.items() if op != "nll_loss" or k != "smoothing"}
            for shape in ((6, 5), (2, 5, 3)) if case == "all" else ((6, 5),):
                rng = rng_of(f"{op}/{case}{len(shape)}")
                x = draw(rng, *shape)
                if op == "nll_loss":
                    x = log_probs(x)
                y = rng.integers(0, 5, (shape[0], *shape[2:]))
                if "ignore_index" in o:
                    y.reshape(-1)[::3] = -100
                for r, word in enumerate(("mean", "sum", "none")):
                    if word == "sum" and (len(shape) == 3 or case == "zero"):
                        continue

                    def loss(x):
                        k = dict(reduction=word)
                        if "weight" in o:
                            k["weight"] = tensor(o["weight"], x.dtype)
                        if "smoothing" in o:
                            k["label_smoothing"] = o["smoothing"]
                        k["ignore_index"] = 0 if "ignore_zero" in o else -100
                        return fn(x, torch.tensor(y), **k)

                    add_case(f, op, f"{case}_{len(shape)}d_{word}", loss, [x],
                             labels=("", y), reduction=r, **o)

    x = draw(rng_of("cross_entropy/u8"), 6, 5)   # a byte that is no class
    y = np.array([255, 1, 4, 255, 0, 2])
    for t, suffix in ((np.uint8, "_u8"), (np.int32, "_i32")):
        add_case(f, "cross_entropy", "byte", lambda x: F.cross_entropy(
                     x, torch.tensor(y), ignore_index=255), [x],
                 labels=(suffix, y.astype(t)), ignore_index=255)


def target_losses(f):
    """Losses between two tensors."""
    def pair(name, domain):
        rng = rng_of(name)
        x, y = draw(rng, 4, 3), draw(rng, 4, 3)
        if domain == "half":                     # targets in [0, 1]
            y = rng.integers(0, 9, (4, 3)) / 8.0
        elif domain == "p":
            x, y = log_probs(x), np.exp(log_probs(y))
        elif domain == "log":
            x, y = log_probs(x), log_probs(y)
        return [x, round32(y)]

    cases = {
        "mse_loss": ("", F.mse_loss, {}), "l1_loss": ("", F.l1_loss, {}),
        "huber_loss": ("", F.huber_loss, dict(delta=0.5)),
        "smooth_l1_loss": ("", F.smooth_l1_loss, dict(delta=0.5)),
        "bce_with_logits": ("half", F.binary_cross_entropy_with_logits, {}),
        "kl_div": ("p", F.kl_div, {}),
    }
    words = ("mean", "sum", "none", "batchmean")
    for op, (domain, fn, o) in cases.items():
        for r, word in enumerate(words if op == "kl_div" else words[:3]):
            k = {"beta" if op == "smooth_l1_loss" else n: v for n, v in o.items()}
            add_case(f, op, word, lambda x, y: fn(x, y, reduction=word, **k),
                     pair(f"{op}/{word}", domain), reduction=r, **o)
    for case, w in (("weight", [0.5, 3.0, 1.25]), ("one_weight", [2.5])):
        add_case(f, "bce_with_logits", case,
                 lambda x, y: F.binary_cross_entropy_with_logits(
                     x, y, pos_weight=tensor(w, x.dtype)),
                 pair(f"bce_with_logits/{case}", "half"), weight=w)
    for r in (2, 3):
        add_case(f, "kl_div", f"log_{words[r]}",
                 lambda x, y: F.kl_div(x, y, reduction=words[r], log_target=True),
                 pair(f"kl_div/log_{words[r]}", "log"), reduction=r, log_target=1)


def normal_and_rows(f):
    """Layer normalisation and embedding."""
    for case, shape, dims, inputs in (
            ("both", (5, 6), 1, "wb"), ("weight", (5, 6), 1, "w"),
            ("bias", (5, 6), 1, "b"), ("none", (2, 3, 19), 1, ""),
            ("two", (2, 3, 4), 2, "wb"), ("far", (3, 16), 1, "wb")):
        rng = rng_of(f"layernorm/{case}")
        x = [draw(rng, *shape)] + [draw(rng, *shape[-dims:]) for _ in inputs]
        if case == "far":                        # a mean far above the deviation
            x[0] = round32(x[0] / 8 + 64)

        def norm(x, *wb):
            k = dict(zip(("weight", "bias") if "w" in inputs else ("bias",), wb))
            return F.layer_norm(x, shape[-dims:], **k)

        more = dict(bias_only=1) if inputs == "b" else {}
        add_case(f, "layernorm", case, norm, x, dims=dims, **more)

    for case, shape, padding in (("1d", (7,), None), ("2d", (2, 6), 1),
                                 ("last", (5,), 4)):
        rng = rng_of(f"embedding/{case}")
        w, i = draw(rng, 5, 3), rng.integers(0, 5, shape)
        more = {} if padding is None else dict(padding_idx=padding)
        add_case(f, "embedding", case,
                 lambda w: F.embedding(torch.tensor(i), w, padding_idx=padding),
                 [w], labels=("", i), **more)


# ---- ops-unary.h5, ops-binary.h5 ----

def functions(f):
    """Functions of one tensor; positive: of numbers above 0 alone."""
    def clamp(lo, hi):
        return lambda x: torch.clamp(x, lo, hi)

    cases = {"neg": (torch.neg, "free"), "abs": (torch.abs, "free"),
             "exp": (torch.exp, "free"), "ln": (torch.log, "positive"),
             "sqrt": (torch.sqrt, "positive"), "sin": (torch.sin, "free"),
             "cos": (torch.cos, "free"), "sigmoid": (torch.sigmoid, "free"),
             "tanh": (torch.tanh, "free"), "silu": (F.silu, "free"),
             "gelu": (F.gelu, "free"),
             "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), "free"),
             "log_softmax": (lambda x: torch.log_softmax(x, -1), "free")}
    for op, (fn, domain) in cases.items():
        for case, shape in (("2d", (3, 4)), ("1d", (67,)), ("empty", (0, 4))):
            x = draw(rng_of(f"{op}/{case}"), *shape)
            if domain == "positive":
                x = np.abs(x) + 0.125
            elif case == "2d":
                x.reshape(-1)[::5] = 0.0
            elif case == "1d":                   # also where they saturate
                x = round32(x * 4)
            add_case(f, op, case, fn, [x])

    for e in (2.0, 3.0, 0.5, -1.0, 0.0, 1.75):
        x = draw(rng_of(f"pow_scalar/{e}"), 3, 4)
        if e != round(e):
            x = np.abs(x) + 0.125
        add_case(f, "pow_scalar", f"{e}", lambda x: torch.pow(x, e), [x],
                 alpha=e)
    for case, lo, hi in (("both", -0.5, 0.25), ("low", 0.0, math.inf),
                         ("high", -math.inf, 0.5), ("crossed", 1.0, -1.0)):
        x = draw(rng_of(f"clamp/{case}"), 5, 4)
        x.reshape(-1)[:2] = [0.5, -0.5]          # on a bound
        add_case(f, "clamp", case, clamp(lo, hi), [x], alpha=lo, beta=hi)


def pairs(f):
    """Functions of two tensors, and where."""
    shapes = {
        "2d": ((3, 4), (3, 4)), "one": ((1,), (1,)), "empty": ((0, 4), (4,)),
        "bcast_row": ((3, 4), (4,)), "bcast_col": ((3, 4), (3, 1)),
        "bcast_both": ((2, 1, 4), (3, 1)), "bcast_one": ((1,), (3, 4)),
    }
    for op, fn in (("sub", torch.sub), ("div", torch.div), ("pow", torch.pow),
                   ("maximum", torch.maximum), ("minimum", torch.minimum)):
        for case, (s, t) in shapes.items():
            rng = rng_of(f"{op}/{case}")
            a, b = draw(rng, *s), draw(rng, *t)
            if op == "div":                      # away from 0
                b += np.copysign(0.5, b)
            elif op == "pow":
                a = np.abs(a) + 0.125
            elif case == "2d":                   # equal ones share
                a[1] = b[1]
            add_case(f, op, case, fn, [a, b])

    for case, (s, t) in shapes.items():
        rng = rng_of(f"where/{case}")
        a, b = draw(rng, *s), draw(rng, *t)
        c = rng.integers(0, 2, a.shape if a.size > b.size else b.shape)
        add_case(f, "where", case,
                 lambda a, b: torch.where(torch.tensor(c != 0), a, b), [a, b],
                 labels=("", c.astype(np.uint8)))


# ---- ops-shapes.h5 ----

def batches(f):
    """Products with dimensions before the matrices, and of vectors."""
    for case, a, b in (("same", (3, 4, 5), (3, 5, 2)),
                       ("2x2", (2, 3, 4, 5), (2, 3, 5, 6)),
                       ("one_right", (3, 4, 5), (5, 2)),
                       ("one_left", (4, 5), (3, 5, 2)),
                       ("bcast", (2, 1, 4, 5), (3, 5, 2)),
                       ("bcast_one", (1, 4, 5), (3, 5, 2)),
                       ("dot", (5,), (5,)), ("vec_mat", (5,), (5, 3)),
                       ("mat_vec", (4, 5), (5,)),
                       ("vec_batch", (5,), (2, 5, 3)),
                       ("batch_vec", (2, 4, 5), (5,)),
                       ("empty", (0, 4, 5), (5, 2)),
                       ("empty_both", (0, 4, 5), (1, 5, 2))):
        rng = rng_of(f"matmul/{case}")
        add_case(f, "matmul", case, torch.matmul,
                 [draw(rng, *a), draw(rng, *b)])


def places(f):
    """What chooses and moves elements."""
    for op, fn in (("max", torch.max), ("min", torch.min)):
        for case, shape in (("2d", (4, 3)), ("3d", (2, 3, 4)), ("1d", (67,))):
            x = draw(rng_of(f"{op}/{case}"), *shape)
            add_case(f, op, case + "_all", fn, [x])
            for dim in range(len(shape)):
                y = x.copy()                     # ties: the first one counts
                np.moveaxis(y, dim, 0)[-1] = np.moveaxis(y, dim, 0)[0]
                add_case(f, op, f"{case}_dim{dim}", lambda x: fn(x, dim)[0],
                         [y], dim=dim)

    for case, shape, dim, of in (("2d_dim0", (5, 3), 0, (4, 3)),
                                 ("2d_dim1", (5, 3), 1, (5, 7)),
                                 ("smaller", (5, 3), 1, (2, 4)),
                                 ("3d", (3, 4, 5), 1, (3, 6, 5)),
                                 ("none", (3, 4), 1, (3, 0))):
        rng = rng_of(f"gather/{case}")
        x = draw(rng, *shape)
        index = rng.integers(0, shape[dim], of)
        stored = {"": np.int64}
        if case == "2d_dim1":
            stored.update(_i32=np.int32, _u8=np.uint8)
        for suffix, t in stored.items():
            add_case(f, "gather", case,
                     lambda x: torch.gather(x, dim, torch.tensor(index)), [x],
                     labels=(suffix, index.astype(t)), dim=dim)

    for case, shape, dim, (lo, hi, step) in (
            ("inner", (5, 4), 1, (1, 3, 1)), ("rows", (5, 4), 0, (0, 3, 1)),
            ("steps", (3, 7), 1, (1, 7, 3)), ("end", (3, 7), 1, (-3, 99, 1)),
            ("none", (3, 4), 0, (2, 1, 1)), ("3d", (2, 5, 3), 1, (0, -1, 2))):
        def fn(x):
            return x[(slice(None),) * dim + (slice(lo, hi, step),)]

        x = draw(rng_of(f"slice/{case}"), *shape)
        add_case(f, "slice", case, fn, [x], dim=dim, shape=[lo, hi, step])

    for case, dim, shapes in (("rows", 0, ((2, 3), (1, 3))),
                              ("columns", 1, ((2, 3), (2, 1), (2, 4))),
                              ("middle", 1, ((2, 3, 2), (2, 1, 2))),
                              ("empty", 0, ((0, 3), (2, 3)))):
        rng = rng_of(f"concat/{case}")
        add_case(f, "concat", case, lambda *x: torch.cat(x, dim),
                 [draw(rng, *s) for s in shapes], dim=dim)

    for case, shape, order in (("2d", (3, 4), [1, 0]),
                               ("3d", (2, 3, 4), [2, 0, 1]),
                               ("4d", (2, 3, 4, 2), [0, 2, 1, 3])):
        x = draw(rng_of(f"permute/{case}"), *shape)
        add_case(f, "permute", case, lambda x: x.permute(order), [x],
                 shape=order)


# ---- optim.h5 ----

def lr_at(t, kind, lr, lr_min, total, warmup):
    """The learning rate of step t = 0, 1, ..., total - 1."""
    if t < warmup:
        return lr * (t + 1) / warmup
    if kind == CONSTANT:
        return lr
    turn = math.pi * (t - warmup) / (total - warmup)
    return lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(turn))


def schedules(f):
    for name, kind, warmup, lr_min in (
            ("constant_w0", CONSTANT, 0, 0.0),
            ("constant_w5", CONSTANT, 5, 0.0),
            ("cosine_w0_min0", COSINE, 0, 0.0),
            ("cosine_w5_min0", COSINE, 5, 0.0),
            ("cosine_w0_min1e-4", COSINE, 0, 1e-4),
            ("cosine_w5_min1e-4", COSINE, 5, 1e-4)):
        s = dict(kind=kind, lr=1e-3, lr_min=lr_min, total=50, warmup=warmup)
        g = f.create_group(f"schedule/{name}")
        put(g, "lr", np.array([lr_at(t, **s) for t in range(50)]))
        put_attrs(g, **s)


def traces(f):
    rng = rng_of("optim")
    p0, grads = draw(rng, 37), draw(rng, 100, 37)
    grads[:, 0] = 0.0                            # never a gradient
    grads[:, 1] = round32(grads[:, 1] * 1e-9)    # where Adam's eps decides
    grads[:, 2] *= 16
    none = dict(momentum=0.0, weight_decay=0.0, nesterov=0,
                beta1=0.0, beta2=0.0, eps=0.0)
    sgd = dict(none, kind=SGD, lr=0.1)
    adam = dict(none, kind=ADAM, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)
    cases = {
        "sgd": sgd,
        "sgd_momentum": dict(sgd, momentum=0.9),
        "sgd_momentum_wd": dict(sgd, momentum=0.9, weight_decay=1e-2),
        "sgd_nesterov": dict(sgd, momentum=0.9, nesterov=1),
        "adam": adam,
        "adam_wd": dict(adam, weight_decay=1e-2),
        "adam_betas": dict(adam, beta1=0.8, beta2=0.9, eps=1e-6),
    }
    for tag, dtype in DTYPES.items():
        first = None
        for name, a in cases.items():
            p = tensor(p0, dtype, grad=True)
            common = dict(lr=a["lr"], weight_decay=a["weight_decay"],
                          foreach=False, fused=False)
            if a["kind"] == SGD:
                opt = torch.optim.SGD([p], momentum=a["momentum"],
                                      nesterov=bool(a["nesterov"]), **common)
            else:
                opt = torch.optim.Adam([p], betas=(a["beta1"], a["beta2"]),
                                       eps=a["eps"], **common)
            trace = []
            for row in grads:
                p.grad = tensor(row, dtype)
                opt.step()
                trace.append(p.detach().numpy().copy())

            g = f.create_group(f"{name}_{tag}")
            if first is None:
                put(g, "p0", tensor(p0, dtype))
                put(g, "grads", tensor(grads, dtype))
                first = g
            else:                                # hard links: stored once
                g["p0"], g["grads"] = first["p0"], first["grads"]
            put(g, "p", np.stack(trace))
            put_attrs(g, **a)


# ---- train.h5 ----

def training(f):
    rng = rng_of("train")
    x = draw(rng, 64, 20)
    y = np.argmax(x @ draw(rng, 20, 10), axis=1)
    start = {"0.weight": draw(rng, 16, 20) / 4, "0.bias": draw(rng, 16) / 8,
             "2.weight": draw(rng, 10, 16) / 4, "2.bias": draw(rng, 10) / 8}
    steps, rows = 100, 16
    s = dict(kind=COSINE, lr=1e-3, lr_min=0.0, total=steps, warmup=10)
    for tag, dtype in DTYPES.items():
        model = torch.nn.Sequential(torch.nn.Linear(20, 16), torch.nn.ReLU(),
                                    torch.nn.Linear(16, 10)).to(dtype)
        model.load_state_dict({k: tensor(v, dtype) for k, v in start.items()})
        opt = torch.optim.Adam(model.parameters(), lr=s["lr"],
                               foreach=False, fused=False)
        xs, ys = tensor(x, dtype), torch.tensor(y)
        loss, lr = [], []
        for t in range(steps):
            at = rows * t % len(xs)
            now = F.cross_entropy(model(xs[at:at + rows]), ys[at:at + rows])
            opt.zero_grad()
            now.backward()
            opt.param_groups[0]["lr"] = lr_at(t, **s)
            opt.step()
            loss.append(now.detach().numpy().copy())
            lr.append(opt.param_groups[0]["lr"])

        g = f.create_group(tag)
        put(g, "x", xs)
        put(g, "y", ys)
        for k, v in model.state_dict().items():
            put(g, f"initial/{k}", tensor(start[k], dtype))
            put(g, f"final/{k}", v)
        put(g, "loss", np.stack(loss))
        put(g, "lr", np.array(lr))
        put_attrs(g, **s, batch=rows, beta1=0.9, beta2=0.999, eps=1e-8)


# ---- optim2.h5 ----

def more_traces(f):
    """Optimizers beyond SGD and Adam, and their rarer options."""
    rng = rng_of("optim2")
    n, steps = 12, 100
    p0, grads = draw(rng, n), draw(rng, steps, n)
    grads[:, 0] = 0.0                            # never a gradient
    grads[:, 1] = round32(grads[:, 1] * 1e-9)    # where eps decides
    grads[:, 2] *= 16
    o, wd = torch.optim, dict(weight_decay=1e-2)
    sgd, adam = dict(lr=0.1, momentum=0.9), dict(lr=1e-2)
    cases = {
        "sgd_dampening": (o.SGD, dict(sgd, dampening=0.5, **wd)),
        "sgd_maximize": (o.SGD, dict(sgd, maximize=1)),
        "adam_amsgrad": (o.Adam, dict(adam, amsgrad=1, **wd)),
        "adam_maximize": (o.Adam, dict(adam, maximize=1)),
        "adamw": (o.AdamW, dict(adam)),
        "adamw_amsgrad": (o.AdamW, dict(adam, amsgrad=1, weight_decay=0.1)),
        "rmsprop": (o.RMSprop, dict(lr=1e-2)),
        "rmsprop_momentum": (o.RMSprop, dict(lr=1e-2, momentum=0.9, alpha=0.9)),
        "rmsprop_centered": (o.RMSprop, dict(lr=1e-2, centered=1, eps=1e-4)),
        "rmsprop_all": (o.RMSprop, dict(lr=1e-2, momentum=0.5, centered=1,
                                        maximize=1, **wd)),
        "adagrad": (o.Adagrad, dict(lr=1e-1)),
        "adagrad_all": (o.Adagrad, dict(lr=1e-1, lr_decay=1e-2, eps=1e-6,
                                        initial_accumulator_value=0.1, **wd)),
    }
    put(f, "p0", p0)
    put(f, "grads", grads)
    for name, (make, a) in cases.items():
        g = f.create_group(f"trace/{name}")
        for tag, dtype in DTYPES.items():
            p = tensor(p0, dtype, grad=True)
            opt = make([p], foreach=False, **a)
            trace = []
            for row in grads:
                p.grad = tensor(row, dtype)
                opt.step()
                trace.append(p.detach().numpy().copy())
            put(g, f"p_{tag}", np.stack(trace))
        put_attrs(g, **a)


def grouped(f):
    """AdamW on three parameters in three groups, under a step schedule."""
    rng = rng_of("groups")
    n, steps = 5, 40
    p0, grads = draw(rng, 3, n), draw(rng, steps, 3, n)
    p = [tensor(row, torch.float64, grad=True) for row in p0]
    opt = torch.optim.AdamW(
        [dict(params=[p[0]]), dict(params=[p[1]], lr=3e-2, weight_decay=0.0),
         dict(params=[p[2]], betas=(0.5, 0.9), eps=1e-4)],
        lr=1e-2, weight_decay=0.1, foreach=False)
    schedule = torch.optim.lr_scheduler.StepLR(opt, 10, 0.5)
    trace, lr = [], []
    for rows in grads:
        for one, row in zip(p, rows):
            one.grad = tensor(row, torch.float64)
        lr.append([g["lr"] for g in opt.param_groups])
        opt.step()
        schedule.step()
        trace.append(np.stack([one.detach().numpy().copy() for one in p]))
    g = f.create_group("groups")
    put(g, "p0", p0)
    put(g, "grads", grads)
    put(g, "p", np.stack(trace))
    put(g, "lr", np.array(lr))


def valley(p):
    """Rosenbrock's function of (n, 1) values, as the sum over neighbours."""
    u, v = p[:-1], p[1:]
    r = v - u * u
    return 100 * (r * r).sum() + ((1 - u) * (1 - u)).sum()


def searches(f, dtype=torch.float64):
    """L-BFGS on Rosenbrock's function, and on logistic regression."""
    rng = rng_of("lbfgs")
    start, x, w0 = draw(rng, 6, 1), draw(rng, 30, 5), draw(rng, 3, 5) / 4
    y = np.argmax(x @ draw(rng, 5, 3), axis=1)
    put(f, "search/start", start)
    put(f, "search/x", x)
    put(f, "search/y", y)
    put(f, "search/w0", w0)
    xs, ys = tensor(x, dtype), torch.tensor(y)

    def regression(w):
        return F.cross_entropy(xs @ w.T, ys) + 0.01 * (w * w).sum()

    # in float32 a short history, which enlarges rounding the least
    for name, fn, p0, steps, a in (
            ("regression_100", regression, w0, 100,
             dict(lr=0.03, max_iter=1, history_size=3)),
            ) if dtype == torch.float32 else (
            ("valley", valley, start, 6,
             dict(max_iter=5, history_size=4, line_search_fn="strong_wolfe")),
            ("valley_long", valley, start, 3,
             dict(max_iter=20, history_size=10, lr=0.5,
                  line_search_fn="strong_wolfe")),
            ("regression", regression, w0, 6,
             dict(lr=0.5, max_iter=4, history_size=3)),
            ("regression_100", regression, w0, 100,
             dict(lr=0.02, max_iter=1, history_size=10)),
            ("regression_wolfe", regression, w0, 4,
             dict(max_iter=8, line_search_fn="strong_wolfe"))):
        p = tensor(p0, dtype, grad=True)
        opt = torch.optim.LBFGS([p], **a)

        def closure():
            opt.zero_grad()
            loss = fn(p)
            loss.backward()
            return loss

        loss, trace, evals = [], [], []
        for _ in range(steps):
            loss.append(float(opt.step(closure)))
            trace.append(p.detach().numpy().copy().reshape(-1))
            evals.append(opt.state[p]["func_evals"])
        g = f.create_group(f"search/case/{name}")
        put(g, "loss", np.array(loss))
        put(g, "p", np.stack(trace))
        put(g, "func_evals", np.array(evals))
        put_attrs(g, lr=float(a.get("lr", 1)), max_iter=a["max_iter"],
                  history_size=a.get("history_size", 100),
                  wolfe=int("line_search_fn" in a))


def searches_f32(f):
    searches(f, torch.float32)


def more_schedules(f):
    """Rates of two groups, of base rates 0.1 and 0.02, before each step."""
    s = torch.optim.lr_scheduler
    metric = np.array([5, 4, 3, 3, 3, 3.5, 2.9999, 3, 3, 3, 1, 1, 1, 1, 1,
                       np.nan, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
                       0.5, 0.5, 0.5])
    cases = {
        "step": lambda o: s.StepLR(o, 7, 0.3),
        "multistep": lambda o: s.MultiStepLR(o, [4, 5, 20]),
        "exponential": lambda o: s.ExponentialLR(o, 0.9),
        "linear": lambda o: s.LinearLR(o, total_iters=20),
        "linear_down": lambda o: s.LinearLR(o, 1.0, 0.25, 12),
        "polynomial": lambda o: s.PolynomialLR(o, 20, 2.0),
        "cosine": lambda o: s.CosineAnnealingLR(o, 30, 1e-3),
        "onecycle": lambda o: s.OneCycleLR(o, [0.1, 0.02], 30,
                                           cycle_momentum=False),
        "onecycle_late": lambda o: s.OneCycleLR(
            o, [0.1, 0.02], 30, pct_start=0.6, div_factor=10.0,
            final_div_factor=100.0, cycle_momentum=False),
        "lambda": lambda o: s.LambdaLR(o, [lambda t: 1 / (1 + t),
                                           lambda t: 0.5 ** (t // 3)]),
        "warm_step": lambda o: s.SequentialLR(
            o, [s.LinearLR(o, 0.2, 1.0, 4), s.StepLR(o, 7, 0.3)], [5]),
        "plateau": lambda o: s.ReduceLROnPlateau(o, patience=2),
        "plateau_max": lambda o: s.ReduceLROnPlateau(
            o, mode="max", factor=0.5, patience=1, cooldown=3, threshold=0.25,
            threshold_mode="abs"),
        "plateau_floor": lambda o: s.ReduceLROnPlateau(
            o, patience=1, cooldown=1, min_lr=1e-3),
    }
    put(f, "rate/metric", metric)
    for name, make in cases.items():
        p = [tensor(np.zeros(1), torch.float64, grad=True) for _ in range(2)]
        opt = torch.optim.SGD([dict(params=[p[0]]),
                               dict(params=[p[1]], lr=0.02)], lr=0.1)
        schedule = make(opt)
        lr = []
        for m in metric:
            lr.append([g["lr"] for g in opt.param_groups])
            opt.step()
            schedule.step(*([m] if name.startswith("plateau") else []))
        put(f, f"rate/lr/{name}", np.array(lr))


# ---- calls-clip.h5 ----

def clipping(f):
    """clip_grad_norm_ and clip_grad_value_ over four parameters."""
    shapes = (16, 6), (16,), (4, 16), (4,)
    for name, clip_val, max_norm, norm_type in (
            ("l2", 0.0, 0.5, 2.0), ("l2_loose", 0.0, 1e3, 2.0),
            ("l1", 0.0, 3.0, 1.0), ("l3", 0.0, 0.25, 3.0),
            ("half", 0.0, 100.0, 0.5), ("inf", 0.0, 0.125, math.inf),
            ("value", 0.25, 0.0, 2.0)):
        rng = rng_of("clip/" + name)
        grads = [draw(rng, *s) / 4 for s in shapes]
        for tag, dtype in DTYPES.items():
            params = [torch.zeros(s, dtype=dtype) for s in shapes]
            for p, v in zip(params, grads):
                p.grad = tensor(v, dtype)
            g = f.create_group(f"{name}_{tag}")
            put(g, "g", torch.cat([p.grad.flatten() for p in params]))
            if clip_val:
                torch.nn.utils.clip_grad_value_(params, clip_val, foreach=False)
            else:
                put(g, "norm", torch.nn.utils.clip_grad_norm_(
                    params, max_norm, norm_type, foreach=False))
            put(g, "out", torch.cat([p.grad.flatten() for p in params]))
            put_attrs(g, clip_val=clip_val, max_norm=max_norm,
                      norm_type=norm_type)


def scaling(f):
    """GradScaler's scale, growth tracker and parameters over scripted overflows, and those of
    two optimizers that share one scaler."""
    rng = rng_of("scaler")
    steps = 60
    cases = {"default": {},
             "interval5": dict(init_scale=1024.0, growth_interval=5),
             "odd": dict(init_scale=1000.0, growth_factor=1.7, backoff_factor=0.3,
                         growth_interval=3),
             "top": dict(init_scale=2.0**125, growth_factor=4.0, growth_interval=2)}
    for name, options in cases.items():
        g = f.create_group(name)
        grads = draw(rng, steps, 2, 4)
        bad = rng.random((steps, 2)) < (0.1 if name == "top" else 0.15)
        bad[0] = name == "odd"
        scaler = torch.amp.GradScaler("cpu", **options)
        params = [torch.nn.Parameter(torch.zeros(4)) for _ in range(2)]
        optims = [torch.optim.SGD([p], lr=0.25, foreach=False)
                  for p in params]
        seen = {"scale": [], "growth_tracker": [], "p": []}
        for t in range(steps):
            for i, (p, o) in enumerate(zip(params, optims)):
                o.zero_grad()
                x = tensor(grads[t, i], torch.float32)
                if bad[t, i]:
                    x[t % 4] = (float("inf"), float("-inf"), float("nan"))[t % 3]
                scaler.scale((p * x).sum()).backward()
            for o in optims:
                scaler.step(o)
            scaler.update()
            seen["scale"].append(scaler.get_scale())
            seen["growth_tracker"].append(scaler.state_dict()["_growth_tracker"])
            seen["p"].append(torch.stack(params).detach().numpy().copy())
        put(g, "grads", torch.from_numpy(grads))
        put(g, "bad", torch.from_numpy(bad.astype(np.int64)))
        put(g, "scale", torch.tensor(seen["scale"], dtype=torch.float64))
        put(g, "growth_tracker", torch.tensor(seen["growth_tracker"]))
        put(g, "p", torch.from_numpy(np.stack(seen["p"])))
        put_attrs(g, init_scale=0.0, growth_factor=0.0, backoff_factor=0.0,
                  growth_interval=0)
        put_attrs(g, **options)


# ---- low.h5 ----

LOW = {"bf16": torch.bfloat16, "f16": torch.float16}


def low_ops(f):
    """Under CPU autocast, from inputs in f32; results and gradients as f32."""
    rng = rng_of("low")
    cases = {"matmul": (torch.matmul, (9, 24), (24, 7)),
             "linear": (F.linear, (9, 24), (7, 24), (7,)),
             "add": (torch.add, (6, 5), (5,)),
             "mul": (torch.mul, (6, 5), (6, 5)),
             "gelu": (F.gelu, (6, 5)),
             "relu": (F.relu, (6, 5)),
             "sigmoid": (torch.sigmoid, (6, 5))}
    for name, (fn, *shapes) in cases.items():
        inputs = [draw(rng, *s) for s in shapes]
        for tag, dtype in LOW.items():
            low = name not in ("matmul", "linear")  # the others keep 16 bits
            first = [tensor(a, torch.float32, True) for a in inputs]
            with torch.autocast("cpu", dtype=dtype):
                out = fn(*(x.to(dtype) if low else x for x in first))
            assert out.dtype == dtype
            gout = tensor(draw(rng, *out.shape), torch.float32).to(dtype)
            out.backward(gout)
            g = f.create_group(f"ops/{name}/case_{tag}")
            for i, x in enumerate(first):
                put(g, f"in{i}", x)
                put(g, f"gin{i}", x.grad)
            put(g, "out", out.float())
            put(g, "gout", gout.float())


def low_training(f):
    """The run of train.h5, with ten times its rate, under autocast."""
    rng = rng_of("train")
    x = draw(rng, 64, 20)
    y = np.argmax(x @ draw(rng, 20, 10), axis=1)
    start = {"0.weight": draw(rng, 16, 20) / 4, "0.bias": draw(rng, 16) / 8,
             "2.weight": draw(rng, 10, 16) / 4, "2.bias": draw(rng, 10) / 8}
    steps, rows = 100, 16
    s = dict(kind=COSINE, lr=1e-2, lr_min=0.0, total=steps, warmup=10)
    for tag, dtype in LOW.items():
        model = torch.nn.Sequential(torch.nn.Linear(20, 16), torch.nn.ReLU(),
                                    torch.nn.Linear(16, 10))
        model.load_state_dict({k: tensor(v, torch.float32)
                               for k, v in start.items()})
        opt = torch.optim.Adam(model.parameters(), lr=s["lr"],
                               foreach=False, fused=False)
        scaler = torch.amp.GradScaler("cpu", enabled=tag == "f16")
        xs, ys = tensor(x, torch.float32), torch.tensor(y)
        loss = []
        for t in range(steps):
            at = rows * t % len(xs)
            with torch.autocast("cpu", dtype=dtype):
                out = model(xs[at:at + rows])
            now = F.cross_entropy(out.float(), ys[at:at + rows])
            opt.zero_grad()
            scaler.scale(now).backward()
            opt.param_groups[0]["lr"] = lr_at(t, **s)
            scaler.step(opt)
            scaler.update()
            loss.append(now.detach().numpy().copy())
        g = f.create_group(f"train/{tag}")
        for k, v in model.state_dict().items():
            put(g, f"final/{k}", v)
        put(g, "loss", np.stack(loss))
        put_attrs(g, **s)


# ---- muon.h5 ----

class InTheirType:
    """torch, but what it calls bfloat16 is the gradient's own type: its Muon
    then orthogonalises without rounding to 8 bits."""
    def __init__(self, dtype):
        self.bfloat16 = dtype

    def __getattr__(self, name):
        return getattr(torch, name)


def muons(f):
    """Muon on matrices; p_bf16 is what torch computes, in f32 but for the
    orthogonalisation in bf16."""
    module = sys.modules["torch.optim._muon"]
    rng = rng_of("muon")
    cases = {
        "square": (8, 8, {}),
        "wide": (4, 12, dict(weight_decay=0.0, nesterov=0)),
        "tall": (12, 5, dict(adjust_lr_fn="match_rms_adamw", momentum=0.8)),
        "flat": (1, 7, dict(adjust_lr_fn="spectral_unclamped", ns_steps=3)),
        "coefficients": (6, 4, dict(ns_coefficients=(2.0, -1.5, 0.5),
                                    ns_steps=8, eps=1e-3)),
    }
    for name, (rows, columns, a) in cases.items():
        g = f.create_group(name)
        p0, grads = draw(rng, rows, columns), draw(rng, 100, rows, columns)
        grads[50] = 0.0
        put(g, "p0", p0)
        put(g, "grads", grads)
        for tag, dtype in dict(DTYPES, bf16=torch.float32).items():
            module.torch = torch if tag == "bf16" else InTheirType(dtype)
            p = tensor(p0, dtype, grad=True)
            opt = torch.optim.Muon([p], lr=0.02, **a)
            trace = []
            for row in grads:
                p.grad = tensor(row, dtype)
                opt.step()
                trace.append(p.detach().numpy().copy())
            put(g, f"p_{tag}", np.stack(trace))
        module.torch = torch
        a = dict(a, lr=0.02)
        words = ["original", "match_rms_adamw", "spectral_unclamped"]
        a["adjust"] = words.index(a.pop("adjust_lr_fn", "original"))
        a["a"], a["b"], a["c"] = a.pop("ns_coefficients", (0, 0, 0))
        put_attrs(g, **a)


def main():
    folder = (sys.argv[1] if len(sys.argv) > 1
              else os.path.dirname(os.path.abspath(__file__)))
    chosen = sys.argv[2:]
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False
    for name, parts in (("ops.h5", (elementwise, products, shapes, losses)),
                        ("ops-unary.h5", (functions,)),
                        ("ops-binary.h5", (pairs,)),
                        ("ops-shapes.h5", (batches, places)),
                        ("losses.h5", (label_losses, target_losses,
                                       normal_and_rows)),
                        ("optim.h5", (traces, schedules)),
                        ("train.h5", (training,)),
                        ("optim2.h5", (more_traces, grouped, searches,
                                       more_schedules)),
                        ("calls-clip.h5", (clipping,)),
                        ("scaler.h5", (scaling,)),
                        ("optim-search-f32.h5", (searches_f32,)),
                        ("low.h5", (low_ops, low_training)),
                        ("muon.h5", (muons,))):
        if chosen and name not in chosen:
            continue
        with create(os.path.join(folder, name)) as f:
            for part in parts:
                part(f)


if __name__ == "__main__":
    main()
