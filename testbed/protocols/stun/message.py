"""STUN messages: octets to header and attributes and back, without loss and without judgement.

The form is RFC 3489's, as TR-111 Part 2 uses it: no magic cookie, 128 bits of transaction ID.  A
message of RFC 5389 is one whose transaction ID begins with the cookie.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from testbed.errors import DecodeError
from testbed.protocols.stun.attributes import (
    Attribute,
    Change,
    Kind,
    address_of,
    change_of,
    cut_attributes,
    error_of,
    types_of,
    username_of,
    xor_address_of,
)
from testbed.protocols.wire import Endpoint, Reader

HEADER_OCTETS = 20
MAGIC_COOKIE = bytes.fromhex("2112a442")
"""RFC 5389 section 6: the first four octets of what RFC 3489 calls the transaction ID."""

_HEADER = struct.Struct("!HH16s")
_ATTRIBUTE_HEADER = struct.Struct("!HH")
_FIRST_OCTET_MOST = 3
_BY_TYPE: dict[int, type[Message]] = {}


@dataclass(frozen=True, slots=True)
class Message:
    """One message; of one of the classes below by its type.

    Attributes:
        transaction_id: 16 octets.
        attributes: in their order, duplicates and unknown ones among them.
        trailing: octets behind those that the header's length counts.
    """

    transaction_id: bytes
    attributes: tuple[Attribute, ...] = ()
    trailing: bytes = b""

    TYPE: ClassVar[int] = 0
    WORD: ClassVar[str] = "message"

    def __init_subclass__(cls) -> None:
        if cls.TYPE:
            _BY_TYPE[cls.TYPE] = cls

    @property
    def type(self) -> int:
        """16 bits: 0x0001 Binding Request."""
        return self.TYPE

    def encode(self) -> bytes:
        """The octets on the wire; of a decoded message exactly those it came from."""
        assert len(self.transaction_id) == 16, f"{len(self.transaction_id)} octets are no ID"
        body = b"".join(
            [
                _ATTRIBUTE_HEADER.pack(kind, len(value)) + value + padding
                for kind, value, padding in self.attributes
            ]
        )
        number = self.TYPE or self.type  # a property costs a call, and here every response passes
        return _HEADER.pack(number, len(body), self.transaction_id) + body + self.trailing

    def replacing(self, attributes: Sequence[Attribute]) -> Self:
        """The same message with other attributes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{**values, "attributes": tuple(attributes)})

    def without(self, kind: int) -> Self:
        """The same message without all attributes of that type."""
        return self.replacing([each for each in self.attributes if each.type != kind])

    # What it holds

    def values(self, kind: int) -> tuple[bytes, ...]:
        """The values of all attributes of that type, in order."""
        return tuple([each.value for each in self.attributes if each.type == kind])

    def first(self, kind: int) -> bytes | None:
        """The value of the first attribute of that type; None: there is none."""
        for each in self.attributes:
            if each.type == kind:
                return each.value
        return None

    def _address(self, kind: int) -> Endpoint | None:
        value = self.first(kind)
        return None if value is None else address_of(value)

    @property
    def has_cookie(self) -> bool:
        """Whether its sender follows RFC 5389."""
        return self.transaction_id.startswith(MAGIC_COOKIE)

    @property
    def mapped_address(self) -> Endpoint | None:
        """MAPPED-ADDRESS."""
        return self._address(Kind.MAPPED_ADDRESS)

    @property
    def xor_mapped_address(self) -> Endpoint | None:
        """XOR-MAPPED-ADDRESS, under either of its two types."""
        for kind in (Kind.XOR_MAPPED_ADDRESS, Kind.XOR_MAPPED_ADDRESS_OPTIONAL):
            value = self.first(kind)
            if value is not None:
                return xor_address_of(value, self.transaction_id)
        return None

    @property
    def response_address(self) -> Endpoint | None:
        """RESPONSE-ADDRESS."""
        return self._address(Kind.RESPONSE_ADDRESS)

    @property
    def source_address(self) -> Endpoint | None:
        """SOURCE-ADDRESS."""
        return self._address(Kind.SOURCE_ADDRESS)

    @property
    def changed_address(self) -> Endpoint | None:
        """CHANGED-ADDRESS."""
        return self._address(Kind.CHANGED_ADDRESS)

    @property
    def reflected_from(self) -> Endpoint | None:
        """REFLECTED-FROM."""
        return self._address(Kind.REFLECTED_FROM)

    @property
    def change_request(self) -> Change | None:
        """CHANGE-REQUEST."""
        value = self.first(Kind.CHANGE_REQUEST)
        return None if value is None else change_of(value)

    @property
    def username(self) -> str | None:
        """USERNAME without what fills it up."""
        value = self.first(Kind.USERNAME)
        return None if value is None else username_of(value)

    @property
    def is_marked(self) -> bool:
        """Whether it has CONNECTION-REQUEST-BINDING, with whatever value."""
        return self.first(Kind.CONNECTION_REQUEST_BINDING) is not None

    @property
    def is_change(self) -> bool:
        """Whether it has BINDING-CHANGE."""
        return self.first(Kind.BINDING_CHANGE) is not None

    @property
    def is_signed(self) -> bool:
        """Whether it has MESSAGE-INTEGRITY, right or wrong."""
        return self.first(Kind.MESSAGE_INTEGRITY) is not None

    @property
    def error_code(self) -> int | None:
        """The number in ERROR-CODE."""
        value = self.first(Kind.ERROR_CODE)
        error = None if value is None else error_of(value)
        return None if error is None else error[0]

    @property
    def reason(self) -> str:
        """The reason in ERROR-CODE."""
        value = self.first(Kind.ERROR_CODE)
        error = None if value is None else error_of(value)
        return "" if error is None else error[1]

    @property
    def unknown_attributes(self) -> tuple[int, ...] | None:
        """What UNKNOWN-ATTRIBUTES lists."""
        value = self.first(Kind.UNKNOWN_ATTRIBUTES)
        return None if value is None else types_of(value)

    # One line

    def _details(self) -> list[str]:
        return []

    def summary(self) -> str:
        """One line: "STUN Binding Request BINDING-CHANGE cpe-0001 signed"."""
        signed = ["signed"] if self.is_signed else []
        return " ".join(["STUN", self.WORD, *self._details(), *signed])


class _Request(Message):
    """What the requests have in common."""

    __slots__ = ()

    def _details(self) -> list[str]:
        told = []
        if self.is_change:
            told.append("BINDING-CHANGE")
        if self.username:
            told.append("".join(c if c.isprintable() else "?" for c in self.username[:40]))
        if self.first(Kind.RESPONSE_ADDRESS) is not None:
            told.append(f"for {self.response_address or 'a malformed RESPONSE-ADDRESS'}")
        return told


class _Error(Message):
    """What the error responses have in common."""

    __slots__ = ()

    def _details(self) -> list[str]:
        if self.error_code is None:
            return ["without ERROR-CODE"]
        reason = "".join(c if c.isprintable() else "?" for c in self.reason[:60])
        return [f"{self.error_code} {reason}".rstrip()]


class BindingRequest(_Request):
    """Asks by which address and port the server sees the sender."""

    __slots__ = ()
    TYPE = 0x0001
    WORD = "Binding Request"


class BindingResponse(Message):
    """Tells it."""

    __slots__ = ()
    TYPE = 0x0101
    WORD = "Binding Response"

    def _details(self) -> list[str]:
        seen = self.mapped_address or self.xor_mapped_address
        return [str(seen) if seen else "without MAPPED-ADDRESS"]


class BindingErrorResponse(_Error):
    """Says why not."""

    __slots__ = ()
    TYPE = 0x0111
    WORD = "Binding Error Response"


class SharedSecretRequest(_Request):
    """Asks for a username and password; TR-111 has no use for it."""

    __slots__ = ()
    TYPE = 0x0002
    WORD = "Shared Secret Request"


class SharedSecretResponse(Message):
    """Gives them."""

    __slots__ = ()
    TYPE = 0x0102
    WORD = "Shared Secret Response"


class SharedSecretErrorResponse(_Error):
    """Says why not."""

    __slots__ = ()
    TYPE = 0x0112
    WORD = "Shared Secret Error Response"


@dataclass(frozen=True, slots=True)
class OtherMessage(Message):
    """A message of any other type.

    Attributes:
        number: the type.
    """

    number: int = 0

    @property
    def type(self) -> int:
        """16 bits."""
        return self.number

    def _details(self) -> list[str]:
        return [f"of type 0x{self.number:04x}"]


def is_stun(data: bytes) -> bool:
    """Whether a datagram can be STUN at all: its first octet says it.

    TR-111 Part 2, 2.2.1.4: "the first byte of all STUN messages defined in [2-5] is either 0 or 1";
    RFC 5389 uses up to 3.  What shares a port with STUN begins otherwise.
    """
    return bool(data) and data[0] <= _FIRST_OCTET_MOST


def decode(data: bytes) -> Message:
    """The message in a datagram, of the class of its type.

    Raises:
        DecodeError: its first octet is not STUN's, it is shorter than a header or than its length
            says, or an attribute is longer than what remains.
    """
    if len(data) < HEADER_OCTETS:
        Reader(data, "STUN message").take(HEADER_OCTETS, "header")
    number, length, transaction_id = _HEADER.unpack_from(data)
    if number >> 8 > _FIRST_OCTET_MOST:
        raise DecodeError(
            f"STUN message: its first octet is 0x{data[0]:02x}, of STUN it is 0x00 to 0x03"
        )
    end = HEADER_OCTETS + length
    if end > len(data):
        raise DecodeError(
            f"STUN message: its length at offset 2 says {length} octets behind the header, "
            f"{len(data) - HEADER_OCTETS} remain"
        )
    attributes = cut_attributes(data[HEADER_OCTETS:end], HEADER_OCTETS)
    kind = _BY_TYPE.get(number)
    if kind is None:
        return OtherMessage(transaction_id, attributes, data[end:], number)
    return kind(transaction_id, attributes, data[end:])
