"""TLS connections of a capture, opened by the secrets of key logs.

Follows the TCP connections to web ports beside the trace, and gives what was inside as an end of
the connection would have told it (`Clear`).  A connection that crosses several links is opened on
the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from testbed.errors import DecodeError
from testbed.protocols.tls_secrets import OpenedConnection, Secrets
from testbed.protocols.wire import Endpoint
from testbed.trace.decoders import Decoders
from testbed.trace.dissect import IPV4, IPV6, cut_ipv4, cut_ipv6, cut_link
from testbed.trace.packets import TCP
from testbed.trace.pieces import Piece
from testbed.trace.record import Clear, Frame, Record
from testbed.trace.tcp import Connection, Connections, Segment, decode_segment


@dataclass(frozen=True, slots=True)
class _Inside:
    """Clear octets of one side; b"": it has closed."""

    from_client: bool
    octets: bytes


class _Side:
    """One direction, as the decoder of its octets."""

    def __init__(self, connection: OpenedConnection, from_client: bool) -> None:
        self._connection = connection
        self._from_client = from_client

    def feed(self, octets: bytes) -> Sequence[Piece]:
        """What is in these octets."""
        inside = self._connection.feed(self._from_client, octets)
        return [Piece(_Inside(self._from_client, inside), octets)] if inside else []

    def end(self) -> Sequence[Piece]:
        """The side has closed."""
        return [Piece(_Inside(self._from_client, b""), b"")]


class _Sides(Decoders):
    """The decoders of one connection: its two sides share what they know."""

    def __init__(self, connection: OpenedConnection, web_ports: set[int]) -> None:
        super().__init__(usual=False)
        self.connection = connection
        self.web_ports = web_ports

    def stream(self, source_port: int, destination_port: int) -> _Side | None:
        """The decoder of a side."""
        if not {source_port, destination_port} & self.web_ports:
            return None
        return _Side(self.connection, destination_port in self.web_ports)


@dataclass(slots=True)
class _Known:
    """A connection on a link: its sides, its number, and the nodes at its ends."""

    sides: _Sides
    number: int
    client: str | None = None


class TlsOpener:
    """Opens what the secrets fit.

    Args:
        secrets: of all key logs.
        web_ports: where TLS is looked for.

    Attributes:
        opened: how many connections could be opened so far.
    """

    def __init__(self, secrets: Secrets, web_ports: set[int]) -> None:
        self.opened = 0
        self._secrets = secrets
        self._web_ports = web_ports
        self._connections = Connections()
        self._known: dict[Connection, _Known] = {}
        self._first: dict[bytes, _Known] = {}

    def inside(self, frame: Frame, record: Record) -> list[Clear]:
        """What a frame holds in clear.

        Args:
            frame: in the order of the capture.
            record: its first one, which knows the nodes.
        """
        cut = _segment(frame)
        if cut is None:
            return []
        source, destination, segment = cut
        found = self._connections.find(frame.link, source, destination, segment)
        known = self._known.get(found)
        if known is None:
            sides = _Sides(OpenedConnection(self._secrets), self._web_ports)
            known = self._known[found] = _Known(sides, len(self._known))
        hop = frame.node or record.sender
        pieces, _ = found.take(hop, source, destination, segment, known.sides)
        random = known.sides.connection.random
        if random is None or self._first.setdefault(random, known) is not known:
            return []
        return [
            self._clear(frame, record, known, piece.message, source, destination)
            for piece in pieces
            if isinstance(piece.message, _Inside)
        ]

    def _clear(
        self,
        frame: Frame,
        record: Record,
        known: _Known,
        inside: _Inside,
        source: Endpoint,
        destination: Endpoint,
    ) -> Clear:
        out = inside.from_client
        if known.client is None:
            self.opened += 1
            known.client = record.sender if out else record.receiver or str(destination.address)
        local, remote = (source, destination) if out else (destination, source)
        number = -1 - known.number  # an end that tells of itself counts from 0
        return Clear(frame.time_ns, number, known.client, local, remote, True, out, inside.octets)


def _segment(frame: Frame) -> tuple[Endpoint, Endpoint, Segment] | None:
    """A TCP segment in one packet, with its ends; None: something else."""
    try:
        link = cut_link(frame)
        if link is None or link.ethertype not in (IPV4, IPV6):
            return None
        packet = (cut_ipv4 if link.ethertype == IPV4 else cut_ipv6)(link.payload)
        if packet.protocol != TCP or packet.fragment is not None:
            return None
        segment = decode_segment(packet.payload)
    except DecodeError:
        return None
    source = Endpoint(packet.source, segment.source_port)
    return source, Endpoint(packet.destination, segment.destination_port), segment
