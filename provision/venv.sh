#!/bin/bash
# Makes .venv from Debian's Python, with the project in it (editable, with the extra `test`) and
# Debian's Mininet, and nothing else of Debian's Python packages.
#
# Does nothing while setup.cfg, pyproject.toml, the project's place and Python are those of the last
# time; their hash is kept in .venv/made-from.
# Exit status: 0 it is there; 3 it could not be made, said in one sentence.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
# Whatever `python3` comes first in PATH may be one that other users cannot read.
python=/usr/bin/python3
mininet=/usr/lib/python3/dist-packages/mininet
stamp=.venv/made-from

fail() {
    printf 'provision: %s\n' "$1" >&2
    exit 3
}

[[ -x $python ]] || fail "$python is missing; as root run: apt-get install python3"
[[ -d $mininet ]] || fail "$mininet is missing; run provision/packages.sh run"

exec 9<setup.cfg # one at a time in this folder
flock 9

where="$PWD $(readlink -f "$python")"
hash=$(sha256sum setup.cfg pyproject.toml provision/venv.sh | sha256sum | cut -d' ' -f1)
made=$(cat "$stamp" 2>/dev/null || true)
[[ $made != "$where"$'\n'"$hash" ]] || exit 0

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" --version); the testbed needs 3.11 or newer (Debian 12 has it)"

# A virtual environment cannot move, and one that was interrupted cannot be trusted.
if [[ ${made%%$'\n'*} != "$where" ]]; then
    echo 'provision: makes the virtual environment .venv'
    rm -rf .venv
    "$python" -m venv .venv 9>&- || fail "$python -m venv cannot make .venv (see above)"
    ln -s "$mininet" "$(echo .venv/lib/python3*/site-packages)/mininet"
    echo "$where" >"$stamp"
fi

echo 'provision: installs the project and its Python packages into .venv'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --editable '.[test]' >"$log" 2>&1 9>&-; then
    cat "$log" >&2
    fail "pip cannot install the project: $(grep -o 'ERROR: .*' "$log" | tail -n 1 | sed 's/^ERROR: //')"
fi
printf '%s\n%s\n' "$where" "$hash" >"$stamp"
