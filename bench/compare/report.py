"""The table of a comparison, in Markdown, from the lines of compare.py."""
import statistics

BUSY = 0.02  # waits for other processes a step, above which a machine is not quiet


def quartiles(values):
    if len(values) == 1:
        values = values * 2
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"p25": round(low, 3), "median": round(middle, 3), "p75": round(high, 3)}


def table(lines, key):
    names = list(dict.fromkeys(n for line in lines for n in line["us"]))
    yield "| network | batch | type | threads | " + " | ".join(f"{n}, us" for n in names) + \
        " | best of the others / weft | bound / weft | flops / peak |"
    yield "|" + "---|" * (len(names) + 7)
    for line in lines:
        weft = line[key]["weft"]["median"]
        bound, flops = (line[key.removesuffix("us") + share] for share in ("share_of_bound", "share_of_peak"))
        cell = lambda n: "{median:.1f} ({p25:.1f}-{p75:.1f})".format(**line[key][n]) if n in line[key] else "-"
        ratios = {n: line["ratio"][n]["median"] if key == "us" else line[key][n]["median"] / weft for n in line["ratio"]}
        best = min(ratios, key=ratios.get) if ratios else None
        yield f"| {line['network']} | {line['batch']} | {line['precision']} | {line['threads']} | " + \
            " | ".join(map(cell, names)) + f" | {f'{ratios[best]:.2f} ({best})' if best else '-'} | {bound:.2f} | {flops:.2f} |"


def head(lines, abouts):
    weft, peer = abouts[0]["weft"], abouts[0]["peer"]
    yield "# Training steps in Weft and in PyTorch"
    yield ""
    yield f"Made by `bench/compare/run.sh`. {weft['cpu']}, {weft['cores']} cores. Weft {weft['weft']}, {weft['kernels']}; " \
        f"torch {peer['torch']} ({peer['kernels']}), lightning {peer['lightning']}, Python {peer['python']}."
    for about in abouts:
        yield f"With {about['threads']} threads both sides had the CPUs {about['weft']['pinned']} (Weft), {about['peer']['pinned']} (PyTorch)."
        b = about["weft"]["bounds"]
        peaks = ", ".join(f"{t} {p['gflops']:.0f} GF/s ({p['isa']})" for t, p in b["peaks"].items() if p["gflops"])
        yield f"Peaks on them: {peaks}; triad over 256 MB {b['triad_gb_s']:.1f} GB/s."
    if peer["device"] != "cpu":
        yield f"Both computed on {peer['device']}; a time is the mean of its round's slice. The bound is the processor's: ignore it."
    data = "own loaders on both sides" if lines[0]["data"] == "loaders" else "batches in memory, no loader on either side"
    rounds = sorted({line["rounds"] for line in lines})
    yield f"Medians of {' or '.join(map(str, rounds))} interleaved rounds, quartiles in brackets; ratios are of the same round. Adam, of GPT-2 124M"
    checked = " or ".join(map(str, sorted({line["checked"] for line in lines})))
    yield f"AdamW after clipping; {data}. The first {checked} losses agreed before, to within"
    kept = [line for line in lines if "dropped" not in line["network"]]  # the others draw other numbers
    off = {p: max(max(line["loss_difference"].values(), default=0) for line in kept if line["precision"] == p)
           for p in sorted({line["precision"] for line in kept})}
    yield " and ".join(f"{d:.1e} in {p}" for p, d in off.items()) + \
        f". Taken out of the environment: {', '.join(abouts[0]['unset']) or 'nothing'}."
    yield "The bound is the sum over the step's matrix products and Adam of the larger of flops / peak and bytes / bandwidth,"
    yield "both measured in every round right beside Weft's slice; shares (bound / weft, flops / peak) are of the same round, too. In the"
    yield "best round peaks and triad bandwidths (at the step's working set) were:"
    yield ""
    for line in {(line["threads"], line["precision"]): line for line in lines}.values():
        b = line["bound"]
        yield f"- {line['precision']}, {line['threads']} threads: {b['peak_gflops']:.0f} GF/s ({b['isa']}), {b['bandwidth_gb_s']:.1f} GB/s at {b['working_set'] >> 20} MiB"


def describe(lines, abouts, skipped):
    yield from head(lines, abouts)
    busy = [line for line in lines if max(line["preempted"].values()) > max(BUSY, 1e-7 * line["us"]["weft"]["median"])]
    quiet = [line for line in lines if line not in busy]
    if quiet:
        yield ""
        yield from table(quiet, "us")
    if busy:
        yield ""
        yield f"**The machine was busy** in {len(busy)} of {len(lines)} lines: other processes took the cores, from long steps more often than from"
        yield "short ones, so that times on the clock (in the JSON lines) do not compare. Below is processor time; with several threads their"
        yield "waits for each other count, too."
        yield ""
        yield from table(busy, "cpu_us")
    if skipped:
        yield ""
        yield f"Left out, as the time was over: {', '.join(skipped)}."


def products(lines):
    """Of bench/gemm."""
    yield ""
    yield "## Matrix products"
    yield ""
    yield f"By `bench/gemm`, {lines[0]['rounds']} rounds, medians, operands where they were: shares of the peak, and of the larger of flops / peak and"
    yield "bytes / bandwidth, both measured in the same round right before and after the product. Worst first by the latter."
    yield ""
    yield "| layer | rows | pass | type | threads | us | GF/s | share of peak | share of bound |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for p in sorted(lines[1:], key=lambda p: p["share_of_bound"]):
        yield f"| {p['network']} {p['layer']} | {p['rows']} | {p['pass']} | {p['dtype']} | {p['threads']} | {p['us']['median']:.1f} | {p['gflops']:.1f} | " \
            f"{p['share_of_peak']:.2f} | {p['share_of_bound']:.2f} |"
