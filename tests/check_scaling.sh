#!/bin/sh
# slurm/scaling.sbatch in a throw-away cluster: two nodes, a rank on each; the table has what was measured, once for each.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
build=$(cd .. && pwd)
top=$(cd "${srcdir:-.}/.." && pwd)
skip() { echo "# skipped: $1"; exit 77; }
fail() { echo "$1"; [ ! -f "$2" ] || cat "$2"; exit 1; }
[ -x ../bench/step ] || fail "no bench/step"
PATH=$PATH:/usr/sbin:/sbin
for tool in slurmctld slurmd srun sbatch munged; do
    command -v $tool >/dev/null || skip "no $tool"
done
[ "$(id -u)" = 0 ] || skip "only root can start a cluster"
dir=$(mktemp -d)
trap 'sh "$top/slurm/local-cluster.sh" stop "$dir/cluster" >/dev/null 2>&1; rm -rf "$dir"' EXIT
sh "$top/slurm/local-cluster.sh" start -n 2 -c 1 "$dir/cluster" >"$dir/said" 2>&1 || fail "no cluster" "$dir/said"
cd "$top" || exit 1
sh slurm/local-cluster.sh exec "$dir/cluster" sbatch --wait -N 2 --ntasks-per-node=1 -o "$dir/job" slurm/scaling.sbatch \
    --build "$build" --out "$dir" --strong 256 --steps 40 --warmup 5 >"$dir/said" 2>&1 || { cat "$dir/said"; fail "the job failed" "$dir/job"; }

# scaling,ranks,threads,nodes,cores,batch,step_us,p25,p75,samples_s,speedup,efficiency,data,...,other
awk -F , '
    NR == 1 { if ($1 != "scaling" || $12 != "efficiency" || NF != 18) bad = "heading"; next }
    { key = $1 " " $2 " " $4; seen[key]++; batch[key] = $6; total = 0 }
    { for (k = 13; k <= 18; k++) total += $k }
    !($7 > 0 && $10 > 0 && $10 * $7 / 1e6 / $6 > 0.99 && $10 * $7 / 1e6 / $6 < 1.01) { bad = "rate " $0 }
    $2 == 1 && ($12 != 1 || $16 != 0) { bad = "the first line is its own measure, and talks to nobody: " $0 }
    $2 == 2 && !($12 > 0 && $16 > 0) { bad = "two ranks communicate: " $0 }
    total < 0.2 * $7 || total > 2 * $7 { bad = "parts " total " of " $7 }
    END {
        if (NR != 5 || seen["weak 1 1"] != 1 || seen["weak 2 2"] != 1 || seen["strong 1 1"] != 1 || seen["strong 2 2"] != 1) bad = "rows"
        if (batch["weak 2 2"] != 2 * batch["weak 1 1"] || batch["strong 2 2"] != batch["strong 1 1"]) bad = "batches"
        if (bad) print bad
        exit bad != ""
    }' "$dir/scaling.csv" || fail "the table is not right:" "$dir/scaling.csv"
sed 's/^/# /' "$dir/scaling.csv"
if command -v gnuplot >/dev/null; then
    grep -q '</svg>' "$dir/scaling.svg" || fail "no plot" "$dir/job"
else
    grep -q 'no gnuplot' "$dir/job" || fail "nobody said why there is no plot" "$dir/job"
fi
# What is no line of bench/step is refused.
echo '{"bench":"gemm"}' | "$build/bench/scaling" >/dev/null 2>&1 && fail "a foreign line was taken"
exit 0
