"""Makes norms.h5, laid out as conv.h5, and running.h5: python3 make_norms.py

running.h5 has a group a case: batches in0, in1, ... of a BatchNorm module in training and what came out of it,
out0, out1, ...; mean and var afterwards; and of in0 in evaluation, out. Attributes momentum (-1: none) and eps.
Needs torch, numpy and h5py (README.md)."""
import torch
from torch.nn import functional as F

from make_conv import add_case
from make_golden import create, draw, put, put_attrs, rng_of, round32, tensor

SHAPES = {"rows": (5, 3), "wide": (2, 66), "1d": (4, 3, 5), "2d": (2, 3, 2, 5), "far": (6, 4)}


def inputs_of(op, case, shape, affine):
    rng = rng_of(f"{op}/{case}")
    x = draw(rng, *shape)
    if case == "far":                            # a mean far above the deviation
        x = round32(x / 8 + 64)
    return [x] + [draw(rng, shape[1]) for _ in affine]


def named(affine, wb):
    return dict(zip(("weight", "bias") if "w" in affine else ("bias",), wb))


def norms(f):
    for case, shape in SHAPES.items():
        for affine in ("wb", "b", "") if case == "rows" else ("wb",):
            name = f"{case}_{affine}" if affine else case
            x = inputs_of("batchnorm", case, shape, affine)
            more = dict(bias_only=1) if affine == "b" else {}
            add_case(f, "batchnorm", name, lambda x, *wb: F.batch_norm(
                x, None, None, training=True, **named(affine, wb)), x, **more)
            if case not in ("rows", "2d"):
                continue
            mean = 0.25 * torch.arange(1, shape[1] + 1, dtype=torch.float64)
            var = 0.75 * torch.arange(1, shape[1] + 1, dtype=torch.float64)
            add_case(f, "batchnorm_eval", name, lambda x, *wb: F.batch_norm(
                x, mean, var, training=False, **named(affine, wb)), x, alpha=0.25, beta=0.75, **more)
    for case, shape, groups in (("rows", (3, 6), 2), ("layer", (2, 4, 3), 1), ("instance", (2, 3, 2, 4), 3),
                                ("groups", (2, 6, 1, 3), 3)):
        for affine in ("wb", "b", "") if case == "rows" else ("wb",):
            name = f"{case}_{affine}" if affine else case
            x = inputs_of("groupnorm", case, shape, affine)
            more = dict(bias_only=1) if affine == "b" else {}
            add_case(f, "groupnorm", name, lambda x, *wb: F.group_norm(x, groups, **named(affine, wb)), x,
                     dim=groups, **more)


def running(f):
    for case, shape, momentum, eps in (("default", (6, 3, 2, 2), 0.1, 1e-5), ("slow", (5, 4), 0.25, 1e-2),
                                       ("mean", (4, 2, 3), None, 1e-5)):
        make = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[len(shape)]
        m = make(shape[1], eps=eps, momentum=momentum, dtype=torch.float64)
        g = f.create_group(case)
        x = [tensor(draw(rng_of(f"running/{case}/{i}"), *shape) * (i + 1) + i, torch.float64) for i in range(3)]
        for i, batch in enumerate(x):
            put(g, f"in{i}", batch)
            put(g, f"out{i}", m(batch))
        put(g, "mean", m.running_mean)
        put(g, "var", m.running_var)
        m.eval()
        put(g, "out", m(x[0]))
        put_attrs(g, momentum=-1.0 if momentum is None else momentum, eps=eps)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, part in (("norms.h5", norms), ("running.h5", running)):
        with create(name) as f:
            part(f)
