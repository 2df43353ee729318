"""A name server: answers from its zones, and misbehaves per name when a scenario tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from testbed.errors import BadInput
from testbed.host import Host, Mend, Port
from testbed.protocols import dns
from testbed.protocols.dns.build import answer
from testbed.protocols.dns.names import is_within, parent, same_name
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_forwarder import Forwarder
from testbed.roles.dns_queries import read_query
from testbed.roles.dns_streams import DnsStreams, StreamLimits
from testbed.roles.role import Role
from testbed.topology import Node

MOST_STREAM_OCTETS = 65535


class DnsServer(Role):
    """Serves zones by UDP and TCP.

    Attributes:
        zones: may change while it runs.
        mend: the faults at work on what it sends.
        most_udp_octets: answers by UDP are never longer, whatever a query's EDNS allows.

    Args:
        host: all it may ask of the world.
        node: it listens on the node's first static address, or else on all addresses.
        zones: what it answers from; None: the zone that the node's settings hold, `zone` (zone file
            text) and `origin` (its name).
        forwarders: who is asked for names outside the zones when recursion is desired; without
            any those are refused.
        limits: what TCP peers may use up.
    """

    def __init__(
        self,
        host: Host,
        node: Node,
        zones: Iterable[dns.Zone] | None = None,
        forwarders: Sequence[Endpoint] = (),
        limits: StreamLimits | None = None,
    ) -> None:
        super().__init__(host, node)
        if zones is None and "zone" in node.settings:
            zones = [dns.Zone.from_text(node.settings["zone"], node.settings.get("origin"))]
        self.zones = list(zones or ())
        self.mend: Mend[dns.Answer] = self.mend_of("dns")
        self.most_udp_octets = 1232
        self._forwarder = Forwarder(host, forwarders) if forwarders else None
        self._streams = DnsStreams(self._by_stream, limits)
        self._port: Port | None = None

    @property
    def zone(self) -> dns.Zone:
        """The first zone, which for most servers is the only one."""
        return self.zones[0]

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: port 53 is taken, or the address is not this node's.
        """
        local = Endpoint(self.node.address or "0.0.0.0", dns.PORT)
        self._port = self.keep(await self.host.datagrams(local, self._by_datagram))
        self.keep(self._streams)
        self.keep(await self.host.listen(local, self._streams.serve))

    def stop(self) -> None:
        """Power off."""
        super().stop()
        self._port = None

    def zone_of(self, name: str) -> dns.Zone | None:
        """The zone that a name (lower case, no last dot) is in: the one with the longest origin."""
        within = [zone for zone in self.zones if is_within(name, zone.origin)]
        return max(within, key=lambda zone: len(zone.origin), default=None)

    def publish(self, name: str, address: str) -> None:
        """Have a name resolve to an IPv4 or IPv6 address; its parent's zone is made if need be.

        Raises:
            BadInput: no domain name, or no address.
        """
        name = same_name(name)
        zone = self.zone_of(name)
        if zone is None:
            zone = dns.Zone(parent(name))
            self.zones.append(zone)
        zone.add(name, "AAAA" if ":" in address else "A", address)

    def zone_for(self, name: str) -> dns.Zone:
        """The zone that a name is in, to change it: `zone_for(name).misbehave(name, "silent")`.

        Raises:
            BadInput: none of its zones holds the name.
        """
        zone = self.zone_of(same_name(name))
        if zone is None:
            origins = ", ".join(zone.origin for zone in self.zones) or "it has none"
            raise BadInput(f"{self.name}: {name} is in none of its zones ({origins})")
        return zone

    def misbehave(self, name: str, how: dns.Misbehaviour) -> None:
        """Answer for a name otherwise than its zone says, because a scenario wants it so.

        Told as "STAGED", so that a judge does not blame the operator for it.

        Raises:
            BadInput: none of its zones holds the name.
        """
        self.zone_for(name).misbehave(name, how)
        self.host.tell("STAGED", name=name, how=how)

    def _by_datagram(self, data: bytes, source: Endpoint) -> None:
        query = read_query(self.host, data, source)
        if isinstance(query, dns.Query) and self._forwards(query):
            self.host.spawn(self._forward_datagram(query, source), f"{self.name} DNS forwarding")
            return
        for after_s, reply in self._replies(query, source, by_stream=False):
            if after_s > 0:
                send = partial(self._send, reply, source)
                self.host.call_at(self.host.now() + after_s, send)
            else:
                self._send(reply, source)

    async def _forward_datagram(self, query: dns.Query, source: Endpoint) -> None:
        assert self._forwarder is not None
        relayed = await self._forwarder.by_datagram(query, source)
        if relayed is not None:
            self._send(relayed, source)

    def _send(self, data: bytes, destination: Endpoint) -> None:
        if self._port is not None:
            self._port.send(data, destination)

    async def _by_stream(self, data: bytes, source: Endpoint) -> list[bytes]:
        query = read_query(self.host, data, source)
        if isinstance(query, dns.Query) and self._forwards(query):
            assert self._forwarder is not None
            relayed = await self._forwarder.by_stream(query)
            return [] if relayed is None else [relayed]
        replies = self._replies(query, source, by_stream=True)
        await asyncio.sleep(max((after_s for after_s, _ in replies), default=0.0))
        return [reply for _, reply in replies]

    def _forwards(self, query: dns.Query) -> bool:
        return (
            self._forwarder is not None
            and query.recursion_desired
            and query.operation == "QUERY"
            and len(query.questions) == 1
            and self.zone_of(query.name) is None
        )

    def _replies(
        self, message: dns.Query | dns.Answer | None, source: Endpoint, *, by_stream: bool
    ) -> list[tuple[float, bytes]]:
        """The datagrams, or messages of a stream, that answer a message, and when to send them."""
        if message is None:
            return []
        if isinstance(message, dns.Answer):
            return self.mend.datagrams(message, source)
        zone = self.zone_of(message.name)
        misbehaviour = zone.misbehaviour(message.name) if zone else None
        if misbehaviour == "silent":
            return []
        if misbehaviour == "malformed":
            return [(0.0, malformed(answer(message)))]
        most = MOST_STREAM_OCTETS
        if not by_stream:
            most = min(message.udp_octets, max(self.most_udp_octets, 512))
        reply = self._answer(message, zone, misbehaviour, most, by_stream=by_stream)
        return self.mend.datagrams(reply, source)

    def _answer(
        self,
        query: dns.Query,
        zone: dns.Zone | None,
        misbehaviour: dns.Misbehaviour | None,
        most_octets: int,
        *,
        by_stream: bool,
    ) -> dns.Answer:
        available = self._forwarder is not None
        code = _refusal(query, zone)
        if code is None and misbehaviour in ("servfail", "refused"):
            code = misbehaviour.upper()
        if code is not None or zone is None:
            return answer(
                query, code=code or "REFUSED", authoritative=False, recursion_available=available
            )
        if misbehaviour == "truncate" and not by_stream:
            return answer(query, truncated=True, recursion_available=available)
        if misbehaviour == "nxdomain":
            found = dns.Found("NXDOMAIN", (), (zone.authority,))
        else:
            found = zone.find(query.name, query.kind)
        return answer(
            query,
            found.answers,
            found.code,
            recursion_available=available,
            authorities=found.authorities,
            additionals=found.additionals,
            most_octets=most_octets,
        )


def _refusal(query: dns.Query, zone: dns.Zone | None) -> str | None:
    """The code for a query that no zone is asked for; None: one is."""
    if query.operation != "QUERY":
        return "NOTIMP"
    if len(query.questions) != 1:
        return "FORMERR"
    options = query.options
    if options is not None and options.ttl_s >> 16 & 255:
        return "BADVERS"  # RFC 6891 section 6.1.3: a version of EDNS that is not ours
    if zone is None or query.questions[0].class_number != 1:
        return "REFUSED"
    return None


def malformed(good: dns.Answer) -> bytes:
    """The octets of an answer spoilt: its one record's name is a pointer to itself."""
    octets = good.octets[:6] + b"\0\1" + bytes(4)
    questions = b"".join(
        each.wire + good.octets[12 + len(each.wire) : 16 + len(each.wire)]
        for each in good.questions[:1]
    )
    place = len(octets) + len(questions)
    pointer = (0xC000 | place).to_bytes(2, "big")
    return octets + questions + pointer + b"\0\1\0\1\0\0\0\x3c\0\4\xcb\0\x71\x32"
