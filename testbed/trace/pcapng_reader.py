"""Captures read: pcapng and classic pcap, either byte order, from a run or from the field.

Tolerant: unknown blocks are skipped, and of a file that ends early, or lies about a length,
everything before that place is given, with a warning that names the offset.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from testbed.errors import BadInput, DecodeError
from testbed.trace.pcapng import (
    APPLICATION,
    BYTE_ORDER_MAGIC,
    COMMENT,
    ENHANCED_PACKET,
    IF_DESCRIPTION,
    IF_NAME,
    IF_TSOFFSET,
    IF_TSRESOL,
    INTERFACE,
    OBSOLETE_PACKET,
    SECRETS,
    SECTION_HEADER,
    SHB_USERAPPL,
    SIMPLE_PACKET,
    TLS_KEY_LOG,
)
from testbed.trace.record import Frame

_MAGICS = {  # classic pcap: byte order, nanoseconds a unit of the fraction
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_MOST_FINE = 30  # decimal digits, or twice as many bits, of a resolution: finer is a lie


@dataclass(slots=True)
class Capture:
    """What a file held.

    Attributes:
        frames: by the order of the file.
        comments: a packet's, by its place in `frames`.
        notes: "key=value" lines of the section's comment, where the testbed wrote the file.
        key_logs: TLS key logs.
        warnings: why the file could not be read to its end, or what of it could not be used.
    """

    frames: list[Frame] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    key_logs: list[bytes] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Interface:
    node: str
    name: str
    link: str
    link_type: int
    snap_length: int
    numerator: int = 1_000_000_000
    denominator: int = 1_000_000
    offset_ns: int = 0

    def time_ns(self, high: int, low: int) -> int:
        return (high << 32 | low) * self.numerator // self.denominator + self.offset_ns


class _Section:
    def __init__(self, order: str) -> None:
        self.order = order
        self.is_ours = False
        self.interfaces: list[_Interface] = []

    def unpack(self, layout: str, body: bytes, what: str) -> tuple[int, ...]:
        if len(body) < struct.calcsize(layout):
            raise DecodeError(
                f"{what} has {len(body)} octets, {struct.calcsize(layout)} are needed"
            )
        values: tuple[int, ...] = struct.unpack_from(self.order + layout, body)
        return values

    def options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        place = 0
        while place + 4 <= len(data):
            code, length = struct.unpack_from(self.order + "HH", data, place)
            if code == 0 or place + 4 + length > len(data):
                return
            yield code, data[place + 4 : place + 4 + length]
            place += 4 + length + -length % 4


def load_capture(path: Path) -> Capture:
    """The capture in a file.

    Raises:
        BadInput: there is no such file, or it is no capture.
    """
    try:
        return read_capture(path.read_bytes())
    except OSError as error:
        raise BadInput(f"capture {path}: cannot be read: {error.strerror}") from None
    except DecodeError as error:
        raise BadInput(f"capture {path}: {error}") from None


def read_capture(data: bytes) -> Capture:
    """The capture in these octets.

    Raises:
        DecodeError: they begin like no capture; names what was found.
    """
    if data[:4] in _MAGICS:
        return _read_pcap(data)
    if data[:4] == struct.pack("<I", SECTION_HEADER):
        return _read_pcapng(data)
    raise DecodeError(
        f"neither pcapng nor pcap: at offset 0 stands {data[:4].hex(' ') or 'nothing'}, "
        f"0a 0d 0d 0a or a pcap magic number is expected"
    )


def _read_pcap(data: bytes) -> Capture:
    order, unit_ns = _MAGICS[data[:4]]
    if len(data) < 24:
        raise DecodeError(f"pcap: file header needs 24 octets, {len(data)} are there")
    link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    capture = Capture()
    place = 24
    while place < len(data):
        if place + 16 > len(data):
            capture.warnings.append(
                f"pcap: packet header at offset {place} needs 16 octets, {len(data) - place} remain"
            )
            break
        seconds, fraction, length, _ = struct.unpack_from(order + "IIII", data, place)
        if place + 16 + length > len(data):
            capture.warnings.append(
                f"pcap: packet at offset {place} says {length} octets, "
                f"{len(data) - place - 16} remain"
            )
            break
        time_ns = seconds * 1_000_000_000 + fraction * unit_ns
        octets = data[place + 16 : place + 16 + length]
        capture.frames.append(Frame(time_ns, "capture", "", "", octets, link_type))
        place += 16 + length
    return capture


def _read_pcapng(data: bytes) -> Capture:
    capture = Capture()
    section = _Section("<")
    place = 0
    while place < len(data):
        try:
            kind, body, place_after, section = _next_block(data, place, section)
        except DecodeError as error:
            if not place:
                raise
            capture.warnings.append(str(error))
            break
        try:
            _take_block(kind, body, section, capture)
        except DecodeError as error:
            capture.warnings.append(f"pcapng: block at offset {place}: {error}")
        place = place_after
    return capture


def _next_block(data: bytes, place: int, section: _Section) -> tuple[int, bytes, int, _Section]:
    """Type, body, and end of the block at `place`; a new section where one begins there."""
    remain = len(data) - place
    if remain < 12:
        raise DecodeError(f"pcapng: block at offset {place} needs 12 octets, {remain} remain")
    if data[place : place + 4] == struct.pack("<I", SECTION_HEADER):
        for order in "<>":
            if struct.unpack_from(order + "I", data, place + 8)[0] == BYTE_ORDER_MAGIC:
                section = _Section(order)
                break
        else:
            found = data[place + 8 : place + 12].hex(" ")
            raise DecodeError(
                f"pcapng: byte-order magic at offset {place + 8} says {found}, "
                f"1a 2b 3c 4d or its reverse is expected"
            )
    kind, length = struct.unpack_from(section.order + "II", data, place)
    if length < 12 or length % 4 or length > remain:
        raise DecodeError(
            f"pcapng: block at offset {place} says {length} octets, {remain} remain, "
            f"and a multiple of 4 from 12 on is expected"
        )
    body = data[place + 8 : place + length - 4]
    return kind, body, place + length, section


def _take_block(kind: int, body: bytes, section: _Section, capture: Capture) -> None:
    if kind == SECTION_HEADER:
        _take_section_header(body, section, capture)
    elif kind == INTERFACE:
        section.interfaces.append(_interface(body, section))
    elif kind in (ENHANCED_PACKET, OBSOLETE_PACKET):
        _take_packet(kind, body, section, capture)
    elif kind == SIMPLE_PACKET:
        (original,) = section.unpack("I", body, "simple packet")
        interface = _find(section, 0)
        length = min(original, interface.snap_length or original, len(body) - 4)
        _add(capture, interface, 0, body[4 : 4 + length])
    elif kind == SECRETS:
        secrets, length = section.unpack("II", body, "secrets block")
        if secrets == TLS_KEY_LOG:
            capture.key_logs.append(body[8 : 8 + length])


def _take_section_header(body: bytes, section: _Section, capture: Capture) -> None:
    section.unpack("IHHq", body, "section header")
    comment = ""
    for code, value in section.options(body[16:]):
        if code == SHB_USERAPPL:
            section.is_ours = value.decode("utf-8", "replace") == APPLICATION
        elif code == COMMENT:
            comment = value.decode("utf-8", "replace")
    if section.is_ours:
        for line in comment.splitlines():
            key, equals, value_text = line.partition("=")
            if equals:
                capture.notes[key] = value_text


def _interface(body: bytes, section: _Section) -> _Interface:
    link_type, _, snap_length = section.unpack("HHI", body, "interface description")
    name, description = "", ""
    interface = _Interface("", "", "", link_type, snap_length)
    for code, value in section.options(body[8:]):
        if code == IF_NAME:
            name = value.decode("utf-8", "replace")
        elif code == IF_DESCRIPTION:
            description = value.decode("utf-8", "replace")
        elif code == IF_TSRESOL and value:
            digits = min(value[0] & 127, 2 * _MOST_FINE)
            base, digits = (2, digits) if value[0] & 128 else (10, min(digits, _MOST_FINE))
            interface.denominator = base**digits
        elif code == IF_TSOFFSET and len(value) == 8:
            interface.offset_ns = struct.unpack(section.order + "q", value)[0] * 1_000_000_000
    if section.is_ours:
        interface.node, _, interface.name = name.rpartition(".")
        interface.link = description
    else:
        interface.name = name
        interface.link = name or f"interface {len(section.interfaces)}"
    return interface


def _find(section: _Section, number: int) -> _Interface:
    if number >= len(section.interfaces):
        raise DecodeError(
            f"packet says interface {number}, {len(section.interfaces)} are described"
        )
    return section.interfaces[number]


def _take_packet(kind: int, body: bytes, section: _Section, capture: Capture) -> None:
    if kind == ENHANCED_PACKET:
        number, high, low, length, _ = section.unpack("IIIII", body, "packet")
    else:
        number, _, high, low, length, _ = section.unpack("HHIIII", body, "packet")
    if length > len(body) - 20:
        raise DecodeError(f"packet says {length} octets, {len(body) - 20} remain")
    interface = _find(section, number)
    for code, value in section.options(body[20 + length + -length % 4 :]):
        if code == COMMENT:
            capture.comments[len(capture.frames)] = value.decode("utf-8", "replace")
    _add(capture, interface, interface.time_ns(high, low), body[20 : 20 + length])


def _add(capture: Capture, interface: _Interface, time_ns: int, data: bytes) -> None:
    capture.frames.append(
        Frame(time_ns, interface.link, interface.node, interface.name, data, interface.link_type)
    )
