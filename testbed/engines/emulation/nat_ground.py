"""A kernel's NAT under probe: a small street of its own, which leaves no binding behind.

Everything here is synchronous and done before a run's own world is built.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import select
import socket
import time
from collections.abc import Iterator, Sequence

from testbed.engines.emulation.forwarding import Forwarding, timers
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.nat_rules import rules
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.nodes import fresh_namespace
from testbed.errors import LocalError
from testbed.nat.behaviour import LOOKED_AT
from testbed.nat.ground import (
    INSIDE,
    NEIGHBOUR,
    ONE,
    OTHER_ADDRESS,
    OUTSIDE,
    Places,
    outside_addresses,
)
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Rebinding

_INSIDE_INTERFACES, _OUTSIDE_INTERFACE = ("eth0", "eth2"), "eth1"
_KEEPER_PORT, _OPEN_PORT = 9000, 53
"""A flow that every kind lets pass tells that what was sent before has arrived or never will."""
_WITHIN_S = 5.0
_RECEIVE_OCTETS = 2048
IP_RECVERR = 11
"""linux/in.h: ICMP errors are told to a socket that is not connected, too."""
REJECTED = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM)
"""What becomes of ICMP's "administratively prohibited" and its like."""


def fingerprint(nat: Nat) -> str:
    """Of the rules that this machine would load for the kind, its timers, its kernel, and what a
    probe looks at."""
    generations = (0,) if nat.rebinding is Rebinding.NEVER else (0, 1)
    ends = (_INSIDE_INTERFACES, _OUTSIDE_INTERFACE, outside_addresses(nat))
    texts = [rules(nat, *ends, generation) for generation in generations]
    if nat.rebinding is not Rebinding.NEVER:
        texts.append(f"{nat.rebinds_after_s:g}")
    kernel = f"{platform.release()} {platform.version()}"
    whole = "\n".join([kernel, f"{sorted(timers(nat).items())}", *LOOKED_AT, *texts])
    return hashlib.sha256(whole.encode()).hexdigest()


@contextlib.contextmanager
def kernel_ground(nat: Nat) -> Iterator[KernelGround]:
    """A street with a gateway of that kind; it is gone afterwards.

    Raises:
        MissingFeature: this machine lacks what the kind needs.
    """
    with on_one_processor():
        ground = KernelGround(nat)
        try:
            yield ground
        finally:
            ground.close()


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """There packets keep their order, on the way to and fro as well; every ground needs it."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class KernelGround:
    """A street: two insides, a gateway, and a server of two addresses.

    Args:
        nat: what the gateway does.

    Attributes:
        began: when it began to.
    """

    def __init__(self, nat: Nat) -> None:
        self._namespaces: dict[str, Namespace] = {}
        self._netlinks: dict[str, Netlink] = {}
        self._sockets: dict[Endpoint, socket.socket] = {}
        self._number = 0
        self._rejected = False
        self._sent = self.now()
        self.places = Places()
        try:
            self._wire(nat)
        except BaseException:
            self.close()
            raise

    def _wire(self, nat: Nat) -> None:
        for name in ("inside", "neighbour", "gateway", "server"):
            self._namespaces[name] = fresh_namespace(name)
            self._netlinks[name] = Netlink(self._namespaces[name])
        router, other_router = "192.168.1.1", "192.168.2.1"
        for gateway_end, peer, peer_address, address in (
            ("eth0", "inside", INSIDE, router),
            ("eth1", "server", ONE.address, OUTSIDE),
            ("eth2", "neighbour", NEIGHBOUR, other_router),
        ):
            self._netlinks["gateway"].add_veth(gateway_end, "eth0", self._namespaces[peer])
            for name, end, given in (
                ("gateway", gateway_end, address),
                (peer, "eth0", peer_address),
            ):
                self._netlinks[name].set_address(end, given, 24)
                self._netlinks[name].set_up(end)
        self._netlinks["server"].add_address("eth0", OTHER_ADDRESS.address, 24)
        for name, way in (("inside", router), ("neighbour", other_router), ("server", OUTSIDE)):
            self._netlinks[name].set_default_route(way)
        pool = outside_addresses(nat)
        for address in pool[1:]:
            self._netlinks["gateway"].add_address(_OUTSIDE_INTERFACE, address, 32)
        for name, ends in (("gateway", ("eth0", "eth1", "eth2")), ("server", ("eth0",))):
            for end in ends:
                while not self._netlinks[name].link(end).ready:
                    os.sched_yield()
        self._forwarding = Forwarding(self._namespaces["gateway"])
        self.began = self.now()
        self._forwarding.apply(nat, _INSIDE_INTERFACES, _OUTSIDE_INTERFACE, pool, self.began)

    # As a ground.  A rebinding that is due is done before a packet can tell, and never between a
    # packet and what tells that it has come.

    def was_rejected(self) -> bool:
        """Whether a packet that the remote did not see was refused by ICMP."""
        return self._rejected

    def outbound(self, inside: Endpoint, remote: Endpoint, payload: bytes = b"") -> Endpoint | None:
        """Send from inside; the source that the remote sees, None: it sees nothing."""
        self._forwarding.tick(self.now())
        data = self._send(inside, remote, payload)
        self._drain(inside.address, remote.address)
        refusal = self._sockets[inside].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._rejected |= refusal in REJECTED
        return self._source_of(data, remote)

    def inbound(self, remote: Endpoint, outside: Endpoint, insides: Sequence[Endpoint]) -> bool:
        """Send from outside; whether one of the insides gets it."""
        self._forwarding.tick(self.now())
        for each in insides:
            self._socket(each)
        data = self._send(remote, outside)
        self._sent = self.now()
        for address in {each.address for each in insides}:
            self._drain(address, remote.address)
        return any(self._source_of(data, each) is not None for each in insides)

    def sent(self) -> float:
        """When what was last sent from outside was on its way, at the latest."""
        return self._sent

    def outbound_alone(self, inside: Endpoint, remote: Endpoint) -> Endpoint | None:
        """As `outbound`, without a flow that tells when it has come: on one processor, what was
        sent into a namespace beside this one has come when the call that sent it is over."""
        return self._source_of(self._send(inside, remote), remote)

    def inbound_alone(self, remote: Endpoint, outside: Endpoint, inside: Endpoint) -> bool:
        """As `inbound`, likewise."""
        return self._source_of(self._send(remote, outside), inside) is not None

    def listen(self, local: Endpoint) -> None:
        """Bind a socket there."""
        self._socket(local)

    def release(self, local: Endpoint) -> None:
        """Give its socket back."""
        self._sockets.pop(local).close()

    def hairpin(self, inside: Endpoint, outside: Endpoint, target: Endpoint) -> Endpoint | None:
        """Send from inside to an outside endpoint; the source that the target sees."""
        self._forwarding.tick(self.now())
        self._socket(target)
        data = self._send(inside, outside)
        self._drain(inside.address, ONE.address)
        self._drain(target.address, ONE.address)
        return self._source_of(data, target)

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def wait_until(self, when: float) -> None:
        """Let time pass: lifetimes are made of it."""
        time.sleep(max(0.0, when - self.now()))

    def close(self) -> None:
        """Give everything back to the kernel."""
        for each in self._sockets.values():
            each.close()
        for netlink in self._netlinks.values():
            netlink.close()
        for namespace in self._namespaces.values():
            namespace.close()

    def _socket(self, local: Endpoint) -> socket.socket:
        if local not in self._sockets:
            name = {INSIDE: "inside", NEIGHBOUR: "neighbour"}.get(local.address, "server")
            made = self._namespaces[name].socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[local] = made
            made.bind((local.address, local.port))
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        return self._sockets[local]

    def _send(self, source: Endpoint, destination: Endpoint, payload: bytes = b"") -> bytes:
        self._number += 1
        data = payload + b"%06d" % self._number
        if destination.address in (ONE.address, OTHER_ADDRESS.address):
            self._socket(destination)
        while True:
            try:
                self._socket(source).sendto(data, (destination.address, destination.port))
                break
            except OSError as error:  # an ICMP error about an earlier one
                self._heard_error(error)
        return data

    def _source_of(self, data: bytes, at: Endpoint) -> Endpoint | None:
        """Where the datagram came from that is there by now."""
        while True:
            try:
                found, (address, port) = self._socket(at).recvfrom(_RECEIVE_OCTETS)
            except BlockingIOError:
                return None
            except OSError as error:  # an ICMP error about what this socket sent
                self._heard_error(error)
                continue
            if found == data:
                return Endpoint(address, port)

    def _heard_error(self, error: OSError) -> None:
        self._rejected |= error.errno in REJECTED

    def _drain(self, inside: str, remote: str) -> None:
        """Wait until what was sent before has arrived, or never will."""
        here, there = Endpoint(inside, _KEEPER_PORT), Endpoint(remote, _OPEN_PORT)
        source = self._await(self._send(here, there), there)
        self._await(self._send(there, source), here)

    def _await(self, data: bytes, at: Endpoint) -> Endpoint:
        until = self.now() + _WITHIN_S
        while (source := self._source_of(data, at)) is None:
            if not select.select([self._socket(at)], [], [], max(0.0, until - self.now()))[0]:
                raise LocalError(
                    f"the probe of a NAT: a packet to {at} did not arrive within {_WITHIN_S:g} s, "
                    "which every kind lets pass; this machine drops forwarded packets"
                )
        return source
