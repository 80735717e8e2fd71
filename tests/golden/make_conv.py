"""Makes conv.h5 and pool.h5, laid out as ops.h5, but `_f32` has inputs alone: python3 make_conv.py

Needs torch, numpy and h5py (README.md)."""
import torch
from torch.nn import functional as F

from make_golden import create, draw, put, put_attrs, rng_of, tensor


def add_case(f, op, case, fn, inputs, **attrs):
    """<op>/<case>_f64: the op on inputs, and its gradients; <op>/<case>_f32: the same inputs."""
    x = [tensor(a, torch.float64, grad=True) for a in inputs]
    out = fn(*x)
    gout = tensor(draw(rng_of(f"{op}/{case}/gout"), *out.shape), torch.float64)
    gin = torch.autograd.grad(out, x, gout)
    for tag, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        g = f.create_group(f"{op}/{case}_{tag}")
        for i in range(len(x)):
            put(g, f"in{i}", x[i].to(dtype))
            if dtype == torch.float64:
                put(g, f"gin{i}", gin[i])
        if dtype == torch.float64:
            put(g, "out", out)
        put(g, "gout", gout.to(dtype))
        put_attrs(g, **attrs)


def convolutions(f):
    # images, outputs, kernel, strides, paddings, dilations, groups
    cases = {
        "3x3": ((2, 3, 5, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
        "3x3_nobias": ((1, 3, 4, 4), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
        "valid": ((2, 2, 5, 6), 3, (3, 3), (1, 1), (0, 0), (1, 1), 1),
        "stride_nobias": ((2, 2, 7, 6), 3, (3, 3), (2, 2), (1, 1), (1, 1), 1),
        "stride_of_each": ((1, 2, 7, 6), 2, (2, 3), (3, 2), (0, 1), (1, 1), 1),
        "padding": ((1, 2, 3, 4), 2, (5, 4), (1, 1), (4, 3), (1, 1), 1),
        "dilation": ((1, 2, 7, 6), 2, (3, 2), (1, 2), (2, 1), (3, 2), 1),
        "groups": ((2, 4, 4, 4), 6, (3, 3), (1, 1), (1, 1), (1, 1), 2),
        "depthwise_nobias": ((2, 3, 5, 5), 6, (3, 3), (2, 1), (1, 1), (1, 1), 3),
        "1x1": ((2, 5, 3, 2), 4, (1, 1), (1, 1), (0, 0), (1, 1), 1),
        "1x1_groups_nobias": ((2, 4, 2, 3), 6, (1, 1), (1, 1), (0, 0), (1, 1), 2),
        "1x1_stride": ((2, 3, 5, 4), 2, (1, 1), (2, 2), (0, 0), (1, 1), 1),
        "wide": ((1, 1, 1, 260), 1, (1, 3), (1, 1), (0, 2), (1, 2), 1),
        "empty": ((0, 3, 4, 4), 2, (2, 2), (1, 1), (0, 0), (1, 1), 1),
    }
    for name, (x, o, k, s, p, d, g) in cases.items():
        bias = not name.endswith("_nobias")
        rng = rng_of(f"conv2d/{name}")
        inputs = [draw(rng, *x), draw(rng, o, x[1] // g, *k)] + [draw(rng, o)] * bias
        add_case(f, "conv2d", name, lambda *a: F.conv2d(*a, stride=s, padding=p, dilation=d, groups=g),
                 inputs, shape=[*s, *p, *d, g])

    for case, (x, o, k, s, p, d, g) in {
            "plain": ((2, 3, 9), 4, 3, 1, 0, 1, 1), "options": ((1, 4, 11), 6, 3, 2, 3, 2, 2)}.items():
        rng = rng_of(f"conv1d/{case}")
        inputs = [draw(rng, *x), draw(rng, o, x[1] // g, k), draw(rng, o)]
        add_case(f, "conv1d", case, lambda *a: F.conv1d(*a, stride=s, padding=p, dilation=d, groups=g),
                 inputs, shape=[s, p, d, g])


def pools(f):
    # images, kernel, strides, paddings, dilation
    cases = {
        "2x2": ((2, 2, 4, 4), (2, 2), (2, 2), (0, 0), 1),
        "odd": ((1, 2, 5, 7), (2, 2), (2, 2), (0, 0), 1),
        "overlap": ((1, 2, 7, 6), (3, 3), (2, 2), (1, 1), 1),
        "of_each": ((1, 2, 6, 7), (3, 4), (2, 1), (1, 2), 1),
        "gaps": ((1, 2, 7, 6), (2, 1), (3, 3), (0, 0), 1),
        "wide": ((1, 1, 1, 260), (1, 3), (1, 2), (0, 1), 1),
        "dilation": ((1, 2, 7, 6), (2, 3), (1, 2), (1, 0), 2),
        "empty": ((0, 3, 4, 4), (2, 2), (2, 2), (0, 0), 1),
    }
    for case, (x, k, s, p, d) in cases.items():
        image = draw(rng_of(f"pool/{case}"), *x)
        add_case(f, "max_pool2d", case,
                 lambda a: F.max_pool2d(a, k, stride=s, padding=p, dilation=d), [image],
                 shape=[*k, *s, *p, d])
        for exclude in (0, 1) if d == 1 and case != "gaps" else ():
            add_case(f, "avg_pool2d", case + "_inside" * exclude,
                     lambda a: F.avg_pool2d(a, k, stride=s, padding=p, count_include_pad=not exclude),
                     [image], shape=[*k, *s, *p, exclude])

    for case, x, parts in (("one", (2, 3, 5, 4), [1, 1]), ("even", (1, 2, 6, 4), [3, 2]),
                           ("uneven", (2, 2, 7, 5), [3, 4]), ("more", (1, 2, 2, 3), [5, 4]),
                           ("wide", (1, 1, 1, 260), [1, 7])):
        image = draw(rng_of(f"adaptive/{case}"), *x)
        add_case(f, "adaptive_avg_pool2d", case, lambda a: F.adaptive_avg_pool2d(a, parts), [image],
                 shape=parts)

    for case, x in (("images", (2, 3, 5, 4)), ("lines", (2, 3, 7)), ("one", (1, 1, 1, 1))):
        add_case(f, "global_avg_pool", case, lambda a: a.flatten(2).mean(2),
                 [draw(rng_of(f"global/{case}"), *x)])


def main():
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = False
    for name, part in (("conv.h5", convolutions), ("pool.h5", pools)):
        with create(name) as f:
            part(f)


if __name__ == "__main__":
    main()
