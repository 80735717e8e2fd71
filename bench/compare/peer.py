"""PyTorch's side of a comparison: what mlp.c does, at the same words, in one of four ways."""
import json
import os
import resource
import sys
import time

import numpy
import torch

variant, threads = sys.argv[1], int(sys.argv[2])
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
        torch._dynamo.reset()
        fused = variant in ("eager-fused", "compile")
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, **({"fused": True} if fused else {}))
        self.backward = lambda loss: loss.backward()
        if variant == "fabric":
            from lightning.fabric import Fabric

            fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
            model, adam = fabric.setup(model, adam)
            self.backward = fabric.backward
        entropy = torch.nn.functional.cross_entropy
        self.loss = lambda x, y: entropy(model(x), y)
        if variant == "compile":
            self.loss = torch.compile(self.loss, dynamic=False)
        self.adam = adam
        self.batches = self.in_turn()

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
        loss = self.loss(x, y)
        self.adam.zero_grad()
        self.backward(loss)
        self.adam.step()
        return loss

    def losses(self, n):
        return {"losses": [self.step().item() for _ in range(n)]}

    def time(self, n):
        us, before = [], resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(n):
            start = time.perf_counter()
            self.step()
            us.append(1e6 * (time.perf_counter() - start))
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"us": us, "cpu_us": 1e6 * cpu / n, "preempted": (after.ru_nivcsw - before.ru_nivcsw) / n}


def about():
    import lightning

    return {
        "torch": torch.__version__,
        "lightning": lightning.__version__,
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
