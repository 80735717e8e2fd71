"""The same training steps in Weft and in PyTorch, side by side: first that they compute the same, then how long they take.

    run.sh BUILD [--networks 784-256-10,64-64-64-10] [--batches 1,32,64,1024] [--threads 1,2] [--rounds 15]
                 [--variants eager,eager-fused,compile,fabric] [--loaders] [--results DIR]
                 [--accelerator cuda] [--libraries FOLDERS]

--accelerator is the device of both sides; there is the variant graph, one CUDA graph of the step. --libraries is Weft's
LD_LIBRARY_PATH alone.

Every variant is a process of its own that waits while another computes. All get the same weights and batches through a
file, and their losses must agree before anything is timed: else the exit status is 1. A round gives each its slice, in
turning order. Printed are JSON lines; with --results also compare.jsonl and compare.md (compare-loaders.*) there.
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

import numpy

HERE = pathlib.Path(__file__).parent
BATCHES = 16  # in memory
ROWS = 4096  # with loaders: an epoch is no shorter
SLICE = 0.15  # seconds a variant and round
AGREE = 1e-4  # of the larger of 1 and the loss
CHECKED = 100  # steps
BUSY = 0.02  # waits for other processes a step, above which a machine is not quiet
# What would choose kernels, threads or places for one side only.
FOREIGN = re.compile("^(OPENBLAS|MKL|NVPL|DNNL|ONEDNN|OMP|GOMP|KMP|BLIS|VECLIB|TORCH|WEFT)_?")


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


def make_file(path, width, rows, batches):
    """Labels that depend on x, so that there is something to learn."""
    random = numpy.random.default_rng(1)
    with open(path, "wb") as file:
        for i, o in zip(width, width[1:]):
            for shape in (o, i), (o,):
                random.uniform(-i**-0.5, i**-0.5, shape).astype("f4").tofile(file)
        x = random.uniform(0, 1, (batches, rows, width[0])).astype("f4")
        x.tofile(file)
        (x @ random.standard_normal((width[0], width[-1]))).argmax(-1).astype("i8").tofile(file)


def check(sides, words):
    """Loads all and compares their losses with Weft's. Returns those that can go on, and the largest differences."""
    reference, good, worst = None, [], {}
    for side in sides:
        answer = side.ask(words)
        answer = answer if "error" in answer else side.ask(f"losses {CHECKED}")
        if "error" in answer:
            if not good:
                sys.exit(f"{side.name}: {answer['error']}")
            print(f"# {side.name} left out: {answer['error']}", file=sys.stderr)
            continue
        reference = reference or answer["losses"]
        off = [abs(a - b) / max(1, abs(b)) for a, b in zip(answer["losses"], reference)]
        worst[side.name] = max(off)
        if not max(off) <= AGREE:
            step = next(i for i, o in enumerate(off) if not o <= AGREE)
            sys.exit(f"{side.name} computes something else: loss {answer['losses'][step]} at step {step + 1}, "
                     f"Weft {reference[step]}; nothing was timed")
        good.append(side)
    if reference[-1] >= reference[0]:
        sys.exit(f"nothing was learned: loss {reference[0]}, then {reference[-1]}")
    return good, worst


def measure(sides, rounds):
    """For each side its medians of the rounds, processor times likewise, and how often a step had to wait; the bound."""
    bounds = []
    steps, us, cpu, preempted = {}, *({side.name: [] for side in sides} for _ in range(3))
    for side in sides:
        median = statistics.median(side.ask("time 30")["us"][10:])
        steps[side.name] = max(5, min(20000, int(1e6 * SLICE / median)))
        side.ask(f"time {steps[side.name]}")
    for r in range(rounds):
        for side in sides[r % len(sides):] + sides[:r % len(sides)]:
            time.sleep(0.01)  # the threads of the last one go to sleep
            answer = side.ask(f"time {steps[side.name]}")
            us[side.name].append(statistics.median(answer["us"]))
            cpu[side.name].append(answer["cpu_us"])
            preempted[side.name].append(answer["preempted"])
        bounds.append(sides[0].ask("bound"))
    return us, cpu, {name: statistics.median(values) for name, values in preempted.items()}, \
        min(bounds, key=lambda b: b["bound_us"])


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"p25": round(low, 3), "median": round(middle, 3), "p75": round(high, 3)}


def load(folder, width, rows, batches):
    """The words that load this network and as many batches, from a new file."""
    path = f"{folder}/{rows}-{batches}.bin"
    make_file(path, width, rows, batches)
    return f"load {path} {rows} {batches} {' '.join(map(str, width))}"


def with_loaders(sides, words):
    for side in sides:
        for word in words, "loaders":
            answer = side.ask(word)
            if "error" in answer:
                sys.exit(f"{side.name}: {answer['error']}")


def compare(sides, network, rows, threads, rounds, loaders, folder):
    width = [int(w) for w in network.split("-")]
    sides, worst = check(sides, load(folder, width, rows, BATCHES))
    if loaders:
        with_loaders(sides, load(folder, width, rows, max(BATCHES, ROWS // rows)))
    us, cpu, preempted, bound = measure(sides, rounds)
    if max(preempted.values()) > BUSY:
        print("# other processes took the cores during the steps: these times say little", file=sys.stderr)
    ratio = {s.name: quartiles([a / b for a, b in zip(us[s.name], us["weft"])]) for s in sides[1:]}
    return {"bench": "compare", "network": network, "batch": rows, "threads": threads, "rounds": rounds,
            "data": "loaders" if loaders else "memory",
            "loss_difference": worst, "us": {k: quartiles(v) for k, v in us.items()}, "ratio": ratio,
            "cpu_us": {k: quartiles(v) for k, v in cpu.items()}, "preempted": preempted,
            "bound": bound, "share_of_bound": bound["bound_us"] / statistics.median(us["weft"])}


def table(lines, key):
    names = list(dict.fromkeys(n for line in lines for n in line["us"]))
    yield "| network | batch | threads | " + " | ".join(f"{n}, us" for n in names) + " | " + \
        " | ".join(f"{n} / weft" for n in names[1:]) + " | bound / weft |"
    yield "|" + "---|" * (2 * len(names) + 3)
    for line in lines:
        weft = line[key]["weft"]["median"]
        bound = line["bound"]["bound_us"] * (line["threads"] if key == "cpu_us" else 1)  # that time is of all threads
        cell = lambda n, f: f.format(**line[key][n]) if n in line[key] else "-"
        ratio = lambda n: f"{line['ratio'][n]['median'] if key == 'us' else line[key][n]['median'] / weft:.2f}" if n in line[key] else "-"
        yield f"| {line['network']} | {line['batch']} | {line['threads']} | " + \
            " | ".join(cell(n, "{median:.1f} ({p25:.1f}-{p75:.1f})") for n in names) + " | " + \
            " | ".join(map(ratio, names[1:])) + f" | {bound / weft:.2f} |"


def describe(lines, about):
    weft, peer = about["weft"], about["peer"]
    yield "# Training steps in Weft and in PyTorch"
    yield ""
    yield f"Made by `bench/compare/run.sh`. {weft['cpu']}, {weft['cores']} cores. Weft {weft['weft']}, {weft['kernels']}; " \
        f"torch {peer['torch']} ({peer['kernels']}), lightning {peer['lightning']}, Python {peer['python']}."
    if peer["device"] != "cpu":
        yield f"Both computed on {peer['device']}; a time is the mean of its round's slice. The bound is the processor's: ignore it."
    data = "own loaders on both sides" if lines[0]["data"] == "loaders" else "batches in memory, no loader on either side"
    yield f"Medians of {lines[0]['rounds']} interleaved rounds, quartiles in brackets; ratios are of the same round. Adam, f32;"
    yield f"{data}. {CHECKED} losses agreed within {AGREE:g} before. Taken out of the environment: " \
        f"{', '.join(about['unset']) or 'nothing'}."
    yield "The bound is the sum over the step's matrix products and Adam of the larger of flops / peak and bytes / bandwidth,"
    yield "both measured in the same run."
    busy = [line for line in lines if max(line["preempted"].values()) > BUSY]
    quiet = [line for line in lines if line not in busy]
    if quiet:
        yield ""
        yield from table(quiet, "us")
    if busy:
        yield ""
        yield f"**The machine was busy** in {len(busy)} of {len(lines)} lines: other processes took the cores, from long steps more often than from"
        yield "short ones, so that times on the clock (in `compare.jsonl`) do not compare. Below is processor time; with several threads their"
        yield "waits for each other count, too."
        yield ""
        yield from table(busy, "cpu_us")

def keep(a, abouts, lines):
    """What there is so far, so that a run which is cut short leaves something."""
    if not a.results:
        return
    results = pathlib.Path(a.results)
    results.mkdir(parents=True, exist_ok=True)
    name = "compare-loaders" if a.loaders else "compare"
    (results / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in abouts + lines))
    (results / f"{name}.md").write_text("\n".join(describe(lines, abouts[0])) + "\n")


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("build")
    a.add_argument("--networks", default="784-256-10,64-64-64-10")
    a.add_argument("--batches", default="1,32,64,1024")
    a.add_argument("--threads", default="1,2")
    a.add_argument("--rounds", type=int, default=15)
    a.add_argument("--variants", default="eager,eager-fused,compile,fabric")
    a.add_argument("--loaders", action="store_true")
    a.add_argument("--results")
    a.add_argument("--accelerator", default="cpu")
    a.add_argument("--libraries")
    a = a.parse_args()
    env = {k: v for k, v in os.environ.items() if not FOREIGN.match(k)}
    env["WEFT_LOG_LEVEL"] = "error"
    cpus = sorted(os.sched_getaffinity(0))
    unset = sorted(set(os.environ) - set(env))
    lines, abouts = [], []
    with tempfile.TemporaryDirectory() as folder:
        env["TORCHINDUCTOR_CACHE_DIR"] = folder + "/inductor"
        for threads in map(int, a.threads.split(",")):
            if threads > len(cpus):
                print(f"# {threads} threads left out: {len(cpus)} CPUs", file=sys.stderr)
                continue
            env["OMP_NUM_THREADS"] = str(threads)
            places = cpus[:threads]
            ours = {**env, "LD_LIBRARY_PATH": a.libraries} if a.libraries else env
            options = f"threads={threads} accelerator={a.accelerator}"
            sides = [Side("weft", [f"{a.build}/bench/compare/mlp", options], places, ours)]
            sides += [Side(v, [sys.executable, HERE / "peer.py", v, str(threads), a.accelerator], places, env)
                      for v in a.variants.split(",")]
            for network in a.networks.split(","):
                for rows in map(int, a.batches.split(",")):
                    line = compare(sides, network, rows, threads, a.rounds, a.loaders, folder)
                    if len(abouts) == 0 or abouts[-1]["threads"] != threads:
                        abouts.append({"bench": "compare", "threads": threads, "unset": unset, "weft": sides[0].ask("about"),
                                       "peer": sides[1].ask("about")})
                        print(json.dumps(abouts[-1]), flush=True)
                    lines.append(line)
                    print(json.dumps(line), flush=True)
                    keep(a, abouts, lines)
            for side in sides:
                side.end()


main()
