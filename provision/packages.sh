#!/bin/bash
# Installs the Debian packages of provision/packages.txt that this machine lacks.
#
#   provision/packages.sh run     what `make run` needs
#   provision/packages.sh test    that, and what `make test` needs
#   provision/packages.sh vm      that, and what `make vm-test` needs
#
# No daemon is started by it: while apt runs, /usr/sbin/policy-rc.d forbids that (exit 101), and
# units and init scripts that a package enables for the next boot are disabled again.  An existing
# policy-rc.d is put aside and comes back, on failure and on Ctrl-C too (which lets dpkg finish what
# it has begun).
# Exit status: 0 all there; 2 wrong usage; 3 something could not be installed, said in one sentence.
set -euo pipefail

list=$(dirname "$(readlink -f "$0")")/packages.txt
policy=/usr/sbin/policy-rc.d
kept=$policy.before-hnb-testbed
mark='put here by the HNB testbed while apt runs'
wait_s=300
log=
shield=

fail() {
    printf 'provision: %s\n' "$1" >&2
    exit 3
}

# The packages of a section of the list; each section includes those before it.
wanted() {
    awk -v last="$1" '
        { sub(/#.*/, "") }
        /^\[/ { gsub(/[][ \t]/, ""); if (seen) exit; if ($0 == last) seen = 1; next }
        NF { print $1 }
    ' "$list"
}

missing() {
    local known
    known=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null) || true
    for package; do
        grep -qx "$package installed" <<<"$known" || printf '%s\n' "$package"
    done
}

# apt, quiet, its words in $log.  It waits by itself for dpkg's lock but not for that of its lists.
apt() {
    local deadline=$((SECONDS + wait_s))
    # shellcheck disable=SC2086  # two words, or none
    until DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 $shield apt-get -qq -y \
        -o "DPkg::Lock::Timeout=$wait_s" -o Dpkg::Options::=--force-confold "$@" \
        </dev/null >"$log" 2>&1 9>&-; do
        if ! grep -q 'Could not get lock' "$log" || ((SECONDS > deadline)); then return 1; fi
        sleep 2
    done
}

# Ctrl-C stops the download at once; but it would break dpkg off between two packages and leave the
# machine to be mended by hand, so dpkg runs out of its reach, and the script ends after it.
install_packages() {
    apt install --download-only --no-install-recommends --no-remove "$@" &&
        shield='setsid --wait' apt install --no-install-recommends --no-remove "$@"
}

# What systemd starts at the next boot.
enabled_units() {
    { find /etc/systemd/system -path '*.wants/*' -printf '%f\n' 2>/dev/null || true; } | sort -u
}

# The scripts that init starts at the next boot; systemd too starts those that no unit replaces.
enabled_scripts() {
    { find /etc/rc[2-5].d -name 'S[0-9][0-9]*' -printf '%f\n' 2>/dev/null || true; } |
        sed 's/^S[0-9][0-9]//' | sort -u
}

forbid_daemons() {
    if grep -qs "$mark" "$policy"; then rm -f "$policy"; fi # left by a run that was killed
    if [[ -e $policy || -L $policy ]]; then mv -f "$policy" "$kept"; fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
}

allow_daemons() {
    if grep -qs "$mark" "$policy"; then rm -f "$policy"; fi
    if [[ -e $kept || -L $kept ]]; then mv "$kept" "$policy"; fi
}

as_root() {
    local units scripts name
    exec 9</usr/sbin # one installation at a time on this machine
    flock --timeout "$wait_s" 9 || fail "another installation of the testbed still runs after $wait_s s"
    log=$(mktemp)
    trap 'allow_daemons; rm -f "$log"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    forbid_daemons
    mapfile -t packages < <(missing "$@") # another one may have installed them meanwhile
    ((${#packages[@]})) || return 0
    printf 'provision: installs %d Debian packages: %s\n' "${#packages[@]}" "${packages[*]}"
    # May ordinary users capture?  Where wireshark-common is there already, its owner has answered.
    if [[ " ${packages[*]} " == *" tshark "* && -n $(missing wireshark-common) ]]; then
        debconf-set-selections <<<'wireshark-common wireshark-common/install-setuid boolean false'
    fi
    units=$(enabled_units)
    scripts=$(enabled_scripts)
    # Package lists that are empty or old make the first try fail: then they are fetched.
    if ! install_packages "${packages[@]}"; then
        apt update || fail "Debian's package lists cannot be fetched: $(reason); check the network and /etc/apt"
        install_packages "${packages[@]}" ||
            fail "apt-get cannot install ${packages[*]}: $(reason)"
    fi
    # deb-systemd-helper works with and without a running systemd, but for dpkg's scripts only.
    while read -r name; do
        [[ -z $name ]] || DPKG_MAINTSCRIPT_PACKAGE=hnb-testbed deb-systemd-helper disable "$name" \
            >"$log" 2>&1 || fail "$name would start at the next boot; as root run: systemctl disable $name"
    done < <(comm -13 <(printf '%s\n' "$units") <(enabled_units))
    while read -r name; do
        [[ -z $name ]] || update-rc.d "$name" disable >"$log" 2>&1 ||
            fail "$name would start at the next boot; as root run: update-rc.d $name disable"
    done < <(comm -13 <(printf '%s\n' "$scripts") <(enabled_scripts))
}

# The first error that apt named.
reason() { grep -m1 '^E: ' "$log" | sed 's/^E: //' || tail -n 1 "$log"; }

main() {
    [[ $# -eq 1 && $1 =~ ^(run|test|vm)$ ]] || {
        echo 'usage: provision/packages.sh run|test|vm' >&2
        exit 2
    }
    local packages script
    mapfile -t all < <(wanted "$1")
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        fail "this is no Debian; install what Debian calls: ${all[*]}"
    mapfile -t packages < <(missing "${all[@]}")
    if ((${#packages[@]} == 0)) && ! grep -qs "$mark" "$policy"; then exit 0; fi
    if ((EUID == 0)); then
        as_root "${all[@]}"
        exit 0
    fi
    script=$(readlink -f "$0")
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        echo "provision: Debian packages are missing (${packages[*]}); sudo may ask for your password"
        sudo -- "$script" "$1" || exit 3
        exit 0
    fi
    # Not apt-get itself, which would start daemons.
    fail "Debian packages are missing (${packages[*]}) and neither root nor sudo is at hand; as root run: $script $1"
}

main "$@"
