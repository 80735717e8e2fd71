#!/bin/sh
# The residual network on Fashion-MNIST, shortened and narrow, on two ranks: learns what shuffled labels cannot teach, goes on
# from a checkpoint under another strategy and precision. CNN_FULL=1 is the full run: its accuracy must reach the program's goal.
# Skipped without the data set or mpirun.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
top=$(cd .. && pwd)
demo=$(cd "${srcdir:-.}/.." && pwd)/examples/demo.sh
data=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
skip() { echo "# skipped: $1"; exit 77; }
fail() { echo "$1"; cat out; exit 1; }
[ -n "$MPIRUN" ] || skip "no mpirun"
[ -r "$data/train-images-idx3-ubyte.gz" ] || skip "no data set in $data"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
ln -s "$top/tools" "$top/examples" .

# run WORD...: the demo; its status must be what its accuracy says.
run() {
    sh "$demo" --cnn "$@" >said 2>out
    rc=$?
    accuracy=$(sed -n 's/^test accuracy \(0\.[0-9][0-9][0-9][0-9]\)$/\1/p' said)
    [ "$(cat said)" = "test accuracy $accuracy" ] || fail "it said: $(cat said)"
    echo "# $*: $accuracy, exit status $rc"
    [ "$rc" = "$(awk "BEGIN { print $accuracy < 0.92 }")" ] || fail "exit status $rc with accuracy $accuracy"
}
above() { awk "BEGIN { exit $accuracy <= $1 }" || fail "accuracy $accuracy"; }

if [ -n "$CNN_FULL" ]; then
    run --seed "${CNN_SEED:-0}"
    above 0.9199
    exit 0
fi
run --width 8 --steps 120
above 0.6
run --width 8 --steps 140 --strategy zero1 --precision bf16-mixed
grep -q 'goes on from step 120 of demo/run-cnn' out || fail "it did not resume"
above 0.6
run --width 8 --steps 40 --shuffle-labels
awk "BEGIN { exit $accuracy > 0.25 }" || fail "on shuffled labels: $accuracy"
