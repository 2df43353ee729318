"""DNS messages put together: queries, answers, and records out of zone text, by dnslib.

What is built here is cut again by `decode`, so that a built message and a received one are the same
thing, and each of the two codecs watches the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from dnslib.dns import RD, DNSHeader, DNSQuestion, ZoneParser
from dnslib.label import DNSBuffer, DNSLabel

from testbed.errors import BadInput, DecodeError
from testbed.protocols.dns.cutting import decode, decode_record
from testbed.protocols.dns.message import (
    AUTHORITATIVE,
    MOST_OCTETS,
    RECURSION_AVAILABLE,
    RECURSION_DESIRED,
    RESPONSE,
    TRUNCATED,
    Answer,
    Query,
    Question,
    ResourceRecord,
)
from testbed.protocols.dns.names import (
    CLASS_IN,
    KIND_OPT,
    LAYOUTS,
    code_number,
    kind_number,
    kind_text,
    labels_of,
    name_text,
    name_wire,
)

EDNS_UDP_OCTETS = 1232
"""What our side can take by UDP when EDNS is spoken: what fits an IPv6 packet that nobody cuts."""

_FARTHEST_POINTER = 0x3FFF
_MOST_TTL_S = 0x7FFFFFFF
_HEXADECIMAL = re.compile("(?:[0-9a-fA-F]{2})*")


class _NearNames(dict[tuple[bytes, ...], int]):
    """dnslib's table of names to point to, without those too far away for 14 bits.

    dnslib 0.9.26 cuts such offsets to 14 bits and so points somewhere else.
    """

    def __setitem__(self, name: tuple[bytes, ...], offset: int) -> None:
        if offset <= _FARTHEST_POINTER:
            super().__setitem__(name, offset)


class _NoNames(dict[tuple[bytes, ...], int]):
    """A table that keeps nothing, so that dnslib writes every name whole."""

    def __setitem__(self, name: tuple[bytes, ...], offset: int) -> None:
        """Forget it."""


def _encode(
    identifier: int,
    flags: int,
    questions: Sequence[Question],
    sections: Sequence[Sequence[ResourceRecord]],
) -> bytes:
    buffer = DNSBuffer()
    buffer.names = _NearNames()
    counts = [len(section) for section in sections]
    DNSHeader(identifier, flags, len(questions), *counts).pack(buffer)
    spelt = {}
    for question in questions:
        label = DNSLabel(labels_of(question.wire))
        spelt[question.name] = label
        DNSQuestion(label, kind_number(question.kind), question.class_number).pack(buffer)
    for section in sections:
        for each in section:
            # A name in the asker's own upper and lower case can be a pointer to the question.
            owner = spelt.get(each.name) or DNSLabel(labels_of(name_wire(each.name)))
            number = kind_number(each.kind)
            buffer.encode_name(owner)
            buffer.pack("!HHIH", number, each.class_number, each.ttl_s, len(each.data))
            RD(each.data).pack(buffer)
    return bytes(buffer.data)


def question(name: str, kind: str = "A", class_number: int = CLASS_IN) -> Question:
    """A question.

    Raises:
        BadInput: no domain name, or no type of record.
    """
    wire = name_wire(name)
    return Question(name_text(wire), kind.upper(), class_number, wire)


def options(udp_octets: int = EDNS_UDP_OCTETS, extended_code: int = 0) -> ResourceRecord:
    """An OPT record (RFC 6891) without options in it."""
    return ResourceRecord(".", "OPT", udp_octets, extended_code << 24, "", b"")


def query(
    name: str,
    kind: str = "A",
    identifier: int = 0,
    *,
    recursion_desired: bool = True,
    udp_octets: int | None = None,
) -> Query:
    """A query.

    Args:
        name: what to ask for, with or without the last dot.
        kind: "A", "AAAA", "SRV", ...
        identifier: 16 bits that nobody can guess.
        recursion_desired: others may be asked.
        udp_octets: with EDNS, which says that so many octets can be taken by UDP; None: without.

    Raises:
        BadInput: no domain name, or no type of record.
    """
    additionals = [] if udp_octets is None else [options(udp_octets)]
    flags = RECURSION_DESIRED if recursion_desired else 0
    asked = question(name, kind)
    built = decode(_encode(identifier, flags, [asked], [[], [], additionals]))
    assert isinstance(built, Query)
    return built


def answer(
    to: Query,
    records: Sequence[ResourceRecord] = (),
    code: str = "NOERROR",
    *,
    truncated: bool = False,
    authoritative: bool = True,
    recursion_available: bool = False,
    authorities: Sequence[ResourceRecord] = (),
    additionals: Sequence[ResourceRecord] = (),
    most_octets: int = MOST_OCTETS,
) -> Answer:
    """An answer to a query: its identifier, question and operation; with EDNS if the query has it.

    Args:
        to: the query.
        records: of the answer section.
        code: "NOERROR", "NXDOMAIN", ...
        truncated: says that there is more.
        authoritative: the server speaks for the zone.
        recursion_available: the server would ask others.
        authorities: of the authority section.
        additionals: of the additional section, without OPT.
        most_octets: no longer than this: first without additional records, then truncated and
            without any (RFC 2181 section 9).

    Raises:
        BadInput: no such code.
    """
    number = code_number(code)
    flags = RESPONSE | to.flags & (0x7800 | RECURSION_DESIRED) | number & 15
    flags |= AUTHORITATIVE if authoritative else 0
    flags |= RECURSION_AVAILABLE if recursion_available else 0
    tail = [] if to.options is None else [options(extended_code=number >> 4)]
    tries: list[
        tuple[int, Sequence[ResourceRecord], Sequence[ResourceRecord], list[ResourceRecord]]
    ]
    tries = [
        (TRUNCATED if truncated else 0, records, authorities, [*additionals, *tail]),
        (TRUNCATED if truncated else 0, records, authorities, tail),
        (TRUNCATED, (), (), tail),
    ]
    for mark, first, second, third in tries:
        octets = _encode(to.identifier, flags | mark, to.questions, [first, second, third])
        if len(octets) <= most_octets:
            break
    built = decode(octets)
    assert isinstance(built, Answer)
    return built


def refusal_of_octets(data: bytes, code: str = "FORMERR") -> Answer | None:
    """The answer to a query of which only the header could be read; None: not even that.

    Answers get none, so that two servers never write to each other about their errors.
    """
    if len(data) < 12 or data[2] & 0x80:
        return None
    flags = RESPONSE | int.from_bytes(data[2:4], "big") & (0x7800 | RECURSION_DESIRED)
    built = decode(data[:2] + (flags | code_number(code)).to_bytes(2, "big") + bytes(8))
    assert isinstance(built, Answer)
    return built


def record(name: str, kind: str, value: str, ttl_s: int = 300) -> ResourceRecord:
    """A resource record out of its zone text; names in `value` are whole, the last dot free.

    Args:
        name: its owner.
        kind: "A", "SRV", ...
        value: "203.0.113.50", "10 5 443 hms.operator.example", ...
        ttl_s: how long it may be kept, in seconds.

    Raises:
        BadInput: no name, kind, value or time to live of that sort.
    """
    wire = name_wire(name)
    where = f"record {name_text(wire)} {kind}"
    if not 0 <= ttl_s <= _MOST_TTL_S:  # RFC 2181 section 8
        raise BadInput(f"{where}: a time to live of {ttl_s} s is not within 0 to {_MOST_TTL_S} s")
    kind = kind.upper()
    number = kind_number(kind)
    if number == KIND_OPT:
        raise BadInput(f"{where}: OPT belongs to one message and stands in no zone")
    if kind in ("A", "AAAA"):
        try:
            good = ip_address(value).version == (4 if kind == "A" else 6)
        except ValueError:
            good = False
        if not good:
            raise BadInput(f"{where}: {value!r} is no IPv{'4' if kind == 'A' else '6'} address")
        value = str(ip_address(value))
    data = _generic_data(where, value) if value.startswith("\\#") else _data(where, kind, value)
    if len(data) > MOST_OCTETS:
        raise BadInput(f"{where}: {len(data)} octets of data, at most {MOST_OCTETS} fit")
    lone = wire + number.to_bytes(2, "big") + CLASS_IN.to_bytes(2, "big")
    lone += ttl_s.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
    try:
        return replace(decode_record(lone), kind=kind_text(number))
    except DecodeError as error:
        raise BadInput(f"{where}: the value {value!r} is not of this kind: {error}") from error


def _generic_data(where: str, value: str) -> bytes:
    """The octets of RFC 3597's form: "\\# 2 abcd"."""
    words = value.split()
    digits = "".join(words[2:])
    if len(words) >= 2 and words[1].isdecimal() and _HEXADECIMAL.fullmatch(digits):
        data = bytes.fromhex(digits)
        if len(data) == int(words[1]) <= MOST_OCTETS:
            return data
    raise BadInput(f"{where}: {value!r} is not \\#, a number of octets and so many octets in hex")


def _data(where: str, kind: str, value: str) -> bytes:
    """The octets of zone text, by dnslib."""
    if kind in LAYOUTS:
        # dnslib knows only some escapes in names and would quietly take the others for letters.
        words = value.split()
        if len(words) != len(LAYOUTS[kind]) or "\\" in value:
            raise BadInput(f"{where}: {value!r} is not {len(LAYOUTS[kind])} plain words")
        for word, each in zip(words, LAYOUTS[kind], strict=True):
            if each == "n":
                name_wire(word)
    if "\n" in value or "(" in value.split('"', 1)[0]:
        raise BadInput(f"{where}: the value {value!r} is not one line without parentheses")
    buffer = DNSBuffer()
    buffer.names = _NoNames()
    try:
        [parsed] = ZoneParser(f". 0 IN {kind} {value}")
        parsed.rdata.pack(buffer)
    except Exception as error:  # dnslib raises whatever its parts happen to raise
        raise BadInput(f"{where}: the value {value!r} is not of this kind") from error
    return bytes(buffer.data)
