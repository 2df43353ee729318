"""Whether two runs drew the same ladder: the same arrows, with the same fields in their messages.

Left out is what may differ between two runs with the same seed on the same machine: times, ports
that the kernel chose, what TLS and IKE draw at random; and what a kernel repeats only because the
machine is slow, which an emulated processor is: TCP segments that arrive twice.  Between two
conversations the order is free, within one it is not.  What comes after the last arrow that both
have is left out too: it followed the scenario's last step, at which the capture may end.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from testbed.trace.folder import load
from testbed.trace.ladder_rows import LOST, Row, Rows
from testbed.trace.trace import Trace


class Line(NamedTuple):
    """One arrow of a conversation.

    Attributes:
        text: its way, its label, the fields of its message.
        place: among all arrows of the ladder, by time.
    """

    text: str
    place: int


Ladder = dict[str, list[Line]]
"""Who talks with whom -> the arrows between them, in order."""

FREE_FIELDS = frozenset(
    {
        *("valid_from", "valid_to", "current_time", "time", "date", "secs"),  # clocks
        *(
            "random",
            "session_id",
            "key_share",
            "nonce",
            "cnonce",
            "response",
            "opaque",
        ),  # TLS, auth
        *("raw", "octets", "body", "payload"),  # the same fields once more, as they were sent
    }
)
"""Names of fields that differ from run to run, and of those that hold others undecoded."""
_SPIS = frozenset({"initiator_spi", "responder_spi"})
_DATA = frozenset({"data"})
# IKE and ESP are charon's, which draws its own random numbers; certificates hold dates, and some
# notifications hashes of addresses.
FREE_FIELDS_OF: dict[str, frozenset[str]] = {
    **dict.fromkeys(("SaInit", "Auth", "CreateChild", "Informational"), _SPIS),
    **dict.fromkeys(("KeyExchange", "Nonce", "Authentication", "Certificate"), _DATA),
    **dict.fromkeys(("CertificateRequest", "Encrypted", "EncryptedFragment"), _DATA),
    "Notify": frozenset({"data", "spi"}),
    "Proposal": frozenset({"spi"}),
    "Delete": frozenset({"spis"}),
    "EspPacket": frozenset({"spi", "data"}),
}
"""The same of single messages and their parts: name of the class -> names of fields."""
_FREE_TEXT = (
    (re.compile(r"\bESP 0x[0-9a-f]{8}\b"), "ESP *"),
    (re.compile(r"\b(valid_from|valid_to)=\S+"), r"\1=*"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"), "*"),
    (re.compile(r"\b\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "*"),
    (re.compile(r"(?<=[\d\]]):(3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[4-6]\d{4})\b"), ":*"),
)
"""Times, and ports that a kernel gave (32768 and above)."""


def ladder_of(folder: Path) -> Ladder:
    """The ladder of a run's folder.

    Raises:
        BadInput: no run lies there.
    """
    return ladder(load(folder))


def ladder(trace: Trace) -> Ladder:
    """The ladder of a trace, by conversation."""
    found: Ladder = {}
    for place, row in enumerate(Rows(trace).all()):
        if not _is_of_slowness(row):
            ends = " - ".join(sorted({row.origin, *row.targets}))
            found.setdefault(ends, []).append(Line(text_of(row), place))
    return found


def _is_of_slowness(row: Row) -> bool:
    record = row.arrow.last
    is_repeated = record.transport == "tcp" and "retransmission" in record.marks
    return is_repeated and record.message is None and row.kind != LOST


def text_of(row: Row) -> str:
    """One arrow: the way that it took, its label, and the fields of its message."""
    way = " -> ".join([row.origin, *row.via, ",".join(row.targets) or "*"])
    # A ladder tells of a rewriting once; two connections may have drawn one port, and so one of it.
    rewritten = [f"{node}: {old} became {new}" for node, old, new in row.arrow.translations]
    told = [row.label, *rewritten, *(each for each in row.notes if each not in rewritten), row.kind]
    record = row.arrow.last
    if not record.is_event:
        for message in (row.arrow.message, *record.carried):
            told += [f"{name}={value}" for name, value in fields(message)]
    return _without_chance(f"{way}: {' | '.join(told)}")


def fields(message: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every decoded field of a message, those of its parts included: path -> value as text."""
    if dataclasses.is_dataclass(message) and not isinstance(message, type):
        free = FREE_FIELDS | FREE_FIELDS_OF.get(type(message).__name__, frozenset())
        for field in dataclasses.fields(message):
            if field.name not in free:
                inner = f"{name}.{field.name}" if name else field.name
                yield from fields(getattr(message, field.name), inner)
    elif isinstance(message, Mapping):
        for each, value in message.items():
            if str(each).lower() not in FREE_FIELDS:
                yield from fields(value, f"{name}[{each}]")
    elif isinstance(message, (list, tuple)):
        for number, value in enumerate(message):
            yield from fields(value, f"{name}[{number}]")
    elif message is not None:
        yield name, _text(message)


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    return value.hex() if isinstance(value, bytes) else str(value)


def _without_chance(text: str) -> str:
    for free, instead in _FREE_TEXT:
        text = free.sub(instead, text)
    return text


def differences(here: Ladder, there: Ladder) -> list[str]:
    """Where two ladders differ: "-" before what only `here` has, "+" only `there`; [] nowhere."""
    here, there = until_the_end(here, there), until_the_end(there, here)
    found = []
    for ends in sorted({*here, *there}):
        lines = difflib.unified_diff(
            [line.text for line in here.get(ends, [])],
            [line.text for line in there.get(ends, [])],
            lineterm="",
            n=0,
            fromfile=ends,
        )
        found += [each for each in lines if not each.startswith(("@@", "+++"))]
    return found


def until_the_end(ladder: Ladder, other: Ladder) -> Ladder:
    """The ladder without what only it has after the last arrow that both have.

    A scenario ends with its last step; how much of what follows is still in the capture is chance.
    Where two conversations go on differently, nothing is left out.
    """
    pairs = {ends: (lines, other.get(ends, [])) for ends, lines in ladder.items()}
    last = max(
        (
            line.place
            for lines, twins in pairs.values()
            for line, twin in zip(lines, twins, strict=False)
            if line.text == twin.text
        ),
        default=None,
    )
    if last is None:
        return ladder
    found = {}
    for ends, (lines, twins) in pairs.items():
        common = len(twins)
        is_longer = [line.text for line in lines[:common]] == [twin.text for twin in twins]
        found[ends] = [
            line
            for number, line in enumerate(lines)
            if not is_longer or number < common or line.place <= last
        ]
    return found
