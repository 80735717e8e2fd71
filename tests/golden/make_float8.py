#!/usr/bin/env python3
"""Makes float8.h5: 8-bit codes, linear layers and a training of them (README.md), from torch's 8-bit types.

    python make_float8.py [folder]        (default: the folder of this script)"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from make_golden import create, draw, put, put_attrs, rng_of, tensor

FORMATS = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def coded(x, dtype):
    """x in f32, its codes and what they are multiplied by: current scaling."""
    most = torch.finfo(dtype).max
    amax = x.float().abs().max()
    factor = torch.tensor(most) / amax if amax > 0 else torch.tensor(1.0)
    q = (x.float() * factor).clamp(-most, most).to(dtype)
    return q, 1 / factor


def seen(x, dtype):
    """What the products see, in f64."""
    q, scale = coded(x, dtype)
    return q.double() * scale.double()


class Linear8(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        y = seen(x, torch.float8_e4m3fn) @ seen(w, torch.float8_e4m3fn).T
        return (y + b.double()).to(x.dtype)

    @staticmethod
    def backward(ctx, gy):
        x, w = ctx.saved_tensors
        g = seen(gy, torch.float8_e5m2)
        gx = (g @ seen(w, torch.float8_e4m3fn)).to(x.dtype)
        gw = g.T @ seen(x, torch.float8_e4m3fn)
        return gx, gw.to(w.dtype), gy.double().sum(0).to(w.dtype)


def codes(f):
    """Numbers of all magnitudes, those half-way between two codes, and those too large."""
    rng = rng_of("float8/codes")
    for name, dtype in FORMATS.items():
        all_codes = torch.arange(256, dtype=torch.uint8).view(dtype).float()
        finite = torch.sort(all_codes[torch.isfinite(all_codes)])[0]
        ties = (finite[1:] + finite[:-1]) / 2
        wide = torch.tensor(np.ldexp(rng.standard_normal(200), rng.integers(-22, 18, 200)), dtype=torch.float32)
        x = torch.cat([finite, ties, wide, torch.tensor([1e9, -1e9, 0.0, -0.0])])
        most = torch.finfo(dtype).max
        put(f, f"codes/{name}/x", x)
        f[f"codes/{name}/q"] = x.clamp(-most, most).to(dtype).view(torch.uint8).numpy()
        put(f, f"codes/{name}/number", torch.nan_to_num(all_codes, nan=-1.0, posinf=-1.0, neginf=-1.0))


def linear(f):
    for r, i, o, spread in ((16, 32, 16, 1.0), (32, 16, 16, 10.0), (16, 16, 32, 1e-2)):
        for tag, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
            rng = rng_of(f"float8/linear/{r}x{i}x{o}")
            x, w, b, gy = (tensor(a, torch.float32).to(dtype) for a in (
                draw(rng, r, i) * spread, draw(rng, o, i), draw(rng, o), draw(rng, r, o) * spread))
            x8, w8, g8 = seen(x, torch.float8_e4m3fn), seen(w, torch.float8_e4m3fn), seen(gy, torch.float8_e5m2)
            g = f.create_group(f"linear/{r}x{i}x{o}_{tag}")
            for name, a in (("in0", x), ("in1", w), ("in2", b), ("gout", gy)):
                put(g, name, a.float())
            for name, a in (("out", x8 @ w8.T + b.double()), ("gin0", g8 @ w8), ("gin1", g8.T @ x8),
                            ("gin2", gy.double().sum(0))):
                put(g, name, a.float())


def training(f):
    """Linear(32, 48), GELU by tanh, Linear(48, 16), mean cross entropy, plain gradient descent of bf16 weights."""
    rng = rng_of("float8/train")
    steps, batch, lr = 30, 32, 0.5
    x = tensor(draw(rng, 4 * batch, 32), torch.float32).to(torch.bfloat16)
    teacher = tensor(draw(rng, 16, 32), torch.float32)
    y = (x.float() @ teacher.T).argmax(1)
    p = [tensor(draw(rng, *s) * k, torch.float32).to(torch.bfloat16).requires_grad_() for s, k in (
        ((48, 32), 0.18), ((48,), 0.18), ((16, 48), 0.14), ((16,), 0.14))]
    g = f.create_group("train")
    put_attrs(g, lr=lr, batch=batch)
    put(g, "x", x.float())
    put(g, "y", y)
    for k, q in enumerate(p):
        put(g, f"p{k}", q.float())
    losses = []
    for t in range(steps):
        rows = slice(t % 4 * batch, (t % 4 + 1) * batch)
        h = F.gelu(Linear8.apply(x[rows], p[0], p[1]), approximate="tanh")
        loss = F.cross_entropy(Linear8.apply(h, p[2], p[3]).float(), y[rows])
        grads = torch.autograd.grad(loss, p)
        with torch.no_grad():
            for q, d in zip(p, grads):
                q.copy_((q.float() - lr * d.float()).to(torch.bfloat16))
        losses.append(loss.item())
    put(g, "loss", torch.tensor(losses))
    print("losses", losses[0], losses[-1])


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    with create(os.path.join(folder, "float8.h5")) as f:
        codes(f)
        linear(f)
        training(f)
