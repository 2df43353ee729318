"""Zone text (RFC 1035 section 5): lines made whole here, records read by dnslib.

dnslib's own reader of lines takes parentheses only between spaces, no time with a unit before a
type, and leaves the target of SRV relative to the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from testbed.errors import BadInput
from testbed.protocols.dns.build import record
from testbed.protocols.dns.message import ResourceRecord
from testbed.protocols.dns.names import LAYOUTS, ROOT, name_text, name_wire

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[()]|;|(?:[^\s()";\\]|\\.)+|[ \t]+|.', re.DOTALL)
_TIME = re.compile(r"(?:\d+[smhdw]?)+", re.IGNORECASE)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NAME_PLACES = {
    kind: [place for place, each in enumerate(layout) if each == "n"]
    for kind, layout in LAYOUTS.items()
} | {"NAPTR": [5]}
_DEFAULT_TTL_S = 300


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    indented: bool
    words: list[str]


def _lines(text: str) -> Iterator[_Line]:
    """Lines with parentheses closed and comments gone."""
    words: list[str] = []
    indented = False
    depth = 0
    first = 1
    for number, raw in enumerate(text.splitlines(), 1):
        if not depth:
            words, first, indented = [], number, raw[:1] in (" ", "\t")
        for token in _TOKEN.findall(raw):
            if token == ";":
                break
            if token == "(":
                depth += 1
            elif token == ")":
                depth -= 1
            elif token == '"' or token == "\\":
                raise BadInput(f"zone text, line {number}: a quotation mark is not closed")
            elif not token.isspace():
                words.append(token)
        if depth < 0:
            raise BadInput(f"zone text, line {number}: a parenthesis closes that none opened")
        if not depth and words:
            yield _Line(first, indented, words)
    if depth:
        raise BadInput(f"zone text, line {first}: a parenthesis is not closed")


def _seconds(word: str) -> int:
    return sum(
        int(digits) * _UNITS_S[unit.lower() or "s"]
        for digits, unit in re.findall(r"(\d+)([a-zA-Z]?)", word)
    )


def _absolute(name: str, origin: str | None) -> str:
    if name == "@":
        name = ""
    elif name.endswith(".") and not name.endswith("\\."):
        return name_text(name_wire(name))
    if origin is None:
        raise BadInput(f"the name {name or '@'!r} is relative and no $ORIGIN says to what")
    whole = ".".join(part for part in (name, "" if origin == ROOT else origin) if part)
    return name_text(name_wire(whole or ROOT))


def _with_dot(name: str) -> str:
    return name if name == ROOT else name + "."


@lru_cache(maxsize=64)  # whoever plays thousands of runs reads the same few texts in each
def read_zone_text(text: str, origin: str | None = None) -> tuple[ResourceRecord, ...]:
    """The records of a zone's text, in order.

    Args:
        text: with $ORIGIN and $TTL if wanted; no $INCLUDE, no $GENERATE.
        origin: what relative names are relative to until $ORIGIN says.

    Raises:
        BadInput: the text cannot be read; names the line.
    """
    state = _Reading(None if origin is None else name_text(name_wire(origin)))
    records = []
    for line in _lines(text):
        try:
            found = state.take(line)
        except BadInput as error:
            raise BadInput(f"zone text, line {line.number}: {error}") from error
        if found is not None:
            records.append(found)
    return tuple(records)


class _Reading:
    """What one line leaves to the next."""

    def __init__(self, origin: str | None) -> None:
        self.origin = origin
        self.owner: str | None = None
        self.ttl_s: int | None = None

    def take(self, line: _Line) -> ResourceRecord | None:
        words = list(line.words)
        if words[0].startswith("$"):
            self._directive(words)
            return None
        if not line.indented:
            self.owner = _absolute(words.pop(0), self.origin)
        if self.owner is None:
            raise BadInput("the first record has no owner")
        ttl_s = self.ttl_s
        # RFC 1035 section 5.1: time to live and class stand in either order, and may be left out.
        while words and (words[0].upper() == "IN" or _TIME.fullmatch(words[0])):
            word = words.pop(0)
            ttl_s = ttl_s if word.upper() == "IN" else _seconds(word)
        if len(words) < 2:
            raise BadInput(f"{self.owner} has no type or no value")
        kind, values = words[0].upper(), words[1:]
        for place in _NAME_PLACES.get(kind, ()):
            if place < len(values):
                values[place] = _with_dot(_absolute(values[place], self.origin))
        if kind == "SOA":
            values[2:] = [
                str(_seconds(word)) if _TIME.fullmatch(word) else word for word in values[2:]
            ]
        made = record(
            self.owner, kind, " ".join(values), _DEFAULT_TTL_S if ttl_s is None else ttl_s
        )
        if self.ttl_s is None and ttl_s is not None:
            self.ttl_s = ttl_s  # RFC 1035 section 5.1: left out, it is the last one stated
        return made

    def _directive(self, words: list[str]) -> None:
        known = len(words) == 2
        if known and words[0].upper() == "$ORIGIN":
            self.origin = _absolute(words[1], self.origin)
        elif known and words[0].upper() == "$TTL" and _TIME.fullmatch(words[1]):
            self.ttl_s = _seconds(words[1])
        else:
            raise BadInput(f"{' '.join(words)!r} is not understood; $ORIGIN name and $TTL time are")


def write_zone_text(records: list[ResourceRecord]) -> str:
    """Zone text that name servers read: one record a line, every name whole."""
    lines = []
    for each in records:
        words = each.value.split(" ")
        for place in _NAME_PLACES[each.kind] if each.kind in LAYOUTS else ():
            words[place] = _with_dot(words[place])
        lines.append(f"{_with_dot(each.name)} {each.ttl_s} IN {each.kind} {' '.join(words)}\n")
    return "".join(lines)
