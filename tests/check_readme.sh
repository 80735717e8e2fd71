#!/bin/sh
# The program in README.md (the first ```c block with weft_open) compiles as printed, without a warning, everywhere.
readme=${srcdir:-.}/../README.md
[ -f "$readme" ] || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk '/^```c$/ { on = 1; text = ""; next }
     /^```/   { if (on && text ~ /weft_open/) { printf "%s", text; exit } on = 0 }
     on       { text = text $0 "\n" }' "$readme" >"$dir/readme.c"
[ -s "$dir/readme.c" ] || { echo "README.md shows no program"; exit 1; }
cp "$dir/readme.c" "$dir/readme.cc"
bad=0
for compiler in "gcc -std=c11:c" "clang -std=c11:c" "g++ -std=c++20:cc" "clang++ -std=c++20:cc"; do
    command -v "${compiler%% *}" >/dev/null || continue
    echo "# ${compiler%:*}"
    # shellcheck disable=SC2086  # words on purpose
    ${compiler%:*} -Wall -Wextra -Werror -pedantic -fsyntax-only -I"${srcdir:-.}/../include" "$dir/readme.${compiler#*:}" || bad=1
done
exit $bad
