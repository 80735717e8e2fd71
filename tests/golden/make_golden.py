#!/usr/bin/env python3
"""Makes the golden value files with PyTorch.

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
        real = isinstance(v, float)
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
                        ("optim.h5", (traces, schedules)),
                        ("train.h5", (training,))):
        if chosen and name not in chosen:
            continue
        with create(os.path.join(folder, name)) as f:
            for part in parts:
                part(f)


if __name__ == "__main__":
    main()
