"""The same training steps in Weft and in PyTorch, side by side: first that they compute the same, then how long they take.

    run.sh BUILD [--networks 784-256-10,64-64-64-10,cnn,gpt2] [--batches 1,32,64,1024] [--gpt2 4x64,8x256,4x64x10] [--cnn 128]
                 [--precisions f32,bf16] [--threads 1,2] [--rounds 9] [--variants eager,eager-fused,compile,fabric]
                 [--heavy eager-fused,compile,fabric] [--gemm 3] [--loaders] [--limit SECONDS] [--results DIR]
                 [--accelerator cuda] [--libraries FOLDERS] [--kernels]

--batches are those of linear layers, a third number of --gpt2 percents that dropout takes, --heavy the variants that GPT-2 meets, --gemm the rounds of bench/gemm (0: none).
--kernels compares bench/kernels with PyTorch's functions instead (kernels.py), `--rounds` times. With --limit nothing begins after that time; what matters most comes first. --accelerator is the device of both sides;
there is the variant graph, one CUDA graph of the step. --libraries is Weft's LD_LIBRARY_PATH alone.

Every variant is a process of its own that waits while another computes. All get the same weights and batches through a
file, and their losses must agree before anything is timed: else the exit status is 1. A round gives each its slice, in
turning order; of GPT-2, of which memory may not hold five, one variant after the other takes turns with Weft. Peak and
bandwidth are measured right after Weft's slice, of GPT-2 before it, too: share_of_bound and share_of_peak (of processor time
with cpu_ before) are medians of the shares of each round; `bound` is that of the best. Printed are JSON lines; with
--results also cpu.jsonl and cpu.md there (on a GPU compare.*, with loaders compare-loaders.*).
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import kernels
import nets
import report

HERE = pathlib.Path(__file__).parent
ROWS = 4096  # with loaders: an epoch is no shorter
SLICE = {"mlp": 0.1, "cnn": 0.3, "gpt2": 0}  # seconds a variant and round, at least one step
BATCHES = {"mlp": 16, "cnn": 4, "gpt2": 2}  # in memory
CHECKED = {"mlp": 100, "cnn": 10, "gpt2": 3}  # steps whose losses must agree
AGREE = {"f32": 1e-4, "bf16": 2e-2}  # of the larger of 1 and the loss
DROPPED = 5e-2  # where both drop other numbers
# What would choose kernels, threads or places for one side only.
FOREIGN = re.compile("^(OPENBLAS|MKL|NVPL|DNNL|ONEDNN|OMP|GOMP|KMP|BLIS|VECLIB|TORCH|WEFT)_?")


@dataclass
class Case:
    kind: str
    network: str
    rows: int
    args: list
    precision: str
    threads: int

    def words(self, path, batches):
        return f"load {self.kind} {path} {self.precision} {self.rows} {batches} {' '.join(map(str, self.args))}"


class Side:
    """A process that obeys one word a line."""

    def __init__(self, name, command, cpus, env):
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def ask(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended at '{words}'")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def losses(side, words, n):
    """Of the first n steps, or None, which is said."""
    answer = side.ask(words)
    answer = answer if "error" in answer else side.ask(f"losses {n}")
    if "error" in answer:
        print(f"# {side.name} left out: {answer['error']}", file=sys.stderr)
        return None
    return answer["losses"]


def difference(name, found, reference, case):
    """The largest of the losses; ends the program if it is too large."""
    most = DROPPED if case.kind == "gpt2" and len(case.args) > 2 else AGREE[case.precision]
    off = [abs(a - b) / max(1, abs(b)) for a, b in zip(found, reference)]
    if not max(off) <= most:
        step = next(i for i, o in enumerate(off) if not o <= most)
        sys.exit(f"{name} computes something else: loss {found[step]} at step {step + 1}, Weft {reference[step]}; nothing was timed")
    return max(off)


def steps_of(side, kind):
    """How many steps fill a slice; the first ones are not looked at."""
    if not SLICE[kind]:
        return 1
    few = {"mlp": 30, "cnn": 3}[kind]
    median = statistics.median(side.ask(f"time {few}")["us"][few // 3:])
    n = max(5 if kind == "mlp" else 1, min(20000, int(1e6 * SLICE[kind] / median)))
    side.ask(f"time {n}")
    return n


def least(bound):
    return bound["bound_us"]


def measure(sides, kind, rounds, found):
    """Adds to what was found: medians of the rounds, processor times likewise, how often a step had to wait, ratios, bounds.

    The bound stands right beside Weft's slice, on both sides of one that may take seconds: there the lesser counts, as
    what disturbs makes a bound too large, never too small, and a share must not be flattered."""
    n = {side.name: steps_of(side, kind) for side in sides}
    us = {side.name: [] for side in sides}
    for r in range(rounds):
        for side in sides[r % len(sides):] + sides[:r % len(sides)]:
            bounds = [side.ask("bound")] if side is sides[0] and not SLICE[kind] else []
            time.sleep(0.01)  # the threads of the last one go to sleep
            answer = side.ask(f"time {n[side.name]}")
            if side is sides[0]:
                found["bound"].append(min([*bounds, side.ask("bound")], key=least))
            us[side.name].append(statistics.median(answer["us"]))
            found["cpu_us"].setdefault(side.name, []).append(answer["cpu_us"])
            found["preempted"].setdefault(side.name, []).append(answer["preempted"])
    for side in sides:
        found["us"].setdefault(side.name, []).extend(us[side.name])
    for side in sides[1:]:
        found["ratio"][side.name] = report.quartiles([a / b for a, b in zip(us[side.name], us["weft"])])


def load_file(folder, case, batches):
    path = f"{folder}/batches.bin"
    nets.write(path, case.kind, case.args, case.rows, batches)
    return case.words(path, batches)


def with_loaders(sides, words):
    for side in sides:
        for word in words, "loaders":
            answer = side.ask(word)
            if "error" in answer:
                sys.exit(f"{side.name}: {answer['error']}")


def compare(sides, case, a, folder):
    weft, peers, kind = sides[0], sides[1:], case.kind
    heavy = kind == "gpt2"
    found = {"us": {}, "cpu_us": {}, "preempted": {}, "ratio": {}, "bound": []}
    words, worst = load_file(folder, case, BATCHES[kind]), {}
    reference = losses(weft, words, CHECKED[kind])
    if reference is None:
        sys.exit("nothing was timed")
    if kind == "mlp" and reference[-1] >= reference[0]:
        sys.exit(f"nothing was learned: loss {reference[0]}, then {reference[-1]}")
    for group in [[p] for p in peers] if heavy else [peers]:
        good = []
        for peer in group:
            values = losses(peer, words, CHECKED[kind])
            if values is not None:
                worst[peer.name] = difference(peer.name, values, reference, case)
                good.append(peer)
        if a.loaders:
            with_loaders([weft] + good, load_file(folder, case, max(BATCHES[kind], ROWS // case.rows)))
        measure([weft] + good, kind, min(a.rounds, 3) if heavy else a.rounds, found)
        for peer in group if heavy else []:
            peer.ask("unload")
    if heavy:
        weft.ask("unload")
    middle = lambda of: {k: statistics.median(v) for k, v in of.items()}
    quartiles = lambda of: {k: report.quartiles(v) for k, v in of.items()}
    share = lambda part, key, times=1: statistics.median(times * b[part] / t for b, t in zip(found["bound"], found[key]["weft"]))
    return {"bench": "compare", "network": case.network, "batch": case.rows, "precision": case.precision,
            "threads": case.threads, "rounds": len(found["us"]["weft"]), "checked": CHECKED[kind],
            "data": "loaders" if a.loaders else "memory", "loss_difference": worst, "us": quartiles(found["us"]),
            "ratio": found["ratio"], "cpu_us": quartiles(found["cpu_us"]), "preempted": middle(found["preempted"]),
            "bound": min(found["bound"], key=least),
            "share_of_bound": share("bound_us", "us"), "share_of_peak": share("flops_us", "us"),
            "cpu_share_of_bound": share("bound_us", "cpu_us", case.threads),  # that time is of all threads
            "cpu_share_of_peak": share("flops_us", "cpu_us", case.threads)}


def cases(a, threads):
    """What matters most comes first."""
    stages = [[], [], [], []]
    precisions, names = a.precisions.split(","), a.networks.split(",")
    for t in threads:
        for precision in precisions:
            for name in names:
                if name == "gpt2":
                    for rows, length, *dropped in (map(int, s.split("x")) for s in a.gpt2.split(",")):
                        title = f"GPT-2 124M, T {length}" + (f", {dropped[0]} % dropped" if dropped else "")
                        stages[1 if rows * length < 1000 else 2].append(
                            Case("gpt2", title, rows, [length, 12, *dropped], precision, t))
                elif name == "cnn":
                    for rows in map(int, a.cnn.split(",")):
                        stages[1 if precision == "f32" else 3].append(Case("cnn", "CNN", rows, [32], precision, t))
                else:
                    width = [int(w) for w in name.split("-")]
                    for rows in map(int, a.batches.split(",")):
                        stages[0 if precision == "f32" else 3].append(Case("mlp", name, rows, width, precision, t))
    return [case for stage in stages for case in stage]


def keep(a, abouts, lines, skipped, products):
    """What there is so far, so that a run which is cut short leaves something."""
    if not a.results:
        return
    results = pathlib.Path(a.results)
    results.mkdir(parents=True, exist_ok=True)
    name = "compare-loaders" if a.loaders else "cpu" if a.accelerator == "cpu" else "compare"
    (results / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in abouts + lines + products))
    text = list(report.describe(lines, abouts, skipped)) + (list(report.products(products)) if products else [])
    (results / f"{name}.md").write_text("\n".join(text) + "\n")


def gemm(a, env, threads):
    """The lines of bench/gemm."""
    lines = []
    for dtype in a.precisions.split(",") if a.gemm and a.accelerator == "cpu" else []:
        command = [f"{a.build}/bench/gemm", "--dtype", dtype, "--rounds", str(a.gemm), "--threads", ",".join(map(str, threads))]
        found = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        lines += map(json.loads, found[1:] if lines else found)
    for line in lines:
        print(json.dumps(line), flush=True)
    return lines


def options():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("build")
    a.add_argument("--networks", default="784-256-10,64-64-64-10,cnn,gpt2")
    a.add_argument("--batches", default="1,32,64,1024")
    a.add_argument("--gpt2", default="4x64,8x256")
    a.add_argument("--cnn", default="128")
    a.add_argument("--precisions", default="f32,bf16")
    a.add_argument("--threads", default="1,2")
    a.add_argument("--rounds", type=int, default=9)
    a.add_argument("--variants", default="eager,eager-fused,compile,fabric")
    a.add_argument("--heavy", default="eager-fused,compile,fabric")
    a.add_argument("--gemm", type=int, default=3)
    a.add_argument("--loaders", action="store_true")
    a.add_argument("--kernels", action="store_true")
    a.add_argument("--limit", type=float, default=1e9)
    a.add_argument("--results")
    a.add_argument("--accelerator", default="cpu")
    a.add_argument("--libraries")
    return a.parse_args()


def start(a, threads, places, env):
    """Both sides, each variant's process by its name, Weft's first."""
    env = {**env, "OMP_NUM_THREADS": str(threads)}
    ours = {**env, "LD_LIBRARY_PATH": a.libraries} if a.libraries else env
    words = f"threads={threads} accelerator={a.accelerator}"
    sides = {"weft": Side("weft", [f"{a.build}/bench/compare/side", words], places, ours)}
    for v in dict.fromkeys(a.variants.split(",") + a.heavy.split(",")):
        if v:
            sides[v] = Side(v, [sys.executable, HERE / "peer.py", v, str(threads), a.accelerator], places, env)
    return sides


def main():
    began, a = time.monotonic(), options()
    env = {k: v for k, v in os.environ.items() if not FOREIGN.match(k)}
    env["WEFT_LOG_LEVEL"] = "error"
    cpus = sorted(os.sched_getaffinity(0))
    unset = sorted(set(os.environ) - set(env))
    if a.kernels:
        os.sched_setaffinity(0, cpus[:1])
        kernels.run(a, {**env, "OMP_NUM_THREADS": "1"})
        return
    threads = [t for t in map(int, a.threads.split(",")) if t <= len(cpus)]
    if len(threads) < len(a.threads.split(",")):
        print(f"# {a.threads} threads: {len(cpus)} CPUs are there", file=sys.stderr)
    lines, abouts, skipped, sides = [], [], [], {}
    products = gemm(a, env, threads)
    with tempfile.TemporaryDirectory() as folder:
        env["TORCHINDUCTOR_CACHE_DIR"] = folder + "/inductor"
        for case in cases(a, threads):
            t = case.threads
            if time.monotonic() - began > a.limit:
                skipped.append(f"{case.network} {case.rows} {case.precision} {t}")
                continue
            if t not in sides:
                sides[t] = start(a, t, cpus[:t], env)
            names = (a.heavy if case.kind == "gpt2" else a.variants).split(",")
            line = compare([sides[t][n] for n in ["weft"] + names if n], case, a, folder)
            if t not in [about["threads"] for about in abouts]:
                losses(sides[t]["weft"], load_file(folder, Case("mlp", "", 64, [64, 64], "bf16", t), 1), 1)  # loads oneDNN
                peer = [side for name, side in sides[t].items() if name != "weft"]
                abouts.append({"bench": "compare", "threads": t, "unset": unset, "weft": sides[t]["weft"].ask("about"),
                               "peer": peer[0].ask("about") if peer else None})
                print(json.dumps(abouts[-1]), flush=True)
            lines.append(line)
            print(json.dumps(line), flush=True)
            keep(a, abouts, lines, skipped, products)
        for side in (side for of in sides.values() for side in of.values()):
            side.end()
    if lines:
        keep(a, abouts, lines, skipped, products)


main()
