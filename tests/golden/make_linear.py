#!/usr/bin/env python3
"""Makes linear.h5: linear_gelu_tanh, laid out as ops.h5 (README.md).

    python make_linear.py [folder]        (default: the folder of this script)"""
import os
import sys

import torch.nn.functional as F
from make_golden import add_case, create, draw, rng_of


def linear_gelu_tanh(f):
    for batch, i, o in (((5,), 7, 3), ((1,), 1, 1), ((0,), 7, 3), ((9,), 24, 16), ((2, 5), 7, 8)):
        for bias in (1, 0):
            case = "x".join(map(str, (*batch, i, o))) + ("_bias" if bias else "_nobias")
            rng = rng_of("linear_gelu_tanh/" + case)
            inputs = [draw(rng, *batch, i), draw(rng, o, i)] + [draw(rng, o)] * bias
            add_case(f, "linear_gelu_tanh", case, lambda *a: F.gelu(F.linear(*a), approximate="tanh"), inputs,
                     has_bias=bias)


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    with create(os.path.join(folder, "linear.h5")) as f:
        linear_gelu_tanh(f)
