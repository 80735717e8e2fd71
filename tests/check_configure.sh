#!/bin/sh
# What configure says of CUDA, NCCL and cuDNN: found, left out, and an error where they were asked for and are missing or
# too old. By lib/device/cuda/cuda.m4 in a configure of its own, with a stand-in for CUDA; FULL=1: by ours.
here=$PWD top=$(cd "${srcdir:-.}/.." && pwd)
command -v autoconf >/dev/null || { echo "there is no autoconf"; exit 77; }
fail() { echo "$*"; exit 1; }
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT && cd "$dir" || fail "no room in TMPDIR"
mkdir -p cuda/bin cuda/include cuda/lib64 half/bin half/include less/include old/include new/include none
printf '#!/bin/sh\n' >cuda/bin/nvcc && chmod +x cuda/bin/nvcc && cp cuda/bin/nvcc half/bin
# Before what this machine may have.
for h in half/include/cuda_runtime_api less/include/nccl less/include/cudnn; do echo '#error not there' >$h.h; done
echo 'int cudaGetDeviceCount(int *n);' >cuda/include/cuda_runtime_api.h
echo 'int cudaGetDeviceCount(int *n) { *n = 0; return 100; }' >run.c
${CC:-cc} -c run.c && ar cr cuda/lib64/libcudart_static.a run.o || fail "no stand-in"
version() { printf '#define %s_MAJOR %s\n#define %s_MINOR %s\n' "$2" "$3" "$2" "$4" >"$1"; }
version old/include/nccl.h NCCL 2 18 && version new/include/nccl.h NCCL 2 19
version old/include/cudnn.h CUDNN 9 15 && version new/include/cudnn.h CUDNN 10 0
if [ -n "$FULL" ]; then
    configure=$top/configure config=lib/config.h
else
    {
        echo 'AC_INIT([cuda],[1])'
        echo 'AC_CONFIG_HEADERS([config.h])'
        echo 'AC_PROG_CC'
        echo 'AC_SEARCH_LIBS([pthread_create],[pthread])'
        echo "m4_include([$top/lib/device/cuda/cuda.m4])"
        sed -n '/^WEFT_CUDA/p' "$top/configure.ac"
        echo 'AC_OUTPUT'
    } >configure.ac
    : >config.h.in
    for h in CUDA NCCL CUDNN; do echo "#undef HAVE_$h" >>config.h.in; done
    autoconf || fail "no configure"
    configure=./configure config=config.h
fi
grep -q WEFT_CUDA_HEADER "$top/configure.ac" || fail "configure.ac asks for no header of CUDA's"
# What is known of the compiler already; nothing of this machine's CUDA.
sed -n '/^ac_cv_env_/d; /NVCC/d; s/^ac_cv_.*=.*/&/p' "$here/../config.log" >cache 2>/dev/null
configure() {
    cp cache known
    sh "$configure" -q --cache-file=known CC="${CC:-cc}" "$@" >out 2>&1
}
refused() { # the message, configure's arguments
    what=$1 && shift
    configure "$@" && fail "configure took $*"
    grep -qF -e "$what" out || { cat out; fail "configure does not say '$what' of $*"; }
}
have() { # "CUDA NCCL", arguments
    want=$1 && shift
    configure "$@" || { cat out; fail "configure refuses $*"; }
    got=$(sed -n 's/^#define HAVE_\(CUDA\|NCCL\|CUDNN\) 1$/\1/p' "$config" | sort | tr '\n' ' ')
    [ "$got" = "$want" ] || { cat out; fail "$*: have '$got', not '$want'"; }
}
with=--with-cuda=$dir/cuda
unset NVCC
have "CUDA CUDNN NCCL " "$with" --with-nccl="$dir/new" --with-cudnn="$dir/new"
have "CUDA " "$with" --with-cudnn=no CPPFLAGS="-I$dir/old/include"
refused "--with-cuda=$dir/none was asked for, but nvcc" --with-cuda="$dir/none"
refused "there is no $dir/none/include/nccl.h" "$with" --with-nccl="$dir/none"
refused "2.18: it takes 2.19 or newer" "$with" --with-nccl="$dir/old"
refused "there is no cudnn.h" "$with" --with-cudnn=yes CPPFLAGS="-I$dir/less/include"
refused "it takes CUDA" --with-cuda=no --with-nccl=yes
[ -n "$FULL" ] || exit 0
have "CUDA " "$with" --with-nccl=no --with-cudnn=no
refused "--with-cuda=$dir/half was asked for, but nvcc or its run time" --with-cuda="$dir/half"
refused "there is no $dir/none/include/cudnn.h" "$with" --with-cudnn="$dir/none"
refused "9.15: it takes 9.16 or newer" "$with" --with-cudnn=yes CPPFLAGS="-I$dir/old/include"
refused "there is no nccl.h" "$with" --with-nccl=yes CPPFLAGS="-I$dir/less/include"
refused "it takes CUDA" --with-cuda=no --with-cudnn="$dir/new"
have "" --with-cuda=no
refused "--with-cuda=yes was asked for, but nvcc or its run time" --with-cuda=yes NVCC="$dir/half/bin/nvcc"
