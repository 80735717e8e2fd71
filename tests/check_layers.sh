#!/bin/sh
# lib/LAYERS lists lib's folders from the ground up, "name: what it may include".
# A folder may be granted only folders listed above it (so no cycle can form), and may include, as "name/...",
# only itself and what it is granted. Public headers <weft/...> are for everybody.
top=${srcdir:-.}/../lib
bad=0
above=" "
complain() { echo "$*"; bad=1; }

while IFS=: read -r d may; do
    for m in $may; do
        case "$above" in *" $m "*) ;; *) complain "LAYERS: $d may not name $m, which is not above it" ;; esac
    done
    above="$above$d "
    [ -d "$top/$d" ] || continue
    # shellcheck disable=SC2013  # words on purpose
    for inc in $(grep -rhoE '^ *# *include *"[a-z_.]+/' "$top/$d" | sed 's/.*"//; s,/$,,' | sort -u); do
        case " $d $may " in *" $inc "*) continue ;; esac
        complain "lib/$d includes \"$inc/...\", which LAYERS does not grant:"
        grep -rnE "^ *# *include *\"$inc/" "$top/$d"
    done
done <"$top/LAYERS"

for d in "$top"/*/; do
    d=$(basename "$d")
    case "$above" in *" $d "*) ;; *) [ -z "$(find "$top/$d" -name '*.[ch]')" ] || complain "LAYERS does not list $d" ;; esac
done
# Which devices exist is known to the device floor, and to the one table in comm.
stray=$(grep -rlE 'HAVE_(CUDA|NCCL)' "$top" --include='*.[ch]' | grep -vE '/lib/(device/|comm/|config\.h)')
[ -z "$stray" ] || complain "HAVE_CUDA above lib/device: $stray"
exit $bad
