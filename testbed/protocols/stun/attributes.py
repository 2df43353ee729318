"""STUN attributes: octets to type and value, and the values that have a form (RFC 3489, TR-111).

What an attribute means is read where it is asked for; one whose value has not the form of its type
reads as None and stays what it was.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from testbed.errors import DecodeError
from testbed.protocols.wire import Endpoint


class Kind(IntEnum):
    """The types of attributes that we have names for; a message may hold any other."""

    MAPPED_ADDRESS = 0x0001
    RESPONSE_ADDRESS = 0x0002
    CHANGE_REQUEST = 0x0003
    SOURCE_ADDRESS = 0x0004
    CHANGED_ADDRESS = 0x0005
    USERNAME = 0x0006
    PASSWORD = 0x0007
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REFLECTED_FROM = 0x000B
    REALM = 0x0014
    NONCE = 0x0015
    XOR_MAPPED_ADDRESS = 0x0020
    XOR_MAPPED_ADDRESS_OPTIONAL = 0x8020
    """What drafts before RFC 5389 called XOR-MAPPED-ADDRESS; servers in the field still say it."""
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    CONNECTION_REQUEST_BINDING = 0xC001
    BINDING_CHANGE = 0xC002


MANDATORY_MOST = 0x7FFF
"""RFC 3489 11.2: whoever does not understand an attribute of up to this type must say so."""

CONNECTION_REQUEST_BINDING_VALUE = b"dslforum.org/TR-111 "
"""TR-111 Part 2, Table 5: "A space character is the last character of this string"."""

_HEADER = struct.Struct("!HH")
_unpack_header = _HEADER.unpack_from
_new = tuple.__new__  # what Attribute(...) comes to, without its detour: this is the hot loop
_ADDRESS = struct.Struct("!xBH4s")
_LONG_ADDRESS = struct.Struct("!xBH16s")
_IPV4, _IPV6 = 1, 2
_CHANGE_ADDRESS, _CHANGE_PORT = 4, 2


class Attribute(NamedTuple):
    """One attribute as it was on the wire.

    Attributes:
        type: 16 bits, of `Kind` or any other.
        value: its octets, as many as its length says.
        padding: what stands between its value and the next attribute (RFC 5389 section 15); RFC
            3489 has none.
    """

    type: int
    value: bytes
    padding: bytes = b""

    @property
    def name(self) -> str:
        """ "MAPPED-ADDRESS"; "0x1234" where nobody has named it."""
        try:
            return Kind(self.type).name.replace("_", "-")
        except ValueError:
            return f"0x{self.type:04x}"

    def encode(self) -> bytes:
        """The octets on the wire."""
        return _HEADER.pack(self.type, len(self.value)) + self.value + self.padding

    def aligned(self) -> Attribute:
        """The same with zeros behind it up to a multiple of 4 octets, as RFC 5389 has it."""
        return self._replace(padding=bytes(-len(self.value) % 4))


def cut_attributes(data: bytes, offset: int) -> tuple[Attribute, ...]:
    """The attributes in `data`.

    RFC 3489 gives every value a multiple of 4 octets; where one has not, agents in the field differ
    on whether padding follows it.  The message is read in the way in which it comes out even,
    padded first.

    Args:
        data: all octets of the message behind the header that its length counts.
        offset: where they begin in the message, for errors.

    Raises:
        DecodeError: an attribute is longer than what remains.
    """
    try:
        return _cut(data, offset, 3)
    except DecodeError as error:
        try:
            return _cut(data, offset, 0)
        except DecodeError:
            raise error from None


def _cut(data: bytes, offset: int, alignment: int) -> tuple[Attribute, ...]:
    found = []
    position, size = 0, len(data)
    while position < size:
        if size - position < 4:
            raise DecodeError(
                f"STUN attribute at offset {offset + position}: its header needs 4 octets, "
                f"{size - position} remain"
            )
        kind, length = _unpack_header(data, position)
        start = position + 4
        end = start + length
        position = end + (-length & alignment)
        if position > size:
            raise DecodeError(
                f"STUN attribute 0x{kind:04x} at offset {offset + start - 4} says {length} octets, "
                f"{size - start} remain"
            )
        found.append(_new(Attribute, (kind, data[start:end], data[end:position])))
    return tuple(found)


# Values


@lru_cache(maxsize=65536)
def address_text(octets: bytes) -> str:
    """Four or sixteen octets as an address."""
    return str(IPv4Address(octets) if len(octets) == 4 else IPv6Address(octets))


@lru_cache(maxsize=65536)
def address_octets(text: str) -> bytes:
    """An address as octets."""
    return IPv6Address(text).packed if ":" in text else IPv4Address(text).packed


def address_value(endpoint: Endpoint) -> bytes:
    """The value of MAPPED-ADDRESS and its like."""
    octets = address_octets(endpoint.address)
    if len(octets) == 4:
        return _ADDRESS.pack(_IPV4, endpoint.port, octets)
    return _LONG_ADDRESS.pack(_IPV6, endpoint.port, octets)


def address_of(value: bytes) -> Endpoint | None:
    """The endpoint that such a value holds; None: it has not that form."""
    if len(value) == 8 and value[1] == _IPV4:
        _, port, octets = _ADDRESS.unpack(value)
    elif len(value) == 20 and value[1] == _IPV6:
        _, port, octets = _LONG_ADDRESS.unpack(value)
    else:
        return None
    return Endpoint(address_text(octets), port)


def xor_address_value(endpoint: Endpoint, transaction_id: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 5389 section 15.2); its own inverse on octets."""
    return _crossed(address_value(endpoint), transaction_id)


def xor_address_of(value: bytes, transaction_id: bytes) -> Endpoint | None:
    """The endpoint that XOR-MAPPED-ADDRESS hides; None: it has not that form."""
    return address_of(_crossed(value, transaction_id))


def _crossed(value: bytes, transaction_id: bytes) -> bytes:
    """Port and address crossed with the first octets of the transaction's 16, the cookie's."""
    mask = transaction_id[:2] + transaction_id
    hidden = bytes(a ^ b for a, b in zip(value[2:], mask, strict=False))
    return value[:2] + hidden


class Change(NamedTuple):
    """What CHANGE-REQUEST asks for: the response from another address, another port, or both."""

    address: bool
    port: bool


def change_request(address: bool, port: bool) -> Attribute:
    """CHANGE-REQUEST (RFC 3489 11.2.4)."""
    flags = _CHANGE_ADDRESS * address | _CHANGE_PORT * port
    return Attribute(Kind.CHANGE_REQUEST, struct.pack("!I", flags))


def change_of(value: bytes) -> Change | None:
    """What a CHANGE-REQUEST's value asks for; None: it has not that form."""
    if len(value) != 4:
        return None
    return Change(bool(value[3] & _CHANGE_ADDRESS), bool(value[3] & _CHANGE_PORT))


def error_code(code: int, reason: str) -> Attribute:
    """ERROR-CODE (RFC 3489 11.2.9); the reason is filled up with spaces.

    "The reason phrase MUST ... have a length that is a multiple of 4".
    """
    text = reason.encode()
    text += b" " * (-len(text) % 4)
    return Attribute(Kind.ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + text)


def error_of(value: bytes) -> tuple[int, str] | None:
    """Code and reason of an ERROR-CODE's value; None: it has not that form."""
    if len(value) < 4:
        return None
    reason = value[4:].decode("utf-8", "replace").rstrip(" \0")
    return (value[2] & 7) * 100 + value[3], reason


def unknown_attributes(types: Sequence[int]) -> Attribute:
    """UNKNOWN-ATTRIBUTES (RFC 3489 11.2.10).

    "If the total number of unknown attributes is an odd number, one of the attributes MUST be
    repeated in the list, so that the total length of the list is a multiple of 4 bytes."
    """
    listed = [*types, *types[:1]] if len(types) % 2 else list(types)
    return Attribute(Kind.UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(listed)}H", *listed))


def types_of(value: bytes) -> tuple[int, ...] | None:
    """The types that an UNKNOWN-ATTRIBUTES' value lists; None: it has not that form."""
    if len(value) % 2:
        return None
    return struct.unpack(f"!{len(value) // 2}H", value)


UsernamePadding = Literal["nul", "space", "none", "aligned"]
"""How a USERNAME whose length is no multiple of 4 is sent: filled up with NULs or spaces inside
its length; as it is; or as it is with zeros behind it that its length does not count."""


def username(name: str, padding: UsernamePadding = "nul") -> Attribute:
    """USERNAME; RFC 3489 11.2.6: "Its length MUST be a multiple of 4"."""
    octets = name.encode()
    attribute = Attribute(Kind.USERNAME, octets)
    if padding == "aligned":
        return attribute.aligned()
    if padding == "none":
        return attribute
    filler = b"\0" if padding == "nul" else b" "
    return Attribute(Kind.USERNAME, octets + filler * (-len(octets) % 4))


@lru_cache(maxsize=65536)
def username_of(value: bytes) -> str:
    """The name without the NULs and spaces that fill it up."""
    return value.decode("utf-8", "replace").rstrip(" \0")
