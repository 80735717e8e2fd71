#!/bin/sh
# The example with an op and a module of the user's own finds what it looks for, and says so when it cannot.
program=../examples/custom_op
[ -x "$program" ] || { echo "no $program"; exit 77; }
said=$($program) || { echo "it failed: $said"; exit 1; }
echo "$said"
case $said in *"conductivity 5.0"*) ;; *) echo "that is not the conductivity"; exit 1 ;; esac
if $program --precision=32-true 2>said.tmp; then echo "f32 was not refused"; rm -f said.tmp; exit 1; fi
grep -q 'heat: it computes in f64' said.tmp; told=$?
rm -f said.tmp
[ $told = 0 ] || { echo "the op did not name itself"; exit 1; }
