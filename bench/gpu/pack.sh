#!/bin/sh
# pack.sh [options of configure]: builds for a machine with a GPU that has neither compilers' headers nor a network, and
# packs what check.sh needs there into build-gpu/pack: our library, tests, examples and benches, the shared libraries that
# they and Open MPI load, and Fashion-MNIST. CUDA's own libraries stay behind; check.sh finds those of the machine.
# Programs are linked to one shared library, so that the kernels are carried once.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build-gpu
tree=$build/tree
jobs=$(nproc)
lib=/usr/lib/$(gcc -print-multiarch)
data=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}

mkdir -p "$build/pack" && cd "$build"
[ -x "$top/configure" ] || (cd "$top" && ./autogen.sh)
[ config.status -nt "$top/configure" ] || "$top/configure" -q CFLAGS=-O2 "$@"

# What tests reach is hidden in an installed library; here it must show.
flags=$(sed -n 's/^WEFT_CFLAGS = //p' lib/Makefile)
gpu=$(sed -n 's/^CUDA_NVCCFLAGS = //p' lib/Makefile | sed 's/-fvisibility=hidden//')
make -s -j"$jobs" -C lib AM_CFLAGS="$flags" CUDA_NVCCFLAGS="$gpu"
ours="$build/lib/libweft.la"
others=$(sed -n 's/^DEPS_LIBS = //p' lib/Makefile)
make -s -j"$jobs" LDADD="$ours" tools_weft_LDADD="$ours $others" tools_weft_idx2hdf5_LDADD="$ours $others" \
    SUBDIRS=. all-am
make -s -j"$jobs" -C bench LDADD="$ours $others"
make -s -j"$jobs" -C tests check TESTS= LDADD="$ours $(sed -n 's/^CHECK_LIBS = //p' lib/Makefile) $others"

rm -rf "$tree"
mkdir -p "$tree/lib" "$tree/deps" "$tree/tests" "$tree/bench" "$tree/bench/compare" "$tree/tools" "$tree/examples" "$tree/mpi/bin"
# A program that libtool made a script of is in .libs.
take() { # folder, programs
    to=$1
    shift
    for p in "$@"; do
        real=$(dirname "$p")/.libs/$(basename "$p")
        [ -f "$real" ] || real=$p
        [ ! -f "$real" ] || case $(head -c 4 "$real" | tail -c 3) in ELF) cp "$real" "$to/" ;; esac
    done
}
take "$tree/tests" tests/test_* tests/mpi_* tests/train_job
take "$tree/bench" bench/*
take "$tree/bench/compare" bench/compare/*
nvcc=$(sed -n 's/^NVCC = //p' lib/Makefile)
cuda=$(dirname "$(dirname "${nvcc##* }")")
[ ! -e "$cuda/include/cupti.h" ] || gcc -std=c11 -O2 -shared -fPIC -I"$cuda/include" "$top/bench/gpu/trace.c" \
    -o "$tree/bench/trace.so" -L"$cuda/lib64" -lcupti
take "$tree/tools" tools/*
take "$tree/examples" examples/*
mkdir -p "$tree/examples/gpt2"
take "$tree/examples/gpt2" examples/gpt2/gpt2
cp -L "$build"/lib/.libs/libweft.so.? "$tree/lib/"

# Open MPI's launcher and plugins; of those, the ones that need nothing but what the rest needs.
cp /usr/bin/orterun "$tree/mpi/bin/mpirun"
cp /usr/bin/orted "$tree/mpi/bin/"
mkdir -p "$tree/mpi/share" "$tree/mpi/plugins" "$tree/mpi/pmix"
cp -rL /usr/share/openmpi "$tree/mpi/share/"
needs() { # the libraries that files load, but the C library's, CUDA's and ours
    ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
        grep -v -E '/(libc|libm|libdl|librt|libpthread|libresolv|libutil|libstdc\+\+|libgcc_s|libweft|libcuda[a-z]*|libcupti|libcublas[a-zA-Z]*|libcudnn[a-z_]*|libnccl|libnv[a-zA-Z]*)\.so'
}
known() { sed 's,.*/,,' | sort -u; }
set -- "$lib"/libmca_common_ompio.so.?? "$lib"/libmca_common_sm.so.?? "$lib"/libpmix.so.?
{ needs "$tree"/*/* "$tree"/*/*/* /usr/bin/orterun "$lib"/libmpi.so.40 "$@"; printf '%s\n' "$@"; } | known >needed
for p in "$lib"/openmpi/lib/openmpi3/*.so; do
    needs "$p" | known | grep -q -v -x -F -f needed || cp "$p" "$tree/mpi/plugins/"
done
cp "$lib"/pmix2/lib/pmix/*.so "$tree/mpi/pmix/" 2>/dev/null || :
needs "$tree"/*/* "$tree"/*/*/* "$tree"/mpi/*/* >needed
while read -r f; do cp -L "$f" "$tree/deps/"; done <needed
find "$tree" -type f \( -name '*.so*' -o -path '*/tests/*' -o -path '*/bench/*' \) -exec strip --strip-unneeded {} + 2>/dev/null || :

# Rows of the conformance tables, as make check runs them on a GPU.
tr -s ' \t\\' '\n' <"$top/tests/Makefile.am" | sed -n 's,^cuda/\(\(test\|mpi\)_.*\),\1,p' | sort -u >"$tree/rows"
git -C "$top" describe --always --dirty 2>/dev/null >"$tree/version" || echo unknown >"$tree/version"

tar -C "$tree" -cf - . | xz -T0 -9 >pack/weft.tar.xz
for part in train t10k; do
    if [ -r "$data/$part-images-idx3-ubyte.gz" ] && [ ! -e pack/$part.h5.xz ]; then
        tools/weft-idx2hdf5 "$data/$part-images-idx3-ubyte.gz" "$data/$part-labels-idx1-ubyte.gz" pack/$part.h5
        xz -T0 pack/$part.h5
    fi
done
du -k pack/*
sum=$(du -ck pack/* | tail -n 1 | cut -f 1)
[ "$sum" -le 56320 ] || echo "pack.sh: $sum KiB are more than 55 MiB" >&2
