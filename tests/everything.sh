#!/bin/bash
# Everything that can fail: ruff, mypy and every test but the soak, in parallel, and one last word.
#
#   tests/everything.sh [--lint] [PYTEST-OPTION...]
#
# Exit status: 0 when all passed, else 1.
set -uo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
lint_only=
if [[ ${1-} == --lint ]]; then
    lint_only=1
    shift
fi
bin=.venv/bin
said=$(mktemp)
trap 'rm -f "$said"' EXIT
declare -A status

# mypy takes its time on one core, while the tests have the terminal.
"$bin/mypy" >"$said" 2>&1 &
mypy=$!

"$bin/ruff" check --quiet .
status[ruff check]=$?
"$bin/ruff" format --check --quiet --diff .
status[ruff format]=$?
if [[ -z $lint_only ]]; then
    # One worker more than there are cores: a lab waits, for real clocks, half of its time.
    "$bin/python" -m pytest -q -n "$(($(nproc) + 1))" --dist worksteal -m 'not soak' "$@"
    status[pytest]=$?
fi
wait "$mypy"
status[mypy]=$?
((status[mypy] == 0)) || cat "$said"

failed=0
echo
for name in 'ruff check' 'ruff format' mypy pytest; do
    [[ -n ${status[$name]-} ]] || continue
    if ((status[$name] == 0)); then word=passed; else word="FAILED (status ${status[$name]})" failed=1; fi
    printf '%-12s %s\n' "$name" "$word"
done
if ((failed)); then echo 'Something failed; see above.'; else echo 'Everything passed.'; fi
exit "$failed"
