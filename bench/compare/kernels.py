"""bench/kernels beside PyTorch's functions on one core: kernels that are not matrix products, 2048 x 768 numbers.

The two sides take turns, each once through all kernels a round; medians of the rounds. What a function allocates counts on
PyTorch's side, as it does where it is used; gradients are the functions that its own backward calls.
"""
import json
import pathlib
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

ROWS, COLUMNS = 2048, 768
TAKE = 2e-3  # seconds that a time is taken over, at least


def functions(dtype):
    """Kernels' names in bench/kernels, and the same in PyTorch."""
    aten, n = torch.ops.aten, ROWS * COLUMNS
    plane = lambda: torch.rand(ROWS, COLUMNS).mul(0.9).add(0.1).to(dtype)
    x, y, z, g = plane(), plane(), plane(), plane()
    flat, tens, short = x.view(-1), x.view(-1)[: n // 10 * 10].view(-1, 10), x.view(-1, 16)
    index, labels = torch.randint(COLUMNS, (ROWS, COLUMNS)), torch.zeros(ROWS, dtype=torch.int64)
    bits, wide, bools = torch.zeros(n, dtype=torch.uint8), x.float().clone(), torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    long, turned = torch.empty(ROWS, COLUMNS, dtype=torch.int64), x.view(COLUMNS, ROWS).t()
    w, w16 = z[0], z[0, :16].clone()
    _, mean, scale = aten.native_layer_norm(x, (COLUMNS,), w, w, 1e-5)
    planes = flat.view(1, n // 1024, 32, 32)
    best, at = F.max_pool2d(planes, 3, 2, 1, return_indices=True)
    halves, means = F.avg_pool2d(planes, 2), F.adaptive_avg_pool2d(planes, 1)
    soft = torch.softmax(x, 1)
    heads = torch.rand(3, 8, 12, 256, 64).to(dtype)
    return {
        "copy_from_f32": lambda: y.copy_(wide), "copy_to_f32": lambda: wide.copy_(x),
        "copy_from_u8": lambda: y.view(-1).copy_(bits), "copy_to_i64": lambda: long.copy_(x),
        "copy_turned": lambda: y.copy_(turned), "fill": lambda: y.fill_(0.5), "add": lambda: torch.add(x, z, out=y),
        "mul_row": lambda: torch.mul(x, w, out=y), "mul_column": lambda: torch.mul(x, z[:, :1], out=y),
        "add_turned": lambda: torch.add(turned, z, out=y), "pow": lambda: torch.pow(x, z, out=y),
        "where": lambda: torch.where(bools, x, z, out=y), "compare": lambda: torch.gt(x, z, out=bools),
        "axpy": lambda: y.add_(x, alpha=1e-9), "relu": lambda: aten.relu(x), "exp": lambda: torch.exp(x, out=y),
        "log": lambda: torch.log(x, out=y), "sin": lambda: torch.sin(x, out=y), "cube": lambda: torch.pow(x, 3, out=y),
        "power": lambda: torch.pow(x, 2.5, out=y), "sigmoid": lambda: torch.sigmoid(x, out=y),
        "tanh": lambda: torch.tanh(x, out=y), "silu": lambda: aten.silu.out(x, out=y),
        "silu_back": lambda: aten.silu_backward(g, x), "gelu": lambda: aten.gelu.out(x, approximate="tanh", out=y),
        "gelu_back": lambda: aten.gelu_backward(g, x, approximate="tanh"), "column_sums": lambda: x.sum(0),
        "row_sums": lambda: x.sum(1), "sums_of_tens": lambda: tens.sum(1), "largest": lambda: torch.amax(x, 1),
        "first_largest": lambda: torch.argmax(x, 1), "column_largest": lambda: torch.amax(x, 0),
        "gather": lambda: torch.gather(x, 1, index), "gather_back": lambda: y.scatter_add_(1, index, x),
        "embedding": lambda: F.embedding(index[:, 0], x[:COLUMNS]),
        "embedding_back": lambda: aten.embedding_dense_backward(x, index[:, 0], COLUMNS, -1, False),
        "softmax": lambda: torch.softmax(x, 1), "softmax_back": lambda: aten._softmax_backward_data(g, soft, 1, dtype),
        "softmax_of_tens": lambda: torch.softmax(tens, 1), "layernorm": lambda: F.layer_norm(x, (COLUMNS,), w, w),
        "layernorm_back": lambda: aten.native_layer_norm_backward(g, x, (COLUMNS,), mean, scale, w, w, [True] * 3),
        "layernorm_of_16": lambda: F.layer_norm(short, (16,), w16, w16), "rmsnorm": lambda: F.rms_norm(x, (COLUMNS,), w),
        "swiglu": lambda: F.silu(x) * z, "xent": lambda: F.cross_entropy(x, labels),
        "mse": lambda: F.mse_loss(x, z, reduction="none"),
        "bce": lambda: F.binary_cross_entropy_with_logits(x, z, reduction="none"),
        "dropout": lambda: F.dropout(x, 0.1, True), "uniform": lambda: y.uniform_(-1, 1), "normal": lambda: y.normal_(0, 0.02),
        "maxpool": lambda: F.max_pool2d(planes, 3, 2, 1, return_indices=True),
        "maxpool_back": lambda: aten.max_pool2d_with_indices_backward(best, planes, [3, 3], [2, 2], [1, 1], [1, 1], False, at),
        "avgpool": lambda: F.avg_pool2d(planes, 2),
        "avgpool_back": lambda: aten.avg_pool2d_backward(halves, planes, [2, 2], [2, 2], [0, 0], False, True, None),
        "plane_means": lambda: F.adaptive_avg_pool2d(planes, 1),
        "plane_means_back": lambda: aten._adaptive_avg_pool2d_backward(means, planes), "norm": lambda: x.norm(),
        "attention": lambda: F.scaled_dot_product_attention(*heads, is_causal=True),
        "attention_dropout": lambda: F.scaled_dot_product_attention(*heads, dropout_p=0.1, is_causal=True),
    }


def clock(call):
    begin = time.perf_counter()
    call()
    times = 1 + int(TAKE / (time.perf_counter() - begin))
    begin = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begin) / times * 1e6


def weft(build, dtype, env):
    """A round of bench/kernels: microseconds by name, and what it says of the machine."""
    command = [f"{build}/bench/kernels", "--rounds", "1", "--rows", str(ROWS), "--columns", str(COLUMNS), "--dtype", dtype]
    lines = [json.loads(l) for l in subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()]
    return {l["kernel"]: l["us"]["median"] for l in lines[1:]}, lines[0]


def run(a, env):
    torch.set_num_threads(1)
    lines = []
    for dtype in a.precisions.split(","):
        ours, theirs = {}, {}
        calls = functions({"f32": torch.float32, "bf16": torch.bfloat16}[dtype])
        for _ in range(a.rounds):
            found, about = weft(a.build, dtype, env)
            for name in found.keys() & calls.keys():
                ours.setdefault(name, []).append(found[name])
                theirs.setdefault(name, []).append(clock(calls[name]))
        lines += [about] if not lines else []
        for name in ours:
            ratios = [t / o for o, t in zip(ours[name], theirs[name])]
            lines.append({"bench": "compare kernels", "kernel": name, "dtype": dtype, "shape": [ROWS, COLUMNS],
                          "weft_us": statistics.median(ours[name]), "torch_us": statistics.median(theirs[name]),
                          "ratio": statistics.median(ratios), "rounds": a.rounds, "torch": torch.__version__})
    for line in lines:
        print(json.dumps(line), flush=True)
    if a.results:
        keep(lines, a.results)


def describe(lines):
    about = lines[0]
    yield "# Kernels in Weft and in PyTorch"
    yield ""
    yield f"Made by `bench/compare/run.sh --kernels`: {about['machine']['cpu']}, one core. {about['kernels']}; torch {lines[1]['torch']}."
    yield f"{ROWS} x {COLUMNS} numbers; attention: 8 x 256 places, 12 heads of 64, causal. Medians of {lines[1]['rounds']} rounds in turn;"
    yield "the ratio is of the same round: above 1 Weft is quicker. Least first."
    yield ""
    yield "| kernel | type | Weft, us | PyTorch, us | PyTorch / Weft |"
    yield "|---|---|---|---|---|"
    for l in sorted(lines[1:], key=lambda l: l["ratio"]):
        yield f"| {l['kernel']} | {l['dtype']} | {l['weft_us']:.0f} | {l['torch_us']:.0f} | {l['ratio']:.2f} |"


def keep(lines, results):
    folder = pathlib.Path(results)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu-kernels.jsonl").write_text("".join(json.dumps(l) + "\n" for l in lines))
    (folder / "cpu-kernels.md").write_text("\n".join(describe(lines)) + "\n")
