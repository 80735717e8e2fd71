#!/bin/sh
# The tool weft: statuses and signals through weft run, nothing left behind it, inspect and verify on checkpoints that
# train_job made, and doctor, which must find each fault that is planted.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
[ -n "$MPIRUN" ] || { echo "# skipped: no mpirun"; exit 77; }
[ -x ./train_job ] || { echo "# skipped: no train_job"; exit 77; }
here=$(pwd)
weft=$(cd .. && pwd)/tools/weft
page=$(cd "${srcdir:-.}/../doc" && pwd)/weft.1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export OMPI_MCA_odls_base_sigkill_timeout=0 # mpirun's own patience
unset OMP_NUM_THREADS
fail() { echo "$1"; echo "--- stdout"; cat out; echo "--- stderr"; cat err; exit 1; }
# gives STATUS words of weft: its exit status; what it said is in out and err
gives() {
    expected=$1
    shift
    "$weft" "$@" >out 2>err </dev/null
    rc=$?
    [ "$rc" = "$expected" ] || fail "weft $*: exit status $rc, not $expected"
}
says() { grep -qe "$1" out || fail "not on stdout: $1"; }
warns() { grep -qe "$1" err || fail "not on stderr: $1"; }
# sorted: the lines of out, which ranks print in any order
sorted() { [ "$(sort out | xargs)" = "$1" ] || fail "it did not say: $1"; }

# Command lines
gives 2; warns "usage: weft"
gives 2 nonsense; warns 'no command "nonsense"'
gives 0 --version; says '^weft [0-9]'
gives 0 --help; says doctor
for c in run inspect verify import export doctor; do
    gives 0 $c --help; says "usage: weft $c"
    for option in $(grep -oe '--[a-z-]*' out | sed 's/-/\\-/g'); do # as man pages write it
        grep -qF -e "$option" "$page" || fail "$option of weft $c is not in weft.1"
    done
done
gives 2 run; warns "which program"
gives 2 run --devices 2; warns "which program"
gives 2 import a; warns "a file and a directory"
gives 2 export --names; warns "a checkpoint and a file"
gives 8 import none.safetensors x; warns "none.safetensors"
gives 8 export none x; warns none
gives 2 run --nonsense 1 true; warns "no option nonsense"
gives 2 run --stratgy=ddp true; warns "no option stratgy.*, but --strategy"
gives 2 run --devices; warns "takes a value"
gives 2 run --hosts; warns "takes a value"
gives 2 run --devices 0 true; warns "whole number"
gives 2 run --devices 0,1 true; warns "a list of ids"
gives 2 run --strategy dpp true; warns "did you mean"
gives 2 run --precision 8 true; warns "there are: 32-true"
gives 2 run --grace soon true; warns "grace"
gives 2 run --launcher rsh true; warns "auto, mpirun, srun"
SLURM_JOB_ID=7 gives 2 run --launcher mpirun --devices 65535 --num-nodes 65535 true; warns "too many"
gives 2 run --hosts ,a true; warns "empty name"
gives 7 run --accelerator tpu true; warns tpu
gives 7 run --strategy fsdp true; warns fsdp
gives 13 run --strategy single --devices 2 true; warns "single with 2 ranks"
gives 13 run --num-nodes 2 true; warns "hosts"
gives 13 run --num-nodes 2 --hosts a true; warns "names 1"
gives 8 run --devices 2 no-such-program; warns "no-such-program is no program"
gives 8 run ./out; warns "out is no program"
gives 13 run --launcher srun true; warns "inside a Slurm job"
gives 2 inspect; gives 2 inspect --nonsense; gives 2 verify; gives 2 doctor --nonsense
gives 8 inspect /nowhere; gives 8 verify /nowhere; gives 8 verify /dev/null; gives 8 inspect .

# Commands, without running them
gives 0 run --dry-run --devices 2 --threads 3 --bind --seed=5 -- echo "it's" --seed 6
says 'OMP_NUM_THREADS=3 '
says "-n 2 --map-by ppr:2:node:PE=3 --bind-to core echo 'it'.''s' --seed 6\$"
says 'WEFT_SEED=5'; says 'OMP_PROC_BIND=close'
gives 0 run --dry-run --hosts a,b --devices 2 echo
says '-n 4 --host a:2,b:2 -x WEFT_DEVICES .*--map-by ppr:2:node echo$'
mkdir bin
printf '#!/bin/sh\necho srun "$@"\n' >bin/srun
chmod +x bin/srun
path=$PATH
PATH=$dir/bin:$path SLURM_JOB_ID=7 SLURM_NNODES=3 SLURM_CPUS_PER_TASK=4
export PATH SLURM_JOB_ID SLURM_NNODES SLURM_CPUS_PER_TASK
gives 0 run --devices 2 prog -x
says '^srun --mpi=pmix --kill-on-bad-exit=1 --nodes=3 --ntasks-per-node=2 --ntasks=6 --cpus-per-task=4 prog -x$'
gives 0 run --bind --num-nodes 2 prog
says '^srun --mpi=pmix --kill-on-bad-exit=1 --nodes=2 --cpus-per-task=4 --cpu-bind=cores prog$'
SLURM_MPI_TYPE=pmix_v4 gives 0 run prog
says '^srun --kill-on-bad-exit=1 --cpus-per-task=4 prog$'
gives 0 run --dry-run --launcher mpirun --devices 2 --num-nodes 2 prog
says '-n 4 -x .*--map-by ppr:2:node prog$'
unset SLURM_JOB_ID SLURM_NNODES SLURM_CPUS_PER_TASK
PATH=$path

# Statuses and environment
gives 0 run true
gives 3 run -- sh -c 'exit 3'
gives 0 run --devices 2 --seed 9 --print-config=no -- sh -c 'echo $OMPI_COMM_WORLD_RANK/$WEFT_DEVICES/$WEFT_SEED/$1' - --seed=1
sorted "0/2/9/--seed=1 1/2/9/--seed=1"
gives 0 run sh -c 'echo $OMP_NUM_THREADS'
threads=$(cat out)
[ "$threads" -ge 1 ] || fail "no OMP_NUM_THREADS"
gives 0 run --devices=2 sh -c 'echo $OMP_NUM_THREADS$OMP_PROC_BIND$WEFT_SEED' # shared out, unbound, nothing else
half=$((threads > 1 ? threads / 2 : 1))
sorted "$half $half"
OMP_NUM_THREADS=7 gives 0 run --threads 1 sh -c 'echo $OMP_NUM_THREADS.$WEFT_THREADS'
sorted 7.1
OMPI_COMM_WORLD_RANK=0 gives 5 run true
warns "itself started by mpirun"
start=$(date +%s)
gives 137 run --devices 2 sh -c 'test $OMPI_COMM_WORLD_RANK = 0 || kill -9 $$; exec sleep 100'
[ $(($(date +%s) - start)) -lt 20 ] || fail "a dead rank was not noticed for long"
gives 0 run --devices 2 --print-config "$here/train_job" --dir .
warns 'devices=2 (WEFT_DEVICES)'
[ ! -s out ] || fail "the library printed on stdout"

# Signals, and what is left
await() { # WORDS of test: until they hold, for 20 s at most
    for i in $(seq 100); do
        if test "$@"; then return; fi
        sleep 0.2
    done
    fail "in vain: $*"
}
alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status"; }
gone() {
    for i in $(seq 100); do
        alive "$1" || return
        sleep 0.2
    done
    fail "process $1 still runs"
}
for sig in TERM KILL; do # after KILL nobody is left to wait for them: mpirun does it
    rm -f pid.*
    "$weft" run --devices 2 sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec sleep 100' >out 2>err &
    pid=$!
    await -s pid.0; await -s pid.1
    kill -$sig $pid
    wait $pid
    rc=$?
    [ $rc -gt 0 ] || fail "status 0 after SIG$sig"
    for p in $(cat pid.0 pid.1); do
        [ $sig = KILL ] || ! alive "$p" || fail "rank $p outlived SIGTERM"
        gone "$p"
    done
done
printf '#!/bin/sh\ntrap "" TERM\nsleep 100 &\necho $! >stubborn\nwait\n' >bin/stubborn
chmod +x bin/stubborn
WEFT_MPIRUN=$dir/bin/stubborn "$weft" run --grace 0.5 true >out 2>err &
pid=$!
await -s stubborn
kill -TERM $pid
wait $pid
rc=$?
[ $rc = 137 ] || fail "status $rc of a launcher that had to be killed"
warns "1 process still ran"
alive "$(cat stubborn)" && fail "its child still runs"
gives 0 run sh -c 'setsid sh -c "trap : TERM; echo \$\$ >left; while :; do sleep 0.1; done" >/dev/null 2>&1 & until [ -s left ]; do sleep 0.1; done'
warns "still ran after the program's end"
alive "$(cat left)" && fail "what the program left behind still runs"

# Checkpoints
"$here/train_job" --make data.h5 2>err || fail "no data"
gives 0 run --devices 2 --keep off "$here/train_job" --dir . --epochs 1
[ "$(ls -d run/step-* | wc -l)" = 8 ] || fail "keep=off kept: $(ls run)"
gives 0 inspect run
says '^run/step-000008: step 8, saved by 2 ranks'
says 'plane   f32   468 .*model, 4 tensors'
says 'tensor  f32   (16, 24) .*1.5 KiB  model/0.weight, replicated, 2 slabs'
says 'value   i64   loader/cursor = 0'
says 'tracked/smooth = 0.'
gives 0 inspect --json run/latest
says '{"name": "model/0.weight", "kind": "tensor", "placement": "replicated", "dtype": "f32", "shape": \[16, 24\], "bytes": 1536, "slabs": 2}'
if python3 -c 'import json' 2>/dev/null; then
    python3 -c 'import json, sys; c = json.load(open("out")); sys.exit(c["step"] != 63 or len(c["items"]) < 20 or len(c["files"]) != 3)' ||
        fail "not the JSON it should be"
fi
gives 0 verify run
[ "$(grep -c '^ok   run/step-0000[0-9][0-9]: [0-9]* items, .* in 3 files$' out)" = 8 ] || fail "not 8 good checkpoints"
gives 0 verify run/latest run/step-000008
spoil() { # FILE BYTE: another value there
    printf '\377\001' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
shard=$(ls run/step-000016/shard-*-00001.h5)
size=$(stat -c %s "$shard")
spoil "$shard" $((size - 10)); spoil "$shard" $((size - 1000)); spoil "$shard" 3000
rm run/step-000024/shard-*-00000.h5
truncate -s -1 run/step-000032/checkpoint.h5
spoil run/step-000040/checkpoint.h5 2000
echo >>run/step-000048/MANIFEST
mv run/step-000056 run/step-000057
gives 1 verify run
says "^bad  $shard: \"optimizer/exp_avg/2.weight\" is damaged"; says "and 2 more places in $(basename "$shard")"
says "^bad  run/step-000016: 1 of 3 files"
says '^bad  run/step-000024/shard-.*-00000.h5 is missing'
says '^bad  run/step-000032/checkpoint.h5 has .* bytes instead of'
says '^bad  run/step-000040/checkpoint.h5: its HDF5 structure'
says '^bad  run/step-000048/MANIFEST'
says '^bad  run/step-000057 holds step 56'
says '^ok   run/step-000008'; says '^ok   run/step-000063'
[ "$(grep -c '^ok' out)" = 2 ] || fail "a damaged one is ok"
gives 10 inspect run; warns "step-000048/MANIFEST"

# Doctor: good as it is, then with a fault at a time
gives 0 doctor
for what in cores threads kernels devices mpi mpirun hdf5 variables 'file system' 'shared memory' slurm ranks 'rank 1' 'one file system'; do
    says "^[okwarn]* *$what: "
done
gives 0 doctor --json run
says '^{"level": "ok", "what": "ranks", "finding": "mpirun started 2 '
finds() { # STATUS REGEX [VARIABLE=value...]
    status=$1 regex=$2
    shift 2
    for v; do export "$v"; done
    gives "$status" doctor "${at:-.}"
    for v; do unset "${v%%=*}"; done
    says "$regex"
}
finds 1 '^bad   variables: WEFT_SEED is "x"' HDF5_PLUGIN_PATH=/tmp WEFT_STRATGY=ddp WEFT_SEED=x OMPI_MCA_io=romio321 \
    OMP_NUM_THREADS=999 BLIS_ARCH_TYPE=nonsense
says '^warn  variables: HDF5_PLUGIN_PATH'
says '^warn  mpi-io: OMPI_MCA_io=romio321'
says '^warn  threads: .*OMP_NUM_THREADS asks for 999'
says '^bad   kernels: BLIS_ARCH_TYPE is "nonsense"'
finds 1 '^bad   launch: WEFT_MPIRUN is "/no/mpirun"' WEFT_MPIRUN=/no/mpirun WEFT_STRATGY=ddp
says '^warn  variables: .*WEFT_STRATGY.*did you mean WEFT_STRATEGY'
finds 1 '^bad   launcher: SLURM_STEP_ID is "x"' SLURM_STEP_ID=x
export OMP_NUM_THREADS=1
printf '#!/bin/sh\nshift 2\nexport OMPI_COMM_WORLD_SIZE=2\nOMPI_COMM_WORLD_RANK=1 "$@"\nOMPI_COMM_WORLD_RANK=0 "$@"\n' >bin/other
chmod +x bin/other
finds 1 '^bad   ranks: mpirun started 2 ranks, but MPI sees this one alone.*ldd' "WEFT_MPIRUN=$dir/bin/other"
at=/proc finds 1 '^bad   file system: /proc on .*: making a file fails'
says '^bad   one file system: 2 of 2 ranks'
printf '#!/bin/sh\ncase $1 in --mpi=list) echo none pmi2 ;; *) exit 9 ;; esac\n' >bin/srun
PATH=$dir/bin:$path
finds 1 '^bad   srun: srun does not speak PMIx' SLURM_JOB_ID=7
says '^bad   launch: two ranks were started and ended with status 9'
PATH=$path
if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then
    taskset -c 0 "$weft" doctor >out 2>err || fail "bound to a core, doctor fails"
    says '^warn  binding: only 1 of'; says '^warn  ranks: 2 ranks on the 1 cores'
    $MPIRUN -n 2 taskset -c 0,1 "$weft" doctor >out 2>err || fail "doctor fails under mpirun"
    says '^ok    process group: shm'
    says '^ok    rank 1: on'
    # shellcheck disable=SC2016  # for the inner shell
    $MPIRUN -n 3 sh -c '[ $OMPI_COMM_WORLD_RANK = 2 ] && exec "$0" doctor; exec taskset -c 0 "$0" doctor' "$weft" >out 2>err &&
        fail "doctor is content with two ranks on one core of two"
    says '^bad   rank 1: .*bound to CPUs 0, and so is rank 0'
fi
exit 0
