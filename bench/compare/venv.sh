#!/bin/sh
# venv.sh DIR: a Python environment with PyTorch and Lightning from PyPI, for the comparison alone. Nothing of Weft needs it.
set -eu
[ $# = 1 ] || { echo "usage: venv.sh DIR" >&2; exit 2; }
[ -x "$1/bin/python" ] || python3 -m venv "$1"
"$1/bin/python" -c 'import torch, lightning, numpy' 2>/dev/null && exit 0
"$1/bin/python" -m pip install -q --index-url "${TORCH_INDEX:-https://pypi.org/simple}" torch lightning numpy
"$1/bin/python" -c 'import torch, lightning, numpy'
