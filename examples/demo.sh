#!/bin/sh
# The main job: Fashion-MNIST on two ranks, from the data set's own files. Called in the build directory; --cnn takes the
# residual network, --shuffle-labels trains on permuted labels, other words go to the program.
set -eu
source=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
out=demo shuffle= program=fashion_mnist run=run metrics=metrics.csv
for word in "$@"; do
    shift
    case $word in
    --cnn) program=cnn run=run-cnn metrics=metrics-cnn.csv ;;
    --shuffle-labels) out=demo/shuffled shuffle=1 ;;
    *) set -- "$@" "$word" ;;
    esac
done
if [ ! -r "$source/train-images-idx3-ubyte.gz" ]; then
    echo "demo: no Fashion-MNIST in $source; install Debian's dataset-fashion-mnist, or set FASHION_MNIST to a folder with its four files" >&2
    exit 1
fi
convert() { # split, file, options of the tool
    images=$source/$1-images-idx3-ubyte.gz labels=$source/$1-labels-idx1-ubyte.gz file=$out/$2
    shift 2
    [ -r "$file" ] || tools/weft-idx2hdf5 "$@" "$images" "$labels" "$file"
}
mkdir -p "$out"
convert train train.h5 ${shuffle:+--shuffle-labels 1}
convert t10k test.h5
${MPIRUN:-mpirun} -n 2 "examples/$program" --data "$out" --run "$out/$run" --metrics "$out/$metrics" "$@"
