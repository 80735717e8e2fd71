#!/bin/sh
# C++20, with each compiler there is: examples/loop.cpp compiles without a warning and learns, and every WEFT_X(...) of the
# headers takes each of its members. The latter in C11 too.
[ -n "$CK_FORK" ] || exec sh "${srcdir:-.}/run.sh" sh "$0"
top=$(cd "${srcdir:-.}/.." && pwd)
warn="-Wall -Wextra -Werror -pedantic -I$top/include"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# One call for each member: zero, and {0} for an array.
cat "$top"/include/weft/*.h "$top"/include/weft/sys/*.h | sed 's,/\*.*\*/,,' | awk '
    /^#define WEFT_[A-Z0-9_]*\(\.\.\.\) *WEFT__ARGS\(/ {
        name = $2; sub(/\(.*/, "", name)
        type = $0; sub(/.*WEFT__ARGS\(/, "", type); sub(/,.*/, "", type)
        for (i = 1; i <= n[type]; i++) print "    take(" name "(." member[type, i] "));"
    }
    /^typedef struct weft_[a-z0-9_]* \{/ { struct = $3; next }
    /^\}/ { struct = "" }
    struct && /WEFT_INIT/ {
        m = $0; sub(/ *WEFT_INIT.*/, "", m)
        if (m == "") m = before
        if (m ~ /\(\*/) { sub(/.*\(\*/, "", m); sub(/\).*/, "", m) }
        array = m ~ /\]$/; sub(/\[.*/, "", m); sub(/.*[ *]/, "", m)
        member[struct, ++n[struct]] = m (array ? " = {0}" : " = 0")
    }
    { before = $0 }' >"$dir/calls"
[ "$(wc -l <"$dir/calls")" -gt 20 ] || { echo "the members were not found"; cat "$dir/calls"; exit 1; }
for name in $(grep -rhoE '^#define WEFT_[A-Z0-9_]+\(\.\.\.\) +WEFT__ARGS' "$top/include/weft" | sed 's/#define //; s/(.*//'); do
    grep -q "($name(" "$dir/calls" || { echo "$name was not tried"; exit 1; }
done
{
    echo '#include <weft.h>'
    echo '#include <weft/sys/module.h>'
    echo 'static int taken;'
    echo 'static void take(const void *options) { taken += options != 0; }'
    echo 'int main(void) {'
    cat "$dir/calls"
    echo 'weft_init a = WEFT_UNIFORM(-1, 1), b = WEFT_CONSTANT(0);'
    echo 'return a.lo < b.lo && taken > 0 ? 0 : 1; }'
} >"$dir/members.c"
cp "$dir/members.c" "$dir/members.cc"
grep -rqE "define WEFT_OPEN" "$top/include" || exit 1

LD_LIBRARY_PATH=$PWD/../lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
none=77
for compiler in "gcc -std=c11" "clang -std=c11" "g++ -std=c++20" "clang++ -std=c++20"; do
    command -v "${compiler%% *}" >/dev/null || continue
    case $compiler in *++*) source=$dir/members.cc ;; *) source=$dir/members.c ;; esac
    if [ -z "$WEFT_ACCELERATOR" ]; then # headers are the same on every device
        # shellcheck disable=SC2086  # words on purpose, here and below
        $compiler $warn "$source" -o "$dir/members" && "$dir/members" || { echo "$compiler: members"; exit 1; }
        echo "# $compiler: $(wc -l <"$dir/calls") members"
    fi
    case $compiler in *++*) ;; *) continue ;; esac
    $compiler -O1 $warn "$top/examples/loop.cpp" -o "$dir/loop" -L../lib/.libs -lweft || exit 1
    said=$(WEFT_LOG_LEVEL=error "$dir/loop") || { echo "$compiler: the loop failed: $said"; exit 1; }
    echo "# $compiler: $said"
    none=0
done
[ $none = 0 ] && [ -n "$MPIRUN" ] || exit $none
$MPIRUN -n 2 "$dir/loop" >"$dir/two" 2>"$dir/said" || { echo "the loop failed on 2 ranks"; cat "$dir/said"; exit 1; }
echo "# 2 ranks: $(cat "$dir/two")"
