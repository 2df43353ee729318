"""UDP ports of a simulated node."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random
from typing import Any, Protocol

from testbed.engines.simulation.interfaces import NetworkInterface
from testbed.engines.simulation.packets import (
    ANY_ADDRESS,
    UDP,
    UDP_HEADER_OCTETS,
    Packet,
    udp,
)
from testbed.engines.simulation.stack import Stack
from testbed.errors import LocalError
from testbed.host import DatagramHandler
from testbed.protocols.wire import Endpoint
from testbed.topology import LOOPBACK_ADDRESSES

FIRST_PORT, LAST_PORT = 32768, 60999
"""What a kernel gives to whoever asks for any port."""
LONGEST = 65507
_LEARNED_MOST = 4096


@lru_cache(maxsize=65536)
def require_address(address: str) -> str:
    """The address itself, if it is one.

    Raises:
        LocalError: it is no IPv4 address.
    """
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        raise LocalError(
            f"{address!r} is no IPv4 address; look the name up first, on the node's own wire"
        )
    return address


def require_any_address(address: str) -> str:
    """The address itself, if it is one of either IP; only a loopback has one of IPv6.

    Raises:
        LocalError: it is none.
    """
    return address if address in LOOPBACK_ADDRESSES else require_address(address)


def problem(number: int) -> OSError:
    """The error of that number, in a kernel's words."""
    return OSError(number, os.strerror(number))


class PortOwner(Protocol):
    """What a port needs of its host."""

    name: str
    stack: Stack
    powered: bool

    def tell(self, event: str, **fields: Any) -> None:
        """An event of the node."""

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call; an exception is the node's crash."""


class UdpPort:
    """A bound UDP port.  Fits `testbed.host.Port`.

    Args:
        ports: whose it is.
        local: what it is bound to.
        handler: called with each datagram.
        interface: the only interface that it is on; None: all.
        broadcasts: may send to all, and takes what comes to `interface` for addresses that the node
            does not hold.
    """

    def __init__(
        self,
        ports: UdpPorts,
        local: Endpoint,
        handler: DatagramHandler,
        interface: NetworkInterface | None,
        broadcasts: bool,
    ) -> None:
        self.local = local
        self.handler = handler
        self.interface = interface
        self.broadcasts = broadcasts
        self._ports = ports
        self._closed = False
        # Where the node has several addresses, an answer leaves from the one that was asked.
        several = interface is None and len(ports.interfaces) > 1
        self._learned: dict[Endpoint, str] | None = (
            {} if several and local.address == ANY_ADDRESS else None
        )

    def take(self, data: bytes, source: Endpoint, asked: str) -> None:
        """A datagram came for it."""
        if self._learned is not None:
            self._learned.pop(source, None)
            if len(self._learned) >= _LEARNED_MOST:
                del self._learned[next(iter(self._learned))]
            self._learned[source] = asked
        self._ports.owner.guard(self.handler, data, source)

    def forget_addresses(self) -> None:
        """The node's addresses have changed: what was learned of them may be wrong."""
        if self._learned is not None:
            self._learned.clear()

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        """Send one datagram; never blocks.  What the network refuses is lost, as on any network.

        With `hardware_address` the frame goes to that link-layer address without ARP.  What cannot
        be a datagram at all (too long, port 0) is lost too, and told as an event.
        """
        if self._closed:
            return
        require_address(destination.address)
        if hardware_address is not None:
            self._send_past_arp(data, destination, hardware_address)
            return
        refused = self._why_refused(data, destination)
        if refused is not None:
            self._ports.owner.tell(
                "DATAGRAM_REFUSED",
                source=str(self.local),
                destination=str(destination),
                octets=len(data),
                reason=errno.errorcode[refused],
            )
            return
        source = self._source(destination)
        if source is not None:
            octets = udp(Endpoint(source, self.local.port), destination, data)
            packet = Packet(source, destination.address, UDP, octets)
            self._ports.owner.stack.send(packet, self.interface)

    def _why_refused(self, data: bytes, destination: Endpoint) -> int | None:
        if len(data) > LONGEST:
            return errno.EMSGSIZE
        if not 0 < destination.port < 65536:
            return errno.EINVAL
        if not self.broadcasts and any(
            each.is_broadcast(destination.address) for each in self._ports.interfaces.values()
        ):
            return errno.EACCES
        return None

    def _source(self, destination: Endpoint) -> str | None:
        """The address from which a datagram leaves; None: there is no way."""
        stack = self._ports.owner.stack
        if self.local.address != ANY_ADDRESS:
            return self.local.address if stack.is_own(self.local.address) else None
        if self.interface is not None:
            to_all = self.interface.is_broadcast(destination.address)
            return self.interface.address or (ANY_ADDRESS if to_all else None)
        if self._learned:
            asked = self._learned.get(destination)
            if asked is not None and stack.is_own(asked):
                return asked
        try:
            return stack.source_for(destination.address)
        except OSError:
            return None

    def _send_past_arp(self, data: bytes, destination: Endpoint, hardware_address: str) -> None:
        interface = self.interface or self._interface_of_local()
        source = Endpoint(interface.address or ANY_ADDRESS, self.local.port)
        packet = Packet(source.address, destination.address, UDP, udp(source, destination, data))
        packet.may_be_fragmented = False
        interface.send_to(packet, hardware_address)

    def _interface_of_local(self) -> NetworkInterface:
        interfaces = list(self._ports.interfaces.values())
        if len(interfaces) == 1:
            return interfaces[0]
        for each in interfaces:
            if each.address == self.local.address:
                return each
        raise LocalError(
            f"{self._ports.owner.name}: the port {self.local} is on {len(interfaces)} interfaces; "
            "to send to a hardware address, bind it to one of them"
        )

    def close(self) -> None:
        """Give the port back; its handler is called no more."""
        if not self._closed:
            self._closed = True
            self._ports.forget(self)


class UdpPorts:
    """All UDP ports of one node.

    Args:
        owner: the node's host.
        random: of ports.
    """

    def __init__(self, owner: PortOwner, random: Random) -> None:
        self.owner = owner
        self._random = random
        self._by_number: dict[int, list[UdpPort]] = {}

    @property
    def interfaces(self) -> Mapping[str, NetworkInterface]:
        """The node's, by name."""
        return self.owner.stack.interfaces

    def bind(
        self,
        local: Endpoint,
        handler: DatagramHandler,
        interface: str | None,
        broadcasts: bool,
    ) -> UdpPort:
        """Bind a port; see `testbed.host.Host.datagrams`."""
        if interface is not None and interface not in self.interfaces:
            raise problem(errno.ENODEV)
        on = self.interfaces[interface] if interface is not None else None
        require_address(local.address)
        if local.address != ANY_ADDRESS and not self.owner.stack.is_own(local.address):
            raise problem(errno.EADDRNOTAVAIL)
        number = local.port or self._free()
        for other in self._by_number.get(number, ()):
            same = ANY_ADDRESS in (local.address, other.local.address)
            same = same or local.address == other.local.address
            if same and (on is None or other.interface in (None, on)):
                raise problem(errno.EADDRINUSE)
        port = UdpPort(self, Endpoint(local.address, number), handler, on, broadcasts)
        self._by_number.setdefault(number, []).append(port)
        return port

    def _free(self) -> int:
        while (number := self._random.randint(FIRST_PORT, LAST_PORT)) in self._by_number:
            pass
        return number

    def take(self, packet: Packet, interface: NetworkInterface | None, to_all: bool) -> bool:
        """Give a packet to the port that it is for; whether there is one."""
        payload = packet.payload
        number = int.from_bytes(payload[2:4], "big")
        ports = self._by_number.get(number)
        if ports is None:
            return False
        fitting = [
            port
            for port in ports
            if port.interface in (None, interface) and self._is_for(port, packet, to_all)
        ]
        if not fitting:
            return False
        if not to_all:  # the most specific one only, as a kernel chooses
            fitting.sort(
                key=lambda port: (port.interface is None, port.local.address == ANY_ADDRESS)
            )
            del fitting[1:]
        source = Endpoint(packet.source, int.from_bytes(payload[:2], "big"))
        asked = interface.address if to_all and interface else packet.destination
        for port in fitting:
            port.take(payload[UDP_HEADER_OCTETS:], source, asked or ANY_ADDRESS)
        return True

    def _is_for(self, port: UdpPort, packet: Packet, to_all: bool) -> bool:
        if to_all:
            return port.local.address == ANY_ADDRESS
        if self.owner.stack.is_own(packet.destination):
            return port.local.address in (ANY_ADDRESS, packet.destination)
        return port.broadcasts and port.interface is not None  # on a bare interface

    def forget(self, port: UdpPort) -> None:
        """The port has closed."""
        ports = self._by_number[port.local.port]
        ports.remove(port)
        if not ports:
            del self._by_number[port.local.port]

    def forget_addresses(self) -> None:
        """The node's addresses have changed."""
        for ports in self._by_number.values():
            for port in ports:
                port.forget_addresses()

    def close(self) -> None:
        """Close all, in the order in which they were bound."""
        for ports in list(self._by_number.values()):
            for port in list(ports):
                port.close()
