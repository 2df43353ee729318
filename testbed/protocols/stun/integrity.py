"""MESSAGE-INTEGRITY: the HMAC over a message, in the ways in which agents compute it.

RFC 3489 and RFC 5389 differ, and agents in the field have more ways; they agree where the text is a
multiple of 64 octets already.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import Enum
from typing import TypeVar

from testbed.protocols.stun.attributes import Attribute, Kind
from testbed.protocols.stun.message import HEADER_OCTETS, Message

OCTETS = 20
"""Of a HMAC-SHA1."""
_ATTRIBUTE_OCTETS = 4 + OCTETS
_BLOCK_OCTETS = 64

MessageT = TypeVar("MessageT", bound=Message)


class Computation(Enum):
    """Which text is signed: what the header's length says in it, and how it is filled up."""

    RFC3489 = "rfc3489"
    """RFC 3489 11.2.8: the length that is sent; zeros up to a multiple of 64 octets."""
    RFC5389 = "rfc5389"
    """RFC 5389 section 15.4: the length up to MESSAGE-INTEGRITY's end; nothing filled up."""
    SHORT_PADDED = "short-padded"
    """The length without MESSAGE-INTEGRITY; zeros up to a multiple of 64 octets."""
    SHORT = "short"
    """The length without MESSAGE-INTEGRITY; nothing filled up."""
    ZERO = "zero"
    """A length of 0; nothing filled up."""
    EXTRA_BLOCK = "extra-block"
    """The length without MESSAGE-INTEGRITY; zeros, 64 of them where none were needed."""
    SWAPPED = "swapped"
    """The length with MESSAGE-INTEGRITY, its octets swapped; nothing filled up."""


def compute(head: bytes, key: bytes, how: Computation, sent_length: int) -> bytes:
    """The HMAC of a message.

    Args:
        head: the message from its header up to the attribute before MESSAGE-INTEGRITY.
        key: the password.
        how: which text is signed.
        sent_length: what the header's length is on the wire.
    """
    length = len(head) - HEADER_OCTETS
    order, fill = "big", 0
    match how:
        case Computation.RFC3489:
            length, fill = sent_length, -len(head) % _BLOCK_OCTETS
        case Computation.RFC5389:
            length += _ATTRIBUTE_OCTETS
        case Computation.SHORT_PADDED:
            fill = -len(head) % _BLOCK_OCTETS
        case Computation.SHORT:
            pass
        case Computation.ZERO:
            length = 0
        case Computation.EXTRA_BLOCK:
            fill = _BLOCK_OCTETS - len(head) % _BLOCK_OCTETS
        case Computation.SWAPPED:
            length += _ATTRIBUTE_OCTETS
            order = "little"
    octets = length.to_bytes(2, "little" if order == "little" else "big")
    text = head[:2] + octets + head[4:] + bytes(fill)
    return hmac.digest(key, text, "sha1")


def sign(message: MessageT, key: bytes, how: Computation = Computation.RFC3489) -> MessageT:
    """The message with MESSAGE-INTEGRITY as its last attribute."""
    empty = message.replacing([*message.attributes, Attribute(Kind.MESSAGE_INTEGRITY, bytes(20))])
    octets = empty.encode()
    head = octets[: len(octets) - len(message.trailing) - _ATTRIBUTE_OCTETS]
    value = compute(head, key, how, int.from_bytes(octets[2:4], "big"))
    return message.replacing([*message.attributes, Attribute(Kind.MESSAGE_INTEGRITY, value)])


def signed_by(
    message: Message, key: bytes, among: Iterable[Computation] = tuple(Computation)
) -> Computation | None:
    """In which way the first MESSAGE-INTEGRITY of a message is right under this key.

    Args:
        message: as it was received.
        key: the password.
        among: the ways that are tried, in their order.

    Returns:
        None: it has none, or it is wrong in all these ways.
    """
    offset = HEADER_OCTETS
    for each in message.attributes:
        if each.type == Kind.MESSAGE_INTEGRITY:
            break
        offset += 4 + len(each.value) + len(each.padding)
    else:
        return None
    octets = message.encode()
    sent_length = int.from_bytes(octets[2:4], "big")
    for how in among:
        right = compute(octets[:offset], key, how, sent_length)
        if hmac.compare_digest(right, each.value):
            return how
    return None
