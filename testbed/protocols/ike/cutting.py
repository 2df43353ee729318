"""Octets to IKEv2 messages and payloads (RFC 7296, 3; RFC 7383, 2.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from testbed.errors import DecodeError
from testbed.protocols.ike import names
from testbed.protocols.ike import payloads as p
from testbed.protocols.ike.message import CLASSES, HEADER_OCTETS, IkeMessage, OtherVersion
from testbed.protocols.ike.parts import (
    MORE_PROPOSALS,
    MORE_TRANSFORMS,
    Attribute,
    ConfigurationAttribute,
    Proposal,
    Selector,
    Transform,
)
from testbed.protocols.wire import Reader

_RANGE_OCTETS = {names.TS_IPV4_RANGE: 4, names.TS_IPV6_RANGE: 16}
_CHAIN_OPENERS = (names.SK, names.SKF)


def decode(data: bytes, is_marked: bool = False) -> IkeMessage:
    """The message of a datagram.

    Args:
        data: without a non-ESP marker.
        is_marked: there was one before it.

    Raises:
        DecodeError: it cannot be cut into fields.
    """
    reader = Reader(data, "IKE message")
    initiator_spi = reader.take(8, "initiator's SPI")
    responder_spi = reader.take(8, "responder's SPI")
    first = reader.uint8("next payload")
    version = reader.uint8("version")
    exchange = reader.uint8("exchange type")
    flags = reader.uint8("flags")
    message_id = reader.uint32("message id")
    length = reader.uint32("length")
    if not HEADER_OCTETS <= length <= len(data):
        raise DecodeError(
            f"IKE message: length at offset 24 says {length} octets, "
            f"{HEADER_OCTETS} to {len(data)} are possible"
        )
    body, trailing = data[HEADER_OCTETS:length], data[length:]
    head = (initiator_spi, responder_spi, exchange, message_id, flags)
    if version >> 4 != 2:
        return OtherVersion(*head, (), version, is_marked, first, body, trailing)
    payloads, surplus = cut_chain(first, body, HEADER_OCTETS)
    kind = CLASSES.get(exchange, IkeMessage)
    return kind(*head, payloads, version, is_marked, None, surplus, trailing)


def cut_chain(first: int, data: bytes, offset: int = 0) -> tuple[tuple[p.Payload, ...], bytes]:
    """Payloads one after the other, and what is behind the last one.

    Args:
        first: type of the first one.
        data: all of them.
        offset: where `data` begins in the message, for errors.

    Raises:
        DecodeError: one cannot be cut.
    """
    reader = Reader(data, "IKE message", offset)
    payloads: list[p.Payload] = []
    number = first
    while number != names.NO_NEXT:
        where = offset + reader.position
        label = names.PAYLOADS.get(number) or str(number)
        following = reader.uint8(f"payload {label}: next payload")
        flags = reader.uint8(f"payload {label}: flags")
        length = reader.uint16(f"payload {label}: length")
        if not 4 <= length <= reader.remaining + 4:
            raise DecodeError(
                f"IKE message: length of payload {label} at offset {where} says {length} octets, "
                f"4 to {reader.remaining + 4} are possible"
            )
        inside = Reader(reader.take(length - 4, label), f"IKE payload {label}", where + 4)
        payloads.append(_payload(number, following, flags, inside))
        if number in _CHAIN_OPENERS:
            break  # "next payload" is what is inside (RFC 7296, 3.14)
        number = following
    return tuple(payloads), reader.rest()


def _payload(number: int, following: int, flags: int, reader: Reader) -> p.Payload:
    if number == names.SK:
        return p.Encrypted(following, reader.rest(), flags=flags)
    if number == names.SKF:
        fragment, total = reader.uint16("fragment number"), reader.uint16("total fragments")
        return p.EncryptedFragment(following, fragment, total, reader.rest(), flags=flags)
    cut = _CUT.get(number)
    if cut is None:
        return p.Opaque(number, reader.rest(), flags=flags)
    return cut(reader, flags)


def _part(reader: Reader, what: str, least: int) -> tuple[int, int, Reader]:
    """First octet, reserved octet and the rest of a proposal or transform: all three alike."""
    where = reader.offset + reader.position
    more, reserved = reader.uint8(f"{what}: first octet"), reader.uint8(f"{what}: reserved")
    length = reader.uint16(f"{what}: length")
    if not least <= length <= reader.remaining + 4:
        raise DecodeError(
            f"{reader.subject}: length of {what} at offset {where} says {length} octets, "
            f"{least} to {reader.remaining + 4} are possible"
        )
    return more, reserved, Reader(reader.take(length - 4, what), f"IKE {what}", where + 4)


def _marker(more: int, usual: int, reader: Reader) -> int | None:
    """The first octet of a part, where it does not fit what follows in `reader`."""
    return None if more == (usual if reader.remaining else 0) else more


def _association(reader: Reader, flags: int) -> p.Payload:
    proposals = []
    while reader.remaining:
        more, reserved, inside = _part(reader, "proposal", 8)
        number, protocol = inside.uint8("number"), inside.uint8("protocol")
        size, count = inside.uint8("size of the SPI"), inside.uint8("number of transforms")
        spi = inside.take(size, "SPI")
        transforms = []
        while inside.remaining:
            transforms.append(_transform(inside))
        proposals.append(
            Proposal(
                number,
                protocol,
                spi,
                tuple(transforms),
                _marker(more, MORE_PROPOSALS, reader),
                reserved,
                None if count == len(transforms) else count,
            )
        )
    return p.SecurityAssociation(tuple(proposals), flags=flags)


def _transform(reader: Reader) -> Transform:
    more, reserved, inside = _part(reader, "transform", 8)
    kind, second = inside.uint8("type"), inside.uint8("reserved")
    number = inside.uint16("id")
    attributes = []
    while inside.remaining:
        head = inside.uint16("attribute type")
        is_short = bool(head & 0x8000)
        octets = 2 if is_short else inside.uint16("attribute length")
        value = inside.take(octets, "attribute value")
        attributes.append(Attribute(head & 0x7FFF, value, is_short))
    marker = _marker(more, MORE_TRANSFORMS, reader)
    return Transform(kind, number, tuple(attributes), marker, (reserved, second))


def _key_exchange(reader: Reader, flags: int) -> p.Payload:
    group, reserved = reader.uint16("group"), reader.uint16("reserved")
    return p.KeyExchange(group, reader.rest(), reserved, flags=flags)


def _identification(is_initiator: bool) -> Callable[[Reader, int], p.Payload]:
    def cut(reader: Reader, flags: int) -> p.Payload:
        kind, reserved = reader.uint8("type"), reader.take(3, "reserved")
        return p.Identification(is_initiator, kind, reader.rest(), reserved, flags=flags)

    return cut


def _certificate(reader: Reader, flags: int) -> p.Payload:
    return p.Certificate(reader.uint8("encoding"), reader.rest(), flags=flags)


def _certificate_request(reader: Reader, flags: int) -> p.Payload:
    return p.CertificateRequest(reader.uint8("encoding"), reader.rest(), flags=flags)


def _authentication(reader: Reader, flags: int) -> p.Payload:
    method, reserved = reader.uint8("method"), reader.take(3, "reserved")
    return p.Authentication(method, reader.rest(), reserved, flags=flags)


def _nonce(reader: Reader, flags: int) -> p.Payload:
    return p.Nonce(reader.rest(), flags=flags)


def _notify(reader: Reader, flags: int) -> p.Payload:
    protocol, size = reader.uint8("protocol"), reader.uint8("size of the SPI")
    number = reader.uint16("type")
    spi = reader.take(size, "SPI")
    return p.Notify(number, reader.rest(), protocol, spi, flags=flags)


def _delete(reader: Reader, flags: int) -> p.Payload:
    protocol, size = reader.uint8("protocol"), reader.uint8("size of an SPI")
    count = reader.uint16("number of SPIs")
    found = p.Delete(protocol, size, reader.rest(), flags=flags)
    return found if count == len(found.each) else replace(found, claimed=count)


def _vendor(reader: Reader, flags: int) -> p.Payload:
    return p.Vendor(reader.rest(), flags=flags)


def _selectors(is_initiator: bool) -> Callable[[Reader, int], p.Payload]:
    def cut(reader: Reader, flags: int) -> p.Payload:
        count, reserved = reader.uint8("number of selectors"), reader.take(3, "reserved")
        selectors = []
        while reader.remaining:
            selectors.append(_selector(reader))
        claimed = None if count == len(selectors) else count
        return p.TrafficSelectors(is_initiator, tuple(selectors), claimed, reserved, flags=flags)

    return cut


def _selector(reader: Reader) -> Selector:
    where = reader.offset + reader.position
    kind, protocol = reader.uint8("selector type"), reader.uint8("selector's IP protocol")
    length = reader.uint16("selector length")
    if not 4 <= length <= reader.remaining + 4:
        raise DecodeError(
            f"{reader.subject}: length of the selector at offset {where} says {length} octets, "
            f"4 to {reader.remaining + 4} are possible"
        )
    data = reader.take(length - 4, "selector")
    octets = _RANGE_OCTETS.get(kind)
    if octets is None or len(data) != 4 + 2 * octets:
        return Selector(kind, protocol, data=data)
    inside = Reader(data, reader.subject)
    ports = (inside.uint16("first port"), inside.uint16("last port"))
    first, last = inside.take(octets, "first address"), inside.take(octets, "last address")
    return Selector(kind, protocol, ports, first, last)


def _configuration(reader: Reader, flags: int) -> p.Payload:
    kind, reserved = reader.uint8("type"), reader.take(3, "reserved")
    attributes = []
    while reader.remaining:
        head, octets = reader.uint16("attribute type"), reader.uint16("attribute length")
        value = reader.take(octets, "attribute value")
        attributes.append(ConfigurationAttribute(head & 0x7FFF, value, bool(head & 0x8000)))
    return p.Configuration(kind, tuple(attributes), reserved, flags=flags)


_CUT: dict[int, Callable[[Reader, int], p.Payload]] = {
    names.SA: _association,
    names.KE: _key_exchange,
    names.IDI: _identification(is_initiator=True),
    names.IDR: _identification(is_initiator=False),
    names.CERT: _certificate,
    names.CERTREQ: _certificate_request,
    names.AUTH: _authentication,
    names.NONCE: _nonce,
    names.NOTIFY: _notify,
    names.DELETE: _delete,
    names.VENDOR: _vendor,
    names.TSI: _selectors(is_initiator=True),
    names.TSR: _selectors(is_initiator=False),
    names.CP: _configuration,
}
