"""What a ladder shows, before it is drawn: which arrows, with which words.

Text and SVG draw the same rows.  Hidden unless asked for: pure TCP acknowledgements, the second
half of opening and closing a connection, parts of messages that are decoded as a whole, address
resolution that was answered, and of an ESP association all that arrives but its first packet: what
is inside it is drawn where it is known.  What a NAT makes of an endpoint is told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from testbed.protocols.ike.port_4500 import EspPacket, NatKeepalive
from testbed.protocols.wire import Endpoint
from testbed.trace.arrow import Arrow
from testbed.trace.packets import Arp, Icmp
from testbed.trace.record import Record
from testbed.trace.trace import Trace

PLAIN, LOST, MALFORMED, EVENT, QUIET = "", "lost", "malformed", "event", "quiet"
"""Kinds of rows; how a drawing colours them is its own affair."""
_NEIGHBOUR_DISCOVERY = (133, 134, 135, 136, 143)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a ladder.

    Attributes:
        arrow: what is drawn.
        label: what is written on it.
        notes: sentences for the lines below it.
        kind: "", "lost", "malformed", "event", "quiet".
        targets: the nodes at which it has arrow heads: one, or all that a broadcast is for.
    """

    arrow: Arrow
    label: str
    notes: tuple[str, ...]
    kind: str
    targets: tuple[str, ...]

    @property
    def time_ns(self) -> int:
        """When it began."""
        return self.arrow.time_ns

    @property
    def origin(self) -> str:
        """Where it begins."""
        return self.arrow.origin

    @property
    def via(self) -> tuple[str, ...]:
        """The nodes that passed it on, in order."""
        return tuple(hop.sender for hop in self.arrow.hops[1:])


class Rows:
    """Turns arrows into rows, each arrow once; remembers what has been told already.

    Args:
        trace: that the arrows are of.
        everything: hide nothing.
    """

    def __init__(self, trace: Trace, everything: bool = False) -> None:
        self._trace = trace
        self._everything = everything
        self._closed: set[tuple[str, int | None]] = set()
        self._translated: set[tuple[str, frozenset[Endpoint]]] = set()
        self._answered: set[tuple[str, str]] = set()
        self._associations: dict[int, Arrow] = {}
        self._scanned = 0

    def row(self, arrow: Arrow) -> Row | None:
        """The row of an arrow as it stands now; None: hidden."""
        label = self._label(arrow)
        if label is None:
            if not self._everything:
                return None
            label = _segment_label(arrow.last)
        record = arrow.last
        kind = PLAIN
        if record.is_event:
            kind = EVENT
        elif arrow.delivered is False:
            kind = LOST
        elif record.error is not None:
            kind = MALFORMED
        elif isinstance(record.message, (Arp, Icmp, EspPacket, NatKeepalive)):
            kind = QUIET
        return Row(arrow, _one_line(label), self._notes(arrow), kind, self._targets(arrow))

    def all(self) -> list[Row]:
        """Every row of the trace, by time."""
        rows = [self.row(arrow) for arrow in sorted(self._trace.arrows, key=_by_time)]
        return [row for row in rows if row is not None]

    def _targets(self, arrow: Arrow) -> tuple[str, ...]:
        if arrow.last.is_event:
            return ()
        if arrow.end is not None:
            return (arrow.end,)
        members = self._trace.addresses.members(arrow.last.link)
        return tuple(node for node in members if node != arrow.last.sender)

    def _label(self, arrow: Arrow) -> str | None:
        record = arrow.last
        if record.error is not None:
            if record.message is None and "fragment" not in record.marks:
                return f"malformed: {record.error}"
            told = record.summary()
            return f"{told}: {record.error}" if told else str(record.error)
        if record.transport == "tls":
            return f"{record.summary() or f'{len(record.payload)} octets'} (TLS)"
        if record.transport == "tcp" and record.message is None:
            return self._tcp_label(arrow)
        if isinstance(record.message, Arp):
            return record.message.summary() if self._is_unanswered(record) else None
        if isinstance(record.message, Icmp) and record.message.version == 6:
            hidden = record.message.type in _NEIGHBOUR_DISCOVERY
            return None if hidden else record.message.summary()
        if isinstance(record.message, EspPacket) and arrow.delivered is not False:
            first = self._associations.setdefault(record.message.spi, arrow)
            return record.summary() if first is arrow else None
        if record.message is not None:
            return record.summary()
        if "fragment" in record.marks:
            return f"IP fragment, {len(record.payload)} octets"
        if record.transport == "udp" and record.destination is not None:
            return f"UDP to port {record.destination.port}, {len(record.payload)} octets"
        if record.transport.isdigit():
            return f"IP protocol {record.transport}, {len(record.payload)} octets"
        return f"{record.transport}, {len(record.payload)} octets"

    def _tcp_label(self, arrow: Arrow) -> str | None:
        record, first = arrow.last, arrow.first
        connections = {(hop.link, hop.stream) for hop in arrow.hops}
        if "SYN" in record.marks:
            if "ACK" in record.marks:
                return None
            again = ", again" if "retransmission" in record.marks else ""
            return f"TCP connect {first.destination}{again}"
        if "RST" in record.marks:
            return f"TCP reset {_server(first)}"
        if "FIN" in record.marks and not record.payload:
            if connections & self._closed:
                return None
            self._closed |= connections
            return f"TCP close {_server(first)}"
        if not record.payload or "keep-alive" in record.marks:
            return None
        if "retransmission" in record.marks:
            return f"TCP retransmission, {len(record.payload)} octets"
        if self._trace.is_decoded(record) and arrow.delivered is not False:
            return None
        return f"TCP {len(record.payload)} octets, {_server(first)}"

    def _is_unanswered(self, record: Record) -> bool:
        """Whether nobody told the address that an ARP request asks for."""
        for each in self._trace.records[self._scanned :]:
            if isinstance(each.message, Arp) and each.message.operation == 2:
                self._answered.add((each.link, each.message.sender_address))
        self._scanned = len(self._trace.records)
        message: Arp = record.message
        is_own = message.sender_address == message.target_address
        asks = message.operation == 1 and message.sender_address != "0.0.0.0" and not is_own
        return asks and (record.link, message.target_address) not in self._answered

    def _notes(self, arrow: Arrow) -> tuple[str, ...]:
        last = arrow.last
        notes = []
        for node, before, after in arrow.translations:
            pair = (node, frozenset({before, after}))
            if pair not in self._translated:
                self._translated.add(pair)
                notes.append(f"{node}: {before} became {after}")
        if arrow.delivered is False:
            notes.append(f"lost on link {last.link}: did not arrive at {arrow.end or 'anyone'}")
        elif arrow.end is not None and last.destination is not None and not arrow.reached:
            notes.append(f"went no further than {arrow.end}: it was for {last.destination}")
        return tuple(notes)


def _segment_label(record: Record) -> str:
    if isinstance(record.message, (Arp, Icmp, EspPacket)):
        return record.message.summary()
    flags = " ".join(mark for mark in ("SYN", "FIN", "RST", "ACK") if mark in record.marks)
    octets = f", {len(record.payload)} octets" if record.payload else ""
    return f"TCP {flags}{octets}"


def _server(record: Record) -> str:
    """The side of a connection with the lower port, which is nearly always the one that listens."""
    ends = [each for each in (record.destination, record.source) if each is not None]
    return str(min(ends, key=lambda each: each.port)) if ends else ""


def _one_line(label: str) -> str:
    """A label without line ends and other control characters, whatever the peer has sent."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in label)


def _by_time(arrow: Arrow) -> tuple[int, int]:
    return arrow.time_ns, arrow.first.number


def columns(rows: Iterable[Row], nodes: Sequence[str]) -> list[str]:
    """The nodes that take part, in the order of `nodes`; others behind them as they appear."""
    present = dict.fromkeys(
        name for row in rows for name in (row.origin, *row.via, *row.targets) if name
    )
    return [name for name in nodes if name in present] + [
        name for name in present if name not in nodes
    ]
