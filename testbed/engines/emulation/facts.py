"""What this machine has, what each gap costs, and how to mend it.

`facts()` puts together what `probes` tried, which settings `restrictions` found, which programs are
installed, and the Python libraries.  It changes nothing and leaves nothing behind.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.engines.emulation import probes, restrictions

DISTRIBUTION = "hnb-testbed"
_INSTALL = "sudo apt-get install --no-install-recommends"
_TRY_WITHIN_S = 60
"""An emulated processor that others keep busy takes more than 20 s, modules included."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that this machine has or has not.

    Attributes:
        area: "kernel", "programs", "AppArmor" or "Python".
        name: what it is.
        present: it is there and works.
        detail: the version where present, else why not.
        cost: what cannot be done without it.
        remedy: one command that mends it.
        needed: `testbed run` cannot work without it.
    """

    area: str
    name: str
    present: bool
    detail: str
    cost: str
    remedy: str
    needed: bool


@dataclass(frozen=True, slots=True)
class _Feature:
    probe: str
    name: str
    cost: str
    remedy: str
    needed: bool = False


_DEBIAN_KERNEL = f"{_INSTALL} linux-image-amd64 && sudo reboot"

_FEATURES = (
    _Feature("veth", "veth pairs", "no links between nodes", "sudo modprobe veth", True),
    _Feature("bridge", "bridges", "no links of more than two nodes", "sudo modprobe bridge", True),
    _Feature("packet_socket", "AF_PACKET", "no capture", "sudo modprobe af_packet", True),
    _Feature("nftables", "nftables NAT", "no gateway", "sudo modprobe nft_masq", True),
    _Feature("conntrack", "connection tracking", "no gateway", "sudo modprobe nft_ct", True),
    _Feature("tun", "TUN devices", "no IPsec tunnel in user space", "sudo modprobe tun"),
    _Feature(
        "netem",
        "netem",
        "links that delay or lose are carried by our own relay (docs/links.md)",
        f"sudo modprobe sch_netem || {{ {_DEBIAN_KERNEL}; }}",
    ),
    _Feature(
        "kernel_esp",
        "kernel ESP (esp4)",
        "IPsec in user space only (kernel-libipsec)",
        f"sudo modprobe esp4 || {{ {_DEBIAN_KERNEL}; }}",
    ),
    _Feature(
        "xfrm_interface",
        "XFRM interfaces",
        "IPsec in user space only (kernel-libipsec)",
        f"sudo modprobe xfrm_interface || {{ {_DEBIAN_KERNEL}; }}",
    ),
    _Feature(
        "sctp",
        "SCTP",
        "no SCTP towards an HNB-GW",
        f"sudo modprobe sctp || {{ {_DEBIAN_KERNEL}; }}",
    ),
    _Feature(
        "vlan",
        "VLAN (802.1Q)",
        "no tagged links",
        f"sudo modprobe 8021q || {{ {_DEBIAN_KERNEL}; }}",
    ),
    _Feature(
        "open_vswitch",
        "Open vSwitch datapath",
        "no OVSSwitch in Mininet; bridges serve",
        f"sudo modprobe openvswitch || {{ {_DEBIAN_KERNEL}; }}",
    ),
)


@dataclass(frozen=True, slots=True)
class _Program:
    name: str
    executable: str
    package: str
    cost: str
    needed: bool = False


_PROGRAMS = (
    _Program("mnexec", "mnexec", "mininet", "no programs in nodes at the prompt", True),
    _Program("nftables", "nft", "nftables", "no gateway", True),
    _Program("iproute2", "ip", "iproute2", "no `ip` at the prompt; kernel features untried", True),
    _Program("ping", "ping", "iputils-ping", "no pingall at the prompt"),
    _Program("ifconfig", "ifconfig", "net-tools", "no ifconfig at the prompt"),
    _Program("iperf", "iperf", "iperf", "no iperf at the prompt"),
    _Program("tshark", "tshark", "tshark", "no second decoder in tests"),
    _Program("udhcpc", "udhcpc", "udhcpc", "no foreign DHCP client in tests"),
    _Program("dig", "dig", "bind9-dnsutils", "no foreign DNS client in tests"),
    _Program("brctl", "brctl", "bridge-utils", "no stock LinuxBridge to measure against"),
    _Program("ethtool", "ethtool", "ethtool", "no look at offloads in tests"),
    _Program("newuidmap", "newuidmap", "uidmap", "daemons that change their user fail in a lab"),
    _Program("charon", "charon-systemd", "charon-systemd", "no IPsec: no tunnel to a SeGW"),
    _Program("dnsmasq", "dnsmasq", "dnsmasq-base", "no cast dnsmasq"),
    _Program("BIND", "named", "bind9", "no cast bind"),
    _Program("Kea", "kea-dhcp4", "kea-dhcp4-server", "no cast kea"),
    _Program("tcpdump", "tcpdump", "tcpdump", "none to the testbed, which captures by itself"),
    _Program("Open vSwitch", "ovs-vsctl", "openvswitch-switch", "no OVSSwitch in Mininet"),
)

_CHARON_PLUGINS = (
    (
        "kernel-libipsec",
        "ipsec/plugins/libstrongswan-kernel-libipsec.so",
        "libcharon-extra-plugins",
        "no IPsec in user space",
    ),
    (
        "charon's OpenSSL",
        "ipsec/plugins/libstrongswan-openssl.so",
        "libstrongswan-standard-plugins",
        "no IPsec: no elliptic curves",
    ),
    (
        "libfaketime",
        "*/faketime/libfaketime.so.1",
        "libfaketime",
        "no tunnels of a node whose date is wrong",
    ),
)

# These start a daemon when installed; so does no package of provision/packages.txt.
_STARTS_A_DAEMON = {"charon-systemd", "bind9", "kea-dhcp4-server", "openvswitch-switch"}


def facts() -> list[Fact]:
    """Everything that is known of this machine, what `testbed run` needs first in each area."""
    trying = subprocess.Popen(
        [sys.executable, "-m", probes.__name__], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    programs = [*_programs(), *_charon_plugins()]
    python = list(_python())
    try:
        answer, complaint = trying.communicate(timeout=_TRY_WITHIN_S)
    except subprocess.TimeoutExpired:
        trying.kill()
        answer, complaint = trying.communicate()
    tried: probes.Outcomes = json.loads(answer) if trying.returncode == 0 else {}
    words = complaint.decode().strip().splitlines()
    why_none = words[-1] if words else f"trying took more than {_TRY_WITHIN_S} s"
    return [*_kernel(tried, f"{probes.UNTRIED}: {why_none}"), *programs, *_app_armor(), *python]


def missing(found: list[Fact]) -> list[Fact]:
    """The facts that keep `testbed run` from working."""
    return [fact for fact in found if fact.needed and not fact.present]


def _kernel(tried: probes.Outcomes, why_none: str) -> Iterator[Fact]:
    def outcome(name: str) -> str | None:
        return tried.get(name, why_none)

    ordinary = os.geteuid() != 0
    forbidden = restrictions.on_user_namespaces()
    reason = outcome("user_namespaces")
    blamed = "".join(f"; {restriction.what}" for restriction in forbidden)
    lift = " && ".join(restriction.remedy for restriction in forbidden)
    lift = lift or "sudo .venv/bin/testbed ..."
    yield Fact(
        "kernel",
        "user namespaces",
        reason is None,
        "for ordinary users" if reason is None else reason + blamed,
        "labs only as root (sudo)",
        lift,
        needed=ordinary,
    )
    reason = outcome("namespaces")
    yield Fact(
        "kernel",
        "mount, pid, net namespaces",
        reason is None,
        f"Linux {platform.release()}" if reason is None else reason,
        "no lab",
        lift
        if ordinary
        else "docker run --privileged ... (or leave the container that forbids it)",
        needed=True,
    )
    for feature in _FEATURES:
        reason = outcome(feature.probe)
        remedy = feature.remedy
        if feature.probe == "tun" and reason == os.strerror(13):
            remedy = "sudo chmod 666 /dev/net/tun"
        if reason and reason.startswith(probes.UNTRIED):
            remedy = "mend the namespaces first"
        yield Fact(
            "kernel",
            feature.name,
            reason is None,
            reason or "",
            feature.cost,
            remedy,
            feature.needed,
        )


def _programs() -> Iterator[Fact]:
    paths = {
        program.executable: shutil.which(program.executable, path=probes.SYSTEM_PATH)
        for program in _PROGRAMS
    }
    versions = _debian_versions()
    for program in _PROGRAMS:
        path = paths[program.executable]
        remedy = f"{_INSTALL} {program.package}"
        if program.package in _STARTS_A_DAEMON:
            remedy += " (starts a daemon on this machine: see docs/how_to_install.md)"
        version = versions.get(program.package)
        detail = f"{version} ({path})" if version else f"{path}, from no package of Debian"
        yield Fact(
            "programs",
            program.name,
            path is not None,
            detail if path else f"no {program.executable}",
            program.cost,
            remedy,
            program.needed,
        )


def _charon_plugins() -> Iterator[Fact]:
    """What charon needs besides itself, in packages of their own."""
    for name, file, package, cost in _CHARON_PLUGINS:
        found = sorted(Path("/usr/lib").glob(file))
        yield Fact(
            "programs",
            name,
            bool(found),
            str(found[0]) if found else f"no /usr/lib/{file}",
            cost,
            f"{_INSTALL} {package}",
            needed=False,
        )


def _debian_versions() -> dict[str, str]:
    """Installed version of each package of ours; asked in one call, and no program is started."""
    query = shutil.which("dpkg-query", path=probes.SYSTEM_PATH)
    if query is None:
        return {}
    done = subprocess.run(
        [
            query,
            "--show",
            "--showformat=${db:Status-Status} ${Package} ${Version}\n",
            *(program.package for program in _PROGRAMS),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def _app_armor() -> Iterator[Fact]:
    confined = restrictions.on_programs()
    state = "AppArmor is on" if restrictions.app_armor_is_on() else "AppArmor is off"
    if not confined:
        yield Fact("AppArmor", "programs unconfined", True, state, "", "", needed=False)
    for program, restriction in confined.items():
        yield Fact(
            "AppArmor",
            f"{program} unconfined",
            False,
            restriction.what,
            f"{program} started by hand cannot read a run's folder (casts run a copy, which can)",
            restriction.remedy,
            needed=False,
        )


def _python() -> Iterator[Fact]:
    enough = sys.version_info >= (3, 11)
    yield Fact(
        "Python",
        "Python",
        enough,
        f"{platform.python_version()} ({sys.executable})",
        "nothing works",
        f"{_INSTALL} python3",
        needed=True,
    )
    yield _mininet()
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Fact(
            "Python", DISTRIBUTION, False, "not installed", "nothing works", "make set-up-run", True
        )
        return
    for requirement in requirements:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        needed = "extra ==" not in requirement
        try:
            version, present = importlib.metadata.version(name), True
        except importlib.metadata.PackageNotFoundError:
            version, present = "not installed", False
        cost = "testbed run" if needed else "make test"
        yield Fact("Python", name, present, version, f"no {cost}", "make set-up-test", needed)


def _mininet() -> Fact:
    try:
        from mininet.net import VERSION

        present, detail = True, str(VERSION)
    except ImportError as error:
        present, detail = False, str(error)
    remedy = "provision/packages.sh run && provision/venv.sh"
    return Fact("Python", "mininet", present, detail, "no topology, no prompt", remedy, needed=True)
