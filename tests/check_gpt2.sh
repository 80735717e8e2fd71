#!/bin/sh
# The GPT-2 example on text that every Debian has: in a hundred steps its held-out loss is below the entropy of single tokens; a
# run that was stopped goes on to the same bits; two ranks, any strategy and precision compute the same; it prints what it learnt,
# from bytes and from BPE tokens; and it says what is wrong.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
program=$(cd .. && pwd)/examples/gpt2/gpt2
bpe=$(cd "${srcdir:-.}" && pwd)/golden/bpe
text=/usr/share/common-licenses
[ -x "$program" ] || { echo "no $program"; exit 77; }
[ -r "$text/GPL-3" ] || { echo "no $text/GPL-3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
fail() { echo "$1"; cat said out; exit 1; }
# run STATUS NAME OPTIONS: checks the exit status; the output is in said and NAME.said. $before goes before the program.
run() {
    status=$1 name=$2
    shift 2
    $before "$program" --run "$name" --metrics "$name.csv" --threads 1 "$@" >said 2>out
    rc=$?
    [ $rc = "$status" ] || fail "$name: exit status $rc instead of $status"
    cp said "$name.said"
}
loss() { sed -n 's/^held-out loss \([0-9.]*\),.*/\1/p' "$1.said"; }
near() { awk -v a="$(loss "$1")" -v b="$(loss "$2")" -v most="$3" 'BEGIN { d = a - b; exit !(a > 0 && d < most && -d < most) }' || fail "$1 and $2 differ"; }
numbers() { cut -d, -f1,4- "$1.csv"; }

# The text's entropy is 3.2 nats. On mock, and on other precisions and strategies, a short run has to do.
before=
if [ "$WEFT_ACCELERATOR" != mock ]; then
    run 0 learns --text $text --size toy --batch 8 --steps 120 --evaluate 60 --sample 40
    grep -q '^step 120/120  loss 2\.[0-9]*  lr [0-9.e-]*  norm [0-9.]*  [0-9]* tokens/s  MFU [0-9.]* %$' said || fail "no progress line"
    grep -q '^step 60/120  held-out loss [0-9.]*$' said || fail "no held-out loss on the way"
    [ "$(sed '1,/^held-out loss/d' said | wc -c)" -ge 42 ] || fail "it says nothing"
    echo "# $(grep -a '^held-out' said)"
fi
short="--text $text/GPL-2 --layers 2 --batch 4 --length 32 --accumulate 2 --steps 12 --warmup 2 --evaluate 6 --dropout 0.1 --print 3"
# Its last bytes are a seed's, and those of another seed are others.
run 1 whole $short --sample 30
run 1 again $short --sample 30 --stop 12
cmp whole.said again.said >/dev/null || [ "$(sed '1,/^held-out loss/d' whole.said)" = "$(sed '1,/^held-out loss/d' again.said)" ] ||
    fail "the same seed says something else"
run 1 other $short --sample 30 --seed 1
[ "$(sed '1,/^held-out loss/d' whole.said)" != "$(sed '1,/^held-out loss/d' other.said)" ] || fail "another seed says the same"
# Stopped after 5 steps and resumed.
run 1 parts $short --stop 5 --sample 0
run 1 parts $short --sample 0
grep -q 'goes on from step 5 of parts' out || fail "it did not resume"
[ "$(loss parts)" = "$(loss whole)" ] || fail "resumed: $(loss parts), not $(loss whole)"
numbers whole >whole.rows && numbers parts >parts.rows && cmp whole.rows parts.rows || fail "the resumed run differs"
# Recomputed activations, and all logits at once.
run 1 recompute $short --sample 0 --recompute --chunk 0
near recompute whole 1e-5
# The weights alone, of another run's checkpoint.
run 1 from $short --sample 0 --from whole/latest --stop 1 --lr 1e-12
near from whole 1e-5
run 1 low $short --sample 0 --precision bf16-mixed
near low whole 0.02
if [ -n "$MPIRUN" ]; then
    before="$MPIRUN -n 2"
    run 1 two $short --sample 10
    near two whole 1e-5
    run 1 zero $short --sample 0 --strategy zero2 --precision 16-mixed
    near zero whole 0.02
    before=
fi
# GPT-2's own tokens, of a vocabulary that was made up.
run 1 bpe $short --sample 20 --vocab "$bpe/vocab.json" --merges "$bpe/merges.txt" --data tokens
[ "$(sed '1,/^held-out loss/d' said | wc -c)" -ge 20 ] || fail "it says nothing in BPE"
run 1 bpe2 --data tokens --vocab "$bpe/vocab.json" --merges "$bpe/merges.txt" --layers 1 --steps 2 --sample 0 # its files are enough


wrong() { # CODE PART OPTIONS: it ends with that code, and says it
    code=$1 part=$2
    shift 2
    run "$code" wrong --steps 1 "$@"
    grep -q "$part" out || fail "that was not said: $part"
}
wrong 1 'size is toy, mini or 124M' --size huge
wrong 1 'batch takes no such value' --batch 12x
wrong 1 'nonsense is not known; the options are size text' --nonsense 3
wrong 1 'vocab and --merges come together' --vocab "$bpe/vocab.json"
wrong 8 'nowhere: this text cannot be read' --text /nowhere
wrong 10 'merges.txt: ' --vocab "$bpe/merges.txt" --merges "$bpe/vocab.json"
