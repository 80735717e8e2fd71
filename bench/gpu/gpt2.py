"""PyTorch's side of bench/gpt2: the same model, batch and step, eager and compiled, one line of JSON each.

    gpt2.py DEVICE PRECISION BATCH LENGTH [STEPS [VARIANT...]]     PRECISION f32 or bf16, VARIANT eager or compile
"""
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

device, precision, batch, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
steps = int(sys.argv[5]) if len(sys.argv) > 5 else 20
variants = sys.argv[6:] or ["eager", "compile"]
LAYERS, HEADS, WIDTH, WORDS, CONTEXT = 12, 12, 768, 50304, 1024
wait = torch.cuda.synchronize if device == "cuda" else lambda: None


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc, self.proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.ln_1(x)).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(WORDS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.h, self.ln_f = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        self.head.weight = self.wte.weight

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return F.cross_entropy(self.head(self.ln_f(x)).flatten(0, 1), targets.flatten())


def measure(variant):
    torch.manual_seed(1)
    model = GPT2().to(device)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    adam = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                             lr=3e-4, betas=(0.9, 0.95), fused=True)
    loss_of = torch.compile(model) if variant == "compile" else model
    tokens = torch.randint(0, WORDS, (batch * length + 1,))
    x, y = tokens[:-1].view(batch, length).to(device), tokens[1:].view(batch, length).to(device)
    spent, began = [], time.perf_counter()
    for i in range(steps + 8):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(x, y)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        value = loss.item()
        wait()
        now = time.perf_counter()
        if i >= 8:
            spent.append(1e6 * (now - began))
        began = now
    n = sum(p.numel() for p in model.parameters()) - WIDTH * CONTEXT
    median, work = statistics.median(spent), (6 * n + 6 * LAYERS * WIDTH * length) * batch * length
    print(json.dumps({
        "bench": "gpt2", "by": "torch " + variant, "torch": torch.__version__, "precision": precision, "batch": batch,
        "length": length, "threads": torch.get_num_threads(), "loss": value, "tokens_s": 1e6 * batch * length / median,
        "tflops": 1e-6 * work / median, "step_us": median,
        "peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None}), flush=True)


for v in variants:
    measure(v)
