"""PyTorch's side of a comparison: what side.c does, at the same words, in one of five ways, on the cpu or on cuda."""
import gc
import json
import os
import resource
import sys
import time

import torch

import nets

try:  # one package, or its parts
    import lightning
    from lightning.fabric import Fabric

    lightning_version = lightning.__version__
except ImportError:
    try:
        import lightning_fabric
        from lightning_fabric import Fabric

        lightning_version = lightning_fabric.__version__
    except ImportError:
        lightning_version = "none"

variant, threads, device = sys.argv[1], int(sys.argv[2]), sys.argv[3]
wait = torch.cuda.synchronize if device == "cuda" else lambda: None
torch.set_num_threads(threads)
torch.set_flush_denormal(True)  # moments of units that are shut off would slow Adam down


class Job:
    def __init__(self, kind, path, precision, rows, batches, *args):
        rows, batches, args = int(rows), int(batches), [int(a) for a in args]
        model, self.x, self.y = nets.read(path, kind, args, rows, batches)
        model.to(device)
        self.clip = kind == "gpt2"
        if device == "cuda":
            self.x, self.y = [[t.contiguous().pin_memory() for t in batch] for batch in (self.x, self.y)]
        torch._dynamo.reset()
        how = {"fused": True} if variant in ("eager-fused", "compile", "graph") else {}
        if variant == "graph":
            how["capturable"] = True
        if kind == "gpt2":
            groups = [{"params": [p for p in model.parameters() if (p.dim() > 1) == matrix], "weight_decay": decay}
                      for matrix, decay in ((True, 0.1), (False, 0.0))]
            adam = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), **how)
        else:
            adam = torch.optim.Adam(model.parameters(), lr=1e-3, **how)
        self.params = list(model.parameters())
        self.backward = lambda loss: loss.backward()
        if variant == "fabric":
            fabric = Fabric(accelerator=device, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")
            model, adam = fabric.setup(model, adam)
            self.backward = fabric.backward
        entropy = torch.nn.functional.cross_entropy

        def loss(x, y):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16" and variant != "fabric"):
                return entropy(model(x), y)

        self.loss = torch.compile(loss, dynamic=False) if variant == "compile" else loss
        self.adam = adam
        self.batches = self.in_turn()
        self.graph = self.capture(model) if variant == "graph" else None

    def capture(self, model):
        """One CUDA graph of the whole step; what warming up changed is put back."""
        import copy

        before = copy.deepcopy(model.state_dict())
        self.xy = [next(iter(batch)).to(device) for batch in (self.x, self.y)]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.compute(*self.xy)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.out = self.compute(*self.xy)
        model.load_state_dict(before)
        for state in self.adam.state.values():
            for value in state.values():
                value.zero_()
        return graph

    def in_turn(self):
        while True:
            yield from zip(self.x, self.y)

    def loaders(self):
        data = torch.utils.data.TensorDataset(torch.cat(self.x), torch.cat(self.y))
        loader = torch.utils.data.DataLoader(data, batch_size=len(self.y[0]), shuffle=True)

        def epochs():
            while True:
                yield from loader

        self.batches = epochs()
        return {}

    def step(self):
        x, y = next(self.batches)
        if self.graph:
            self.xy[0].copy_(x, non_blocking=True)
            self.xy[1].copy_(y, non_blocking=True)
            self.graph.replay()
            return self.out
        return self.compute(x.to(device, non_blocking=True), y.to(device, non_blocking=True))

    def compute(self, x, y):
        loss = self.loss(x, y)
        self.adam.zero_grad()
        self.backward(loss)
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.adam.step()
        return loss

    def losses(self, n):
        return {"losses": [self.step().item() for _ in range(n)]}

    def time(self, n):
        us, before = [], resource.getrusage(resource.RUSAGE_SELF)
        wait()
        begin = time.perf_counter()
        for _ in range(n):
            start = time.perf_counter()
            self.step()
            us.append(1e6 * (time.perf_counter() - start))
        if device == "cuda":
            wait()
            us = n * [1e6 * (time.perf_counter() - begin) / n]
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"us": us, "cpu_us": 1e6 * cpu / n, "preempted": (after.ru_nivcsw - before.ru_nivcsw) / n}


def about():
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "lightning": lightning_version,
        "python": sys.version.split()[0],
        "threads": torch.get_num_threads(),
        "pinned": sorted(os.sched_getaffinity(0)),
        "flush_denormal": True,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "build": [w.strip() for w in torch.__config__.show().split("\n  - ")[1:] if not w.startswith("Build")],
    }


job = None
out, sys.stdout = sys.stdout, sys.stderr  # nothing else may speak on the line
for line in sys.stdin:
    words = line.split()
    try:
        if words[0] == "load":
            job = None  # first, for its memory
            job = Job(*words[1:])
            answer = {}
        elif words[0] == "unload":
            job, answer = None, {}
            gc.collect()
        elif words[0] == "about":
            answer = about()
        else:
            answer = getattr(job, words[0])(*map(int, words[1:]))
    except Exception as e:  # said to compare.py, which decides
        answer = {"error": f"{type(e).__name__}: {e}".split("\n")[0]}
    print(json.dumps(answer), file=out, flush=True)
