#!/bin/sh
# A file system without any room left during one save: the save fails, training goes on, later saves work.
# The file system is a small tmpfs in a mount namespace; skipped where that may not be had.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
skip() { echo "# skipped: $1"; exit 77; }
fail() { echo "$1"; cat "$2"; exit 1; }
[ -n "$MPIRUN" ] || skip "no mpirun"
[ -x ./train_job ] || skip "no train_job"

run() { # words of train_job
    $MPIRUN -np 2 ./train_job --dir "$@" >"$whole/out" 2>&1 || fail "train_job --dir $* did not end well" "$whole/out"
}
said() { grep -q "$1" "$whole/out" || fail "not said: $1" "$whole/out"; }

if [ -n "$2" ]; then # in the namespace
    whole=$1 small=$2
    export TMPDIR="$whole" # Open MPI's: the root of a user's namespace owns nothing in /tmp
    mount -t tmpfs -o size=2m none "$small" || exit 1
    ./train_job --make "$whole/data.h5" 2>/dev/null || exit 1
    cp "$whole/data.h5" "$small/data.h5" || exit 1
    run "$whole"
    run "$small" --full "$small/filler"
    said 'step-000016.tmp-.*No space left on device'
    cmp "$small/final" "$whole/final" || exit 1
    [ -f "$small/run/step-000189/MANIFEST" ] || fail "no checkpoint at the end" "$whole/out"
    [ -z "$(find "$small/run" -name '*.tmp-*')" ] || fail "something is left of a save" "$whole/out"
    run "$small" --epochs 4
    said 'goes on from step 189'
    echo "# full at step 16, trained on to step 189, resumed"
    exit 0
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/whole" "$dir/small"
for how in "unshare -m" "unshare -rm" ''; do
    [ -n "$how" ] || skip "no tmpfs can be mounted"
    $how mount -t tmpfs -o size=2m none "$dir/small" 2>/dev/null && break
done
$how sh "$0" "$dir/whole" "$dir/small"
