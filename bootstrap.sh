#!/bin/sh
# From a bare checkout to a result:
#   ./bootstrap.sh demo [options of the example]   trains the example on 2 ranks
#   ./bootstrap.sh check                           runs all tests; last line: N passed, N failed, N skipped
# Installs what packages.debian lists if apt-get can, else says what is missing. Builds in build/.
set -eu
cd "$(dirname "$0")"
what=${1:-}
case $what in demo | check) shift ;; *) echo "usage: ./bootstrap.sh demo [options] | check" >&2; exit 2 ;; esac
jobs=$(nproc 2>/dev/null || echo 2)

packages() { sed 's/#.*//' packages.debian; }

# Only what is absent is asked for, so that nothing needs a network once all is there.
install_debian() {
    have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
    need=
    for p in $(packages); do
        echo "$have" | grep -qxF "$p" || need="$need $p"
    done
    [ -n "$need" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        root="env"
    elif command -v sudo >/dev/null; then
        root="sudo env"
    else
        echo "missing, and only root can install it: apt-get install$need" >&2
        return 0 # configure knows which of them cannot be done without
    fi
    echo "installing:$need"
    $root apt-get -q update || echo "apt-get update failed, trying with the lists there are" >&2
    # shellcheck disable=SC2086  # words on purpose
    $root DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $need ||
        echo "could not install:$need" >&2
}

# No apt-get: configure names each missing library; here only what it takes to get that far, and to test.
probe_others() {
    bad=
    for c in cc make autoconf automake libtoolize pkg-config mpicc mpirun; do
        command -v "$c" >/dev/null || bad="$bad $c"
    done
    for m in jansson libxxhash hwloc zlib check; do
        pkg-config --exists "$m" 2>/dev/null || bad="$bad $m"
    done
    [ -n "$bad" ] || return 0
    cat >&2 <<EOF
missing:$bad
  Debian  apt-get install $(packages | xargs)
  Spack   spack install autoconf automake libtool pkgconf openmpi hdf5+mpi blis threads=none onednn jansson xxhash hwloc zlib check
  module  module load gcc openmpi hdf5-parallel blis jansson xxHash hwloc zlib check  (names differ from site to site)
EOF
    exit 1
}

older() { [ ! -e "$1" ] || [ -n "$(find "$2" -newer "$1")" ]; }

build() {
    if older configure configure.ac; then ./autogen.sh; fi
    mkdir -p build
    cd build
    if older config.status ../configure; then ../configure; fi
    make -s -j"$jobs"
}

if command -v apt-get >/dev/null; then install_debian; else probe_others; fi
build

if [ "$what" = demo ]; then
    # Open MPI refuses root and more ranks than cores unless told otherwise.
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    srcdir=.. exec sh ../examples/demo.sh "$@"
fi
find . -name '*.trs' -exec rm -f {} +
rc=0
# A third of a test's time is waiting, for a peer that is late on purpose or a disk: half as many again fill the cores.
make -s -k -j"$((jobs + jobs / 2))" check || rc=$?
exec sh ../tests/count.sh . "$rc"
