#!/bin/sh
# check.sh [STEP...]: what pack.sh packed, run on a machine with an NVIDIA GPU, its driver and CUDA's libraries, and no
# network. Steps, the most valuable first; each has its own limit, and none stops the others:
#   versions     the machine
#   conformance  the rows of the conformance tables on the card, on 2 ranks where they are of MPI
#   sanitizer    compute-sanitizer over kernels, ops and an optimizer
#   mnist        the Fashion-MNIST example
#   attention    attention's tests, and GPT-2's step, with cuDNN and without
#   graph        rows of the conformance tables with graph=off
#   step         bench/step, with graphs of the step and without
#   gemm         bench/gemm beside torch.matmul
#   optim        the optimizer's pass and the norm beside a copy
#   compare      bench/compare: training steps beside PyTorch's on the card
#   gpt2         bench/gpt2, GPT-2 124M, beside PyTorch, eager and compiled
#   profile      the kernels of GPT-2's step, and the time in which the GPU waits
#   cpu          bench/compare on this machine's CPU
# Without steps it goes on where it stopped: what has passed of this pack is not run again.
# $OUT (bench/results without it) gets summary.txt and results.tar.gz: <device>/<step>.jsonl and the logs.
# WEFT_ACCELERATOR=cpu or mock tries the script where there is no GPU. ROWS="test_ops mpi_calls" limits conformance.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
pack=${WEFT_PACK:-$top/build-gpu/pack}
root=${WEFT_GPU_ROOT:-/tmp/weft-gpu}
out=${OUT:-$top/bench/results}
on=${WEFT_ACCELERATOR:-cuda}
jobs=${JOBS:-$(($(nproc) / 2 > 8 ? 8 : $(nproc) / 2 > 0 ? $(nproc) / 2 : 1))}
python=$(command -v python3 || echo false)
logs=$root/results/logs
mkdir -p "$logs" "$out"

unpack() { # file, command that reads it
    if command -v xz >/dev/null; then xz -dc "$1"; else "$python" -c \
        'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"; fi
}
if [ ! -e "$root/unpacked" ] || [ "$pack/weft.tar.xz" -nt "$root/unpacked" ]; then
    unpack "$pack/weft.tar.xz" | tar -C "$root" -xf - || exit 1
    rm -f "$logs"/*.passed
    touch "$root/unpacked"
fi

# CUDA's libraries: of the toolkit, else of PyTorch's packages.
export WEFT_SITE="${WEFT_SITE:-$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)}"
cuda=
for d in /usr/local/cuda/lib64 "${CUDA_HOME:-/usr/local/cuda}/lib64" "$WEFT_SITE"/nvidia/*/lib /usr/local/cuda/targets/x86_64-linux/lib; do
    [ ! -d "$d" ] || cuda=$cuda:$d
done
# For our programs alone: these are not the libraries of this machine.
paths=$root/lib:$root/deps$cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export OPAL_PREFIX="$root/mpi" OMPI_MCA_mca_base_component_path="$root/mpi/plugins"
export PMIX_MCA_mca_base_component_path="$root/mpi/pmix" OMPI_MCA_mca_base_component_show_load_errors=0
export OMPI_MCA_plm=isolated OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export WEFT_ACCELERATOR="$on" MPIRUN="$root/mpi/bin/mpirun" PATH="$root/mpi/bin:$PATH" MOCK_NPS="${NPS:-2}" srcdir="$top/tests"
export WEFT_IDX2HDF5="$root/tools/weft-idx2hdf5" LC_ALL=C PYTHONUNBUFFERED=1

case $on in
cuda) device=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 | tr -cs 'A-Za-z0-9.\n' '-') ;;
*) device=$on ;;
esac
device=${device:-no-gpu}
result=$root/results/$device
mkdir -p "$result"

ours() { env LD_LIBRARY_PATH="$paths" "$@"; }
say() { echo "$*" | tee -a "$out/summary.txt"; }
now() { date +%s; }
limited() { # seconds, command: 124 where it ran out
    timeout -k 3 "$@"
}

versions() {
    nvidia-smi 2>&1
    uname -a
    nproc
    ldd --version | head -n 1
    nvcc --version 2>&1 | tail -n 2
    compute-sanitizer --version 2>&1 | head -n 2
    "$python" -c 'import sys, torch; print(sys.version, torch.__version__, torch.version.cuda, torch.cuda.is_available())'
    cat "$root/version"
    echo "libraries: $paths"
    ours ldd "$root/lib/libweft.so.0" | grep -i 'not found'
    ours ldd "$root/tests/test_ops" | grep -i 'not found'
    limited 30 env LD_LIBRARY_PATH="$paths" "$root/tools/weft" doctor 2>&1
}

# One row: a line of JSON, and its output in a file of its own.
row() {
    log=$logs/row-$(basename "$1").log
    left=$((deadline - $(now)))
    start=$(date +%s.%N)
    case $on in cpu) name=./$1 ;; *) name=$on/$1 ;; esac
    if [ "$left" -lt 3 ]; then
        echo "no time was left" >"$log"
        rc=skipped
    else
        WEFT_TEST_TIMEOUT=$((left < 120 ? left : 120)) LD_LIBRARY_PATH="$paths" sh "$top/tests/run.sh" "$name" >"$log" 2>&1
        rc=$?
    fi
    printf '{"bench":"conformance","row":"%s/%s","rc":"%s","seconds":%s}\n' "$on" "$1" "$rc" \
        "$(echo "$start $(date +%s.%N)" | awk '{ printf "%.2f", $2 - $1 }')" >"$logs/row-$1.json"
}

conformance() {
    first="test_op_kernels test_ops test_float8 test_fused test_device test_resume mpi_cnn mpi_norms mpi_gpt2 test_tensor test_autograd test_low_kernels test_losses test_nn test_modules
        test_optim mpi_fabric mpi_strategy mpi_zero test_precision mpi_ops mpi_calls test_memory"
    rows="$first $(cat "$root/rows")"
    [ -z "${ROWS:-}" ] || rows=$ROWS
    deadline=$(($(now) + ${CONFORMANCE_SECONDS:-200}))
    rm -f "$logs"/row-*
    cd "$root/tests" || return 1
    list=
    for r in $rows; do
        case " $list " in *" $r "*) continue ;; esac
        [ ! -x "$r" ] || list="$list $r"
    done
    export deadline
    for r in $list; do echo "$r"; done | xargs -P "$jobs" -n 1 sh "$here/check.sh" --row
    cat "$logs"/row-*.json >"$result/conformance.jsonl"
    bad=0
    for r in $list; do
        line=$(cat "$logs/row-$r.json" 2>/dev/null)
        case $line in
        *'"rc":"0"'*) echo "PASS $line" ;;
        *'"rc":"77"'*) echo "SKIP $line" ;;
        *)
            bad=$((bad + 1))
            echo "FAIL $line"
            grep -a -v '^ *[0-9]*%:' "$logs/row-$r.log" | tail -n 25
            ;;
        esac
    done
    echo "conformance: $(grep -c '"rc":"0"' "$result/conformance.jsonl") passed, $bad failed, $(grep -c '"rc":"77"' "$result/conformance.jsonl") skipped"
    return $((bad > 0))
}

# Rows that train, once more without CUDA graphs of the step.
graph() {
    deadline=$(($(now) + ${GRAPH_SECONDS:-60}))
    export deadline WEFT_GRAPH=off
    cd "$root/tests" || return 1
    bad=0
    : >"$result/graph.jsonl"
    for r in ${GRAPH_ROWS:-test_nn test_precision test_schedule mpi_fabric mpi_clip mpi_optim mpi_gpt2}; do
        [ -x "$r" ] || continue
        sh "$here/check.sh" --row "$r"
        cat "$logs/row-$r.json" >>"$result/graph.jsonl"
        grep -q -E '"rc":"(0|77)"' "$logs/row-$r.json" || { bad=1; grep -a -v '^ *[0-9]*%:' "$logs/row-$r.log" | tail -n 15; }
    done
    unset WEFT_GRAPH
    cat "$result/graph.jsonl"
    return $bad
}

sanitizer() {
    [ "$on" = cuda ] || { echo "no GPU"; return 77; }
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer /opt/nvidia/*/compute-sanitizer 2>/dev/null | head -n 1)
    [ -n "$tool" ] || { echo "no compute-sanitizer"; return 77; }
    cd "$root/tests" || return 1
    export CK_FORK=no OMP_NUM_THREADS=1
    errors=0
    for t in ${SANITIZE:-test_op_kernels test_attention test_optim test_losses test_ops racecheck:test_attention racecheck:test_op_kernels}; do
        case $t in *:*) with=${t%%:*} ;; *) with=memcheck ;; esac
        log=$logs/$with-${t#*:}.log
        limited "${SANITIZER_SECONDS:-15}" env LD_LIBRARY_PATH="$paths" "$tool" --tool "$with" --report-api-errors no \
            --error-exitcode 9 --print-limit 20 "./${t#*:}" >"$log" 2>&1
        rc=$?
        grep -a '^=========' "$log" | head -n 40
        found=$(grep -a -c -E '^========= (Invalid|Error: Race|Warning: Race|Error|Misaligned)' "$log")
        errors=$((errors + found))
        echo "# $with ${t#*:}: exit status $rc$([ $rc != 124 ] || echo ' (cut short)'), $found errors"
    done
    return $((errors > 0))
}

mnist() {
    mkdir -p "$root/data" || return 1
    for p in train t10k; do
        to=$root/data/$p.h5
        [ "$p" = train ] || to=$root/data/test.h5
        [ -s "$to" ] || unpack "$pack/$p.h5.xz" >"$to" || return 1
    done
    rm -rf "$root/run" "$root/run2"
    limited 45 env LD_LIBRARY_PATH="$paths" "$root/examples/fashion_mnist" --data "$root/data" --run "$root/run" \
        --metrics "$root/metrics.csv" --epochs "${EPOCHS:-5}" 2>&1
    rc=$?
    limited 30 env LD_LIBRARY_PATH="$paths" WEFT_SHARE_DEVICES=1 "$MPIRUN" -n 2 "$root/examples/fashion_mnist" --data "$root/data" \
        --run "$root/run2" --metrics "$root/metrics2.csv" --epochs "${EPOCHS:-5}" 2>&1 || rc=$?
    return $rc
}

# Which of the two ways a shape took is said at the level debug.
attention() {
    bad=0
    for with in yes no; do
        for t in test_attention test_fused; do
            limited 40 env LD_LIBRARY_PATH="$paths" WEFT_CUDNN=$with WEFT_LOG_LEVEL=debug CK_FORK=no "$root/tests/$t" \
                >"$logs/$t-cudnn-$with.log" 2>&1 || bad=1
            grep -a -E 'attention.* by |^[0-9]+%|:[FE]:' "$logs/$t-cudnn-$with.log" | sort -u | head -n 12
        done
        limited 40 env LD_LIBRARY_PATH="$paths" WEFT_CUDNN=$with WEFT_PRECISION=bf16-mixed "$root/bench/gpt2" --batch 16 --steps 20 \
            >"$logs/gpt2-cudnn-$with.json" || bad=1
        sed "s/^{/{\"cudnn\": \"$with\", /" "$logs/gpt2-cudnn-$with.json"
    done >"$logs/attention.txt"
    grep '^{' "$logs/attention.txt" >"$result/attention.jsonl"
    cut -c 1-420 "$logs/attention.txt"
    return $bad
}

step() {
    bad=0
    for run in "64 32-true" "64 bf16-mixed" "1024 32-true" "1024 bf16-mixed"; do
        set -- $run
        for graph in off on; do
            limited 30 env LD_LIBRARY_PATH="$paths" WEFT_PRECISION=$2 WEFT_GRAPH=$graph "$root/bench/step" --batch $1 --steps 500 \
                --tag "$2, graph $graph" || bad=1
        done
    done >"$result/step.jsonl"
    cat "$result/step.jsonl"
    return $bad
}

gemm() {
    limited 25 env LD_LIBRARY_PATH="$paths" "$root/bench/gemm" --accelerator "$on" --threads 1 --rounds 3 --network square \
        >"$result/gemm.jsonl"
    rc=$?
    limited 25 env LD_LIBRARY_PATH="$paths" "$root/bench/gemm" --accelerator "$on" --threads 1 --rounds 3 --network gpt2 \
        >>"$result/gemm.jsonl" || rc=$?
    limited 25 env LD_LIBRARY_PATH="$paths" "$root/bench/gemm" --accelerator "$on" --threads 1 --rounds 3 --network square \
        --dtype f32 --tf32 >>"$result/gemm.jsonl" || rc=$?
    limited 40 "$python" "$here/peer.py" gemm "$on" "$result/gemm.jsonl" >"$result/gemm-torch.jsonl" || rc=$?
    cat "$result/gemm-torch.jsonl"
    return $rc
}

optim() {
    limited 40 env LD_LIBRARY_PATH="$paths" "$root/bench/optim" --accelerator "$on" >"$result/optim.jsonl"
    rc=$?
    cat "$result/optim.jsonl"
    return $rc
}

compare() {
    limited 80 "$python" "$top/bench/compare/compare.py" "$root" --accelerator "$on" --libraries "$paths" --threads 1 \
        --networks 784-256-10,64-64-64-10 --precisions f32 --rounds "${ROUNDS:-5}" --variants eager,eager-fused,graph --heavy "" --batches 64,1024 --results "$result"
}

gpt2() {
    bad=0
    for run in "bf16-mixed bf16 16" "32-true f32 8"; do
        set -- $run
        limited 40 env LD_LIBRARY_PATH="$paths" WEFT_PRECISION=$1 "$root/bench/gpt2" --batch $3 --steps 20 || bad=1
        limited 100 "$python" "$here/gpt2.py" "$on" $2 $3 1024 20 || bad=1
    done >"$result/gpt2.jsonl" 2>"$logs/gpt2.err"
    # Without the step's graphs.
    limited 40 env LD_LIBRARY_PATH="$paths" WEFT_PRECISION=bf16-mixed WEFT_GRAPH=off "$root/bench/gpt2" --batch 16 --steps 20 |
        sed 's/^{/{"graph": "off", /' >>"$result/gpt2.jsonl" 2>>"$logs/gpt2.err"
    # The most memory without logits as a whole.
    limited 40 env LD_LIBRARY_PATH="$paths" WEFT_PRECISION=bf16-mixed "$root/bench/gpt2" --batch 16 --steps 10 --chunk 2048 \
        >>"$result/gpt2.jsonl" 2>>"$logs/gpt2.err" || bad=1
    cut -c 1-420 "$result/gpt2.jsonl"
    tail -n 5 "$logs/gpt2.err"
    return $bad
}

profile() {
    [ "$on" = cuda ] && [ -e "$root/bench/trace.so" ] || { echo "no trace"; return 77; }
    bad=0
    : >"$result/profile.jsonl"
    for run in ${PROFILE:-bf16-mixed:off:16 bf16-mixed:on:16 32-true:off:8}; do
        precision=${run%%:*} batch=${run##*:} graph=${run#*:}
        graph=${graph%:*}
        rm -f "$logs/trace.jsonl"
        limited 40 env LD_LIBRARY_PATH="$paths" CUDA_INJECTION64_PATH="$root/bench/trace.so" TRACE_OUT="$logs/trace.jsonl" \
            WEFT_PRECISION="$precision" WEFT_GRAPH="$graph" "$root/bench/gpt2" --batch "$batch" --steps 16 || bad=1
        sed "s/^{/{\"precision\":\"$precision\",\"graph\":\"$graph\",\"batch\":$batch,/" "$logs/trace.jsonl" >>"$result/profile.jsonl" || bad=1
        head -n "${PROFILE_LINES:-25}" "$logs/trace.jsonl" | cut -c 1-160
    done
    return $bad
}

cpu() {
    limited 150 "$python" "$top/bench/compare/compare.py" "$root" --libraries "$paths" --threads 1,8 --rounds "${ROUNDS:-3}" \
        --networks 784-256-10,64-64-64-10 --precisions f32 --gemm 0 --variants eager,eager-fused --heavy "" --batches 1,64,1024 --limit 110 \
        --results "$result/cpu"
}

if [ "${1:-}" = --row ]; then
    row "$2"
    exit 0
fi
anew=$#
[ $# -gt 0 ] || set -- versions conformance graph sanitizer mnist gpt2 profile attention step optim compare gemm cpu
: >"$out/summary.txt"
failed=0
for s in "$@"; do
    if [ "$anew" = 0 ] && [ -e "$logs/$s.$on.passed" ]; then
        say "== $s: passed before; $(tail -n 1 "$logs/$s.log" | cut -c 1-200)"
        continue
    fi
    start=$(now)
    rm -f "$logs/$s.$on.passed"
    "$s" >"$logs/$s.log" 2>&1
    rc=$?
    case $rc in 0) word=passed && touch "$logs/$s.$on.passed" ;; 77) word=skipped ;; *) word="failed ($rc)" failed=1 ;; esac
    say "== $s: $word in $(($(now) - start)) s; $(tail -n 1 "$logs/$s.log" | cut -c 1-200)"
    tar -C "$root" -czf "$out/results.tar.gz" results
done
for s in "$@"; do
    echo "-------- $s"
    tail -n "${TAIL:-30}" "$logs/$s.log" | cut -c 1-400
done
cat "$out/summary.txt"
exit $failed
