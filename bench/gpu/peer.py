"""PyTorch's side of bench/gemm: the products of the lines in a file, by torch.matmul on the same device.

    peer.py gemm DEVICE FILE     one line of JSON for each line of FILE, with the ratio of the times
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


for text in open(path):
    line = json.loads(text)
    if "pass" not in line:
        continue
    torch.backends.cuda.matmul.allow_tf32 = line["tf32"]
    us, _ = measure(line)
    ours = line["us"]["median"]
    flops = 2.0 * line["m"] * line["n"] * line["k"]
    print(json.dumps({
        "bench": "gemm beside torch", "torch": torch.__version__, "network": line["network"], "layer": line["layer"],
        "rows": line["rows"], "pass": line["pass"], "dtype": line["dtype"], "tf32": line["tf32"], "m": line["m"], "n": line["n"], "k": line["k"],
        "weft_us": round(ours, 2), "torch_us": round(us, 2), "weft_tflops": round(1e-6 * flops / ours, 2),
        "torch_tflops": round(1e-6 * flops / us, 2), "torch/weft": round(us / ours, 3)}), flush=True)
