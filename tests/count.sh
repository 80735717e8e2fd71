#!/bin/sh
# count.sh DIR [RC]: shows the logs of the tests that failed under DIR, then one last line "N passed, N failed, N skipped".
# Counted are Check's cases (once per program, however many ranks ran it), and one for a test without Check.
# RC is what make returned: a failure without a failed test (one that did not compile) counts as one.
dir=$1 rc=${2:-0}
for t in $(find "$dir" -name '*.trs' | sort); do
    log=${t%.trs}.log
    result=$(sed -n 's/^:test-result: *//p' "$t" | head -n 1)
    case $result in PASS* | XFAIL* | SKIP*) ;; *) { echo "=== $result: $log"; tail -n 100 "$log"; } >&2 ;; esac
    echo "$result"
    grep -aho 'Checks: [0-9]*, Failures: [0-9]*, Errors: [0-9]*' "$log"
done | awk -v rc="$rc" '
function add() {
    if (result ~ /^(PASS|XFAIL)/) passed += n ? n : 1
    else if (result ~ /^SKIP/) skipped++
    else if (result) { if (!bad) bad = 1; failed += bad; if (n > bad) passed += n - bad }
    n = bad = 0
}
/^Checks/ { gsub(/[^0-9 ]/, ""); if ($1 > n) n = $1; if ($2 + $3 > bad) bad = $2 + $3; next }
{ add(); result = $1 }
END {
    add()
    if (rc != 0 && !failed) failed = 1
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed > 0
}'
