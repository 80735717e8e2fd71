#!/bin/sh
# The demo, shortened: one epoch of Fashion-MNIST on two ranks in a directory of its own, then resumed for a second one.
# h5py reads the weights in the end. Skipped without the data set, mpirun or h5py.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
top=$(cd .. && pwd)
demo=$(cd "${srcdir:-.}/.." && pwd)/examples/demo.sh
data=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
skip() { echo "# skipped: $1"; exit 77; }
fail() { echo "$1"; cat out; exit 1; }
[ -n "$MPIRUN" ] || skip "no mpirun"
[ -r "$data/train-images-idx3-ubyte.gz" ] || skip "no data set in $data"
for python in python3 /usr/bin/python3 ''; do
    [ -n "$python" ] || skip "no python3 with h5py"
    $python -c 'import h5py' 2>/dev/null && break
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
ln -s "$top/tools" "$top/examples" .

# run EPOCHS: the demo; its status must be what its accuracy says.
run() {
    sh "$demo" --epochs "$1" >said 2>out
    rc=$?
    accuracy=$(sed -n 's/^test accuracy \(0\.[0-9][0-9][0-9][0-9]\)$/\1/p' said)
    [ "$(cat said)" = "test accuracy $accuracy" ] || fail "it said: $(cat said)"
    echo "# $1 epochs: $accuracy, exit status $rc"
    expected=$(awk "BEGIN { print $accuracy < 0.88 }")
    [ "$rc" = "$expected" ] || fail "exit status $rc with accuracy $accuracy"
    awk "BEGIN { exit $accuracy <= 0.7 }" || fail "accuracy $accuracy"
}
# steps N: metrics.csv has the rows 1 to N
steps() {
    awk -F , -v n="$1" 'NR > 1 && $1 != NR - 1 { bad = 1 } END { exit bad || NR != n + 1 }' demo/metrics.csv ||
        fail "demo/metrics.csv does not have the steps 1 to $1"
    [ -f "demo/run/$(printf 'step-%06d' "$1")/MANIFEST" ] || fail "no checkpoint of step $1"
}

run 1
steps 469
run 2
grep -q 'goes on from step 469 of demo/run' out || fail "it did not resume"
steps 938
$python - <<END || exit 1
import h5py, math
f = h5py.File("demo/run/latest/checkpoint.h5")
tensors = []
f.visititems(lambda name, d: tensors.append((name, d)) if isinstance(d, h5py.Dataset) else None)
assert (256, 784) in [d.shape for name, d in tensors if name.startswith("model")], tensors
for name, d in tensors:
    values = d[...].astype("f8").ravel().tolist()
    assert values and all(math.isfinite(v) for v in values), name
print("# h5py reads %d tensors" % len(tensors))
END
# Labels that say nothing about the images teach nothing: chance is 0.1, and the exit status says so.
sh "$demo" --shuffle-labels --epochs 1 >said 2>out && fail "it succeeded on shuffled labels"
awk '/^test accuracy/ { seen = 1; bad = $3 > 0.25 } END { exit !seen || bad }' said || fail "on shuffled labels: $(cat said)"
echo "# shuffled labels: $(cat said)"
