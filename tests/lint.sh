#!/bin/sh
# Size budgets of lib/ and tools/: a file fits the head, a function fits the screen.
#   files      none over 400 lines, median <= 120
#   functions  none over 70 lines, 9 of 10 <= 35, median <= 12   (between the braces in column 1)
# `lint.sh format` (make lint) also compares all sources with .clang-format.
top=${srcdir:-.}/..
sizes=$(mktemp)
trap 'rm -f "$sizes"' EXIT
bad=0

# judge WHAT MAX P90 MEDIAN: the file of "size name" lines against its limits
judge() {
    sort -n "$sizes" | awk -v what="$1" -v max="$2" -v p90="$3" -v median="$4" '
        { size[NR] = $1; if ($1 > max) { print what " too long: " $0; bad = 1 } }
        END {
            if (!NR) exit 0
            m = size[int((NR + 1) / 2)]; p = size[int((NR * 9 + 9) / 10)]
            printf "%d %ss: median %d (<= %d), p90 %d (<= %d), longest %d (<= %d)\n", NR, what, m, median, p, p90, size[NR], max
            exit bad || m > median || p > p90
        }' || bad=1
}

sources=$(find "$top/lib" "$top/tools" -name '*.c' -o -name '*.cu' | sort)
[ -n "$sources" ] || exit 0
# shellcheck disable=SC2086  # one word per file on purpose, here and below
wc -l $sources | grep -v ' total$' >"$sizes"
judge file 400 400 120
# shellcheck disable=SC2086
awk '/^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
     /^\{/ { start = FNR }
     /^\}/ { if (start) print FNR - start - 1, name, FILENAME; start = 0 }' $sources >"$sizes"
judge function 70 35 12

if [ "$1" = format ]; then
    if command -v clang-format >/dev/null; then
        off=$(find "$top/lib" "$top/include" "$top/tests" "$top/tools" "$top/examples" "$top/bench" -name '*.[ch]' |
              sort | grep -v '/config\.h$' | xargs clang-format --style=file --dry-run 2>&1 | grep -c 'Wclang-format')
        echo "clang-format: $off places differ"
        [ "$off" = 0 ] || bad=1
    else
        echo "clang-format: not here"
    fi
fi
exit $bad
