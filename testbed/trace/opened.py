"""The keys that a trace has been given, and the IKE messages that wait for theirs.

Keys come from an end that tells them, shortly after the frames that they open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import NamedTuple

from testbed.errors import DecodeError
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.port_4500 import EspPacket
from testbed.trace.decoders import Decoders
from testbed.trace.dissect import RAW_IP, Dissector
from testbed.trace.record import Frame, Record

OPENED = "opened"
"""The mark of a record whose encrypted message could be read by keys."""
INSIDE = "ipsec"
"""The link of what was inside ESP."""
_INNER_PACKETS = (4, 41)

_Pair = tuple[bytes, bytes]


class _Pieces(NamedTuple):
    """Whose fragments belong together: of one message, on one link."""

    link: str
    sender: str
    spis: _Pair
    message_id: int
    is_response: bool


class Openings:
    """Opens the IKE messages of a trace as far as keys are known.

    Attributes:
        ike: keys by the SPIs of initiator and responder.
        esp: keys by SPI.
    """

    def __init__(self) -> None:
        self.ike: dict[_Pair, IkeKeys] = {}
        self.esp: dict[int, EspKeys] = {}
        self._waiting: dict[_Pair, list[Record]] = {}
        self._pieces: dict[_Pieces, dict[int, IkeMessage]] = {}

    def open(self, record: Record) -> Record:
        """The record as it can be read; itself where there is nothing to open, or not yet."""
        message = record.message
        if not isinstance(message, IkeMessage) or message.is_opened:
            return record
        pair = (message.initiator_spi, message.responder_spi)
        keys = self.ike.get(pair)
        if keys is None:
            self._waiting.setdefault(pair, []).append(record)
            return record
        try:
            opened = self._open(record, message, keys)
        except DecodeError as error:
            return replace(record, error=error)
        if opened is None:
            return record
        return replace(record, message=opened, marks=record.marks | {OPENED})

    def _open(self, record: Record, message: IkeMessage, keys: IkeKeys) -> IkeMessage | None:
        opening = import_module("testbed.protocols.ike.opening")
        opened: IkeMessage
        if message.fragment is None:
            opened = opening.open_message(message, keys)
            return opened
        number, total = message.fragment
        pair = (message.initiator_spi, message.responder_spi)
        place = _Pieces(record.link, record.sender, pair, message.message_id, message.is_response)
        pieces = self._pieces.setdefault(place, {})
        pieces[number] = message
        if len(pieces) < total:
            return None
        del self._pieces[place]
        others = [each for each in pieces.values() if each is not message]
        opened = opening.open_fragments([*others, message], keys)
        return opened

    def add(self, keys: IkeKeys) -> Iterator[Record]:
        """Take the keys of an IKE association; the records that they open, in order."""
        pair = (keys.initiator_spi, keys.responder_spi)
        self.ike[pair] = keys
        for record in self._waiting.pop(pair, []):
            opened = self.open(record)
            if opened is not record:
                yield opened


def inside_too(frames: Iterable[Frame], keys: Iterable[EspKeys]) -> Iterator[Frame]:
    """Frames, and behind each that holds an ESP packet the packet inside, on the link "ipsec".

    For captures from the field, which have the outside only: one that has the link "ipsec" itself,
    as a run's own, stays as it is.  What several links show of one ESP packet gives one inner
    packet.

    Args:
        frames: in time order.
        keys: of the ESP associations.
    """
    frames = list(frames)
    by_spi = {each.spi: each for each in keys}
    if any(each.link == INSIDE for each in frames):
        by_spi.clear()
    dissector = Dissector(Decoders())
    seen: set[tuple[int, int]] = set()
    for frame in frames:
        yield frame
        if not by_spi:
            continue
        for content in dissector.dissect(frame).contents:
            packet = content.message
            if not isinstance(packet, EspPacket) or packet.spi not in by_spi:
                continue
            if (packet.spi, packet.sequence) in seen:
                continue
            try:
                inside = import_module("testbed.protocols.ike.opening").open_esp(
                    packet, by_spi[packet.spi]
                )
            except DecodeError:
                continue
            seen.add((packet.spi, packet.sequence))
            if inside.next_header in _INNER_PACKETS:
                yield Frame(frame.time_ns, INSIDE, "", INSIDE, inside.payload, RAW_IP)
