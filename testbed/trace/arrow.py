"""Arrows: the records of one message on its way through several links.

The next hop of a message has the same transport payload, was sent by the node that received the
last hop, and follows it within `HOP_WITHIN_NS`.  So what a NAT rewrites shows as hops with
different endpoints; two equal datagrams are two arrows.  A broadcast ends on its link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any, NamedTuple

from testbed.protocols.wire import BROADCAST, Endpoint
from testbed.trace.addresses import Addresses
from testbed.trace.delivery import Deliveries, Receipt
from testbed.trace.record import Record

HOP_WITHIN_NS = 2_000_000_000
"""A node that passes a message on does so within this time; slower is a message of its own."""
_EVERYONE = bytes([255] * 6)


class Translation(NamedTuple):
    """A node between two hops gave the message another endpoint."""

    node: str
    before: Endpoint
    after: Endpoint


class Arrow:
    """One message on its way; one line of a ladder.

    Attributes:
        hops: its records, in order; grows while the trace grows.
        receipts: what became of each hop's frame; None for an event.
    """

    __slots__ = ("_addresses", "_deliveries", "hops", "receipts")

    def __init__(
        self,
        hops: list[Record],
        receipts: list[Receipt | None],
        addresses: Addresses,
        deliveries: Deliveries,
    ) -> None:
        self.hops = hops
        self.receipts = receipts
        self._addresses = addresses
        self._deliveries = deliveries

    def __repr__(self) -> str:
        path = " -> ".join([*(hop.sender for hop in self.hops), str(self.end)])
        return f"Arrow(r{self.first.number}: {path})"

    @property
    def first(self) -> Record:
        """The first hop."""
        return self.hops[0]

    @property
    def last(self) -> Record:
        """The last hop so far."""
        return self.hops[-1]

    @property
    def time_ns(self) -> int:
        """When its first hop was sent."""
        return self.hops[0].time_ns

    @property
    def origin(self) -> str:
        """The node that sent it first."""
        return self.hops[0].sender

    @property
    def end(self) -> str | None:
        """The node to which the last hop was addressed; None: broadcast, multicast or unknown."""
        return self.hops[-1].receiver

    @property
    def message(self) -> Any:
        """The decoded message; on some hop at least, where one was decoded."""
        return next((hop.message for hop in self.hops if hop.message is not None), None)

    @property
    def delivered(self) -> bool | None:
        """Whether the last hop arrived; None: the trace does not say, or not yet."""
        receipt = self.receipts[-1]
        return None if receipt is None else self._deliveries.delivered(receipt, self.end)

    @property
    def copies(self) -> int:
        """How often the last hop arrived at its end; once where the trace does not say."""
        receipt = self.receipts[-1]
        if receipt is None or self.delivered is None:
            return 1
        return receipt.arrivals.get(self.end, 0) if self.end else len(receipt.arrivals)

    @property
    def is_group(self) -> bool:
        """Whether the last hop went to everyone on its link, or to a group of them."""
        return self.end is None and _is_group(self.last)

    @property
    def translations(self) -> list[Translation]:
        """Every rewriting of an endpoint on the way, in order."""
        found = []
        for before, after in zip(self.hops, self.hops[1:], strict=False):
            for old, new in (
                (before.source, after.source),
                (before.destination, after.destination),
            ):
                if old is not None and new is not None and old != new:
                    found.append(Translation(after.sender, old, new))
        return found

    @property
    def reached(self) -> bool:
        """Whether its last hop goes to the holder of its destination address, and no further.

        A client that has no address yet is reached by its link-layer address alone.
        """
        last, end = self.last, self.end
        if end is None or last.destination is None or last.frame is None:
            return end is not None  # without a frame: an end of the connection itself tells it
        if self._addresses.holds(end, last.destination.address, last.time_ns):
            return True
        interface = _receiving_interface(last, self._addresses)
        known = self._addresses.addresses_of(end, interface, last.time_ns)
        return end == last.destination.address or not known

    def is_for(self, node: str) -> bool:
        """Whether the last hop was put on a link towards `node` and ends there.

        What comes to a NAT's outside endpoint while its binding lives is on its way through.
        """
        if self.end is not None:
            return self.end == node and self.reached and not self._is_passing(node)
        last = self.last
        if last.sender == last.receiver:  # a loopback
            return node == last.sender
        if not self._addresses.is_member(node, last.link) or node == last.sender:
            return False
        if _is_group(last):
            return True
        return last.destination is not None and self._addresses.holds(
            node, last.destination.address, last.time_ns
        )

    def _is_passing(self, node: str) -> bool:
        last = self.last
        if last.frame is None or last.destination is None:
            return False
        endpoint = str(last.destination)
        return self._addresses.is_bound(node, last.transport, endpoint, last.time_ns)


def end_to_end(arrow: Arrow, origin: str, end: str) -> bool:
    """Whether the arrow began at node `origin` and its latest hop leads to node `end`.

    That is: the hop is on a link of `end`, and its destination address is held by `end` (after what
    a NAT made of it), or it is a broadcast there.
    """
    return arrow.origin == origin and arrow.is_for(end)


def _is_group(record: Record) -> bool:
    frame = record.frame
    if frame is None:
        return False
    if frame.link_type == 1:
        return bool(frame.data) and bool(frame.data[0] & 1)
    address = record.destination.address if record.destination else ""
    first = address.split(".")[0]
    return address.startswith("ff") or (first.isdigit() and int(first) >= 224)


def _is_broadcast(record: Record) -> bool:
    """Whether the frame went to everyone on its link: no router passes that on (RFC 1122 3.3.6)."""
    frame = record.frame
    if frame is not None and frame.link_type == 1:
        return frame.data[:6] == _EVERYONE
    return record.destination is not None and record.destination.address == BROADCAST


def _is_translated(before: Record, after: Record) -> bool:
    """Whether two records of a capture that does not know who sends look like the two sides of one
    NAT: the same message, one of its endpoints another."""
    frames = (before.frame, after.frame)
    if any(frame is None or frame.node for frame in frames) or before.source is None:
        return False
    return (before.source == after.source) is not (before.destination == after.destination)


def _receiving_interface(record: Record, addresses: Addresses) -> str | None:
    frame = record.frame
    if frame is None or frame.link_type != 1:
        return None
    place = addresses.places.get(frame.data[:6].hex(":"))
    return place.interface if place else None


class Arrows:
    """Joins records to arrows while they come.

    Args:
        addresses: who is on which link.
        deliveries: whether the copies of lost frames can be told.
    """

    def __init__(self, addresses: Addresses, deliveries: Deliveries) -> None:
        self.all: list[Arrow] = []
        self._addresses = addresses
        self._deliveries = deliveries
        self._of_record: list[Arrow] = []
        self._shared: dict[int, list[Arrow]] = {}
        self._open: dict[Hashable, list[Arrow]] = {}
        self._order: deque[tuple[int, Hashable]] = deque()

    def of(self, record: Record) -> Arrow:
        """The arrow of a record of this trace."""
        return self._of_record[record.number]

    def replace(self, record: Record) -> None:
        """Take a record in the place of the one of its number: what it says was opened."""
        for arrow in (self._of_record[record.number], *self._shared.get(record.number, ())):
            for place, hop in enumerate(arrow.hops):
                if hop.number == record.number:
                    arrow.hops[place] = record

    def add(self, record: Record, key: Hashable, receipt: Receipt | None) -> Arrow:
        """Take the next record: another hop of a known arrow, or a new one.

        Args:
            record: its number is one more than the last one's.
            key: equal for the same message on every link; None: never goes on.
            receipt: of its frame.
        """
        if key is None:
            arrow = self._begin([record], [receipt])
        else:
            self._forget(record.time_ns)
            candidates = self._open.setdefault(key, [])
            arrow = self._continue(candidates, record, receipt) or self._fork(
                candidates, record, receipt
            )
            if arrow not in candidates:
                candidates.append(arrow)
            self._order.append((record.time_ns, key))
        self._of_record.append(arrow)
        return arrow

    def _begin(self, hops: list[Record], receipts: list[Receipt | None]) -> Arrow:
        arrow = Arrow(hops, receipts, self._addresses, self._deliveries)
        self.all.append(arrow)
        for hop in hops[:-1]:
            self._shared.setdefault(hop.number, []).append(arrow)
        return arrow

    def _continue(
        self, candidates: list[Arrow], record: Record, receipt: Receipt | None
    ) -> Arrow | None:
        """The arrow that this record carries on: one known to have arrived, else the oldest."""
        fitting = [each for each in candidates if self._follows(each.last, record)]
        for sure in (True, False):
            for arrow in fitting:
                before = arrow.receipts[-1]
                if not sure or (before is not None and record.sender in before.arrivals):
                    arrow.hops.append(record)
                    arrow.receipts.append(receipt)
                    return arrow
        return None

    def _fork(self, candidates: list[Arrow], record: Record, receipt: Receipt | None) -> Arrow:
        """A new arrow.

        It shares its first hops with another one where a link made two copies of one frame, or
        where a segment completes more messages here than it did on the link before.
        """
        previous = self._of_record[-1] if self._of_record else None
        if previous and previous.last.frame is record.frame and len(previous.hops) > 1:
            return self._begin([*previous.hops[:-1], record], [*previous.receipts[:-1], receipt])
        for arrow in candidates:
            for place, before in enumerate(arrow.receipts[:-1]):
                if before is None or before.arrivals.get(record.sender, 0) < 2:
                    continue
                going_on = sum(
                    len(each.hops) > place + 1 and each.hops[place] is arrow.hops[place]
                    for each in candidates
                )
                if going_on < before.arrivals[record.sender] and self._follows(
                    arrow.hops[place], record
                ):
                    shared = place + 1
                    return self._begin(
                        [*arrow.hops[:shared], record], [*arrow.receipts[:shared], receipt]
                    )
        return self._begin([record], [receipt])

    def _follows(self, before: Record, after: Record) -> bool:
        if not 0 <= after.time_ns - before.time_ns <= HOP_WITHIN_NS:
            return False
        if after.sender == before.sender or _is_broadcast(before):
            return False
        if _is_translated(before, after):
            return True
        if before.receiver is not None:
            return before.receiver == after.sender
        return after.link != before.link and self._addresses.is_member(after.sender, before.link)

    def _forget(self, now_ns: int) -> None:
        while self._order and self._order[0][0] < now_ns - HOP_WITHIN_NS:
            _, key = self._order.popleft()
            waiting = self._open.get(key, [])
            waiting[:] = [each for each in waiting if each.last.time_ns >= now_ns - HOP_WITHIN_NS]
            if not waiting:
                self._open.pop(key, None)
