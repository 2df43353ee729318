"""TCP connections, followed from outside: what is new, what is repeated, what completes a message.

A segment counts as sent when it is on its link, whether it arrives or not: the trace holds what the
sender put there.  Knows no congestion control and judges nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from testbed.errors import DecodeError
from testbed.protocols.wire import Endpoint
from testbed.trace.decoders import Decoders
from testbed.trace.pieces import EndingStreamDecoder, Piece, StreamDecoder

FIN, SYN, RST, ACK = 1, 2, 4, 16
MOST_HELD_OCTETS = 4 << 20
"""Out-of-order octets of one direction that are held before the hole counts as lost for good."""


@lru_cache(maxsize=256)
def _flag_marks(flags: int) -> frozenset[str]:
    names = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK"))
    return frozenset(name for bit, name in names if flags & bit)


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment; `sequence` and `acknowledgement` as on the wire."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes


def decode_segment(data: bytes) -> Segment:
    """Cut a segment.

    Raises:
        DecodeError: shorter than its header.
    """
    if len(data) < 20:
        raise DecodeError(f"TCP segment: header needs 20 octets, {len(data)} are there")
    source, destination, sequence, acknowledgement, offset, flags = struct.unpack_from(
        "!HHIIBB", data
    )
    header = (offset >> 4) * 4
    if not 20 <= header <= len(data):
        raise DecodeError(
            f"TCP segment: data offset at offset 12 says {header} octets, "
            f"20 to {len(data)} are possible"
        )
    return Segment(source, destination, sequence, acknowledgement, flags, data[header:])


def _after(sequence: int, reference: int) -> int:
    """How far `sequence` lies after `reference`; negative: before (RFC 9293 section 3.4)."""
    return ((sequence - reference + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


class Direction:
    """What one sender has put on one link for one connection.

    Args:
        decoder: None: its octets are not cut into messages.
        from_start: its first octet is known to be the connection's first.
    """

    __slots__ = ("decoder", "from_start", "held", "held_octets", "next")

    def __init__(self, decoder: StreamDecoder | None, from_start: bool = False) -> None:
        self.decoder = decoder
        self.next: int | None = None
        self.from_start = from_start
        self.held: dict[int, bytes] = {}
        self.held_octets = 0

    def feed(self, octets: bytes) -> list[Piece]:
        """What these octets complete.  A stream joined midway is given up without a word."""
        if self.decoder is None or not octets:
            return []
        try:
            given: Sequence[Any] = self.decoder.feed(octets)
        except DecodeError as error:
            self.decoder = None
            given = [error]
        pieces = [item if isinstance(item, Piece) else Piece(item, octets) for item in given]
        if not self.from_start and any(isinstance(piece.message, DecodeError) for piece in pieces):
            self.decoder = None
            pieces = [piece for piece in pieces if not isinstance(piece.message, DecodeError)]
        return pieces

    def end(self) -> list[Piece]:
        """What the sender's FIN completes."""
        decoder: object = self.decoder
        self.decoder = None
        if not isinstance(decoder, EndingStreamDecoder) or not self.from_start:
            return []
        given = decoder.end()
        return [item if isinstance(item, Piece) else Piece(item, b"") for item in given]

    def hold(self, sequence: int, payload: bytes) -> bool:
        """Keep what came too early; False: it was there already."""
        if len(self.held.get(sequence, b"")) >= len(payload):
            return False
        self.held_octets += len(payload) - len(self.held.get(sequence, b""))
        self.held[sequence] = payload
        return True

    def release(self) -> bytes:
        """All held octets that are now in order."""
        assert self.next is not None
        released = bytearray()
        while True:
            ready = [each for each in self.held if _after(each, self.next) <= 0]
            if not ready:
                return bytes(released)
            for sequence in ready:
                payload = self.held.pop(sequence)
                self.held_octets -= len(payload)
                new = payload[-_after(sequence, self.next) :]
                released += new
                self.next = (self.next + len(new)) & 0xFFFFFFFF

    def skip_hole(self) -> int:
        """Go on behind the octets that nobody captured; how many they are."""
        assert self.next is not None
        start = self.next
        self.decoder = None
        self.next = min(self.held, key=lambda sequence: _after(sequence, start))
        return _after(self.next, start)


class Connection:
    """One connection on one link.

    Attributes:
        ordinal: its number on the link, from 0.
    """

    __slots__ = ("_acknowledged", "_directions", "initial", "ordinal")

    def __init__(self, ordinal: int, initial: int | None) -> None:
        self.ordinal = ordinal
        self.initial = initial
        self._directions: dict[tuple[str, Endpoint], Direction] = {}
        self._acknowledged: dict[Endpoint, int] = {}

    def take(
        self,
        hop: str,
        source: Endpoint,
        destination: Endpoint,
        segment: Segment,
        decoders: Decoders,
    ) -> tuple[list[Piece], frozenset[str]]:
        """Follow one segment.

        Args:
            hop: who put it on the link: the same connection may cross one link twice.
            source: with port.
            destination: with port.
            segment: what was sent.
            decoders: for a direction seen for the first time.

        Returns:
            The messages that it completes, and its marks.
        """
        marks = _flag_marks(segment.flags & (SYN | FIN | RST | ACK))
        if segment.flags & ACK:
            self._acknowledged[destination] = segment.acknowledgement
        if segment.flags & RST:
            return [], marks
        direction = self._directions.get((hop, source))
        if direction is None:
            decoder = decoders.stream(segment.source_port, segment.destination_port)
            direction = self._directions[hop, source] = Direction(decoder)
        sequence = segment.sequence
        if segment.flags & SYN:
            sequence = (sequence + 1) & 0xFFFFFFFF  # SYN takes a number of its own
            if direction.next is None:
                direction.next, direction.from_start = sequence, True
            elif not segment.payload:
                return [], marks | {"retransmission"}
        if direction.next is None:
            if not segment.payload and not segment.flags & FIN:
                return [], marks
            direction.next = sequence
        return self._follow(direction, source, destination, sequence, segment, marks)

    def _follow(
        self,
        direction: Direction,
        source: Endpoint,
        destination: Endpoint,
        sequence: int,
        segment: Segment,
        marks: frozenset[str],
    ) -> tuple[list[Piece], frozenset[str]]:
        payload, fin = segment.payload, segment.flags & FIN
        assert direction.next is not None
        ahead = _after(sequence, direction.next)
        if not payload and not fin:
            return [], marks | {"keep-alive"} if ahead == -1 else marks
        if ahead < 0 and -ahead >= len(payload) + bool(fin):
            return [], marks | {"retransmission"}
        pieces: list[Piece] = []
        if ahead > 0:
            fresh = direction.hold(sequence, payload) if payload else True
            marks |= {"out-of-order"} if fresh else {"retransmission"}
            if not self._is_lost_for_good(direction, source):
                return [], marks
            start = direction.next
            pieces += self._hole(direction, source, destination, start)
            pieces += direction.feed(direction.release())
        else:
            if ahead < 0:
                marks |= {"retransmission"}
            new = payload[-ahead:]
            direction.next = (direction.next + len(new)) & 0xFFFFFFFF
            pieces += direction.feed(new + direction.release())
        if fin and direction.next == (sequence + len(payload)) & 0xFFFFFFFF:
            direction.next = (direction.next + 1) & 0xFFFFFFFF
            pieces += direction.end()
        return pieces, marks

    def _is_lost_for_good(self, direction: Direction, source: Endpoint) -> bool:
        """Whether the receiver has what we miss, so that it will not be sent again."""
        if not direction.held:
            return False
        assert direction.next is not None
        told = self._acknowledged.get(source)
        acknowledged = told is not None and _after(told, direction.next) > 0
        return acknowledged or direction.held_octets > MOST_HELD_OCTETS

    @staticmethod
    def _hole(
        direction: Direction, source: Endpoint, destination: Endpoint, start: int
    ) -> list[Piece]:
        decoded = direction.decoder is not None
        missing = direction.skip_hole()
        if not decoded:
            return []
        sentence = (
            f"TCP stream {source} to {destination}: {missing} octets from sequence number {start} "
            f"on are not in the capture; what follows them is not decoded"
        )
        return [Piece(DecodeError(sentence), b"")]


class Connections:
    """All connections of all links."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, Endpoint, Endpoint], Connection] = {}
        self._count: dict[str, int] = {}

    def find(
        self, link: str, source: Endpoint, destination: Endpoint, segment: Segment
    ) -> Connection:
        """The connection of a segment; a SYN with a new sequence number begins another one."""
        low, high = (source, destination) if source < destination else (destination, source)
        found = self._open.get((link, low, high))
        begins = segment.flags & SYN and not segment.flags & ACK
        if found is None or (begins and found.initial != segment.sequence):
            ordinal = self._count.get(link, 0)
            self._count[link] = ordinal + 1
            found = Connection(ordinal, segment.sequence if begins else None)
            self._open[link, low, high] = found
        return found
