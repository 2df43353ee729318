"""What a gateway's kernel does to packets that it forwards: its rules, timers and settings.

The rules of one node are one table, loaded and replaced as a whole or not at all.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

from testbed.engines.emulation import nft
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.nat_rules import EMPTY, TABLE, rules
from testbed.errors import LocalError, MissingFeature
from testbed.nat.table import ICMP_LIFETIME_S, OTHER_LIFETIME_S, TCP_LIFETIME_S
from testbed.topology import Nat, Ports, Rebinding

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_NETLINK_NETFILTER = 12
_CONNTRACK_DELETE = 1 << 8 | 2
_REQUEST, _ACK = 1, 4


class Forwarding:
    """One node's forwarding, off until `apply`.

    Args:
        namespace: the node's.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._applied: tuple[Nat, Sequence[str], str, Sequence[str]] | None = None
        self._has_rules = False
        self._forwards = False
        self._generation = 0
        self._rebinds_at: float | None = None

    @property
    def rebinds_at(self) -> float | None:
        """When the kind that is applied rebinds next by itself; None: never."""
        return self._rebinds_at

    @property
    def has_rules(self) -> bool:
        """Whether there are rules now."""
        return self._has_rules

    def apply(
        self,
        nat: Nat,
        inside: Sequence[str],
        outside: str,
        addresses: Sequence[str],
        now: float,
    ) -> None:
        """Forward between the node's interfaces, and translate what leaves by `outside`.

        Args:
            nat: the kind.
            inside: interfaces whose packets are translated.
            outside: the interface by which they leave.
            addresses: those of it.
            now: the time, by the clock of `tick`.

        Raises:
            BadInput: there is no inside, or outside is part of it, or it lacks an address.
            MissingFeature: no `nft` on this machine, or no nftables NAT in its kernel.
        """
        self._generation = 0
        self._applied = (nat, tuple(inside), outside, tuple(addresses))
        self._write_rules()
        self.route()
        self._rebinds_at = None
        if nat.rebinding is not Rebinding.NEVER:
            self._rebinds_at = now + nat.rebinds_after_s

    def route(self) -> None:
        """Forward between the node's interfaces; what is translated stays as it is.

        Raises:
            MissingFeature: the machine's settings cannot be written.
        """
        _set(self._namespace, "ipv4/ip_forward", "1")
        self._forwards = True

    def tick(self, now: float) -> None:
        """Rebind as often as is due by now."""
        while self._rebinds_at is not None and self._rebinds_at <= now:
            assert self._applied is not None
            self._rebinds_at += self._applied[0].rebinds_after_s
            self.rebind()

    def rebind(self) -> None:
        """Forget every binding; where the kind says so, others are given from now on."""
        if self._applied is None:
            return
        self._generation += 1
        # Nothing passes meanwhile: a packet of an old flow would teach the new rules its binding.
        _set(self._namespace, "ipv4/ip_forward", "0")
        self._write_rules()
        forget_bindings(self._namespace)
        self.route()

    def listen(self, port: int) -> None:
        """The node itself listens on that UDP port, so that packets from outside may reach it."""
        if self._has_rules:
            _load(self._namespace, f"add element {TABLE} listens {{ {port} }}\n")

    def remove(self) -> None:
        """Forward nothing; forget rules and bindings, as a gateway does that loses power."""
        self._applied = None
        self._rebinds_at = None
        if not self._forwards:
            return
        self._forwards = False
        _set(self._namespace, "ipv4/ip_forward", "0")
        if self._has_rules:
            _load(self._namespace, EMPTY)
            self._has_rules = False
            forget_bindings(self._namespace)

    def _write_rules(self) -> None:
        assert self._applied is not None
        nat, inside, outside, addresses = self._applied
        text = rules(nat, inside, outside, addresses, self._generation)
        if text == EMPTY and not self._has_rules:
            return
        _load(self._namespace, text)
        self._has_rules = text != EMPTY
        if self._has_rules:
            for name, value in timers(nat).items():
                _set(self._namespace, f"netfilter/{name}", str(value))


def timers(nat: Nat) -> dict[str, int]:
    """Connection tracking's own lifetimes, in seconds.

    UDP's are the kind's where it is the kernel's own; else the maps say, and these are what the
    gateway's own datagrams have.
    """
    udp_s, stream_s = 30.0, 120.0
    if nat.ports is Ports.OVERLOADING:
        udp_s, stream_s = nat.lifetime_s, nat.confirmed_lifetime_s or nat.lifetime_s
    return {
        "nf_conntrack_udp_timeout": round(udp_s),
        "nf_conntrack_udp_timeout_stream": round(stream_s),
        "nf_conntrack_icmp_timeout": round(ICMP_LIFETIME_S),
        "nf_conntrack_tcp_timeout_established": round(TCP_LIFETIME_S),
        "nf_conntrack_generic_timeout": round(OTHER_LIFETIME_S),
    }


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


def _set(namespace: Namespace, name: str, value: str) -> None:
    with namespace:
        try:
            with open(f"/proc/sys/net/{name}", "w") as setting:
                setting.write(value)
        except OSError as error:
            raise MissingFeature(
                f"{namespace.name}: cannot set net.{name.replace('/', '.')} ({error.strerror}); "
                "the lab needs a /proc/sys that it may write"
            ) from None


def _load(namespace: Namespace, text: str) -> None:
    complaint = nft.load(namespace, text, "NAT")
    if not complaint:
        return
    first = complaint.splitlines()[0]
    if "not supported" in complaint or "No such file" in complaint:
        raise MissingFeature(
            f"{namespace.name}: this kernel lacks what NAT needs of nftables: {first} "
            "(modprobe nft_masq nft_nat nft_chain_nat, as root)"
        )
    raise LocalError(f"{namespace.name}: nft refused the rules: {first}")
