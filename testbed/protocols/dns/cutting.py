"""DNS octets cut into fields, without a judgement on them (RFC 1035 section 4).

The cutting is done here, and not by dnslib, which puts messages together (`build`): dnslib refuses
labels that are not UTF-8 and records without data, both of which can be cut, and follows pointers
by recursion.  Here no offset of a name is read twice, and pointers only go back, so the work is
linear in the octets.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from testbed.errors import DecodeError
from testbed.protocols.dns.message import (
    MOST_OCTETS,
    RESPONSE,
    Answer,
    Query,
    Question,
    ResourceRecord,
)
from testbed.protocols.dns.names import (
    ADDRESS_OCTETS,
    CLASS_IN,
    KIND_OPT,
    LAYOUTS,
    MOST_NAME_OCTETS,
    kind_text,
    name_text,
)
from testbed.protocols.wire import Reader

_POINTER = 0xC0
_FARTHEST_POINTER = 0x3FFF


class Cutter:
    """Cuts one message from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reader = Reader(data, "DNS message")
        self._known: dict[int, bytes] = {}
        self._texts: dict[bytes, str] = {}

    def _text(self, wire: bytes) -> str:
        text = self._texts.get(wire)
        if text is None:
            text = self._texts[wire] = name_text(wire)
        return text

    def _octet(self, position: int, what: str) -> int:
        if position >= len(self.data):
            raise DecodeError(f"DNS message: {what} at offset {position} needs 1 octet, 0 remain")
        return self.data[position]

    def name(self, what: str) -> bytes:
        """The name at the reader's position, uncompressed; each offset is looked at only once."""
        start = run = position = self.reader.position
        after = -1
        length = 0
        visited: list[tuple[int, bytes]] = []
        while True:
            tail = self._known.get(position) if after >= 0 else None
            if tail is not None:
                break
            head = self._octet(position, what)
            if head == 0:
                tail = b"\0"
                after = position + 1 if after < 0 else after
                break
            if head >= _POINTER:
                low = self._octet(position + 1, what)
                target = (head & 0x3F) << 8 | low
                # RFC 1035 section 4.1.4: a pointer is to "a prior occurrence of the same name".
                if target >= run:
                    raise DecodeError(
                        f"DNS message: {what} at offset {start} has a pointer at offset {position} "
                        f"to offset {target}; pointers go back, here to before offset {run}"
                    )
                visited.append((position, b""))
                after = position + 2 if after < 0 else after
                run = position = target
                continue
            if head > 63:
                raise DecodeError(
                    f"DNS message: {what} at offset {start} has a label of unknown type "
                    f"0x{head:02x} at offset {position}"
                )
            label = self.data[position : position + 1 + head]
            if len(label) <= head:
                raise DecodeError(
                    f"DNS message: {what} at offset {start} has a label at offset {position} that "
                    f"says {head} octets, {len(label) - 1} remain"
                )
            visited.append((position, label))
            length += len(label)
            if length >= MOST_NAME_OCTETS:
                break
            position += len(label)
        if length + len(tail or b"\0") > MOST_NAME_OCTETS:
            raise DecodeError(
                f"DNS message: {what} at offset {start} has more than {MOST_NAME_OCTETS} octets"
            )
        wire = tail or b"\0"
        for offset, label in reversed(visited):
            wire = label + wire
            if offset <= _FARTHEST_POINTER:
                self._known[offset] = wire
        self.reader.position = after
        return wire

    def question(self) -> Question:
        """The next question."""
        wire = self.name("question's name")
        kind = self.reader.uint16("question's type")
        class_number = self.reader.uint16("question's class")
        return Question(name_text(wire), kind_text(kind), class_number, wire)

    def record(self, section: str) -> ResourceRecord:
        """The next resource record."""
        name = self._text(self.name(f"{section} record's name"))
        start = self.reader.position
        reader = Reader(self.reader.take(10, f"{section} record's head"), "DNS message", start)
        kind_code = reader.uint16("type")
        class_number = reader.uint16("class")
        ttl_s = reader.uint32("time to live")
        octets = reader.uint16("length")
        kind = kind_text(kind_code)
        begin = self.reader.position
        raw = self.reader.take(octets, f"{section} record's data")
        if class_number == CLASS_IN and kind_code != KIND_OPT:
            if kind in ADDRESS_OCTETS:
                value = _address(kind, raw, begin)
                return ResourceRecord(name, kind, class_number, ttl_s, value, raw)
            if kind in LAYOUTS:
                value, data = self._fields(kind, begin, octets)
                return ResourceRecord(name, kind, class_number, ttl_s, value, data)
        value = f"\\# {octets} {raw.hex()}".rstrip()
        return ResourceRecord(name, kind, class_number, ttl_s, value, raw)

    def _fields(self, kind: str, begin: int, octets: int) -> tuple[str, bytes]:
        self.reader.position = begin
        words = []
        data = b""
        for each in LAYOUTS[kind]:
            if each == "n":
                wire = self.name(f"name in {kind} data")
                words.append(self._text(wire))
                data += wire
            else:
                part = self.reader.take(2 if each == "h" else 4, f"number in {kind} data")
                words.append(str(int.from_bytes(part, "big")))
                data += part
        taken = self.reader.position - begin
        if taken != octets:
            raise DecodeError(
                f"DNS message: {kind} data at offset {begin} says {octets} octets, "
                f"its fields take {taken}"
            )
        return " ".join(words), data


def _address(kind: str, data: bytes, begin: int) -> str:
    if len(data) != ADDRESS_OCTETS[kind]:
        raise DecodeError(
            f"DNS message: {kind} data at offset {begin} says {len(data)} octets, "
            f"an address of this kind has {ADDRESS_OCTETS[kind]}"
        )
    return str(IPv4Address(data) if kind == "A" else IPv6Address(data))


def decode(data: bytes) -> Query | Answer:
    """Cut one message (without the length that stands before it on a stream) into its fields.

    Raises:
        DecodeError: it cannot be cut; names the field, its offset and the measure.
    """
    if len(data) > MOST_OCTETS:
        raise DecodeError(f"DNS message has {len(data)} octets, at most {MOST_OCTETS} fit")
    cutter = Cutter(data)
    head = Reader(cutter.reader.take(12, "header"), "DNS message")
    identifier = head.uint16("identifier")
    flags = head.uint16("flags")
    counts = [head.uint16(f"number of {what}") for what in ("questions", "records", "", "")]
    questions = tuple([cutter.question() for _ in range(counts[0])])
    answers, authorities, additionals = (
        tuple([cutter.record(section) for _ in range(count)])
        for section, count in zip(("answer", "authority", "additional"), counts[1:], strict=True)
    )
    make: type[Query] | type[Answer] = Answer if flags & RESPONSE else Query
    return make(
        identifier,
        flags,
        questions,
        answers,
        authorities,
        additionals,
        bytes(data),
        cutter.reader.remaining,
    )


def decode_record(octets: bytes) -> ResourceRecord:
    """Cut one resource record that stands alone, its names uncompressed.

    Raises:
        DecodeError: it cannot be cut.
    """
    return Cutter(octets).record("lone")
