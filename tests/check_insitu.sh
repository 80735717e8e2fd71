#!/bin/sh
# The example in a solver: on 1, 2 and 4 ranks the network learns, no batch was copied, every address is the solver's; and the
# plate is the same to the last bit with the network and without it, on any number of ranks.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
program=../examples/insitu
[ -x "$program" ] || { echo "no $program"; exit 77; }
[ -n "$MPIRUN" ] || { echo "no mpirun"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "$1"; cat "$dir/said" "$dir/out"; exit 1; }
plate=
ranks="1 2 4"
[ "$WEFT_ACCELERATOR" != mock ] || ranks=4
for n in $ranks; do
    $MPIRUN -n $n $program >"$dir/said" 2>"$dir/out" || fail "$n ranks: exit status $?"
    grep -q '^off by 0\.0[0-9]*; strange addresses: 0, copies: 0$' "$dir/said" || fail "$n ranks: that was not said"
    with=$(grep '^plate [0-9a-f]\{16\}$' "$dir/said") || fail "$n ranks: no plate"
    $MPIRUN -n $n $program --alone >"$dir/said" 2>"$dir/out" || fail "$n ranks, alone: exit status $?"
    [ "$(cat "$dir/said")" = "$with" ] || fail "$n ranks: without the network the plate is another, not $with"
    [ "${plate:-$with}" = "$with" ] || fail "$n ranks: the plate is another than $plate"
    plate=$with
done
# A batch that is not taken as it lies is copied, and the count tells.
WEFT_PRECISION=32-true $MPIRUN -n 1 $program >"$dir/said" 2>"$dir/out" && fail "copies were not counted"
grep -q 'copies: [1-9]' "$dir/said" || fail "copies were not counted"
source=${srcdir:-.}/../examples/insitu.c
grep 'weft_' "$source" | grep -v '^ \*' | grep -v '/\* weft' && { echo "that is Weft's and not marked"; exit 1; }
[ "$(wc -l <"$source")" -lt 200 ] || { echo "200 lines or more"; exit 1; }
echo "# $ranks ranks: $plate"
