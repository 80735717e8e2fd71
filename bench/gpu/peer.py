"""PyTorch's side of what check.sh measures, on the same device.

    peer.py gemm DEVICE FILE     the products of the lines of FILE by torch.matmul, with the ratio of the times
    peer.py gpt2 DEVICE FILE     tokens a second of GPT-2 124M on the bytes of FILE in bf16, plain and compiled
"""
import json
import statistics
import sys
import time

import torch

TOGETHER = 50  # calls between two waits, as in gemm.c
TYPES = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16}

_, what, device, path = sys.argv
wait = torch.cuda.synchronize if device == "cuda" else lambda: None
rounds = TOGETHER if device == "cuda" else 1


def operand(rows, columns, transposed, dtype):
    shape = (columns, rows) if transposed else (rows, columns)
    x = torch.rand(shape, device=device, dtype=torch.float32).mul_(2).sub_(1).to(dtype)
    return x.T if transposed else x


def measure(line):
    dtype = TYPES[line["dtype"]]
    transposed = {"forward": (False, True), "input gradient": (False, False), "weight gradient": (True, False)}
    ta, tb = transposed[line["pass"]]
    a, b = operand(line["m"], line["k"], ta, dtype), operand(line["k"], line["n"], tb, dtype)
    spent = []
    for _ in range(8):
        wait()
        start = time.perf_counter()
        for _ in range(rounds):
            c = torch.matmul(a, b)
        wait()
        spent.append(1e6 * (time.perf_counter() - start) / rounds)
        if sum(spent) * rounds > 2e6:
            break
    return statistics.median(spent[1:] or spent), c


def gemm():
    for text in open(path):
        line = json.loads(text)
        if "pass" not in line:
            continue
        us, _ = measure(line)
        ours = line["us"]["median"]
        flops = 2.0 * line["m"] * line["n"] * line["k"]
        print(json.dumps({
            "bench": "gemm beside torch", "torch": torch.__version__, "network": line["network"], "layer": line["layer"],
            "rows": line["rows"], "pass": line["pass"], "dtype": line["dtype"], "m": line["m"], "n": line["n"], "k": line["k"],
            "weft_us": round(ours, 2), "torch_us": round(us, 2), "weft_tflops": round(1e-6 * flops / ours, 2),
            "torch_tflops": round(1e-6 * flops / us, 2), "torch/weft": round(us / ours, 3)}), flush=True)


class Block(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.c_attn, self.c_proj = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.c_fc, self.c_out = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.c_attn(self.ln_1(x)).split(c, 2))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.c_out(torch.nn.functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class GPT2(torch.nn.Module):
    def __init__(self, vocabulary, context=1024, width=768, heads=12, layers=12):
        super().__init__()
        self.wte, self.wpe = torch.nn.Embedding(vocabulary, width), torch.nn.Embedding(context, width)
        self.h = torch.nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.ln_f = torch.nn.LayerNorm(width)

    def forward(self, x, y):
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1], device=x.device))
        logits = torch.nn.functional.linear(self.ln_f(self.h(h)), self.wte.weight)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())


def gpt2(batch=8, length=1024, steps=20):
    data = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.uint8)

    def take():
        at = torch.randint(len(data) - length - 1, (batch,)).tolist()
        x = torch.stack([data[i:i + length + 1] for i in at]).to(device).long()
        return x[:, :-1].contiguous(), x[:, 1:].contiguous()

    for how in "eager", "compile":
        torch.manual_seed(1)
        model = GPT2(256).to(device)
        adam = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=device == "cuda")
        run = torch.compile(model) if how == "compile" else model

        def step():
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = run(*take())
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            return loss

        try:
            for _ in range(5):
                step()
        except Exception as e:  # no compiler, say
            print(json.dumps({"bench": "gpt2", "side": "torch " + how, "error": str(e).split("\n")[0]}), flush=True)
            continue
        wait()
        start = time.perf_counter()
        for _ in range(steps):
            loss = step()
        wait()
        seconds = (time.perf_counter() - start) / steps
        print(json.dumps({"bench": "gpt2", "side": "torch " + how, "torch": torch.__version__, "batch": batch, "length": length,
                          "precision": "bf16-mixed", "ms": round(1e3 * seconds, 2),
                          "tokens_s": round(batch * length / seconds), "loss": round(loss.item(), 3)}), flush=True)


{"gemm": gemm, "gpt2": gpt2}[what]()
