"""What two traces of one scenario have in common: every arrow of every conversation, in order.

A conversation is one TCP connection with both its directions, or the datagrams of one protocol in
one direction between two ports, on all links that they cross.  Within it the order counts.  The
conversations of two nodes about one service are compared as a set with repetitions: which of two
sessions that nothing joins comes first is for the clock, and no spec has a say in it.

Copies of a question that was answered all the same are not compared (`copies`).  Two other things
depend on how long a run lasts rather than on what it does, and are compared without their number:
sessions of a periodic Inform, and what follows the ladder's last step.  A connection that is still
open when a run ends is compared as far as it went there.

Where a CPE sends Informs by a period, it is the clock that says which of its sessions is the next
one when the ACS has something to ask.  There, what the ACS asks, and is answered, is compared in
its order but as one conversation across all sessions, and each session without it; a name for which
every session asks counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from testbed.protocols import http
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.delivery import PERIODIC
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.wire import Endpoint
from testbed.trace.arrow import Arrow
from testbed.trace.record import Record
from testbed.trace.trace import Trace
from tests.simulation.copies import superfluous
from tests.simulation.labels import ONE_QUESTION, Labels, service_of
from tests.simulation.plain import Plain
from tests.simulation.tunnel_talk import TunnelTalk

OUTSIDE = ("EspPacket", "NatKeepalive")
"""How many there are depends on how TCP inside acknowledges."""
_SHORTER_THAN_MATTERS = ("arp", "icmp")
_STREAMS = ("tcp", "tls")
Ends = frozenset[Endpoint]
Told = tuple[str, str, str, str, tuple[Any, ...], Any]
"""Who to whom, transport, type, marks, hops, and all that it says."""
Between = tuple[str, ...]
"""Whom and which service a conversation is of."""


@dataclass
class Conversation:
    """Arrows that are in order.

    Attributes:
        between: whom, and which service.
        arrows: each as it is told.
        due: how many of them began up to the ladder's last step.
        empty: of a session, where the CPE's turn and the ACS's end: the places of the first HTTP
            request, and then of the first response, without a body.
        events: of the Inform that began it; none: it is no session.
        is_open: whether it is a connection that nobody had closed when the run ended.
    """

    between: Between
    arrows: list[Told] = field(default_factory=list)
    due: int = 0
    empty: list[int] = field(default_factory=list)
    events: frozenset[str] = frozenset()
    is_open: bool = False

    @property
    def is_periodic(self) -> bool:
        """Whether it is a session that a period alone began."""
        return self.events == {PERIODIC}

    @property
    def turn(self) -> tuple[type[http.Request] | type[http.Response], ...]:
        """What may be the next of `empty`."""
        return ((http.Request,), (http.Response,), ())[len(self.empty)]

    def part(self) -> Conversation:
        """Take out of a session what the ACS asks in it, with the answers; gives that."""
        begin = self.empty[0] + 1 if self.empty else len(self.arrows)
        end = self.empty[1] if len(self.empty) > 1 else len(self.arrows)
        asked = Conversation((*self.between, "asked"), self.arrows[begin:end])
        asked.due = min(max(self.due - begin, 0), len(asked.arrows))
        asked.is_open = self.is_open
        del self.arrows[begin:end]
        self.due -= asked.due
        return asked

    def differs(self, other: Conversation) -> int | None:
        """The place of the first arrow that is another one; None: none of those that are due."""
        for place in range(max(len(self.arrows), len(other.arrows))):
            here, there = self._at(place), other._at(place)
            if here is None or there is None:
                short = self if here is None else other
                is_due = place < max(self.due, other.due)
                return place if is_due and not short.is_open else None
            if here != there:
                return place
        return None

    def _at(self, place: int) -> Told | None:
        return self.arrows[place] if place < len(self.arrows) else None

    def difference(self, other: Conversation, place: int) -> str:
        """In words: this one is of the emulation."""
        here, there = self._at(place), other._at(place)
        return (
            f"{_name(self.between)}, arrow {place + 1} of {len(self.arrows)} and "
            f"{len(other.arrows)}:\n  emulation  {_shown(here)}\n  simulation {_shown(there)}\n"
            f"  where      {_where(here, there)}"
        )


class _Connections:
    """Which endpoints belong to one connection, on all links and on both sides of a NAT.

    Attributes:
        closed: those that both sides have ended, or one has reset.
    """

    def __init__(self, trace: Trace) -> None:
        self._known: dict[Ends, Ends] = {}
        for arrow in trace.arrows:
            ends = [_ends(hop) for hop in arrow.hops if hop.transport in _STREAMS]
            for one, other in pairwise(ends):
                first, second = self.of(one), self.of(other)
                if first != second:
                    self._known[second] = first
        ended: dict[Ends, set[str]] = {}
        for arrow in trace.arrows:
            if arrow.first.transport in _STREAMS and arrow.first.marks & {"FIN", "RST"}:
                by = {arrow.origin} if "FIN" in arrow.first.marks else {arrow.origin, "reset"}
                ended.setdefault(self.of(_ends(arrow.first)), set()).update(by)
        self.closed = {ends for ends, by in ended.items() if len(by) > 1}

    def of(self, ends: Ends) -> Ends:
        """The same for every pair of endpoints that the connection has on a link."""
        while ends in self._known:
            ends = self._known[ends]
        return ends


def _ends(record: Record) -> Ends:
    return frozenset(end for end in (record.source, record.destination) if end is not None)


def told(trace: Trace, until: int | None = None) -> list[Conversation]:
    """Every conversation with a message in it, by its first arrow.

    Args:
        trace: of one run.
        until: record of the ladder's last step; None: all is due.
    """
    labels = Labels(trace.records)
    plain = Plain(labels)
    connections = _Connections(trace)
    found: dict[Any, Conversation] = {}
    tunnels = TunnelTalk(trace.arrows)
    left_out = superfluous(trace.arrows) | tunnels.by_chance
    for arrow in trace.arrows:
        first = arrow.first
        if first.is_event or first.transport in _SHORTER_THAN_MATTERS or first.number in left_out:
            continue
        for said in _told(arrow, plain, labels, tunnels):
            between, key = _place(arrow, connections)
            conversation = found.setdefault(key, Conversation(between))
            conversation.is_open = first.transport in _STREAMS and key not in connections.closed
            if conversation.events and isinstance(message := arrow.message, conversation.turn):
                conversation.empty += [len(conversation.arrows)] if not message.body else []
            conversation.arrows.append(said)
            conversation.due += until is None or first.number <= until
            inform = first.find(rpc.Inform)
            if inform is not None:
                conversation.events = frozenset(each.code for each in inform.events)
    return list(found.values())


def periodic_of(found: Iterable[Conversation]) -> set[Between]:
    """Between whom one sends Informs by a period."""
    return {each.between for each in found if each.is_periodic}


def joined_by_period(found: list[Conversation], periodic: set[Between]) -> list[Conversation]:
    """What is asked between two nodes, one of which sends Informs by a period, in one piece."""
    asked: dict[Between, Conversation] = {}
    for session in found:
        if session.events and session.between in periodic:
            part = session.part()
            whole = asked.setdefault(part.between, Conversation(part.between))
            whole.arrows += part.arrows
            whole.due += part.due
            whole.is_open |= part.is_open
    named = _named_once(found, {node for between in periodic for node in between[:2]})
    return [*named, *(each for each in asked.values() if each.arrows)]


def _named_once(found: list[Conversation], nodes: set[str]) -> list[Conversation]:
    """Without the questions for a name, and answers, that each session of a period repeats."""
    known: list[list[Told]] = []
    left = []
    for each in found:
        if each.between[-1] == f"udp {ONE_QUESTION}" and nodes.intersection(each.between):
            if each.arrows in known:
                continue
            known.append(each.arrows)
        left.append(each)
    return left


def _place(arrow: Arrow, connections: _Connections) -> tuple[Between, Any]:
    """Whom and what the arrow's conversation is about, and what tells it from its like."""
    first = arrow.first
    if first.transport in _STREAMS:
        nodes = sorted((arrow.origin, str(arrow.end)))
        return (*nodes, _service("tcp", first)), connections.of(_ends(first))
    way = (arrow.origin, str(arrow.end))
    service = _service(first.transport, first)
    if arrow.end is None:  # a broadcast: DHCP's client has no address of its own yet
        return (*way, service), (way, service)
    protocol = type(arrow.message).__module__  # STUN and Connection Requests share two ports
    return (*way, service), (way, protocol, first.source, first.destination)


def _service(transport: str, record: Record) -> str:
    if record.source is None or record.destination is None:
        return transport
    return f"{transport} {service_of(record.source, record.destination)}"


def _told(arrow: Arrow, plain: Plain, labels: Labels, tunnels: TunnelTalk) -> Iterator[Told]:
    message = arrow.message
    error = next((hop.error for hop in arrow.hops if hop.error is not None), None)
    if (message is None and error is None) or type(message).__name__ in OUTSIDE:
        return
    carried = next((hop.carried for hop in arrow.hops if hop.carried), ())
    said = [plain(message), *(plain(each) for each in carried)]
    if isinstance(message, IkeMessage):
        said[0]["message_id"] = tunnels.number(message)
    if error is not None:
        said.append(str(error))
    yield (
        f"{arrow.origin} -> {arrow.end}",
        arrow.first.transport,
        type(message).__name__,
        " ".join(sorted(arrow.first.marks & {"tap", "fragment"})),
        tuple(_hop(hop, labels) for hop in arrow.hops),
        said,
    )


def _hop(hop: Record, labels: Labels) -> tuple[str, ...]:
    transport = "udp" if hop.transport == "udp" else "tcp"
    return (
        hop.link,
        *(labels.endpoint(end, transport) for end in (hop.source, hop.destination) if end),
    )


def first_difference(
    one: Trace, other: Trace, until: int | None = None, until_other: int | None = None
) -> str:
    """In words; "": there is none.

    Args:
        one: of the emulation.
        other: of the simulation.
        until: record of the ladder's last step; what one trace has after it the other need not have
            had the time for.
        until_other: likewise in the other one.
    """
    ours, theirs = told(one, until), told(other, until_other)
    periodic = periodic_of((*ours, *theirs))  # one of them may have ended before its first period
    ours, theirs = joined_by_period(ours, periodic), joined_by_period(theirs, periodic)
    for between in dict.fromkeys(each.between for each in (*ours, *theirs)):
        left, right = (
            [each for each in all_ if each.between == between] for all_ in (ours, theirs)
        )
        _pair(left, right)
        if left or right:
            return _first_of(left, right)
    return ""


def _pair(left: list[Conversation], right: list[Conversation]) -> None:
    """Take away what both have, and what need not be there."""
    for same in (True, False):  # the same to the end before those of which one was cut short
        for ours in list(left):
            for theirs in right:
                if ours.arrows == theirs.arrows if same else ours.differs(theirs) is None:
                    left.remove(ours)
                    right.remove(theirs)
                    break
    for each in (left, right):
        each[:] = [one for one in each if one.due and not one.is_periodic]


def _first_of(left: list[Conversation], right: list[Conversation]) -> str:
    """The first difference of what has no like on the other side."""
    nobody = Conversation((left or right)[0].between)
    ours, theirs = (each[0] if each else nobody for each in (left, right))
    place = ours.differs(theirs)
    assert place is not None
    return ours.difference(theirs, place)


def _name(between: Between) -> str:
    return f"{between[0]} and {between[1]} by {', '.join(between[2:])}"


def _shown(arrow: Told | None) -> str:
    if arrow is None:
        return "nothing"
    return f"{arrow[0]}: {arrow[1]} {arrow[2]} over {', '.join(hop[0] for hop in arrow[4])}"


def _where(here: Any, there: Any, path: str = "") -> str:
    """The innermost place at which two of them differ."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            if here.get(key) != there.get(key):
                return _where(here.get(key), there.get(key), f"{path}.{key}")
    if isinstance(here, (list, tuple)) and isinstance(there, (list, tuple)):
        for place, (one, other) in enumerate(zip(here, there, strict=False)):
            if one != other:
                return _where(one, other, f"{path}[{place}]")
    if isinstance(here, bytes) and isinstance(there, bytes):
        same = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), 0)
        here, there = here[max(0, same - 100) :], there[max(0, same - 100) :]
    return f"{path}: {str(here)[:300]!r} and {str(there)[:300]!r}"
