#!/bin/sh
# run.sh BUILD [options of compare.py]: compares the Weft in that build directory with PyTorch and Lightning Fabric. They are
# taken from $WEFT_TORCH, by default ~/.cache/weft-torch, and installed there from PyPI if they are not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
venv=${WEFT_TORCH:-${XDG_CACHE_HOME:-$HOME/.cache}/weft-torch}
sh "$here/venv.sh" "$venv"
exec "$venv/bin/python" "$here/compare.py" "$@"
