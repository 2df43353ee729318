"""Tunnels of a simulated node: a model of charon, for initiators and responders.

IKEv2 with its real exchanges, headers, payloads, identities, certificates and encryption; what is
a model is told in `ike_messages`.  ESP always goes in UDP, as charon's own does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network
from random import Random

from testbed.engines.simulation.esp import Association, read_packet
from testbed.engines.simulation.ike_messages import Side
from testbed.engines.simulation.packets import ANY_ADDRESS, Packet
from testbed.engines.simulation.tunnel_association import IkeAssociation
from testbed.engines.simulation.tunnel_initiator import Initiator
from testbed.engines.simulation.tunnel_owner import End, OnKeys, TunnelNode
from testbed.engines.simulation.tunnel_responder import Responder
from testbed.engines.simulation.udp import UdpPort, require_address
from testbed.errors import DecodeError
from testbed.host import (
    Tunnel,
    TunnelChange,
    TunnelHandler,
    TunnelKind,
    TunnelLife,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
)
from testbed.protocols import ike
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.opening import open_message
from testbed.protocols.wire import Endpoint

INTERFACE = "ipsec0"
"""Each node's interface to the link that the insides of all tunnels are on."""
ROAM_DELAY_S = 0.1
"""charon gathers changes of addresses and routes for so long before it looks at them."""
Inner = Callable[[str, bytes, bool], None]
"""Called with node, IP packet and whether it goes in (or came out): what the insides carry."""


class NodeTunnels:
    """All tunnels of one node.

    Args:
        host: the node.
        random: its kernel's.
        inner: told what goes into tunnels and comes out.
        on_keys: told the keys of each association.
    """

    def __init__(self, host: TunnelNode, random: Random, inner: Inner, on_keys: OnKeys) -> None:
        self.host = host
        self.random = random
        self.on_keys = on_keys
        self.ends: dict[bytes, End] = {}
        self.responder: Responder | None = None
        self._inner = inner
        self._incoming: dict[int, tuple[IkeAssociation, Association]] = {}
        self._ports: dict[int, UdpPort] = {}
        self._roams = False

    # What the role asks for

    async def open(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None
    ) -> Tunnel:
        """Be an initiator."""
        self.host.require_power()
        require_address(remote)
        self._bind()
        return await Initiator(self, remote, profile, on_change).open()

    async def accept(self, policy: TunnelPolicy, on_change: TunnelHandler | None) -> TunnelListener:
        """Be a responder."""
        self.host.require_power()
        self._bind()
        self.responder = Responder(self, policy, on_change)
        self.host.stack.tunnels.forwards = True
        self.host.stack.tunnels.pool = IPv4Network(policy.pool)
        return self.responder

    def _bind(self) -> None:
        for number, take in ((ike.PORT, self._take_500), (ike.NAT_PORT, self._take_4500)):
            if number not in self._ports:
                local = Endpoint(ANY_ADDRESS, number)
                self._ports[number] = self.host.bind_udp(local, take)

    # The wire

    def association(self, side: Side, remote: Endpoint, life: TunnelLife) -> IkeAssociation:
        """A new one, of this node."""
        found = IkeAssociation(side, remote, life, self.send, self.random)
        found.heard_s = found.said_s = self.host.now()
        return found

    def send(self, data: bytes, remote: Endpoint, own_port: int = ike.NAT_PORT) -> None:
        """Send a datagram of IKE or ESP from that port of this node."""
        port = self._ports.get(own_port)
        if port is not None:
            port.send(data, remote)

    def _take_500(self, data: bytes, source: Endpoint) -> None:
        try:
            message = ike.decode(data)
        except DecodeError as error:
            self.host.tell("MALFORMED", source=str(source), error=str(error))
            return
        self._take_message(message, source, Endpoint(self._asked(source), ike.PORT))

    def _take_4500(self, data: bytes, source: Endpoint) -> None:
        try:
            message = ike.decode_4500(data)
        except DecodeError as error:
            self.host.tell("MALFORMED", source=str(source), error=str(error))
            return
        if isinstance(message, ike.EspPacket):
            self._take_esp(message)
        elif isinstance(message, IkeMessage):
            self._take_message(message, source, Endpoint(self._asked(source), ike.NAT_PORT))

    def _asked(self, source: Endpoint) -> str:
        try:
            return self.host.stack.source_for(source.address)
        except OSError:
            return ANY_ADDRESS

    def _take_message(self, message: IkeMessage, source: Endpoint, local: Endpoint) -> None:
        by_initiator = message.is_from_initiator
        ours = self.ends.get(message.responder_spi if by_initiator else message.initiator_spi)
        if ours is None and by_initiator and isinstance(message, ike.SaInit):
            if self.responder is not None:
                self.responder.begin(message, source, local)
            return
        if ours is None:
            return
        association = ours.association
        if message.is_encrypted:
            if association.side.keys is None:
                return
            try:
                message = open_message(message, association.side.keys)
            except DecodeError:
                return
            ours.heard_from(source, local)
        association.heard_s = self.host.now()
        if message.is_response:
            association.answered(message)
        elif not association.answer_again(message.message_id):
            ours.asked(message)

    # ESP

    def carry(
        self, association: IkeAssociation, spi_out: int, spi_in: int, is_asked: bool = False
    ) -> None:
        """From now on the tunnel takes what comes by this pair, and sends by it.

        Who `is_asked` for new keys goes on by the old ones until the other end gives these up: by
        then it has the new ones, and nothing that is under way is lost (RFC 7296, 2.8).
        """
        secret, here = association.secret, self._asked(association.remote)
        there = association.remote.address
        outgoing = Association(spi_out, secret, here, there)
        incoming = association.incoming = Association(spi_in, secret, there, here)
        association.next_outgoing = outgoing if is_asked else None
        if not is_asked:
            association.outgoing = outgoing
        self._incoming[spi_in] = (association, incoming)
        if association.side.is_initiator:
            self.on_keys(outgoing.keys)
            self.on_keys(incoming.keys)

    def forget_incoming(self, spi: int) -> None:
        """Nothing comes by that SPI any more."""
        self._incoming.pop(spi, None)

    def into(self, association: IkeAssociation, packet: Packet) -> None:
        """A packet goes into the tunnel."""
        if association.outgoing is None or not association.is_up:
            return
        octets = packet.encode()
        self._inner(self.host.name, octets, True)
        association.said_s = self.host.now()
        self.send(association.outgoing.seal(octets, self.random), association.remote)

    def _take_esp(self, packet: ike.EspPacket) -> None:
        association, incoming = self._incoming.get(packet.spi, (None, None))
        if association is None or incoming is None or not association.is_up:
            return
        try:
            octets = incoming.open(packet)
        except DecodeError:
            return
        association.heard_s = self.host.now()
        self._inner(self.host.name, octets, False)
        self.host.stack.take_inner(read_packet(octets))

    # Ends

    def told(
        self,
        on_change: TunnelHandler | None,
        association: IkeAssociation,
        kind: TunnelKind,
        cause: str = "",
    ) -> None:
        """Tell a role's handler of a change."""
        if on_change is not None:
            change = TunnelChange(
                kind, association.peer, association.remote, association.address, cause
            )
            self.host.guard(on_change, change)

    def opened(self, association: IkeAssociation) -> str:
        """An initiator's tunnel is up: what has its inner address goes through it.

        Returns:
            The name of its interface.
        """
        number = len(self.host.stack.tunnels.own)
        self.host.stack.tunnels.own[association.address] = partial(self.into, association)
        return f"{INTERFACE}:{number}" if number else INTERFACE

    def outer_changed(self) -> None:
        """An outer address or route is another one; charon, where it runs, looks a little later."""
        if self._ports and not self._roams:
            self._roams = True
            self.host.call_at(self.host.now() + ROAM_DELAY_S, self._roam)

    def _roam(self) -> None:
        self._roams = False
        for each in list(self.ends.values()):
            if isinstance(each, Initiator):
                each.roam()

    def stop_accepting(self, responder: TunnelListener) -> None:
        """The responder ends as a process that dies."""
        if self.responder is responder:
            self.end()

    def end(self) -> None:
        """All tunnels are gone; nothing is said on the wire."""
        for each in list(self.ends.values()):
            if isinstance(each, Initiator):
                each.down("dead")
            each.association.is_up = False
        self.ends.clear()
        self.responder = None
        self._roams = False
        self._incoming.clear()
        ways = self.host.stack.tunnels
        ways.own.clear()
        ways.others.clear()
        ways.forwards = False
        ways.pool = None
        for port in self._ports.values():
            port.close()
        self._ports.clear()


class TunnelEnds:
    """What of a host has to do with tunnels."""

    tunnels: NodeTunnels

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        """Open a tunnel to the responder at that address.

        Raises:
            TunnelRefused: there is none; says why.
            OSError: the node has no power.
        """
        return await self.tunnels.open(remote, profile, on_change)

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        """Be the responder for whoever comes to this node's addresses, and forward for them.

        Raises:
            OSError: the node has no power.
        """
        return await self.tunnels.accept(policy, on_change)
