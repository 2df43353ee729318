"""The ladder as text: lifelines, one line an arrow, at the width of the terminal.

Where the nodes are too many for the width, each arrow is a plain line: "hnb -> outer_dns  message".
`LadderPrinter` grows a ladder while the trace grows; whoever grows it calls `passed` from a timer
too, or the last lines before a quiet time would wait for the next record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from testbed.protocols.ike.message import IkeMessage
from testbed.trace.arrow import Arrow
from testbed.trace.ladder_rows import EVENT, LOST, MALFORMED, Row, Rows, columns
from testbed.trace.record import Record
from testbed.trace.repeats import Repeats, folded
from testbed.trace.trace import Trace

TIME_WIDTH = 10
"""Columns that the time takes, the space behind it included."""
SMALLEST_GAP = 12
WIDEST_GAP = 64
HOLD_NS = 300_000_000
"""How long an arrow waits for its next hop before its line is given."""
_STYLES = {LOST: "red", MALFORMED: "red", EVENT: "cyan", "quiet": "dim"}


class Line(str):
    """One line of text, and the style in which a colour terminal may show it.

    Attributes:
        style: a style of rich: "red", "cyan", "dim"; "" for none.
    """

    __slots__ = ("style",)
    style: str

    def __new__(cls, text: str, style: str = "") -> Line:
        """A line; spaces at its end go."""
        line = super().__new__(cls, text.rstrip())
        line.style = style
        return line


class TextLadder:
    """Draws rows between fixed lifelines.

    Args:
        nodes: one lifeline each, from left to right.
        gaps: distances between neighbours, one fewer than nodes.
        width: of the terminal.
        start_ns: what the times are relative to.
    """

    def __init__(
        self, nodes: Sequence[str], gaps: Sequence[int], width: int, start_ns: int
    ) -> None:
        self.nodes = list(nodes)
        self.width = width
        self.start_ns = start_ns
        first = TIME_WIDTH + (len(nodes[0]) + 1) // 2 if nodes else TIME_WIDTH
        places = [first]
        for gap in gaps:
            places.append(places[-1] + gap)
        self.place = dict(zip(self.nodes, places, strict=False))

    def header(self) -> Line:
        """The names above the lifelines."""
        cells = [" "] * (self._end + 1)
        for name, place in self.place.items():
            _put(cells, name, max(0, place - len(name) // 2))
        return Line("".join(cells))

    @property
    def _end(self) -> int:
        return max(self.place.values(), default=TIME_WIDTH)

    def _lifelines(self, time: str = "") -> list[str]:
        cells = [" "] * (self._end + 1)
        _put(cells, time, 0)
        for place in self.place.values():
            cells[place] = "|"
        return cells

    def lines(self, row: Row) -> list[Line]:
        """A row's line, and those of its notes."""
        style = _STYLES.get(row.kind, "")
        cells = self._lifelines(_time(row.time_ns - self.start_ns))
        notes = list(row.notes)
        origin = self.place.get(row.origin)
        targets = [self.place[name] for name in row.targets if name in self.place]
        targets = [place for place in targets if place != origin]
        if origin is None or not targets:
            text, place = self._without_shaft(origin, row)
            room = max(self.width - place, SMALLEST_GAP)
            if len(text.rstrip()) > room:
                text, rest = _first_line(text, room) if row.kind == EVENT else (text, row.label)
                notes.insert(0, rest)
            _put(cells, _cut(text, room), place)
        else:
            left, right = min([origin, *targets]), max([origin, *targets])
            self._shaft(cells, row, origin, targets, left, right)
            fits = _label(cells, row, left, right, [self.place.get(name, -1) for name in row.via])
            if not fits:
                notes.insert(0, row.label)
        lines = [Line("".join(cells), style)]
        beside = min([origin if origin is not None else TIME_WIDTH, *targets])
        for note in notes:
            lines += self._note(note, beside, style)
        return lines

    def _without_shaft(self, origin: int | None, row: Row) -> tuple[str, int]:
        """The text of an event, or of an arrow between lifelines that are not there; and where."""
        if origin is None:
            return f" {plain_text(row)}", self._end + 1
        if row.kind == EVENT:
            return f"* {row.label} ", origin
        if row.via:
            return f"--{row.label}--> {' '.join(row.via)} --> {row.origin} ", origin + 1
        return f"--{row.label}--> ? ", origin + 1

    @staticmethod
    def _shaft(
        cells: list[str], row: Row, origin: int, targets: list[int], left: int, right: int
    ) -> None:
        for place in range(left + 1, right):
            cells[place] = "-"
        for place in targets:
            inside = place - 1 if place > origin else place + 1
            cells[inside] = ">" if place > origin else "<"
            cells[place] = "|"
            if row.kind == LOST:
                beyond = -1 if place > origin else 1
                cells[inside] = " "
                cells[inside + beyond] = "x"
        cells[origin] = "|"

    def _note(self, note: str, place: int, style: str) -> list[Line]:
        """A note below the arrow's left end, on as many lines as it needs."""
        start = min(place + 2, max(TIME_WIDTH, self.width - 40))
        lines = []
        for part in _wrapped(note, max(20, self.width - start)):
            cells = self._lifelines()
            _put(cells, f"{part} ", start)
            lines.append(Line("".join(cells), style))
        return lines


def _put(cells: list[str], text: str, place: int) -> None:
    while len(cells) < place + len(text):
        cells.append(" ")
    cells[place : place + len(text)] = text


def _cut(text: str, room: int) -> str:
    """The text, or as much of it as there is room for, with a sign that it goes on."""
    if len(text.rstrip()) <= room:
        return text
    return text[: room - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _first_line(text: str, room: int) -> tuple[str, str]:
    """Whole words of an event that fit, its name at least; and the other words."""
    star, name, *words = text.split(" ")
    first = f"{star} {name}"
    while words and len(first) + 1 + len(words[0]) <= room:
        first = f"{first} {words.pop(0)}"
    return f"{first} ", " ".join(words).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _label(cells: list[str], row: Row, left: int, right: int, via: list[int]) -> bool:
    """Write the label on the shaft, and `+` where a node passed the message on.

    Returns:
        Whether it fitted, wholly.
    """
    room = right - left - 6
    for place in via:
        if left < place < right:
            cells[place] = "+"
    if room < 4:
        return False
    text = _cut(row.label, room)
    inner = sorted(place for place in via if left < place < right)
    spans = list(pairwise([left, *inner, right]))
    low, high = next((span for span in spans if span[1] - span[0] - 6 >= len(text)), (left, right))
    _put(cells, text, low + (high - low - len(text)) // 2 + (high - low - len(text)) % 2)
    return len(row.label) <= room


def _time(relative_ns: int) -> str:
    return f"{relative_ns / 1e9:{TIME_WIDTH - 1}.3f}"


def plain_text(row: Row) -> str:
    """A row in one line: "hnb -> outer_dns  DNS query A segw.example"."""
    if row.kind == EVENT:
        return f"{row.origin} * {row.label}"
    to = "all" if row.arrow.is_group else " ".join(row.targets) or "?"
    return f"{row.origin} {'--x' if row.kind == LOST else '->'} {to}  {row.label}"


def plain_line(row: Row, start_ns: int) -> Line:
    """A row as it looks without lifelines, its notes in brackets."""
    notes = f" ({'; '.join(row.notes)})" if row.notes else ""
    text = f"{_time(row.time_ns - start_ns)} {plain_text(row)}{notes}"
    return Line(text, _STYLES.get(row.kind, ""))


def _gaps(nodes: Sequence[str], rows: Sequence[Row], room: int) -> list[int] | None:
    """Distances between lifelines that fit names and labels; None: there is no room for any."""
    number = {name: place for place, name in enumerate(nodes)}
    gaps = [max(SMALLEST_GAP, (len(one) + len(other)) // 2 + 2) for one, other in pairwise(nodes)]
    if sum(gaps) > room:
        return None
    wishes = []
    for row in rows:
        # First that every label fits; then that it hides no `+`, where room is left.
        for order, names in enumerate(((row.origin, *row.targets), (row.origin, *row.via[:1]))):
            ends = [number[name] for name in names if name in number]
            is_modest = order == 0 or len(row.label) <= 32
            if ends and max(ends) > min(ends) and is_modest:
                wishes.append((order, max(ends) - min(ends), min(ends), len(row.label) + 8))
    for _, span, first, wanted in sorted(wishes):
        wanted = min(wanted, WIDEST_GAP * span)
        missing = min(wanted - sum(gaps[first : first + span]), room - sum(gaps))
        for place in range(max(0, missing)):
            gaps[first + place % span] += 1
    return gaps


def _last_name(nodes: Sequence[str]) -> int:
    return (len(nodes[0]) + len(nodes[-1])) // 2 + 1 if nodes else 0


def draw(
    trace: Trace, nodes: Sequence[str] | None = None, width: int = 100, everything: bool = False
) -> list[Line]:
    """The ladder of a whole trace.

    Args:
        trace: any.
        nodes: from left to right; only those that take part are drawn; None: all of them.
        width: of the terminal, columns.
        everything: pure acknowledgements, address resolution, and all that repeats, too.
    """
    rows = Rows(trace, everything).all()
    rows = rows if everything else folded(rows)
    if not rows:
        return [Line("nothing was seen")]
    names = columns(rows, nodes if nodes is not None else trace.addresses.nodes)
    start_ns = min(row.time_ns for row in rows)
    gaps = _gaps(names, rows, width - TIME_WIDTH - _last_name(names))
    if gaps is None:
        return [plain_line(row, start_ns) for row in rows]
    ladder = TextLadder(names, gaps, width, start_ns)
    return [ladder.header(), *(line for row in rows for line in ladder.lines(row))]


class LadderPrinter:
    """A ladder that grows: takes records one by one, gives the lines that are ready.

    An arrow's line is ready when the message has arrived at its last hop, or `hold_ns` have passed
    in the trace's time.  Lines keep the order in which the arrows began.

    Args:
        trace: that the records are of.
        nodes: from left to right; with `is_terminal` each has a lifeline from the start.
        width: of the terminal, columns.
        is_terminal: False: plain lines.
        hold_ns: how long a line waits for its arrow's next hop.
    """

    def __init__(
        self,
        trace: Trace,
        nodes: Sequence[str],
        width: int = 100,
        is_terminal: bool = True,
        hold_ns: int = HOLD_NS,
    ) -> None:
        self._trace = trace
        self._rows = Rows(trace)
        self._repeats = Repeats()
        self._nodes = list(nodes)
        self._width = width
        self._hold_ns = hold_ns
        self._waiting: deque[Arrow] = deque()
        self._known: set[int] = set()
        self._ladder: TextLadder | None = None
        self._start_ns: int | None = None
        room = width - TIME_WIDTH - _last_name(self._nodes)
        self._gaps = _gaps(self._nodes, (), room) if is_terminal and self._nodes else None
        if self._gaps:
            spare = min(room // len(self._gaps), 30)
            self._gaps = [max(gap, spare) for gap in self._gaps]
            if sum(self._gaps) > room:
                self._gaps = _gaps(self._nodes, (), room)

    def record(self, record: Record) -> list[Line]:
        """Take the next record of the trace; the lines that are ready by it."""
        arrow = self._trace.arrow_of(record)
        if id(arrow) not in self._known:
            self._known.add(id(arrow))
            self._waiting.append(arrow)
        return self.passed(record.time_ns)

    def passed(self, now_ns: int) -> list[Line]:
        """Time has come to `now_ns`; the lines that are ready by it."""
        lines: list[Line] = []
        while self._waiting:
            arrow = self._waiting[0]
            if not self._is_whole(arrow) and now_ns - arrow.last.time_ns <= self._hold_ns:
                break
            lines += self._draw(self._waiting.popleft())
        return lines

    def finish(self) -> list[Line]:
        """Nothing more comes: all lines that were held."""
        lines: list[Line] = []
        while self._waiting:
            lines += self._draw(self._waiting.popleft())
        return lines + [line for row in self._repeats.rest() for line in self._lines(row)]

    @staticmethod
    def _is_whole(arrow: Arrow) -> bool:
        if arrow.last.frame is None or arrow.delivered is False:
            return True
        if isinstance(arrow.message, IkeMessage) and not arrow.message.is_opened:
            return False  # its keys may come
        return bool(arrow.delivered) and (arrow.is_group or arrow.reached)

    def _draw(self, arrow: Arrow) -> list[Line]:
        row = self._rows.row(arrow)
        if row is None:
            return []
        return [line for each in self._repeats.take(row) for line in self._lines(each)]

    def _lines(self, row: Row) -> list[Line]:
        if self._start_ns is None:
            self._start_ns = row.time_ns
        if self._gaps is None:
            return [plain_line(row, self._start_ns)]
        if self._ladder is None:
            self._ladder = TextLadder(self._nodes, self._gaps, self._width, self._start_ns)
            return [self._ladder.header(), *self._ladder.lines(row)]
        return self._ladder.lines(row)
