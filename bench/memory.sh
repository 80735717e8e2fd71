#!/bin/sh
# What ranks hold, for strategies x precisions x ranks: a line of JSON each on stdout.
#   memory.sh BUILD [options of memory]
set -u
build=$1
shift
# Eight ranks fit any machine here: it is memory that counts, not time.
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 WEFT_LOG_LEVEL=error
for precision in 32-true bf16-mixed; do
    for ranks in 1 2 4 8; do
        for strategy in ddp zero1 zero2; do
            ${MPIRUN:-mpirun} -n $ranks "$build/bench/memory" --strategy $strategy --precision $precision "$@" || exit
        done
    done
done
