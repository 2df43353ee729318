"""What looks the same again and again is drawn so many times, and then once more with the number.

A peer that floods another with a thousand connections would else hide everything beside them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from testbed.trace.ladder_rows import Row

MOST = 20
"""Rows that look the same are drawn so many times, until they come no more."""
APART = 4
"""A row repeats an earlier one that is at most so many rows before it."""
_PORT = re.compile(r":\d+\b")


@dataclass(slots=True)
class _Seen:
    place: int
    times: int = 0
    held: int = 0
    last: Row | None = None


class Repeats:
    """Takes rows one by one, and gives those that are to be drawn.

    Rows look the same that have the same ends and, ports aside, the same label.  What is held back
    is told when `APART` rows have come that look otherwise.

    Args:
        most: how many that look the same are given.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._place = 0
        self._seen: dict[Hashable, _Seen] = {}

    def take(self, row: Row) -> list[Row]:
        """The next row; gives what is to be drawn now."""
        self._place += 1
        told = self._forget(before=self._place - APART)
        key = (row.kind, row.origin, row.targets, _PORT.sub("", row.label))
        seen = self._seen.setdefault(key, _Seen(self._place))
        seen.place = self._place
        seen.times += 1
        if seen.times <= self._most:
            return [*told, row]
        seen.held += 1
        seen.last = row
        return told

    def rest(self) -> list[Row]:
        """Nothing comes any more: of each kind held back, the last row."""
        return self._forget(before=self._place + 1)

    def _forget(self, before: int) -> list[Row]:
        gone = {key: each for key, each in self._seen.items() if each.place < before}
        for key in gone:
            del self._seen[key]
        told = [_with_number(each.last, each.held - 1) for each in gone.values() if each.last]
        return sorted(told, key=lambda row: row.time_ns)


def _with_number(row: Row, hidden: int) -> Row:
    if not hidden:
        return row
    return dataclasses.replace(
        row, notes=(*row.notes, f"{hidden} more of these before it are not drawn")
    )


def folded(rows: Iterable[Row]) -> list[Row]:
    """All rows of a drawing, without those that only say again what the ones before them say."""
    repeats = Repeats()
    drawn = [each for row in rows for each in repeats.take(row)]
    return [*drawn, *repeats.rest()]
