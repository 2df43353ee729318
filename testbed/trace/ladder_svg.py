"""The ladder as a picture: one self-contained SVG, readable on light and on dark.

Each record has the anchor `rN`, so that a report links its findings to the arrow.  What peers sent
is shown as text only, never as markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from testbed.trace.ladder_rows import EVENT, LOST, Row, Rows, columns
from testbed.trace.record import Record
from testbed.trace.repeats import folded
from testbed.trace.trace import Trace

_LEFT, _TOP, _ROW, _NOTE, _HEAD = 84, 56, 34, 15, 26
_SMALLEST_GAP, _WIDEST_GAP = 130, 300
_NARROW, _WIDE = (
    frozenset(" !',./:;()[]|-fijlrtIJ"),
    frozenset("mwMW@%#+=<>\N{HORIZONTAL ELLIPSIS}"),
)
_NAME_CHARACTER = 7.6

_STYLE = """
.ladder{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.ladder text{fill:#1f2933}
.ladder .paper{fill:#ffffff}
.ladder .box{fill:#eef2f6;stroke:#7b8794}
.ladder .name{font-weight:600;text-anchor:middle}
.ladder .life{stroke:#9aa5b1;stroke-dasharray:2 3}
.ladder .time{fill:#5f6b78;text-anchor:end;font-variant-numeric:tabular-nums}
.ladder .note{fill:#5f6b78;font-size:11px}
.ladder .label{text-anchor:middle}
.ladder .shaft{stroke:#1d5fbf;stroke-width:1.4;fill:none}
.ladder .head,.ladder .hop{fill:#1d5fbf}
.ladder .lost .shaft,.ladder .malformed .shaft{stroke:#c4231a}
.ladder .lost .shaft.line{stroke-dasharray:6 4}
.ladder .lost .head,.ladder .lost .hop,.ladder .lost text,
.ladder .malformed .head,.ladder .malformed .hop,.ladder .malformed text{fill:#c4231a}
.ladder .quiet .shaft{stroke:#7b8794}
.ladder .quiet .head,.ladder .quiet .hop{fill:#7b8794}
.ladder .event .label{fill:#0b7a75;text-anchor:start}
.ladder .event .hop{fill:#0b7a75}
.ladder .event .before{text-anchor:end}
.ladder g:target .shaft{stroke-width:4}
.ladder g:target .hop,.ladder g:target .head{stroke:#e8a33d;stroke-width:4}
@media (prefers-color-scheme:dark){
.ladder text{fill:#e4e7eb}
.ladder .paper{fill:#161b22}
.ladder .box{fill:#252d38}
.ladder .time,.ladder .note{fill:#9aa5b1}
.ladder .shaft{stroke:#74aefc}
.ladder .head,.ladder .hop{fill:#74aefc}
.ladder .lost .shaft,.ladder .malformed .shaft{stroke:#ff8178}
.ladder .lost .head,.ladder .lost .hop,.ladder .lost text,
.ladder .malformed .head,.ladder .malformed .hop,.ladder .malformed text{fill:#ff8178}
.ladder .event .label,.ladder .event .hop{fill:#4fd1c5}
}
"""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(value: str) -> str:
    """Text that XML can hold, with nothing in it that means markup."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value), quote=True)


def _width(value: str) -> float:
    """How wide a text of 12 px is, in the widest of the common system fonts (DejaVu Sans)."""
    return sum(
        4.3 if each in _NARROW else 11.0 if each in _WIDE else 8.6 if each.isupper() else 7.5
        for each in value
    )


def _cut(value: str, width: float) -> str:
    """As much of a text as fits; four characters at least."""
    if _width(value) <= width:
        return value
    end = len(value)
    while end > 4 and _width(value[:end]) + 11 > width:
        end -= 1
    return value[:end] + "\N{HORIZONTAL ELLIPSIS}"


class _Picture:
    def __init__(self, names: Sequence[str], places: Sequence[float], start_ns: int) -> None:
        self.x = dict(zip(names, places, strict=True))
        self.right = max(places, default=_LEFT)
        self.start_ns = start_ns
        self.parts: list[str] = []
        self._given: set[int] = set()
        self.y = float(_TOP + _ROW)

    def row(self, row: Row, anchors: Sequence[Record]) -> None:
        """Draw a row; `anchors` are hidden records that links may ask for, too."""
        for record in anchors:
            self.parts.append(f'<g id="r{record.number}"/>')
        self.parts.append(f'<g class="row {row.kind}">')
        time = f"{(row.time_ns - self.start_ns) / 1e9:.3f}"
        self.parts.append(f'<text class="time" x="{_LEFT - 34}" y="{self.y + 4:g}">{time}</text>')
        if row.kind == EVENT:
            self._event(row)
        else:
            self._arrow(row)
        for note in row.notes:
            self.y += _NOTE
            x = min(self.x.get(name, _LEFT) for name in (row.origin, *row.targets))
            room = max(self.right - x, 300) + 60
            self.parts.append(
                f'<text class="note" x="{x + 8:g}" y="{self.y + 4:g}">{_text(_cut(note, room))}'
                f"<title>{_text(note)}</title></text>"
            )
        self.parts.append("</g>")
        self.y += _ROW

    def _event(self, row: Row) -> None:
        x = self.x[row.origin]
        left, right = x - _LEFT, self.right - x + 160
        is_right = left > right  # the text stands where there is more room
        place = x - 9 if is_right else x + 9
        room = max(left, right) - 10
        side = " before" if is_right else ""
        self.parts.append(
            f'<g id="r{row.arrow.first.number}"><title>{_text(row.label)}</title>'
            f'<circle class="hop" cx="{x:g}" cy="{self.y:g}" r="4"/>'
            f'<text class="label{side}" x="{place:g}" y="{self.y + 4:g}">'
            f"{_text(_cut(row.label, room))}</text></g>"
        )

    def _arrow(self, row: Row) -> None:
        hops = row.arrow.hops
        for number, hop in enumerate(hops):
            is_last = number == len(hops) - 1
            targets = row.targets if is_last else (hops[number + 1].sender,)
            self._hop(hop, targets, is_last, row.kind)
        ends = [self.x[name] for name in (row.origin, *row.targets, *row.via) if name in self.x]
        if max(ends) - min(ends) < 20:  # there is no one to draw a line to
            middle, room = ends[0] + 70, 220.0
        else:
            middle, room = (min(ends) + max(ends)) / 2, max(ends) - min(ends) - 12
        self.parts.append(
            f'<text class="label" x="{middle:g}" y="{self.y - 6:g}">{_text(_cut(row.label, room))}'
            f"<title>{_text(row.label)}</title></text>"
        )

    def _hop(self, hop: Record, targets: Sequence[str], is_last: bool, kind: str) -> None:
        """One link's part of an arrow, with its endpoints as a tooltip."""
        told = f"{hop.sender} to {hop.receiver or 'all'} on link {hop.link}"
        if hop.source and hop.destination:
            told += f"\n{hop.source} to {hop.destination}"
        if hop.error is not None:
            told += f"\n{hop.error}"
        anchor = "" if hop.number in self._given else f' id="r{hop.number}"'
        self._given.add(hop.number)  # copies of one frame share their first hops
        self.parts.append(f"<g{anchor}><title>{_text(told)}</title>")
        begin = self.x[hop.sender]
        reached = [self.x[name] for name in targets if name in self.x and name != hop.sender]
        for end in reached or [begin + 60]:
            toward = 1 if end > begin else -1
            is_lost = is_last and kind == LOST
            stop = end - toward * (26 if is_lost else 1)
            self.parts.append(
                f'<path class="shaft line" d="M{begin:g} {self.y:g}'
                f'H{stop - toward * 6 * is_last:g}"/>'
            )
            if is_lost:
                self.parts.append(
                    f'<path class="shaft" d="M{stop - 5:g} {self.y - 5:g}l10 10m0 -10l-10 10"/>'
                )
            elif is_last:
                self.parts.append(
                    f'<path class="head" d="M{stop:g} {self.y:g}l{-toward * 9} -4v8z"/>'
                )
            else:
                self.parts.append(f'<circle class="hop" cx="{end:g}" cy="{self.y:g}" r="3.5"/>')
        self.parts.append("</g>")

    def whole(self, title: str) -> str:
        """The document."""
        width, height = self.right + 170, self.y + 10
        lives, boxes = [], []
        for name, x in self.x.items():
            half = len(name) * _NAME_CHARACTER / 2 + 10
            lives.append(f'<path class="life" d="M{x:g} {_TOP - 14}V{height - 14:g}"/>')
            boxes.append(
                f'<rect class="box" x="{x - half:g}" y="{_TOP - 40}" width="{2 * half:g}" '
                f'height="{_HEAD}" rx="5"/>'
                f'<text class="name" x="{x:g}" y="{_TOP - 22}">{_text(name)}</text>'
            )
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" role="img" '
                f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
                f"<title>{_text(title)}</title>",
                f"<style>{_STYLE}</style>",
                f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
                *lives,
                *boxes,
                *self.parts,
                "</svg>",
                "",
            )
        )


def _places(names: Sequence[str], rows: Sequence[Row]) -> list[float]:
    """Where the lifelines stand, so that most labels fit between them."""
    number = {name: place for place, name in enumerate(names)}
    gaps = [
        max(_SMALLEST_GAP, (len(one) + len(other)) * _NAME_CHARACTER / 2 + 34)
        for one, other in pairwise(names)
    ]
    for row in rows:
        ends = [number[each] for each in (row.origin, *row.via, *row.targets) if each in number]
        low, high = min(ends, default=0), max(ends, default=0)
        if row.kind == EVENT or high == low:
            continue
        missing = _width(row.label) + 24 - sum(gaps[low:high])
        for place in range(low, high):
            widest = max(_WIDEST_GAP, gaps[place])
            gaps[place] = min(widest, gaps[place] + max(0.0, missing) / (high - low))
    if not names:
        return []
    places = [_LEFT + len(names[0]) * _NAME_CHARACTER / 2]
    for gap in gaps:
        places.append(places[-1] + gap)
    return places


def draw_svg(
    trace: Trace,
    nodes: Sequence[str] | None = None,
    title: str = "Ladder",
    everything: bool = False,
) -> str:
    """The ladder of a whole trace as SVG.

    Args:
        trace: any.
        nodes: from left to right; only those that take part are drawn; None: all of them.
        title: for those who cannot see the picture.
        everything: pure acknowledgements, address resolution, and all that repeats, too.
    """
    rows = Rows(trace, everything).all()
    rows = rows if everything else folded(rows)
    names = columns(rows, nodes if nodes is not None else trace.addresses.nodes)
    start_ns = min((row.time_ns for row in rows), default=0)
    picture = _Picture(names, _places(names, rows), start_ns)
    drawn: set[int] = set()
    for row in rows:
        drawn.update(hop.number for hop in row.arrow.hops)
    hidden = [record for record in trace.records if record.number not in drawn]
    hidden.sort(key=lambda record: record.time_ns)
    position = 0
    for row in rows:
        begin = position
        while position < len(hidden) and hidden[position].time_ns <= row.time_ns:
            position += 1
        picture.row(row, hidden[begin:position])
    for record in hidden[position:]:
        picture.parts.append(f'<g id="r{record.number}"/>')
    return picture.whole(title)
