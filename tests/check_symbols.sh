#!/bin/sh
# The shared library exports weft_* and nothing else; what is internal is named weft__* and stays hidden.
so=../lib/.libs/libweft.so
[ -r "$so" ] || { echo "no shared library was built"; exit 77; }
stray=$(nm -D --defined-only "$so" | awk '{print $3}' | grep -vE '^(weft_[a-z0-9]|_init$|_fini$)')
# An object that defines a global of another name would collide in a program that links it statically.
inner=$(nm --defined-only --extern-only ../lib/.libs/libweft-core.a 2>/dev/null | awk 'NF == 3 {print $3}' | grep -v '^weft_')
[ -z "$stray" ] || { echo "exported, but not weft_*:"; echo "$stray"; }
[ -z "$inner" ] || { echo "global, but not weft_* or weft__*:"; echo "$inner"; }
[ -z "$stray$inner" ]
