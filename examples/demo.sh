#!/bin/sh
# The main job: Fashion-MNIST on two ranks, from the data set's own files. Called in the build
# directory; --shuffle-labels trains on permuted labels, other words go to the program.
set -eu
source=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
out=demo data=demo run=demo/run
words=
for word in "$@"; do
    case $word in
    --shuffle-labels) data=demo/shuffled run=demo/shuffled/run ;;
    *) words="$words $word" ;;
    esac
done
test -r "$source/train-images-idx3-ubyte.gz" || {
    echo "demo: no Fashion-MNIST in $source; install Debian's dataset-fashion-mnist, or set FASHION_MNIST to a folder with its four files" >&2
    exit 1
}
mkdir -p "$out" "$data"
convert() { # split, output, options
    test -r "$2" || tools/weft-idx2hdf5 $3 "$source/$1-images-idx3-ubyte.gz" "$source/$1-labels-idx1-ubyte.gz" "$2"
}
if [ "$data" = demo ]; then convert train demo/train.h5 ""; else convert train "$data/train.h5" "--shuffle-labels 1"; fi
convert t10k "$data/test.h5" ""
: "${MPIRUN:=mpirun}"
# shellcheck disable=SC2086
exec $MPIRUN -n 2 examples/fashion_mnist --data "$data" --run "$run" --metrics "$run.csv" $words
