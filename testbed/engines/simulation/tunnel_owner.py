"""What both ends of modelled tunnels need of their node, and it of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from testbed.engines.simulation.ike_messages import Side
from testbed.engines.simulation.packets import Packet
from testbed.engines.simulation.stack import Stack
from testbed.engines.simulation.tunnel_association import IkeAssociation
from testbed.engines.simulation.udp import UdpPort
from testbed.engines.tunnel_inside import TunnelHost
from testbed.host import (
    DatagramHandler,
    TunnelHandler,
    TunnelKind,
    TunnelLife,
    TunnelListener,
)
from testbed.protocols.ike import NAT_PORT
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.wire import Endpoint

OnKeys = Callable[[IkeKeys | EspKeys], None]
"""Told the keys of each association."""


class TunnelNode(TunnelHost, Protocol):
    """A node, as its tunnels see it.

    Attributes:
        stack: the node's.
    """

    stack: Stack

    def bind_udp(self, local: Endpoint, handler: DatagramHandler) -> UdpPort:
        """A port of the node's own programs."""
        ...


class End(Protocol):
    """One end of a tunnel, as its node sees it.

    Attributes:
        association: this side of it.
    """

    association: IkeAssociation

    def heard_from(self, source: Endpoint, local: Endpoint) -> None:
        """Where an authenticated message of the other end came from, and whom it asked."""

    def asked(self, message: IkeMessage) -> None:
        """A request of the other end, opened."""


class TunnelOwner(Protocol):
    """All tunnels of a node, as each of their ends sees them.

    Attributes:
        host: the node.
        random: its kernel's.
        on_keys: told the keys of each association.
        ends: by this side's SPI.
    """

    host: TunnelNode
    random: Random
    on_keys: OnKeys
    ends: dict[bytes, End]

    def association(self, side: Side, remote: Endpoint, life: TunnelLife) -> IkeAssociation:
        """A new one, of this node."""
        ...

    def send(self, data: bytes, remote: Endpoint, own_port: int = NAT_PORT) -> None:
        """Send a datagram of IKE or ESP from that port of this node."""

    def carry(
        self, association: IkeAssociation, spi_out: int, spi_in: int, is_asked: bool = False
    ) -> None:
        """From now on the tunnel takes what comes by this pair, and sends by it.

        Who `is_asked` for new keys goes on by the old ones until the other end gives these up.
        """

    def forget_incoming(self, spi: int) -> None:
        """Nothing comes by that SPI any more."""

    def into(self, association: IkeAssociation, packet: Packet) -> None:
        """A packet goes into the tunnel."""

    def opened(self, association: IkeAssociation) -> str:
        """An initiator's tunnel is up; gives the name of its interface."""
        ...

    def told(
        self,
        on_change: TunnelHandler | None,
        association: IkeAssociation,
        kind: TunnelKind,
        cause: str = "",
    ) -> None:
        """Tell a role's handler of a change."""

    def stop_accepting(self, responder: TunnelListener) -> None:
        """The responder ends as a process that dies."""
