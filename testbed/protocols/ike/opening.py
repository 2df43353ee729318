"""Opening what IKE and ESP have encrypted, and sealing it (RFC 7296, 3.14; RFC 7383; RFC 4303)."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from testbed.protocols.ike import names
from testbed.protocols.ike.ciphers import (
    CannotOpen,
    check_octets,
    check_value,
    decrypt,
    encrypt,
    form_of,
)
from testbed.protocols.ike.cutting import cut_chain
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.payloads import (
    Encrypted,
    EncryptedFragment,
    Opaque,
    Payload,
    encode_chain,
)
from testbed.protocols.ike.port_4500 import EspPacket

__all__ = ["CannotOpen", "Inside", "open_esp", "open_fragments", "open_message", "seal"]


def open_message(message: IkeMessage, keys: IkeKeys) -> IkeMessage:
    """The message with what is inside its SK payload.

    Raises:
        CannotOpen: the keys do not fit.
        DecodeError: what is inside cannot be cut.
    """
    found = message.encrypted
    if not isinstance(found, Encrypted):
        raise CannotOpen(f"{message.exchange_name}: it has no SK payload")
    return replace(message, inner=_inner(found.inner, open_octets(message, keys)))


def open_fragments(fragments: Sequence[IkeMessage], keys: IkeKeys) -> IkeMessage:
    """The last fragment with what is inside of all of them (RFC 7383, 2.6).

    Args:
        fragments: of one message, all of them, in any order.
        keys: of their association.

    Raises:
        CannotOpen: the keys do not fit, or a fragment is missing.
        DecodeError: what is inside cannot be cut.
    """
    pieces: dict[int, tuple[EncryptedFragment, IkeMessage]] = {}
    for message in fragments:
        found = message.encrypted
        if isinstance(found, EncryptedFragment):
            pieces[found.fragment] = (found, message)
    total = max((found.total for found, _ in pieces.values()), default=0)
    missing = [number for number in range(1, total + 1) if number not in pieces]
    if missing or not total:
        raise CannotOpen(f"{total} fragments: number {missing[0] if missing else 1} is missing")
    first = pieces[1][0].inner
    whole = b"".join(open_octets(pieces[number][1], keys) for number in range(1, total + 1))
    return replace(fragments[-1], inner=_inner(first, whole))


def _inner(first: int, data: bytes) -> tuple[Payload, ...]:
    payloads, surplus = cut_chain(first, data)
    return (*payloads, Opaque(names.NO_NEXT, surplus)) if surplus else payloads


def open_octets(message: IkeMessage, keys: IkeKeys) -> bytes:
    """What is inside a message's SK or SKF payload, without padding.

    Raises:
        CannotOpen: the keys do not fit.
    """
    found = message.encrypted
    if found is None:
        raise CannotOpen(f"{message.exchange_name}: nothing of it is encrypted")
    key, check_key = _direction(keys, message.is_from_initiator)
    form = form_of(keys.encryption)
    value_octets = form.tag_octets or check_octets(keys.integrity)
    data = found.data
    if len(data) < form.iv_octets + value_octets + 1:
        raise CannotOpen(
            f"{message.exchange_name}: {len(data)} encrypted octets are too few for an "
            f"initialization vector of {form.iv_octets} and a check value of {value_octets}"
        )
    whole = message.signed_octets()
    before = whole[: len(whole) - len(message.surplus) - len(data)]
    end = len(data) - value_octets
    iv, ciphertext, value = data[: form.iv_octets], data[form.iv_octets : end], data[end:]
    if form.tag_octets:
        plain = decrypt(keys.encryption, key, iv, ciphertext, value, before)
    else:
        protected = before + data[:end]
        if not hmac.compare_digest(value, check_value(keys.integrity, check_key, protected)):
            raise CannotOpen(f"{message.exchange_name}: its integrity check value is of other keys")
        plain = decrypt(keys.encryption, key, iv, ciphertext, b"", b"")
    padding = plain[-1] + 1
    if padding > len(plain):
        raise CannotOpen(
            f"{message.exchange_name}: {padding - 1} octets of padding, {len(plain)} are there"
        )
    return plain[:-padding]


def seal(
    message: IkeMessage,
    payloads: Sequence[Payload],
    keys: IkeKeys,
    iv: bytes,
    fragment: tuple[int, int] | None = None,
    octets: bytes | None = None,
) -> IkeMessage:
    """The message with those payloads inside an SK payload behind its own.

    Args:
        message: its header, and payloads that stay in clear.
        payloads: what is to be inside.
        keys: of the association.
        iv: initialization vector, as long as the cipher needs.
        fragment: which of how many; None: whole.
        octets: what is inside, where that is a fragment of the payloads.
    """
    key, check_key = _direction(keys, message.is_from_initiator)
    form = form_of(keys.encryption)
    first = payloads[0].type if payloads and (not fragment or fragment[0] == 1) else names.NO_NEXT
    plain = encode_chain(payloads) if octets is None else octets
    padding = -(len(plain) + 1) % form.block_octets
    plain += bytes(padding) + bytes([padding])
    value_octets = form.tag_octets or check_octets(keys.integrity)

    def around(data: bytes) -> IkeMessage:
        made: Payload = (
            EncryptedFragment(first, *fragment, data) if fragment else Encrypted(first, data)
        )
        return replace(message, payloads=(*message.payloads, made))

    empty = around(bytes(len(iv) + len(plain) + value_octets))
    whole = empty.signed_octets()
    before = whole[: len(whole) - len(iv) - len(plain) - value_octets]
    ciphertext, value = encrypt(keys.encryption, key, iv, plain, before)
    if not form.tag_octets:
        value = check_value(keys.integrity, check_key, before + iv + ciphertext)
    return around(iv + ciphertext + value)


def _direction(keys: IkeKeys, is_from_initiator: bool) -> tuple[bytes, bytes]:
    if is_from_initiator:
        return keys.sk_ei, keys.sk_ai
    return keys.sk_er, keys.sk_ar


class Inside(NamedTuple):
    """What an ESP packet carries.

    Attributes:
        next_header: IP protocol number: 4 an IPv4 packet, 41 an IPv6 one, 59 a dummy.
        payload: its octets.
    """

    next_header: int
    payload: bytes


def open_esp(packet: EspPacket, keys: EspKeys) -> Inside:
    """What is inside an ESP packet; extended sequence numbers as far as their low half goes.

    Raises:
        CannotOpen: the keys do not fit.
    """
    form = form_of(keys.encryption)
    value_octets = form.tag_octets or check_octets(keys.integrity)
    data = packet.data
    if len(data) < form.iv_octets + value_octets + 2:
        raise CannotOpen(
            f"ESP packet: {len(data)} octets are too few for an initialization vector of "
            f"{form.iv_octets} and a check value of {value_octets}"
        )
    end = len(data) - value_octets
    iv, ciphertext, value = data[: form.iv_octets], data[form.iv_octets : end], data[end:]
    head = struct.pack("!II", packet.spi, packet.sequence)
    if form.tag_octets:
        try:
            plain = decrypt(keys.encryption, keys.encryption_key, iv, ciphertext, value, head)
        except CannotOpen:
            extended = struct.pack("!III", packet.spi, 0, packet.sequence)
            plain = decrypt(keys.encryption, keys.encryption_key, iv, ciphertext, value, extended)
    else:
        protected = head + data[:end]
        usual, extended = (
            check_value(keys.integrity, keys.integrity_key, protected + more)
            for more in (b"", bytes(4))
        )
        if value not in (usual, extended):
            raise CannotOpen("ESP packet: its integrity check value is of other keys")
        plain = decrypt(keys.encryption, keys.encryption_key, iv, ciphertext, b"", b"")
    padding, next_header = plain[-2], plain[-1]
    if padding + 2 > len(plain):
        raise CannotOpen(f"ESP packet: {padding} octets of padding, {len(plain)} are there")
    return Inside(next_header, plain[: len(plain) - padding - 2])
