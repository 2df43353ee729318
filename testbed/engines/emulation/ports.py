"""UDP ports of an emulated node, drained by reader callbacks of the loop.

Besides the kernel's UDP there are three ways past it, for DHCP: sending to a hardware address
without ARP, sending from a bare interface to everybody, and receiving on a bare interface what is
sent to an address that the node does not hold yet.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.packets import ETHERTYPE_IPV4, read_udp, udp_packet
from testbed.errors import LocalError
from testbed.host import DatagramHandler, Interface
from testbed.protocols.wire import BROADCAST, Endpoint

ANY_ADDRESS = "0.0.0.0"
_EVERY_HARDWARE_ADDRESS = "ff:ff:ff:ff:ff:ff"
AT_A_TIME = 64
"""Datagrams that a port takes before others of the loop have their turn."""
RECEIVE_BUFFER_OCTETS = 4 << 20

# linux/in.h, asm-generic/socket.h: what Python 3.11 has no names for.
_IP_PKTINFO = 8
_SO_RCVBUFFORCE = 33
_SO_ATTACH_FILTER = 26
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8
_LEARNED_MOST = 4096

LOST = frozenset(
    {
        errno.EAGAIN,
        errno.ECONNREFUSED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOBUFS,
        errno.ENODEV,
        errno.ENXIO,
        errno.EPERM,
    }
)
"""What the network may refuse: the datagram is lost and nobody hears of it, as on any network."""


class PortOwner(Protocol):
    """What a port needs of its host."""

    name: str
    namespace: Namespace
    interfaces: Mapping[str, Interface]

    def address_of(self, interface: str) -> str | None:
        """The interface's address."""

    def tell(self, event: str, **fields: Any) -> None:
        """An event of the node."""

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call; an exception is the node's crash."""

    def forget(self, port: Any) -> None:
        """The port has closed."""


@lru_cache(maxsize=4096)
def family_of(address: str) -> socket.AddressFamily:
    """IPv4 or IPv6, by the form of an address.

    Raises:
        LocalError: it is no address.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except OSError:
            continue
        return family
    raise LocalError(
        f"{address!r} is no IP address; look the name up first, on the node's own wire"
    )


@lru_cache(maxsize=65536)
def require_address(address: str) -> str:
    """The address itself, if it is one: Python would ask a name server of the host for a name.

    Raises:
        LocalError: it is no IPv4 address.
    """
    try:
        socket.inet_pton(socket.AF_INET, address)
    except OSError:
        raise LocalError(
            f"{address!r} is no IPv4 address; look the name up first, on the node's own wire"
        ) from None
    return address


endpoint_of = lru_cache(maxsize=65536)(Endpoint)
"""The endpoint of an address and a port: the same one each time that it is heard of."""


def enlarge_receive_buffer(receiver: socket.socket, octets: int) -> None:
    """As much as the kernel allows: the whole to root, up to `net.core.rmem_max` to others."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def attach_filter(receiver: socket.socket, *instructions: tuple[int, int, int, int]) -> None:
    """Let the kernel keep only what a classic BPF program of (code, true, false, k) accepts."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in instructions))
    program = struct.pack("HP", len(instructions), ctypes.addressof(code))  # struct sock_fprog
    receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def close_aside(packets: socket.socket) -> None:
    """Close a packet socket in a thread of its own.

    The kernel lets go of it only after a grace period, some 10 ms; whoever closed it in the loop
    would hold up every node for so long.  Those that are closed at once share one period.
    """
    threading.Thread(target=packets.close, name="closes a packet socket").start()


class UdpPort:
    """A bound UDP port.  Fits `testbed.host.Port`.

    Args:
        owner: its host.
        bound: the socket, bound and non-blocking; owned from now on.
        handler: called with each datagram.
        interface: the only interface that it is on; None: all.
        bare: also take what comes to this interface for addresses that the node does not hold.
    """

    def __init__(
        self,
        owner: PortOwner,
        bound: socket.socket,
        handler: DatagramHandler,
        interface: str | None,
        bare: bool,
    ) -> None:
        self.local = Endpoint(*bound.getsockname()[:2])
        self._owner = owner
        self._socket = bound
        self._handler = handler
        self._interface = interface
        self._closed = False
        self._packets: socket.socket | None = None
        self._bare = self._open_bare(interface) if bare and interface else None
        # Where the node has several addresses, an answer leaves from the one that was asked.
        self._learned: dict[Endpoint, bytes] | None = None
        several = interface is None and len(owner.interfaces) > 1
        if several and self.local.address == ANY_ADDRESS:
            bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._learned = {}
        self._loop = asyncio.get_running_loop()
        learns = self._learned is not None
        drain = self._drain_learning if learns else self._drain
        self._loop.add_reader(bound, owner.guard, drain)
        if self._bare is not None:
            self._loop.add_reader(self._bare, self._drain_bare, self._bare)

    # Receiving, all of it under the owner's guard: what a handler has left is read at once again.

    def _drain(self) -> None:
        receive, handler = self._socket.recvfrom, self._handler
        for _ in range(AT_A_TIME):
            try:
                data, source = receive(65535)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about something sent earlier: not this datagram's
            handler(data, endpoint_of(*source))
            if self._closed:
                return

    def _drain_learning(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                data, ancillary, _, address = self._socket.recvmsg(65535, 64)
            except BlockingIOError:
                return
            except OSError:
                continue
            source = endpoint_of(*address)
            for level, kind, value in ancillary:
                if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                    self._learn(source, value[4:8])
            self._handler(data, source)
            if self._closed:
                return

    def _learn(self, source: Endpoint, asked: bytes) -> None:
        assert self._learned is not None
        self._learned.pop(source, None)
        if len(self._learned) >= _LEARNED_MOST:
            del self._learned[next(iter(self._learned))]
        self._learned[source] = asked

    def forget_addresses(self) -> None:
        """The node's addresses have changed: what was learned of them may be wrong."""
        if self._learned is not None:
            self._learned.clear()

    def _open_bare(self, interface: str) -> socket.socket:
        """A packet socket for unicast UDP to this port's number; the kernel's UDP has the rest."""
        receiver = self._owner.namespace.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        attach_filter(
            receiver,
            (0x30, 0, 0, 0xFFFFF004),  # load the packet's type
            (0x15, 0, 8, socket.PACKET_HOST),
            (0x30, 0, 0, 9),  # load the protocol
            (0x15, 0, 6, socket.IPPROTO_UDP),
            (0x28, 0, 0, 6),  # load flags and fragment offset
            (0x45, 4, 0, 0x3FFF),
            (0xB1, 0, 0, 0),  # X is the length of the IP header
            (0x48, 0, 0, 2),  # load the destination port
            (0x15, 0, 1, self.local.port),
            (0x06, 0, 0, 0x40000),  # accept
            (0x06, 0, 0, 0),  # refuse
        )
        receiver.bind((interface, ETHERTYPE_IPV4))
        return receiver

    def _drain_bare(self, receiver: socket.socket) -> None:
        for _ in range(AT_A_TIME):
            try:
                packet = receiver.recv(65535)
            except BlockingIOError:
                return
            except OSError:
                continue  # the interface went down
            read = read_udp(packet)
            if read is None:
                continue
            source, destination, data = read
            held = {self._owner.address_of(name) for name in self._owner.interfaces}
            if destination.address not in held:
                self._owner.guard(self._handler, data, source)
            if self._closed:
                return

    # Sending

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        """Send one datagram; never blocks.  What the network refuses is lost, as on any network.

        With `hardware_address` the frame goes to that link-layer address without ARP.  What cannot
        be a datagram at all (too long, port 0) is lost too, and told as an event.
        """
        if self._closed:
            return
        if hardware_address is None and destination.address == BROADCAST and self._is_bare_now():
            hardware_address = _EVERY_HARDWARE_ADDRESS
        try:
            if hardware_address is not None:
                self._send_past_arp(data, destination, hardware_address)
            elif self._learned and destination in self._learned:
                self._send_from(self._learned[destination], data, destination)
            else:
                target = (require_address(destination.address), destination.port)
                self._socket.sendto(data, target)
        except OSError as error:
            if error.errno not in LOST:
                self._owner.tell(
                    "DATAGRAM_REFUSED",
                    source=str(self.local),
                    destination=str(destination),
                    octets=len(data),
                    reason=errno.errorcode.get(error.errno or 0, str(error)),
                )

    def _is_bare_now(self) -> bool:
        """Whether this port's interface has no address.

        Without one the kernel takes that of any other interface for the source of a broadcast, such
        as a tunnel's inner one.  RFC 2131, 4.1: before the client has its address "the source
        address field in the IP header" is 0.
        """
        return self._bare is not None and self._owner.address_of(self._interface or "") is None

    def _send_from(self, source: bytes, data: bytes, destination: Endpoint) -> None:
        information = struct.pack("=i4s4s", 0, source, bytes(4))
        ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, information)]
        target = (destination.address, destination.port)
        try:
            self._socket.sendmsg([data], ancillary, 0, target)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # The address is ours no longer; the kernel chooses another.
            del self._learned[destination]  # type: ignore[union-attr]
            self._socket.sendto(data, target)

    def _send_past_arp(self, data: bytes, destination: Endpoint, hardware_address: str) -> None:
        interface = self._interface or self._interface_of_local()
        source = Endpoint(self._owner.address_of(interface) or ANY_ADDRESS, self.local.port)
        if self._packets is None:
            self._packets = self._owner.namespace.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            )
        hardware = bytes.fromhex(hardware_address.replace(":", ""))
        packet = udp_packet(source, destination, data)
        self._packets.sendto(packet, (interface, ETHERTYPE_IPV4, 0, 0, hardware))

    def _interface_of_local(self) -> str:
        names = list(self._owner.interfaces)
        if len(names) == 1:
            return names[0]
        for name in names:
            if self._owner.address_of(name) == self.local.address:
                return name
        raise LocalError(
            f"{self._owner.name}: the port {self.local} is on {len(names)} interfaces; "
            "to send to a hardware address, bind it to one of them"
        )

    # End

    @property
    def dropped(self) -> int:
        """Datagrams that came faster than the handler took them."""
        information = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        return int(struct.unpack("=9I", information)[_MEMINFO_DROPS])

    def close(self) -> None:
        """Give the port back; its handler is called no more."""
        if self._closed:
            return
        self._closed = True
        if dropped := self.dropped:
            self._owner.tell("DATAGRAMS_DROPPED", local=str(self.local), count=dropped)
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._bare is not None:
            self._loop.remove_reader(self._bare)
            close_aside(self._bare)
        if self._packets is not None:
            close_aside(self._packets)
        self._owner.forget(self)
