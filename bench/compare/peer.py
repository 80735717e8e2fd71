"""PyTorch's side of a comparison: what mlp.c does, at the same words, in one of five ways, on the cpu or on cuda."""
import json
import os
import resource
import sys
import time

import numpy
import torch

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


def network(width):
    parts = []
    for i in range(len(width) - 1):
        parts += [torch.nn.Linear(width[i], width[i + 1])]
        if i + 2 < len(width):
            parts += [torch.nn.ReLU()]
    return torch.nn.Sequential(*parts)


class Job:
    def __init__(self, path, rows, batches, *width):
        model = network(width)
        with open(path, "rb") as file:
            read = lambda n, dtype: torch.from_numpy(numpy.fromfile(file, dtype, n))
            with torch.no_grad():
                for p in model.parameters():
                    p.copy_(read(p.numel(), "f4").view(p.shape))
            self.x = read(batches * rows * width[0], "f4").view(batches, rows, width[0]).unbind()
            self.y = read(batches * rows, "i8").view(batches, rows).unbind()
        model.to(device)
        if device == "cuda":
            self.x, self.y = [[t.contiguous().pin_memory() for t in batch] for batch in (self.x, self.y)]
        torch._dynamo.reset()
        how = {"fused": True} if variant in ("eager-fused", "compile", "graph") else {}
        if variant == "graph":
            how["capturable"] = True
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, **how)
        self.backward = lambda loss: loss.backward()
        if variant == "fabric":
            fabric = Fabric(accelerator=device, devices=1, precision="32-true")
            model, adam = fabric.setup(model, adam)
            self.backward = fabric.backward
        entropy = torch.nn.functional.cross_entropy
        self.loss = lambda x, y: entropy(model(x), y)
        if variant == "compile":
            self.loss = torch.compile(self.loss, dynamic=False)
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
            job = Job(words[1], *map(int, words[2:]))
            answer = {}
        elif words[0] == "about":
            answer = about()
        else:
            answer = getattr(job, words[0])(*map(int, words[1:]))
    except Exception as e:  # said to compare.py, which decides
        answer = {"error": f"{type(e).__name__}: {e}".split("\n")[0]}
    print(json.dumps(answer), file=out, flush=True)
