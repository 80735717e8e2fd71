#!/usr/bin/env python3
"""Makes attention.h5, rotary.h5 and classifier.h5, laid out as ops.h5.

    python make_attention.py [folder]      (default: the folder of this script)

What make_golden.py says of values, types and reruns holds here too, but results
are computed in float64 alone: they are the truth for both types.
"""
import os
import sys

import make_golden as g
import torch
import torch.nn.functional as F


def add_case(f, op, case, fn, inputs, labels=None, **attrs):
    for tag, dtype in g.DTYPES.items():
        x = [g.tensor(a, dtype, grad=True) for a in inputs]
        group = f.create_group(f"{op}/{case}_{tag}")
        for i, a in enumerate(x + ([] if labels is None else [labels])):
            g.put(group, f"in{i}", a)
        out = fn(*x)
        gout = g.tensor(g.draw(g.rng_of(f"{op}/{case}/gout"), *out.shape), dtype)
        g.put(group, "gout", gout)
        g.put_attrs(group, **attrs)
        if tag == "f64":
            g.put(group, "out", out)
            for i, a in enumerate(torch.autograd.grad(out, x, gout)):
                g.put(group, f"gin{i}", a)


def attention(f):
    """in0 q (B,H,T,D), in1 k, in2 v; dims: causal, 0 no, 1 top-left, 2 bottom-right."""
    cases = {                       # B H G T S D E, causal, scale
        "plain": (2, 2, 2, 3, 3, 2, 2, 0, 0), "size1": (1, 2, 2, 6, 6, 1, 1, 1, 0),
        "size7": (1, 2, 1, 5, 3, 7, 7, 0, 0),
        "size64": (1, 1, 1, 2, 2, 64, 64, 1, 0), "size80": (1, 1, 1, 1, 2, 80, 80, 0, 0),
        "tiles": (1, 1, 1, 70, 70, 1, 1, 1, 0), "cross": (1, 1, 1, 3, 130, 1, 2, 0, 0.5),
        "groups": (2, 4, 2, 5, 5, 4, 4, 1, 0), "more_queries": (1, 1, 1, 6, 3, 4, 4, 1, 0),
        "bottom_right": (1, 2, 2, 3, 6, 4, 4, 2, 0), "empty": (0, 2, 2, 3, 3, 4, 4, 0, 0),
    }
    for case, (b, h, n, t, s, d, e, causal, scale) in cases.items():
        rng = g.rng_of(f"attention/{case}")
        inputs = [g.draw(rng, b, h, t, d), g.draw(rng, b, n, s, d), g.draw(rng, b, n, s, e)]
        last = torch.arange(t)[:, None] + (s - t if causal == 2 else 0)
        seen = torch.arange(s)[None] <= last

        def fn(q, k, v):
            # in the open: kernels of PyTorch's own sum in f32 and by the CPU
            k, v = (x.repeat_interleave(h // n, 1) for x in (k, v))
            w = q @ k.transpose(2, 3) * (scale or d ** -0.5)
            w = w.masked_fill(~seen, float("-inf")) if causal else w
            y = torch.softmax(w, -1) @ v
            if y.dtype == torch.float64 and causal != 2:
                same = F.scaled_dot_product_attention(q, k, v, is_causal=bool(causal),
                                                      scale=scale or None)
                assert torch.allclose(y, same, rtol=1e-12, atol=1e-13)
            return y
        add_case(f, "attention", case, fn, inputs, dims=causal, alpha=float(scale))


def rotary(f):
    """In the form of Hugging Face's Llama (halves) or of the paper (interleaved)."""
    cases = {                       # shape, offset, base, interleaved, dims
        "halves": ((2, 3, 5, 8), 0, 10000.0, 0, 0), "interleaved": ((2, 3, 5, 8), 0, 10000.0, 1, 0),
        "offset": ((1, 2, 4, 6), 11, 500.0, 0, 0), "part": ((2, 4, 10), 3, 10000.0, 0, 4),
        "part_interleaved": ((2, 4, 10), 3, 10000.0, 1, 6), "long": ((3, 132), 900, 10000.0, 0, 0),
        "pair": ((1, 2), 5, 10000.0, 1, 0), "empty": ((0, 3, 4), 0, 10000.0, 0, 0),
    }
    for case, (shape, offset, base, interleaved, dims) in cases.items():
        x = g.draw(g.rng_of(f"rotary/{case}"), *shape)
        n = dims or shape[-1]

        def fn(x):
            t = torch.arange(offset, offset + shape[-2], dtype=torch.float64)
            a = t[:, None] * base ** (-torch.arange(0, n, 2, dtype=torch.float64) / n)
            r, rest = x[..., :n], x[..., n:]
            if interleaved:
                a = a.repeat_interleave(2, -1)
                turned = torch.stack((-r[..., 1::2], r[..., ::2]), -1).flatten(-2)
            else:
                a = torch.cat((a, a), -1)
                turned = torch.cat((-r[..., n // 2:], r[..., :n // 2]), -1)
            y = r * a.cos().to(x.dtype) + turned * a.sin().to(x.dtype)
            return torch.cat((y, rest), -1)
        add_case(f, "rotary", case, fn, [x], padding_idx=offset, beta=base,
                   dim=interleaved, dims=dims)


def classifier(f):
    """in0 x (..., I), in1 weight (O, I), in2 labels."""
    cases = {                       # rows, I, O, reduction, ignore_index, smoothing
        "mean": ((7,), 5, 9, 0, None, 0.0), "sum": ((2, 3), 4, 6, 1, None, 0.0),
        "none": ((5,), 4, 6, 2, None, 0.0), "ignore": ((9,), 5, 4, 0, 2, 0.0),
        "minus": ((2, 5), 3, 4, 0, -100, 0.0), "smooth": ((6,), 4, 5, 0, None, 0.2),
        "all": ((6,), 4, 5, 0, 1, 0.1), "one": ((1,), 1, 1, 0, None, 0.0),
    }
    for case, (rows, i, o, reduction, ignore, smooth) in cases.items():
        rng = g.rng_of(f"linear_cross_entropy/{case}")
        inputs = [g.draw(rng, *rows, i), g.draw(rng, o, i)]
        y = rng.integers(0, o, rows)
        if ignore is not None:
            y.reshape(-1)[::3] = ignore
        kw = {} if ignore is None else {"ignore_index": ignore}

        def fn(x, w):
            z = F.linear(x, w).reshape(-1, o)
            loss = F.cross_entropy(z, torch.tensor(y).reshape(-1), label_smoothing=smooth,
                                   reduction=("mean", "sum", "none")[reduction], **kw)
            return loss.reshape(rows) if reduction == 2 else loss
        add_case(f, "linear_cross_entropy", case, fn, inputs, y,
                   reduction=reduction, smoothing=smooth, **kw)


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for make in (attention, rotary, classifier):
        with g.create(os.path.join(folder, make.__name__ + ".h5")) as file:
            make(file)
