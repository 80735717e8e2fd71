#!/usr/bin/env python3
"""Makes transformer.h5: rmsnorm, swiglu and add_layernorm, laid out as ops.h5.

    python make_transformer.py [folder]        (default: the folder of this script)"""
import os
import sys

import torch.nn.functional as F
from make_golden import add_case, create, draw, rng_of


def last(shape, dims):
    return shape[len(shape) - dims:]


def rmsnorm(f):
    for shape, dims in (((5, 6), 1), ((2, 3, 4), 2), ((0, 4), 1)):
        for weight, eps in ((1, 0.0), (0, 1e-3)):
            case = "x".join(map(str, shape)) + "_weight" * weight
            rng = rng_of("rmsnorm/" + case)
            inputs = [draw(rng, *shape)] + [draw(rng, *last(shape, dims))] * weight

            def fn(x, w=None):
                return F.rms_norm(x, last(shape, dims), w, eps or None)
            add_case(f, "rmsnorm", case, fn, inputs, dims=dims, alpha=eps)


def swiglu(f):
    for shape in ((2, 3, 4), (0, 4)):
        case = "x".join(map(str, shape))
        rng = rng_of("swiglu/" + case)
        add_case(f, "swiglu", case, lambda a, b: F.silu(a) * b,
                 [draw(rng, *shape), draw(rng, *shape)])


def add_layernorm(f):
    """Both results in one: y + beta s."""
    for shape, dims in (((5, 6), 1), ((2, 3, 4), 2), ((0, 4), 1)):
        for weight, beta in ((1, 0.5), (0, 0.0)):
            case = "x".join(map(str, shape)) + "_weight" * weight
            rng = rng_of("add_layernorm/" + case)
            inputs = [draw(rng, *shape), draw(rng, *shape)] + \
                [draw(rng, *last(shape, dims))] * weight

            def fn(x, r, w=None):
                s = x + r
                y = F.layer_norm(s, last(shape, dims), w)
                return y + beta * s if beta else y
            add_case(f, "add_layernorm", case, fn, inputs, dims=dims, beta=beta)


folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
with create(os.path.join(folder, "transformer.h5")) as file:
    rmsnorm(file)
    swiglu(file)
    add_layernorm(file)
