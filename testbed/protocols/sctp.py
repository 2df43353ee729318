"""SCTP packets (RFC 9260), as far as a first contact goes: INIT and what answers it.

An HNB turns to its HNB-GW by an SCTP association to port 29169 (Iuh: RUA and HNBAP; TS 25.468,
TS 25.469).  Other chunks are cut and kept as they are.  Decoding does not check the checksum; it
tells it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from testbed.errors import DecodeError
from testbed.protocols.wire import Reader

PROTOCOL = 132
"""SCTP's number above IP."""
IUH_PORT = 29169
"""IANA: "rua", the HNB-GW's port."""

DATA, INIT, INIT_ACK, ABORT = 0, 1, 2, 6
STATE_COOKIE = 7
"""The parameter that an INIT ACK must have (RFC 9260, 3.3.3)."""

_NAMES = {
    0: "DATA",
    1: "INIT",
    2: "INIT ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN ACK",
    9: "ERROR",
    10: "COOKIE ECHO",
    11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE",
}
_CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC32c, bits reversed (RFC 9260, appendix A)."""
_OPENING = struct.Struct("!IIHHI")
_WINDOW_OCTETS = 65536
_STREAMS = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk.

    Attributes:
        type: 1 for INIT, 2 for INIT ACK.
        flags: eight bits.
        value: without the padding.
    """

    type: int
    flags: int = 0
    value: bytes = b""

    @property
    def name(self) -> str:
        """Its name in RFC 9260, or its number."""
        return _NAMES.get(self.type, f"chunk {self.type}")


@dataclass(frozen=True, slots=True)
class Opening:
    """The fixed part of INIT and INIT ACK (RFC 9260, 3.3.2 and 3.3.3).

    Attributes:
        initiate_tag: the verification tag that its sender wants to be sent.
        window_octets: how much its sender is ready to receive.
        outbound_streams: that its sender wants to open.
        inbound_streams: that it allows.
        initial_tsn: number of its first DATA chunk.
        parameters: type and value each, in order.
    """

    initiate_tag: int
    window_octets: int = _WINDOW_OCTETS
    outbound_streams: int = _STREAMS
    inbound_streams: int = _STREAMS
    initial_tsn: int = 0
    parameters: tuple[tuple[int, bytes], ...] = ()

    def encode(self) -> bytes:
        """The value of its chunk."""
        fixed = _OPENING.pack(
            *(self.initiate_tag, self.window_octets),
            *(self.outbound_streams, self.inbound_streams, self.initial_tsn),
        )
        return fixed + b"".join(_padded(kind, value) for kind, value in self.parameters)


@dataclass(frozen=True, slots=True)
class Packet:
    """An SCTP packet.

    Attributes:
        source_port: of its sender.
        destination_port: 29169 at an HNB-GW.
        verification_tag: what the receiver has asked for; 0 with INIT.
        chunks: in order.
        checksum: as it came; None: `encode` computes it.
    """

    source_port: int
    destination_port: int
    verification_tag: int
    chunks: tuple[Chunk, ...] = ()
    checksum: int | None = field(default=None, compare=False)

    def encode(self) -> bytes:
        """The octets above IP."""
        head = struct.pack("!HHI", self.source_port, self.destination_port, self.verification_tag)
        body = b"".join(_chunk_octets(each) for each in self.chunks)
        checksum = self.checksum
        if checksum is None:
            checksum = crc32c(head + bytes(4) + body)
        return head + struct.pack("<I", checksum) + body

    def summary(self) -> str:
        """One line for a ladder."""
        names = " ".join(each.name for each in self.chunks) or "no chunk"
        return f"SCTP {names} port {self.destination_port}"

    @property
    def opening(self) -> Opening | None:
        """What an INIT or INIT ACK at its beginning says; None: there is none that can be read."""
        first = self.chunks[0] if self.chunks else None
        if first is None or first.type not in (INIT, INIT_ACK):
            return None
        try:
            return _opening(first.value)
        except DecodeError:
            return None

    @property
    def is_intact(self) -> bool:
        """Whether the checksum that came is right; one that was never sent is."""
        if self.checksum is None:
            return True
        again = replace(self, checksum=None).encode()
        return self.checksum == int.from_bytes(again[8:12], "little")


@dataclass(frozen=True, slots=True)
class Init(Packet):
    """Who begins: a packet whose first chunk is INIT."""


@dataclass(frozen=True, slots=True)
class InitAck(Packet):
    """Who accepts: a packet whose first chunk is INIT ACK."""


@dataclass(frozen=True, slots=True)
class Abort(Packet):
    """Who refuses: a packet whose first chunk is ABORT."""


_KINDS: dict[int, type[Packet]] = {INIT: Init, INIT_ACK: InitAck, ABORT: Abort}


def init(source_port: int, destination_port: int, initiate_tag: int, initial_tsn: int) -> Init:
    """The packet that begins an association (RFC 9260, 3.3.2: its verification tag is 0)."""
    chunk = Chunk(INIT, value=Opening(initiate_tag, initial_tsn=initial_tsn).encode())
    return Init(source_port, destination_port, 0, (chunk,))


def init_ack(to: Packet, initiate_tag: int, initial_tsn: int, cookie: bytes) -> InitAck:
    """The answer to an INIT.

    Args:
        to: it; `to.opening` must not be None.
        initiate_tag: of who answers.
        initial_tsn: likewise.
        cookie: what the other side is to echo.
    """
    asked = to.opening
    assert asked is not None, "an INIT that cannot be read is not answered"
    opening = Opening(initiate_tag, initial_tsn=initial_tsn, parameters=((STATE_COOKIE, cookie),))
    chunk = Chunk(INIT_ACK, value=opening.encode())
    return InitAck(to.destination_port, to.source_port, asked.initiate_tag, (chunk,))


def decode(data: bytes) -> Packet:
    """Cut a packet into chunks.

    Raises:
        DecodeError: a field or a chunk is longer than what remains, or a chunk shorter than its
            header.
    """
    reader = Reader(data, "SCTP packet")
    source, destination = reader.uint16("source port"), reader.uint16("destination port")
    tag = reader.uint32("verification tag")
    checksum = int.from_bytes(reader.take(4, "checksum"), "little")
    chunks = tuple(_chunks(reader))
    kind = _KINDS.get(chunks[0].type, Packet) if chunks else Packet
    return kind(source, destination, tag, chunks, checksum)


def _chunks(reader: Reader) -> Sequence[Chunk]:
    found = []
    while reader.remaining:
        start = reader.position
        kind, flags = reader.uint8("chunk type"), reader.uint8("chunk flags")
        length = reader.uint16("chunk length")
        if length < 4:
            raise DecodeError(
                f"SCTP packet: chunk {kind} at offset {start} says {length} octets, "
                f"its header alone has 4"
            )
        found.append(Chunk(kind, flags, reader.take(length - 4, f"value of chunk {kind}")))
        # RFC 9260, 3.2: the padding is not counted; that of the last chunk may be missing.
        reader.take(min(-length % 4, reader.remaining), "padding")
    return found


def _opening(value: bytes) -> Opening:
    reader = Reader(value, "SCTP INIT")
    tag, window, outbound, inbound, tsn = _OPENING.unpack(reader.take(_OPENING.size, "fixed part"))
    parameters = []
    while reader.remaining:
        start = reader.position
        kind, length = reader.uint16("parameter type"), reader.uint16("parameter length")
        if length < 4:
            raise DecodeError(
                f"SCTP INIT: parameter {kind} at offset {start} says {length} octets, "
                f"its header alone has 4"
            )
        parameters.append((kind, reader.take(length - 4, f"value of parameter {kind}")))
        reader.take(min(-length % 4, reader.remaining), "padding")
    return Opening(tag, window, outbound, inbound, tsn, tuple(parameters))


def _chunk_octets(chunk: Chunk) -> bytes:
    length = 4 + len(chunk.value)
    return struct.pack("!BBH", chunk.type, chunk.flags, length) + chunk.value + bytes(-length % 4)


def _padded(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("!HH", kind, length) + value + bytes(-length % 4)


@cache
def _table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (_CASTAGNOLI if number & 1 else 0)
        table.append(number)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """The checksum of RFC 9260, appendix A."""
    table, crc = _table(), 0xFFFFFFFF
    for octet in data:
        crc = table[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
