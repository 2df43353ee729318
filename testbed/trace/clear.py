"""TLS connections as their ends tell them in clear: between whom they are, and their messages.

An end knows its own addresses only, and a NAT may stand between the two; so the other end's node is
found by the connection's SYN, which the trace has followed from link to link.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from testbed.errors import DecodeError
from testbed.protocols.wire import Endpoint
from testbed.trace.addresses import Addresses
from testbed.trace.arrow import Arrows
from testbed.trace.decoders import Decoders
from testbed.trace.pieces import Piece
from testbed.trace.record import Clear, Record
from testbed.trace.tcp import Direction

NO_LINK = "tls"
"""The link of what was told of a connection whose SYN nobody saw."""
_MARKS = frozenset({"tap"})


class _Way(NamedTuple):
    """Where a connection goes: the other end's node, the link at this end, its ordinal there."""

    peer: str | None
    link: str
    stream: int | None


class ClearConnections:
    """All TLS connections that an end has told of.

    Args:
        addresses: who holds which address.
        arrows: which way each SYN went.
    """

    def __init__(self, addresses: Addresses, arrows: Arrows) -> None:
        self._addresses = addresses
        self._arrows = arrows
        self._ways: dict[tuple[int, str], _Way] = {}
        self._directions: dict[tuple[int, str, bool], Direction] = {}
        # The latest SYN between two endpoints, by who put it on its link and by who got it there.
        self._sent: dict[tuple[str, Endpoint, Endpoint], Record] = {}
        self._received: dict[tuple[str, Endpoint, Endpoint], Record] = {}

    def see(self, record: Record) -> None:
        """Remember a record that opens a connection."""
        if "SYN" not in record.marks or "ACK" in record.marks:
            return
        if record.source is None or record.destination is None:
            return
        self._sent[record.sender, record.source, record.destination] = record
        if record.receiver is not None:
            self._received[record.receiver, record.source, record.destination] = record

    def peer(self, clear: Clear) -> str | None:
        """The node at the other end; None: not known."""
        return self._way(clear).peer

    def _way(self, clear: Clear) -> _Way:
        key = (clear.connection, clear.node)
        if key not in self._ways:
            self._ways[key] = self._find(clear)
        return self._ways[key]

    def _find(self, clear: Clear) -> _Way:
        if clear.connected:
            syn = self._sent.get((clear.node, clear.local, clear.remote))
        else:
            syn = self._received.get((clear.node, clear.remote, clear.local))
        peer = None
        if syn is not None:
            arrow = self._arrows.of(syn)
            if not clear.connected:
                peer = arrow.origin
            elif arrow.reached:
                peer = arrow.end
        if peer is None:
            holders = self._addresses.holders(clear.remote.address, clear.time_ns)
            peer = holders[0].node if holders else None
        if syn is None:
            return _Way(peer, NO_LINK, None)
        return _Way(peer, syn.link, syn.stream)

    def records(self, clear: Clear, decoders: Decoders, number: int) -> Iterator[Record]:
        """The records that it completes.

        Args:
            clear: in the order in which its end told it.
            decoders: for a direction that is told for the first time.
            number: of the first record.
        """
        way = self._way(clear)
        source, destination = clear.local, clear.remote
        sender, receiver = clear.node, way.peer
        if not clear.outgoing:
            source, destination = destination, source
            sender, receiver = way.peer or str(clear.remote.address), clear.node
        for place, piece in enumerate(self._pieces(clear, source, destination, decoders)):
            is_error = isinstance(piece.message, DecodeError)
            yield Record(
                number + place,
                clear.time_ns,
                way.link,
                sender,
                receiver,
                "tls",
                source,
                destination,
                None if is_error else piece.message,
                piece.message if is_error else piece.error,
                piece.octets,
                None,
                _MARKS,
                way.stream,
                piece.carried,
            )

    def _pieces(
        self, clear: Clear, source: Endpoint, destination: Endpoint, decoders: Decoders
    ) -> list[Piece]:
        key = (clear.connection, clear.node, clear.outgoing)
        direction = self._directions.get(key)
        if direction is None:
            decoder = decoders.stream(source.port, destination.port)
            direction = self._directions[key] = Direction(decoder, from_start=True)
        if not clear.data:
            del self._directions[key]  # a run may see very many connections
            return direction.end()
        if direction.decoder is None:
            return [Piece(None, clear.data)]
        return direction.feed(clear.data)
