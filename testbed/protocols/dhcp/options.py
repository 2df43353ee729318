"""The options of DHCP: cutting them from octets, joining split ones, and the values within.

RFC 2132 (the options), RFC 3396 (long options), RFC 3925 (option 125).  Knows no message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import AddressValueError, IPv4Address

from testbed.errors import BadInput
from testbed.protocols.wire import DecodeError, Reader

INFINITE_S = 0xFFFFFFFF
"""A lease time that means for ever (RFC 2131 section 3.3)."""

VendorIdentity = tuple[tuple[int, tuple[tuple[int, bytes], ...]], ...]
"""Option 125: (enterprise number, ((sub-option code, value), ...)) for each block, in order."""


class Code(IntEnum):
    """The option codes that the testbed sets or reads; all others travel as numbers."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVER = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_REQUEST_LIST = 55
    ERROR_MESSAGE = 56
    MAXIMUM_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_IDENTIFIER = 61
    RELAY_AGENT_INFORMATION = 82
    VENDOR_IDENTITY = 125
    END = 255


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it lies on the wire; Pad (0) and End (255) have neither length nor value.

    Attributes:
        code: 0 to 255.
        value: its octets, without code and length.
    """

    code: int
    value: bytes = b""


PAD = Option(Code.PAD)
END = Option(Code.END)


def cut_options(data: bytes, subject: str, offset: int) -> tuple[tuple[Option, ...], bytes]:
    """Cut an area into its options, up to and with the End option.

    Args:
        data: the area.
        subject: whose options they are, for errors.
        offset: where the area begins in the message, for errors.

    Returns:
        The options, Pad and End included, and what follows End.

    Raises:
        DecodeError: an option is longer than its area.
    """
    found: list[Option] = []
    position = 0
    size = len(data)
    while position < size:
        code = data[position]
        if code == Code.PAD:
            found.append(PAD)
            position += 1
            continue
        if code == Code.END:
            found.append(END)
            position += 1
            break
        where = f"{subject}: option {code} at offset {offset + position}"
        if position + 1 == size:
            raise DecodeError(f"{where} lacks its length octet, 0 octets remain")
        length = data[position + 1]
        value = data[position + 2 : position + 2 + length]
        if len(value) < length:
            raise DecodeError(f"{where} says {length} octets, {len(value)} remain")
        found.append(Option(code, value))
        position += 2 + length
    return tuple(found), data[position:]


def encode_options(options: Iterable[Option]) -> bytes:
    """The octets of options; values over 255 octets become several options (RFC 3396)."""
    return b"".join(_encode_option(option) for option in options)


def _encode_option(option: Option) -> bytes:
    if option.code in (Code.PAD, Code.END):
        return bytes((option.code,))
    if len(option.value) <= 255:
        return bytes((option.code, len(option.value))) + option.value
    return b"".join(_encode_option(piece) for piece in split_option(option))


def split_option(option: Option) -> list[Option]:
    """The option as pieces of at most 255 octets, in order; a short one is its own only piece."""
    value = option.value
    return [
        Option(option.code, value[start : start + 255])
        for start in range(0, max(len(value), 1), 255)
    ]


def joined(options: Iterable[Option], code: int) -> bytes | None:
    """The value of an option, its instances joined in order (RFC 3396 section 7); None: absent."""
    values = [option.value for option in options if option.code == code]
    return b"".join(values) if values else None


def address_text(octets: bytes) -> str:
    """Four octets as "192.168.1.1"."""
    return f"{octets[0]}.{octets[1]}.{octets[2]}.{octets[3]}"


def address_octets(address: str) -> bytes:
    """An address ("192.168.1.1") as four octets.

    Raises:
        BadInput: it is no IPv4 address.
    """
    try:
        return IPv4Address(address).packed
    except AddressValueError:
        raise BadInput(
            f"DHCP: {address!r} is no IPv4 address; write it as four numbers (192.168.1.1)"
        ) from None


def addresses_text(octets: bytes) -> tuple[str, ...]:
    """Every whole address in a list of them."""
    return tuple(address_text(octets[start : start + 4]) for start in range(0, len(octets) - 3, 4))


def addresses(code: int, *values: str) -> Option:
    """An option of one or more IPv4 addresses.

    Raises:
        BadInput: one is no IPv4 address.
    """
    return Option(code, b"".join(address_octets(value) for value in values))


def seconds(code: int, value_s: float) -> Option:
    """An option of 32 bits of seconds; from 2^32 - 1 on, `math.inf` too, it says for ever.

    Fractions are cut off, negative values become 0.
    """
    whole = INFINITE_S if value_s >= INFINITE_S else max(int(value_s), 0)
    return Option(code, whole.to_bytes(4))


def text(code: int, value: str) -> Option:
    """An option of text, without NUL at its end (RFC 2132 section 2)."""
    return Option(code, value.encode())


def subnet_mask(prefix_length: int) -> Option:
    """Option 1 of that prefix length."""
    mask = (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF
    return Option(Code.SUBNET_MASK, mask.to_bytes(4))


def client_identifier(value: bytes) -> Option:
    """Option 61; its first octet is the type (RFC 2132 section 9.14)."""
    return Option(Code.CLIENT_IDENTIFIER, value)


def vendor_identity(*blocks: tuple[int, Sequence[tuple[int, bytes]]]) -> Option:
    """Option 125 of one block for each (enterprise number, sub-options).

    Raises:
        BadInput: a block holds more than its one length octet can say.
    """
    octets = b""
    for enterprise, values in blocks:
        for code, value in values:
            if len(value) > 255:
                raise BadInput(
                    f"DHCP option 125: sub-option {code} of enterprise {enterprise} has "
                    f"{len(value)} octets, 255 are the most"
                )
        data = b"".join(bytes((code, len(value))) + value for code, value in values)
        if len(data) > 255:
            raise BadInput(
                f"DHCP option 125: the sub-options of enterprise {enterprise} take {len(data)} "
                "octets, 255 are the most of one block; spread them over several blocks"
            )
        octets += enterprise.to_bytes(4) + bytes((len(data),)) + data
    return Option(Code.VENDOR_IDENTITY, octets)


def cut_vendor_identity(value: bytes) -> VendorIdentity:
    """The blocks of an option 125 whose instances have been joined (RFC 3925 section 4).

    Raises:
        DecodeError: a block or a sub-option is longer than what holds it.
    """
    reader = Reader(value, "DHCP option 125")
    blocks = []
    while reader.remaining:
        enterprise, data, offset = _vendor_block(reader)
        blocks.append((enterprise, _sub_options(enterprise, data, offset)))
    return tuple(blocks)


def readable_vendor_identity(value: bytes) -> VendorIdentity:
    """As `cut_vendor_identity`, but without the blocks that cannot be cut.

    After a block that is longer than the option nothing more can be found.
    """
    reader = Reader(value, "DHCP option 125")
    blocks = []
    while reader.remaining:
        try:
            enterprise, data, offset = _vendor_block(reader)
        except DecodeError:
            break
        try:
            blocks.append((enterprise, _sub_options(enterprise, data, offset)))
        except DecodeError:
            continue
    return tuple(blocks)


def _vendor_block(reader: Reader) -> tuple[int, bytes, int]:
    enterprise = reader.uint32("enterprise number")
    length = reader.uint8(f"data length of enterprise {enterprise}")
    offset = reader.position
    return enterprise, reader.take(length, f"data of enterprise {enterprise}"), offset


def _sub_options(enterprise: int, data: bytes, offset: int) -> tuple[tuple[int, bytes], ...]:
    reader = Reader(data, f"DHCP option 125, enterprise {enterprise}", offset)
    values = []
    while reader.remaining:
        code = reader.uint8("sub-option code")
        length = reader.uint8(f"length of sub-option {code}")
        values.append((code, reader.take(length, f"sub-option {code}")))
    return tuple(values)
