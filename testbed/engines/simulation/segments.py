"""TCP segments as octets (RFC 9293, 3.1), with the options that connections here use."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from testbed.engines.simulation.packets import TCP, with_checksum
from testbed.protocols.wire import Endpoint

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
HEADER_OCTETS = 20
WINDOW_SCALE = 7
_END, _NOTHING, _MOST_SEGMENT, _SCALE = 0, 1, 2, 3


@dataclass(slots=True)
class Segment:
    """One segment.

    Attributes:
        source: with port.
        destination: with port.
        sequence: of its first octet, 32 bits.
        acknowledgement: 32 bits; holds where ACK is set.
        flags: bits.
        window: octets; of a SYN as it is on the wire, else already scaled.
        payload: octets.
        most_segment: of a SYN: the longest payload that its sender takes.
        scales: of a SYN: how many bits its sender's later windows are shifted by; None: not at all.
    """

    source: Endpoint
    destination: Endpoint
    sequence: int
    acknowledgement: int
    flags: int
    window: int
    payload: bytes = b""
    most_segment: int | None = None
    scales: int | None = None

    def encode(self) -> bytes:
        """The octets after the IP header."""
        options = b""
        if self.most_segment is not None:
            options = struct.pack("!BBH", _MOST_SEGMENT, 4, self.most_segment)
        if self.scales is not None:
            options += bytes([_NOTHING, _SCALE, 3, self.scales])
        window = self.window if self.flags & SYN else self.window >> WINDOW_SCALE
        header = struct.pack(
            "!HHIIBBHHH",
            self.source.port,
            self.destination.port,
            self.sequence,
            self.acknowledgement,
            (HEADER_OCTETS + len(options)) << 2,
            self.flags,
            min(window, 0xFFFF),
            0,
            0,
        )
        octets = header + options + self.payload
        return with_checksum(TCP, self.source.address, self.destination.address, octets)


def decode(source: str, destination: str, octets: bytes) -> Segment:
    """Cut a segment that one of our own nodes has sent."""
    from_port, to_port, sequence, acknowledgement, offset, flags, window = struct.unpack_from(
        "!HHIIBBH", octets
    )
    end = (offset >> 4) * 4
    segment = Segment(
        Endpoint(source, from_port),
        Endpoint(destination, to_port),
        sequence,
        acknowledgement,
        flags,
        window if flags & SYN else window << WINDOW_SCALE,
        octets[end:],
    )
    place = HEADER_OCTETS
    while place < end:
        kind = octets[place]
        if kind == _END:
            break
        if kind == _NOTHING:
            place += 1
            continue
        if kind == _MOST_SEGMENT:
            segment.most_segment = int.from_bytes(octets[place + 2 : place + 4], "big")
        elif kind == _SCALE:
            segment.scales = octets[place + 2]
        place += octets[place + 1]
    return segment
