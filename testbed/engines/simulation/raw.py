"""Ports below UDP and TCP of a simulated node: what IP carries under a protocol number."""

from __future__ import annotations

from testbed.engines.simulation.interfaces import NetworkInterface
from testbed.engines.simulation.packets import ANY_ADDRESS, Packet
from testbed.engines.simulation.udp import PortOwner, require_address
from testbed.host import DatagramHandler
from testbed.protocols.wire import Endpoint


class RawPort:
    """Fits `testbed.host.Port`; its endpoints have port 0.

    Args:
        owner: the node.
        protocol: the number above IP.
        local: only what comes to this address; "0.0.0.0" for any.
        handler: called with each packet without its IP header.
    """

    def __init__(
        self, owner: PortOwner, protocol: int, local: str, handler: DatagramHandler
    ) -> None:
        self.local = Endpoint(local, 0)
        self._owner = owner
        self._protocol = protocol
        self._handler = handler
        self._ports = owner.stack.raw.setdefault(protocol, [])
        self._ports.append(self)
        owner.stack.deliver.setdefault(protocol, self._take_all)

    def _take_all(self, packet: Packet, interface: NetworkInterface | None, to_all: bool) -> bool:
        for port in list(self._ports):
            if port.local.address in (ANY_ADDRESS, packet.destination):
                source = Endpoint(packet.source, 0)
                self._owner.guard(port._handler, packet.payload, source)
        return bool(self._ports)

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        """Send one packet.  What the network refuses is lost."""
        stack = self._owner.stack
        if self not in self._ports:
            return
        try:
            source = self.local.address
            if source == ANY_ADDRESS:
                source = stack.source_for(require_address(destination.address))
        except OSError:
            return
        stack.send(Packet(source, destination.address, self._protocol, data))

    def close(self) -> None:
        """Give the number back."""
        if self in self._ports:
            self._ports.remove(self)
