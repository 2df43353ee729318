"""ESP associations (RFC 4303): packets of one direction sealed and opened, with real ciphers."""

from __future__ import annotations

import struct
from hashlib import shake_256
from random import Random

from testbed.engines.simulation.packets import IP_HEADER_OCTETS, Packet
from testbed.protocols.ike.ciphers import check_value, encrypt
from testbed.protocols.ike.keys import EspKeys
from testbed.protocols.ike.opening import open_esp
from testbed.protocols.ike.port_4500 import EspPacket

ENCRYPTION, INTEGRITY = "AES_CBC", "HMAC_SHA2_256_128"
KEY_OCTETS, INTEGRITY_KEY_OCTETS, IV_OCTETS = 16, 32, 16
_IPV4 = 4


def read_packet(octets: bytes) -> Packet:
    """A whole IPv4 packet that one of our own nodes has made."""
    fields = struct.unpack_from("!BBHHHBBH4s4s", octets)
    flags = fields[4]
    return Packet(
        ".".join(map(str, fields[8])),
        ".".join(map(str, fields[9])),
        fields[6],
        octets[IP_HEADER_OCTETS : fields[2]],
        fields[3],
        fields[5],
        not flags & 0x4000,
        (flags & 0x1FFF) << 3,
        bool(flags & 0x2000),
    )


class Association:
    """One direction of a tunnel.

    Args:
        spi: its receiver has chosen it.
        secret: of both ends.
        source: the sender's outer address, as whoever tells the keys knows it.
        destination: the receiver's.
    """

    def __init__(self, spi: int, secret: bytes, source: str, destination: str) -> None:
        octets = shake_256(secret + spi.to_bytes(4, "big")).digest(
            KEY_OCTETS + INTEGRITY_KEY_OCTETS
        )
        self.spi = spi
        self.keys = EspKeys(
            spi,
            source,
            destination,
            ENCRYPTION,
            octets[:KEY_OCTETS],
            INTEGRITY,
            octets[KEY_OCTETS:],
        )
        self._sequence = 0

    def seal(self, inner: bytes, random: Random) -> bytes:
        """The ESP packet that carries an IPv4 packet."""
        self._sequence += 1
        padding = -(len(inner) + 2) % IV_OCTETS
        plain = inner + bytes(range(1, padding + 1)) + bytes([padding, _IPV4])
        iv = random.randbytes(IV_OCTETS)
        hidden, _ = encrypt(ENCRYPTION, self.keys.encryption_key, iv, plain, b"")
        head = struct.pack("!II", self.spi, self._sequence)
        value = check_value(INTEGRITY, self.keys.integrity_key, head + iv + hidden)
        return head + iv + hidden + value

    def open(self, packet: EspPacket) -> bytes:
        """The IPv4 packet inside.

        Raises:
            DecodeError: it is not of this association.
        """
        return open_esp(packet, self.keys).payload
