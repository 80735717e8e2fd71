#!/bin/sh
# A CPU build has no trace of CUDA. A CUDA build has all kernels, for all GPUs that it was made for and without spilt
# registers, needs no library of CUDA's to start, and says what it lacks where there is no GPU.
objects=../lib/.libs/libweft-core.a so=../lib/.libs/libweft.so
[ -r "$so" ] || { echo "no shared library was built"; exit 77; }
fail() { echo "$*"; exit 1; }
linked=$(readelf -d "$so" | grep NEEDED | grep -E 'cuda|cublas|cudnn|nccl|nvidia')
[ -z "$linked" ] || fail "libweft.so needs $linked"
if ! grep -q '^#define HAVE_CUDA 1' ../lib/config.h; then
    traces=$(nm "$objects" 2>/dev/null | grep -iE ' T .*cuda')
    [ -z "$traces" ] || fail "a CPU build, but: $traces"
    exit 0
fi
list=${srcdir:-.}/../include/weft/sys/kernels.h
names=$(sed -n '/define WEFT_KERNEL_COMMON/,/[^\\]$/p' "$list" | grep -o 'K([a-z0-9_]*)' | tr -d 'K()')
[ "$(echo "$names" | wc -l)" -gt 40 ] || fail "no list of kernels in $list"
have=$(nm "$objects" 2>/dev/null | awk '$2 == "T" {print $3}')
for name in $names; do
    echo "$have" | grep -qx "weft__cuda_$name" || fail "there is no kernel $name"
done
size=$(readelf -SW "$so" | sed 's/^ *\[ *[0-9]*\] *//' | awk '$1 == ".nv_fatbin" {print $5}')
[ -n "$size" ] && [ $((0x$size)) -gt 100000 ] || fail "libweft.so has no code for GPUs"
# What ptxas said of each kernel when it was compiled.
report() {
    awk '/Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4]; next }
        /bytes stack frame/ { spilt = $5 + $9; next }
        / Used [0-9]+ registers/ && kernel { print arch, spilt, kernel; kernel = "" }' "$@"
}
archs=$(sed -n 's/^CUDA_ARCH = //p' ../lib/Makefile)
for cu in "${srcdir:-.}"/../lib/device/cuda/*.cu; do
    name=$(basename "$cu" .cu) of=
    report "../lib/device/cuda/$name.ptxas" >report.txt || fail "$name was compiled without a report"
    for a in $archs; do
        kernels=$(sed -n "s/^sm_$a [0-9]* //p" report.txt | sort)
        [ -n "$kernels" ] || fail "$name has no kernel for sm_$a"
        [ -z "$of" ] || [ "$of" = "$kernels" ] || fail "$name has other kernels for sm_$a than for the rest"
        of=$kernels
    done
    spilt=$(awk '$2 > 0' report.txt)
    rm report.txt
    [ -z "$spilt" ] || fail "$name spills registers: architecture, bytes, kernel: $spilt"
done
CUDA_VISIBLE_DEVICES='' ../tools/weft doctor 2>&1 | grep -E 'devices: no cuda: .*use accelerator=cpu' ||
    fail "doctor does not say why there is no GPU"
