#!/bin/bash
# Makes .venv from Debian's Python, with the project in it (editable, with the extra `test`) and
# Debian's Mininet, and nothing else of Debian's Python packages; and in folders of their own,
# .venv/foreign/NAME, the programs of provision/foreign.txt.
#
# Does nothing while setup.cfg, pyproject.toml, that list, the project's place and Python are those of
# the last time; their hash is kept in .venv/made-from.
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
files=(setup.cfg pyproject.toml provision/foreign.txt provision/venv.sh)
hash=$(sha256sum "${files[@]}" | sha256sum | cut -d' ' -f1)
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

pip() {
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        "${@:2}" >"$log" 2>&1 9>&-; then
        cat "$log" >&2
        fail "pip cannot install $1: $(grep -o 'ERROR: .*' "$log" | tail -n 1 | sed 's/^ERROR: //')"
    fi
}

echo 'provision: installs the project and its Python packages into .venv'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
pip 'the project' --editable '.[test]'
rm -rf .venv/foreign
while read -r program; do
    pip "$program" --no-deps --target ".venv/foreign/${program%%==*}" "$program" </dev/null
done < <(sed 's/ *#.*//; /^$/d' provision/foreign.txt)
printf '%s\n%s\n' "$where" "$hash" >"$stamp"
