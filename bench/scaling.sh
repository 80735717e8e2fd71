#!/bin/sh
# How the step of the 784-256-10 network scales over ranks and threads, weakly and strongly:
#
#   scaling.sh [--build DIR] [--out DIR] [--ranks "1 2"] [--threads "1 2"] [--cores N] [--weak ROWS] [--strong ROWS]
#              [--steps N] [further options of bench/step and weft_open]
#
# Under Slurm it runs inside the job, with srun, else with $MPIRUN. Default are the powers of two that fit the job, or the
# machine; --cores is the most that ranks x threads may be. Weak is ROWS a core (64), strong ROWS in all (1024). Leaves
# scaling.jsonl, scaling.csv and, where gnuplot is, scaling.svg in the directory --out.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=. out=. ranks='' threads='' cores='' weak=64 strong=1024 steps=300
while [ $# -gt 1 ]; do
    case $1 in
    --build) build=$2 ;;
    --out) out=$2 ;;
    --ranks) ranks=$2 ;;
    --threads) threads=$2 ;;
    --cores) cores=$2 ;;
    --weak) weak=$2 ;;
    --strong) strong=$2 ;;
    --steps) steps=$2 ;;
    *) break ;;
    esac
    shift 2
done
step=$(cd "$build" && pwd)/bench/step
[ -x "$step" ] || { echo "scaling: no $step; say --build DIR" >&2; exit 1; }
mkdir -p "$out"

powers() { # UP TO
    p=1
    while [ "$p" -le "$1" ]; do
        echo $p
        p=$((p * 2))
    done
}
# As many cores as the job has, or the machine.
if [ -n "${SLURM_JOB_ID:-}" ]; then
    tasks=${SLURM_NTASKS:-${SLURM_NNODES:-1}} a_task=${SLURM_CPUS_PER_TASK:-1}
    cores=${cores:-$((tasks * a_task))}
else
    cores=${cores:-$(nproc)} tasks=$cores a_task=$cores
fi
run() { # RANKS THREADS WORDS...
    n=$1 t=$2
    shift 2
    # Teams that wait for each other must not also wait for cores that others have.
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        OMP_NUM_THREADS=$t srun --mpi=pmix -n "$n" -c "$t" "$step" --threads "$t" "$@"
    else
        # Open MPI binds a rank of few to one core, where a second thread has no place.
        bind=core
        [ "$t" = 1 ] || bind=none
        OMPI_MCA_hwloc_base_binding_policy=$bind OMP_NUM_THREADS=$t \
            ${MPIRUN:-mpirun} -n "$n" "$step" --threads "$t" "$@"
    fi
}
for t in ${threads:-$(powers "$a_task")}; do
    for n in ${ranks:-$(powers "$tasks")}; do
        c=$((n * t))
        [ $c -le "$cores" ] || continue
        run "$n" "$t" --tag weak --batch $((c * weak)) --steps "$steps" "$@"
        [ "$strong" -lt "$n" ] || run "$n" "$t" --tag strong --batch "$strong" --steps "$steps" "$@"
    done
done >"$out/scaling.jsonl"
"$build/bench/scaling" <"$out/scaling.jsonl" >"$out/scaling.csv"
if command -v gnuplot >/dev/null; then
    gnuplot -e "csv='$out/scaling.csv'; svg='$out/scaling.svg'" "$here/scaling.gp"
else
    echo "scaling: no gnuplot, so no $out/scaling.svg" >&2
fi
