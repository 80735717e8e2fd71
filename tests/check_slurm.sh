#!/bin/sh
# Under a real Slurm of six nodes on this machine (slurm/local-cluster.sh): the demo, the batch script that people copy
# with a rank killed, requeued and resumed, ranks lost between nodes, and launches that are wrong. Skipped without Slurm.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
here=$(pwd)
slurm=$(cd "${srcdir:-.}/../slurm" && pwd)
data=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
skip() { echo "# skipped: $1"; exit 77; }
for p in munged slurmctld slurmd srun; do
    PATH=$PATH:/usr/sbin command -v $p >/dev/null || skip "no $p: apt-get install slurmctld slurmd slurm-client munge"
done
[ "$(id -u)" = 0 ] || skip "only root can start a Slurm"
[ -x ./train_job ] || skip "no train_job"
[ -r "$data/train-images-idx3-ubyte.gz" ] || skip "no data set in $data"
dir=$(mktemp -d /tmp/weft-slurm-XXXXXX) || exit 1
chmod 755 "$dir"
trap '"$slurm/local-cluster.sh" stop "$dir/c" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
"$slurm/local-cluster.sh" start -n 6 -c 4 "$dir/c" || skip "no Slurm can be started here"
fail() { echo "$1"; cat "$dir/$2" 2>/dev/null; exit 1; }
on() { timeout -k 1 60 "$slurm/local-cluster.sh" exec "$dir/c" "$@"; }
on srun --mpi=list 2>&1 | grep -q pmix || skip "this Slurm has no PMIx (Debian: libpmix2)"
ranks="srun --mpi=pmix -N2 -n4 --ntasks-per-node=2"
now() { date +%s; }
took() { echo $(($(cat "$dir/end.$1") - $(stat -c %Y "$dir/$1/trouble"))); } # seconds, from the trouble on
beat=${HEARTBEAT:-5} # seconds; what it is for, 10, in `make long`

./train_job --make "$dir/data.h5" 2>/dev/null || exit 1
for d in whole job stop stray alone; do
    mkdir "$dir/$d"
    ln -s ../data.h5 "$dir/$d/data.h5"
done

# The batch script: its first run loses a rank on the second node, Slurm requeues it, the second run resumes.
cat >"$dir/program" <<END
#!/bin/sh
[ -n "\$SLURM_RESTART_COUNT" ] || set -- --trouble 3:20:kill
exec "$here/train_job" --dir "$dir/job" --epochs 2 "\$@"
END
chmod +x "$dir/program"
batch=$(cd "$dir" && on sbatch --parsable "$slurm/train.sbatch" "$dir/program") || fail "sbatch"

# Meanwhile, on nodes of their own: a stopped rank on the second node, and one that makes another call than the others.
(on $ranks -K ./train_job --dir "$dir/stop" --every 1000 --trouble 2:5:stop --heartbeat $beat >"$dir/said.stop" 2>&1
 echo $? >"$dir/rc.stop"; now >"$dir/end.stop") &
stopped=$!
on $ranks -K ./train_job --dir "$dir/stray" --every 1000 --trouble 3:5:barrier --heartbeat $beat >"$dir/said.stray" 2>&1 &&
    fail "srun ended well with a rank that went another way" said.stray
now >"$dir/end.stray"
[ "$(took stray)" -le $((beat + 1)) ] || fail "the end took more than $beat s after the other call" said.stray
grep -q 'rank 3 on node[0-9] went another way: it is in collective [0-9]* "barrier" at step 5' "$dir/said.stray" ||
    fail "the rank that went another way was not named" said.stray
wait $stopped
[ "$(took stop)" -le $((beat + 1)) ] || fail "the end took more than $beat s after the stop" said.stop
[ "$(cat "$dir/rc.stop")" != 0 ] || fail "srun ended well with a stopped rank" said.stop
grep -q 'rank 2 on node[0-9] \(is stopped\|was lost\)' "$dir/said.stop" || fail "the stopped rank was not named" said.stop
grep -q 'all_reduce "gradients 0.0" (collective [0-9]*) failed on rank [013] of 4' "$dir/said.stop" ||
    fail "the collective was not named" said.stop
echo "# a stopped rank: $(grep -c WEFT_EPEER "$dir/said.stop") ranks said so, ended after $(took stop) s"

# The demo. -N2 -n4 puts three ranks on one node and one on the other.
mkdir "$dir/demo"
for s in train t10k; do
    ../tools/weft-idx2hdf5 "$data/$s-images-idx3-ubyte.gz" "$data/$s-labels-idx1-ubyte.gz" "$dir/demo/$s.h5" || exit 1
done
mv "$dir/demo/t10k.h5" "$dir/demo/test.h5"
on srun -N2 -n4 --mpi=pmix ../examples/fashion_mnist --data "$dir/demo" --run "$dir/demo/run" --metrics "$dir/demo/m.csv" \
    --epochs 1 >"$dir/said" 2>"$dir/said.demo"
rc=$?
accuracy=$(sed -n 's/^test accuracy //p' "$dir/said")
grep -q '4 ranks on 2 nodes' "$dir/said.demo" || fail "not 4 ranks on 2 nodes" said.demo
awk "BEGIN { exit !(\"$accuracy\" + 0 > 0.7) }" || fail "accuracy '$accuracy', exit status $rc" said.demo
echo "# srun -N2 -n4 --mpi=pmix fashion_mnist: accuracy $accuracy"

# Launches that are wrong: refused with the cure, by every task, at once.
wrong() { # WHAT IS SAID, EXIT STATUS, COMMAND...
    said=$1 expected=$2
    shift 2
    on "$@" >"$dir/said.wrong" 2>&1
    rc=$?
    [ $rc = "$expected" ] || fail "$*: exit status $rc instead of $expected" said.wrong
    grep -q -e "$said" "$dir/said.wrong" || fail "$*: not said: $said" said.wrong
}
job="./train_job --dir $dir/whole"
wrong 'srun started 4 tasks without a PMI.*Use srun --mpi=pmix' 13 srun -N2 -n4 --mpi=none $job
wrong 'devices=3 was asked for, but [0-9] ranks run on this node. Start with srun --ntasks-per-node' 13 $ranks $job --devices 3
wrong 'num_nodes=3 was asked for, but 2 nodes run' 13 $ranks $job --num_nodes 3
wrong '--heartbeat is "0.5"; it takes a number from 1' 1 $ranks $job --heartbeat 0.5
on srun -n1 --mpi=none ./train_job --dir "$dir/alone" --stop 2 >"$dir/said.one" 2>&1 || fail "one task alone" said.one

# The job as it would have been in one go.
on $ranks $job --epochs 2 >"$dir/said.whole" 2>&1 || fail "the whole job" said.whole
out=$dir/train-$batch.out tries=0
until on scontrol show job "$batch" >"$dir/state" && grep -q 'JobState=\(COMPLETED\|FAILED\|CANCELLED\|TIMEOUT\) ' "$dir/state"; do
    tries=$((tries + 1))
    [ $tries -lt 120 ] || fail "the batch job does not end" "${out##*/}"
    sleep 0.5
done
grep -q 'JobState=COMPLETED ' "$dir/state" || fail "$(cat "$dir/state")" "${out##*/}"
grep -q 'the job is requeued' "$out" || fail "not requeued" "${out##*/}"
grep -q 'goes on from step 16' "$out" || fail "not resumed" "${out##*/}"
cmp "$dir/job/final" "$dir/whole/final" || fail "it did not end as the whole job did" "${out##*/}"
echo "# train.sbatch: killed at step 20, requeued, went on from step 16, ended bit-equal"
