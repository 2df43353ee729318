"""What comes on UDP port 4500 (RFC 3948): IKE behind a marker, ESP, NAT keep-alives."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from testbed.errors import DecodeError
from testbed.protocols.ike import cutting
from testbed.protocols.ike.message import NON_ESP_MARKER, IkeMessage

KEEPALIVE = b"\xff"


@dataclass(frozen=True, slots=True)
class NatKeepalive:
    """The octet that keeps a NAT's binding (RFC 3948, 2.3)."""

    def encode(self) -> bytes:
        """0xFF."""
        return KEEPALIVE

    def summary(self) -> str:
        """One line for a ladder."""
        return "NAT keep-alive"


@dataclass(frozen=True, slots=True)
class EspPacket:
    """A packet of an ESP association (RFC 4303, 2).

    Attributes:
        spi: of the association; its receiver has chosen it.
        sequence: the lower 32 bits of the sequence number.
        data: initialization vector, ciphertext and integrity check value.
    """

    spi: int
    sequence: int
    data: bytes

    def encode(self) -> bytes:
        """Its octets."""
        return struct.pack("!II", self.spi, self.sequence) + self.data

    def summary(self) -> str:
        """One line for a ladder."""
        return f"ESP 0x{self.spi:08x} number {self.sequence}, {len(self.data) + 8} octets"


def decode_esp(data: bytes) -> EspPacket:
    """An ESP packet, of IP protocol 50 or UDP port 4500.

    Raises:
        DecodeError: it is shorter than its header.
    """
    if len(data) < 8:
        raise DecodeError(f"ESP packet: header needs 8 octets, {len(data)} are there")
    spi, sequence = struct.unpack_from("!II", data)
    return EspPacket(spi, sequence, data[8:])


def decode_4500(data: bytes) -> IkeMessage | EspPacket | NatKeepalive:
    """What a datagram to or from port 4500 is.

    Raises:
        DecodeError: it cannot be cut into fields.
    """
    if data == KEEPALIVE:
        return NatKeepalive()
    if data[:4] == NON_ESP_MARKER:
        return cutting.decode(data[4:], is_marked=True)
    return decode_esp(data)
