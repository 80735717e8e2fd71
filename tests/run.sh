#!/bin/sh
# run.sh PROG: how `make check` runs one test program. Names say how: test_* alone, mpi_* on each of $NPS ranks.
# A row of a device, mock/test_x, is test_x there. No forks (a child could not use its parent's MPI), so a hang is ended from here. 77 is "skipped".
here=$(dirname "$0")
export CK_FORK=no OMP_NUM_THREADS=1
# Tests of several threads share the cores with other tests.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
# As root, on fewer cores than ranks, unbound (two jobs at once would share core 0), and only what one machine needs.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_mtl=^psm,psm2,ofi
command -v ssh >/dev/null || export OMPI_MCA_plm=isolated
# For builds with --enable-sanitize: Open MPI and its friends leak, and unload the culprits, so that only whole stacks
# tell theirs (lsan.supp) from ours.
export LSAN_OPTIONS="suppressions=$here/lsan.supp:print_suppressions=0:$LSAN_OPTIONS"
# Of libraries opened late it takes what lies before their thread-local memory for its bounds (a guess at an old glibc),
# and the search for leaks may then crash.
export ASAN_OPTIONS="fast_unwind_on_malloc=0:intercept_tls_get_addr=0:$ASAN_OPTIONS" UBSAN_OPTIONS="print_stacktrace=1:$UBSAN_OPTIONS"
# An mpirun that ends takes away the directory that another, on its way up, may be about to use: each test has its own.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/weft-XXXXXX") || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
limit="timeout -k 5 ${WEFT_TEST_TIMEOUT:-120}"

# mock/PROG is PROG, or PROG.sh, once more, on the device mock; graph/PROG there with graph=on; far/PROG on one whose memory the host does not reach; cuda/PROG on a GPU, which ranks share. All others run
# on the cpu, where there is a GPU, too.
gpus=$(ls /dev/nvidia[0-9]* /dev/dxg 2>/dev/null)
case $1 in
*mock/* | *graph/* | *far/* | *cuda/*)
    WEFT_ACCELERATOR=$(basename "$(dirname "$1")")
    program=$(basename "$1")
    shift
    if [ -x "./$program" ]; then set -- "./$program" "$@"; else set -- sh "$here/$program.sh" "$@"; fi
    if [ "$WEFT_ACCELERATOR" = cuda ]; then
        [ -n "$gpus" ] || { echo "no GPU here"; exit 77; }
        export WEFT_SHARE_DEVICES=true
    fi
    if [ "$WEFT_ACCELERATOR" = graph ]; then export WEFT_ACCELERATOR=mock WEFT_GRAPH=on; fi
    if [ "$WEFT_ACCELERATOR" = far ]; then export WEFT_ACCELERATOR=mock WEFT_MOCK_FAR=1; fi
    export WEFT_ACCELERATOR NPS="${MOCK_NPS:-2}" ;;
*)
    [ -z "$gpus" ] || export CUDA_VISIBLE_DEVICES= ;;
esac

case $(basename "$1") in
mpi_*)
    [ -n "$MPIRUN" ] || { echo "no mpirun"; exit 77; }
    all=77
    for np in $NPS; do
        echo "# $np ranks"
        # shellcheck disable=SC2086  # words on purpose
        $limit $MPIRUN -np "$np" "$@" </dev/null
        rc=$?
        case $rc in 0) all=0 ;; 77) ;; *) echo "# $np ranks: exit status $rc"; exit "$rc" ;; esac
    done
    case $(basename "$1") in # ranks of one machine share memory; some go by MPI, too
    mpi_strategy | mpi_errors | mpi_accumulate | mpi_calls)
        echo "# 3 ranks, by MPI"
        WEFT_PROCESS_GROUP_BACKEND=mpi $limit $MPIRUN -np 3 "$@" </dev/null || exit ;;
    esac
    exit $all ;;
*)
    $limit "$@" </dev/null
    rc=$?
    [ $rc = 0 ] || echo "# exit status $rc"
    exit $rc ;;
esac
