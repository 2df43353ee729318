"""Keys of IKE and ESP security associations, as an end tells them and as a trace opens them.

Algorithms have the names of IANA's IKEv2 registry, without the prefix of their kind: "AES_CBC",
"AES_GCM_16"; "HMAC_SHA2_256_128".  A key's length is the length of its octets.
"""

from __future__ import annotations

from dataclasses import dataclass

COMBINED = frozenset(
    {
        "AES_GCM_8",
        "AES_GCM_12",
        "AES_GCM_16",
        "AES_CCM_8",
        "AES_CCM_12",
        "AES_CCM_16",
        "CHACHA20_POLY1305",
    }
)
"""Ciphers that authenticate too (RFC 5282, RFC 4106): their keys end with the salt, there is no
integrity algorithm beside them."""


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The keys of one IKE security association (RFC 7296, 2.14).

    Attributes:
        initiator_spi: eight octets, as in the header.
        responder_spi: likewise.
        encryption: the cipher's name.
        integrity: the integrity algorithm's name; "" beside a combined cipher.
        sk_ei: the initiator's encryption key; a combined cipher's with its salt.
        sk_er: the responder's.
        sk_ai: the initiator's integrity key; b"" beside a combined cipher.
        sk_ar: the responder's.
    """

    initiator_spi: bytes
    responder_spi: bytes
    encryption: str
    integrity: str
    sk_ei: bytes
    sk_er: bytes
    sk_ai: bytes = b""
    sk_ar: bytes = b""


@dataclass(frozen=True, slots=True)
class EspKeys:
    """The keys of one ESP security association: one direction (RFC 4301, 4.1).

    Attributes:
        spi: its receiver has chosen it.
        source: the sender's outer address, as the end sees it that tells this.  A NAT between the
            ends shows the wire another one: find an association by its SPI.
        destination: the receiver's, likewise.
        encryption: the cipher's name.
        encryption_key: a combined cipher's with its salt.
        integrity: the integrity algorithm's name; "" beside a combined cipher.
        integrity_key: b"" beside a combined cipher.
    """

    spi: int
    source: str
    destination: str
    encryption: str
    encryption_key: bytes
    integrity: str = ""
    integrity_key: bytes = b""
