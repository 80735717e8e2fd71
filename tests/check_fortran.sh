#!/bin/sh
# The Fortran module: it has every public function, is what its script makes of the headers, agrees with C on every struct,
# and works: the calls that differ from C's, and the example on one and two ranks.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
top=$(cd "${srcdir:-.}/.." && pwd)
module=$top/fortran/weft.f90
fail() { echo "$1"; [ ! -f "$2" ] || cat "$2"; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Names, from the library itself. Those of <weft/sys/...> are tables of C callbacks; the others that are left out stand in the
# module's head with the reason.
so=../lib/.libs/libweft.so
if [ -r "$so" ]; then
    sed -n 's/.*name="\(weft_[a-z0-9_]*\)").*/\1/p' "$module" | sort >"$dir/there"
    sed -n 's/^! Not here: \(weft_[a-z0-9_]*\) .*/\1/p' "$module" >"$dir/left"
    grep -rhoE 'weft_[a-z0-9_]+\(' "$top/include/weft/sys" | tr -d '(' >>"$dir/left"
    nm -D --defined-only "$so" | awk '{ print $3 }' | grep -E '^weft_[a-z0-9]' | sort >"$dir/public"
    sort -u "$dir/left" | sort - "$dir/there" | uniq >"$dir/known"
    missing=$(comm -23 "$dir/public" "$dir/known")
    [ -z "$missing" ] || fail "fortran/weft.f90 lacks $(echo "$missing" | xargs): run python3 fortran/generate.py"
    gone=$(comm -13 "$dir/public" "$dir/there")
    [ -z "$gone" ] || fail "fortran/weft.f90 has what the library has not: $(echo "$gone" | xargs)"
    echo "# $(wc -l <"$dir/there") functions of $(wc -l <"$dir/public")"
fi
if command -v python3 >/dev/null; then
    python3 "$top/fortran/generate.py" - >"$dir/weft.f90" || exit 1
    cmp "$dir/weft.f90" "$module" || fail "the headers have changed: run python3 fortran/generate.py"
fi
[ -n "$FC" ] || { echo "# skipped: no Fortran compiler"; exit 77; }

# Every struct that both sides share: its size, and where each member begins.
awk '/^ *type, bind\(C\) :: / { t = $NF } /end type/ { t = "" }
     t && / :: / && !/bind\(C\)/ && !/ :: p = / { split($0, w, " :: "); sub(/[ (=].*/, "", w[2]); print t, w[2] }' "$module" >"$dir/members"
[ -s "$dir/members" ] || fail "weft.f90 shows no structs"
{
    echo 'program layout; use, intrinsic :: iso_c_binding; use weft; implicit none'
    awk '!($1 in seen) { seen[$1]; print "type(" $1 "), target :: v_" $1 }' "$dir/members"
    awk '!($1 in seen) { seen[$1]; printf "print *, \"%s\", c_sizeof(v_%s)\n", $1, $1 }
         { printf "call at(\"%s.%s\", &\nc_loc(v_%s%%%s), c_loc(v_%s))\n", $1, $2, $1, $2, $1 }' "$dir/members"
    echo 'contains; subroutine at(name, m, v); character(*), intent(in) :: name; type(c_ptr), intent(in) :: m, v'
    echo 'print *, name, transfer(m, 0_c_intptr_t) - transfer(v, 0_c_intptr_t); end subroutine; end program'
} >"$dir/layout.f90"
{
    echo '#include <stdio.h>'
    echo '#include <weft.h>'
    echo 'int main(void) {'
    awk '!($1 in seen) { seen[$1]; printf "printf(\"%s %%zu\\n\", sizeof(%s));\n", $1, $1 }
         { printf "printf(\"%s.%s %%zu\\n\", offsetof(%s, %s));\n", $1, $2, $1, $2 }' "$dir/members"
    echo 'return 0; }'
} >"$dir/layout.c"
warn=
case $($FC --version 2>/dev/null) in *GNU*) warn="-std=f2018 -Wall -Wextra -Werror -Wno-compare-reals" ;; esac
build() { # SOURCE PROGRAM [COMPILER]
    # shellcheck disable=SC2086  # words on purpose
    ${3:-$FC} $warn -I.. "$1" -o "$2" -L../fortran/.libs -lweft_fortran -L../lib/.libs -lweft >"$dir/said" 2>&1 ||
        fail "$1 does not compile" "$dir/said"
}
LD_LIBRARY_PATH=$PWD/../fortran/.libs:$PWD/../lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
build "$dir/layout.f90" "$dir/layout_f"
$CC -std=c11 -I"$top/include" "$dir/layout.c" -o "$dir/layout_c" || exit 1
"$dir/layout_f" | awk '{ print $1, $2 }' >"$dir/f" && "$dir/layout_c" >"$dir/c" || fail "layout" "$dir/f"
cmp "$dir/f" "$dir/c" || fail "$(diff "$dir/f" "$dir/c")"
echo "# $(wc -l <"$dir/c") sizes and places agree"

build "$top/tests/fortran_calls.f90" "$dir/calls"
WEFT_LOG_LEVEL=silent "$dir/calls" || exit 1

[ -n "$MPIRUN" ] || { echo "# no mpirun: the example was not run"; exit 0; }
for n in 1 2; do
    $MPIRUN -n $n ../examples/heat >"$dir/$n" 2>"$dir/said" || fail "examples/heat failed on $n ranks" "$dir/said"
    echo "# $n ranks: $(cat "$dir/$n")"
done
cmp "$dir/1" "$dir/2" || fail "one and two ranks differ"
../examples/heat --devices 2 >"$dir/again" 2>"$dir/said" || fail "examples/heat --devices 2 failed" "$dir/said"
cmp "$dir/1" "$dir/again" || fail "with --devices 2 it differs"
../examples/heat --precision=nonsense >"$dir/said" 2>&1 && fail "a bad option on the command line was not seen" "$dir/said"
grep -q nonsense "$dir/said" || fail "the command line is not read" "$dir/said"

# A program with MPI of its own, where the MPI has a Fortran side for this compiler.
printf 'program p\nuse mpi\nend program\n' >"$dir/probe.f90"
if mpifort "$dir/probe.f90" -o "$dir/probe" >/dev/null 2>&1; then
    build "$top/tests/fortran_mpi.f90" "$dir/mpi" mpifort
    $MPIRUN -n 3 "$dir/mpi" >"$dir/said" 2>&1 || fail "fortran_mpi failed" "$dir/said"
    echo "# fortran_mpi: all good on 3 ranks"
else
    echo "# no mpifort for this compiler"
fi
