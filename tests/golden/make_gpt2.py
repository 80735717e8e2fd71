#!/usr/bin/env python3
"""Makes gpt2.h5: a small GPT-2 in PyTorch, its logits, loss and gradients at
step 0, and its losses over 100 steps of AdamW.

    python make_gpt2.py [folder]        (default: the folder of this script)

README.md in this folder describes the file; make_golden.py says what holds for
all of them."""
import math
import os
import sys

from make_golden import DTYPES, SEED, create, put, put_attrs, rng_of

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, HEADS, WIDTH, VOCABULARY, CONTEXT = 2, 4, 28, 61, 20
ROWS, TOKENS, BATCH, STEPS = 64, 16, 8, 100
LR, DECAY, BETAS = 1e-3, 0.1, (0.9, 0.95)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, HEADS, c // HEADS).transpose(1, 2)
                   for y in self.c_attn(x).split(WIDTH, dim=2))
        s = q @ k.transpose(-2, -1) / math.sqrt(c // HEADS)
        s = s.masked_fill(torch.ones(t, t).triu(1).bool(), -math.inf)
        y = F.softmax(s, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(b, t, c))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH)
        self.c_proj = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.attn = Attention()
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp = MLP()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(VOCABULARY, WIDTH),
            wpe=nn.Embedding(CONTEXT, WIDTH),
            h=nn.ModuleList(Block() for _ in range(LAYERS)),
            ln_f=nn.LayerNorm(WIDTH)))

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe(torch.arange(tokens.shape[1]))
        for block in t.h:
            x = block(x)
        return F.linear(t.ln_f(x), t.wte.weight)


def initial():
    """Values that bfloat16 can hold, so that in 16 bits only activations are
    rounded at step 0; larger than GPT-2's, so that every part of a small model
    counts; biases and normalisations that are not 0 and 1."""
    rng, values = rng_of("gpt2/initial"), {}
    for name, p in GPT2().named_parameters():
        std = 0.06 if p.dim() == 2 else 0.1
        v = rng.standard_normal(tuple(p.shape)) * std
        if "ln_" in name and name.endswith("weight"):
            v += 1
        values[name] = torch.tensor(v).bfloat16().float().numpy()
    return values


def text():
    """A token follows from the two before it, but for one in eight."""
    rng = rng_of("gpt2/text")
    out = rng.integers(0, VOCABULARY, (ROWS, TOKENS + 1))
    for t in range(2, TOKENS + 1):
        rule = (3 * out[:, t - 1] + out[:, t - 2] + 7) % VOCABULARY
        out[:, t] = np.where(rng.random(ROWS) < 0.125, out[:, t], rule)
    return out.astype(np.uint8)


def optimizer(model):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=LR, betas=BETAS, foreach=False)


def loss_of(model, rows):
    logits = model(rows[:, :-1])
    return logits, F.cross_entropy(logits.reshape(-1, VOCABULARY).float()
                                   if logits.dtype == torch.bfloat16
                                   else logits.reshape(-1, VOCABULARY),
                                   rows[:, 1:].reshape(-1))


def run(tag, dtype, mixed, values, tokens, group):
    model = GPT2().to(dtype)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.tensor(values[name]))
    adamw, losses = optimizer(model), []
    rows = torch.tensor(tokens.astype(np.int64))
    for step in range(STEPS):
        at = step * BATCH % ROWS
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits, loss = loss_of(model, rows[at:at + BATCH])
        adamw.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0 and tag == "f64":
            put(group, "logits", logits)
            for name, p in model.named_parameters():
                put(group, "gradients/" + name, p.grad)
        adamw.step()
    put(group, "loss_" + tag, np.array(losses))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    values, tokens = initial(), text()
    with create(os.path.join(folder, "gpt2.h5")) as f:
        put_attrs(f, layers=LAYERS, heads=HEADS, width=WIDTH, vocabulary=VOCABULARY,
                  context=CONTEXT, batch=BATCH, lr=LR, weight_decay=DECAY)
        put(f, "tokens", tokens)
        for name, v in values.items():
            put(f, "initial/" + name, v)
        for tag, dtype in DTYPES.items():
            run(tag, dtype, False, values, tokens, f)
        run("bf16", torch.float32, True, values, tokens, f)


main()
