"""What a gateway does to packets that it forwards: the kernel's forwarding and its nftables rules.

The rules of one node are one table, loaded and replaced as a whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence

from testbed.engines.emulation.namespace import Namespace
from testbed.errors import BadInput, LocalError, MissingFeature
from testbed.topology import Nat

_TABLE = "ip testbed_nat"
# To name a table makes it, so that the deletion after it cannot fail.
_EMPTY = f"table {_TABLE}\ndelete table {_TABLE}\n"
_SYSTEM_FOLDERS = "/usr/sbin:/sbin"
# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_NETLINK_NETFILTER = 12
_CONNTRACK_DELETE = 1 << 8 | 2
_REQUEST, _ACK = 1, 4


def rules(nat: Nat, inside: Sequence[str], outside: str) -> str:
    """The node's whole table, as `nft -f` takes it; it replaces what was there.

    Args:
        nat: the kind.
        inside: interfaces whose packets are translated.
        outside: the interface by which they leave.

    Raises:
        BadInput: there is no inside, or outside is part of it.
    """
    if not inside or outside in inside:
        raise BadInput(
            f"translation needs inside interfaces other than the outside one: "
            f"inside is {', '.join(inside) or 'none'}, outside is {outside}"
        )
    if nat is Nat.NONE:
        return _EMPTY
    names = ", ".join(f'"{name}"' for name in inside)
    # Packets that conntrack cannot place (a segment of a connection that it has forgotten) are not
    # translated and would leave with an inside address.  From outside there is no way in but by a
    # translation: no one may address the inside directly.
    return (
        f"{_EMPTY}"
        f"table {_TABLE} {{\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter; policy accept;\n"
        f'    oifname "{outside}" ct state invalid drop\n'
        f'    iifname "{outside}" ct state != {{ established, related }} drop\n'
        "  }\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n"
        f'    iifname {{ {names} }} oifname "{outside}" masquerade\n'
        "  }\n"
        "}\n"
    )


class Forwarding:
    """One node's forwarding, off until `apply`.

    Args:
        namespace: the node's.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._has_rules = False
        self._forwards = False

    def apply(self, nat: Nat, inside: Sequence[str], outside: str) -> None:
        """Forward between the node's interfaces, and translate what leaves by `outside`.

        Raises:
            BadInput: there is no inside, or outside is part of it.
            MissingFeature: no `nft` on this machine, or no nftables NAT in its kernel.
        """
        text = rules(nat, inside, outside)
        if nat is not Nat.NONE or self._has_rules:
            _load(self._namespace, text)
            self._has_rules = nat is not Nat.NONE
        self.route()

    def route(self) -> None:
        """Forward between the node's interfaces; what is translated stays as it is.

        Raises:
            MissingFeature: the machine's settings cannot be written.
        """
        _set_forwarding(self._namespace, True)
        self._forwards = True

    def rebind(self) -> None:
        """Forget every binding."""
        forget_bindings(self._namespace)

    def remove(self) -> None:
        """Forward nothing; forget rules and bindings, as a gateway does that loses power."""
        if self._forwards:
            _set_forwarding(self._namespace, False)
            self._forwards = False
        if self._has_rules:
            _load(self._namespace, _EMPTY)
            self._has_rules = False
            forget_bindings(self._namespace)


def forget_bindings(namespace: Namespace) -> None:
    """Empty the node's conntrack table.

    Raises:
        MissingFeature: the kernel has no conntrack netlink.
    """
    request = struct.pack("=IHHIIBBH", 20, _CONNTRACK_DELETE, _REQUEST | _ACK, 1, 0, 0, 0, 0)
    try:
        with namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as asking:
            asking.send(request)
            number = -struct.unpack_from("=i", asking.recv(4096), 16)[0]
    except OSError as error:
        number = error.errno or 0
    if number:
        raise MissingFeature(
            f"{namespace.name}: the kernel cannot empty the NAT's table ({os.strerror(number)}); "
            "it needs nf_conntrack_netlink (modprobe nf_conntrack_netlink, as root)"
        )


def _set_forwarding(namespace: Namespace, forwards: bool) -> None:
    with namespace:
        try:
            with open("/proc/sys/net/ipv4/ip_forward", "w") as setting:
                setting.write("1" if forwards else "0")
        except OSError as error:
            raise MissingFeature(
                f"{namespace.name}: cannot set net.ipv4.ip_forward ({error.strerror}); "
                "the lab needs a /proc/sys that it may write"
            ) from None


def _nft() -> str:
    found = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if found is None:
        raise MissingFeature(
            "the program nft is not on this machine, and NAT needs it (apt install nftables)"
        )
    return found


def _load(namespace: Namespace, text: str) -> None:
    program = _nft()
    with namespace:  # the process is born inside; it is waited for outside
        process = subprocess.Popen(
            [program, "-f", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    _, complaint = process.communicate(text)
    if process.returncode == 0:
        return
    first = complaint.strip().splitlines()[0] if complaint.strip() else "no reason given"
    if "not supported" in complaint or "No such file" in complaint:
        raise MissingFeature(
            f"{namespace.name}: this kernel lacks what NAT needs of nftables: {first} "
            "(modprobe nft_masq nft_nat nft_chain_nat, as root)"
        )
    raise LocalError(f"{namespace.name}: nft refused the rules: {first}")
