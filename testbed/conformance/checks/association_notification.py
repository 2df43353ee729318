"""Notifications of how many devices a gateway knows (TR-111 Part 1, 1.2.1 and Table 2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from testbed.conformance.associations import (
    COUNT,
    LIMIT,
    VALUE_CHANGE,
    event_codes,
    gateways,
    table_reads,
    values_seen,
)
from testbed.conformance.check import check
from testbed.conformance.presences import honest_table, listable, presences
from testbed.conformance.sessions import Call, sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.lateness import SECOND_NS
from testbed.trace.record import Record
from testbed.trace.trace import Trace

ACTIVE = 2
CLOCK_NS = 20_000_000
"""How exactly a timer and a capture agree."""
AT_ONCE_NS = 2_000_000_000
"""How soon a gateway turns to its ACS; TR-069 has no number."""


def sets_of(trace: Trace, cpe: str) -> Iterator[tuple[Call, rpc.AttributeChange]]:
    """The notification attributes that an ACS has wanted of a CPE, each with its call."""
    for session in sessions(trace, cpe):
        for call in session.calls(rpc.SetParameterAttributes):
            message = call.call.find(rpc.SetParameterAttributes)
            for each in message.parameters if message is not None else ():
                if each.notification_change:
                    yield call, each


def attributes_read(trace: Trace, cpe: str, name: str) -> Iterator[tuple[Record, int]]:
    """The notification attribute of a parameter, each time that it was read."""
    for session in sessions(trace, cpe):
        for _, answer in session.calls(rpc.GetParameterAttributes):
            told = answer.find(rpc.GetParameterAttributesResponse) if answer else None
            if told is None or answer is None:
                continue
            for each in told.parameters:
                if each.name == name:
                    yield answer, each.notification


def active_since(trace: Trace, gateway: str) -> Record | None:
    """Where the gateway has accepted active notification of its table's size."""
    for call, change in sets_of(trace, gateway):
        if change.name == COUNT and change.notification == ACTIVE and call.done:
            return call.answer
    return None


def limit_ns(trace: Trace, gateway: str) -> int:
    """ManageableDeviceNotificationLimit as the ACS has set it last."""
    limit = 0
    for session in sessions(trace, gateway):
        for value in session.set_values():
            if value.name == LIMIT and value.value.isdecimal():
                limit = int(value.value)
    return limit * 1_000_000_000


def told_counts(trace: Trace, gateway: str) -> list[tuple[Record, str]]:
    """The Informs that tell the table's size, with the number."""
    return [
        (seen.record, seen.values[COUNT])
        for seen in values_seen(trace, gateway)
        if COUNT in seen.values and seen.record.find(rpc.Inform) is not None
    ]


@check("TR111-1.2.1-G6")
def active_notification_is_granted(trace: Trace) -> Iterator[Finding]:
    """SetParameterAttributes with 2 on the number of entries succeeds, and 2 is read back."""
    for gateway in gateways(trace):
        for call, change in sets_of(trace, gateway):
            if change.name != COUNT or change.notification != ACTIVE or call.answer is None:
                continue
            if not call.done:
                refusal = call.answer.summary()
                yield fault(call.answer, f"{gateway} refuses {ACTIVE} for {COUNT}: {refusal}")
                continue
            reads = attributes_read(trace, gateway, COUNT)
            until = next_set(trace, gateway, call, COUNT)
            after = [(r, value) for r, value in reads if call.call.number < r.number < until]
            for record, value in after:
                if value == ACTIVE:
                    yield ok(record, "2 is read back")
                else:
                    yield fault(record, f"{gateway} accepts 2, and then it is {value}")
            if not after:
                yield ok(call.answer)


def next_set(trace: Trace, cpe: str, before: Call, name: str) -> int:
    """Where the ACS wants another notification of a parameter."""
    later = [
        call.call.number
        for call, change in sets_of(trace, cpe)
        if change.name == name and call.call.number > before.call.number
    ]
    return min(later, default=len(trace.records))


@check("TR111-1.2.1-G7")
def every_change_is_notified(trace: Trace) -> Iterator[Finding]:
    """Under active notification each addition and removal is followed by an Inform with "4 VALUE
    CHANGE" and the table's size, at the latest when the limit's window ends (AMB-P1-08).

    Violation: none comes (though the gateway has a session, or has none for two seconds), another
    event, or another number than the table read in that session.
    """
    for gateway in gateways(trace):
        since = active_since(trace, gateway)
        if since is None:
            continue
        told = told_counts(trace, gateway)
        for session in sessions(trace, gateway):
            inform = session.inform
            for record, number in told:
                if inform is None or record is not inform or record.number < since.number:
                    continue
                if VALUE_CHANGE not in event_codes(session):
                    yield fault(record, f"{gateway} tells its count by {event_codes(session)}")
                    continue
                wrong = [
                    read
                    for read in table_reads(trace, gateway)
                    if read.session is session and str(len(read.rows)) != number
                ]
                if wrong and not _changed_between(trace, gateway, record, wrong[0].record):
                    yield fault(record, f"{gateway} tells {number}, has {len(wrong[0].rows)} rows")
                else:
                    yield ok(record, f"{number} entries")
        for due in _owed(trace, gateway):
            if due.told is not None and due.told.time_ns > due.latest_ns:
                yield fault(due.told, _late(gateway, due))
            elif due.missed is not None:
                yield fault(due.missed, _untold(gateway, due))


def _late(gateway: str, due: Due) -> str:
    late_s = (due.told.time_ns - due.latest_ns + AT_ONCE_NS) / 1e9 if due.told else 0.0
    return f"{gateway} tells its {due.size} entries {late_s:.1f} s after it may"


def _untold(gateway: str, due: Due) -> str:
    return f"{gateway} does not tell of {due.size} entries, as record {due.change.number} makes it"


def changes(trace: Trace, gateway: str) -> list[Record]:
    """Where the table has to change: entries that come, and those that have ended for sure."""
    found = {}
    for presence in presences(trace, gateway):
        found[presence.acked.number] = presence.acked
        if presence.ends is not None:
            found[presence.ends[0].number] = presence.ends[0]
    return [found[number] for number in sorted(found)]


def _changed_between(trace: Trace, gateway: str, first: Record, last: Record) -> bool:
    return any(first.number < each.number < last.number for each in changes(trace, gateway))


class Due(NamedTuple):
    """A notification that a gateway owes.

    Attributes:
        change: since when.
        size: of the table, from there to the next change.
        told: the Inform that tells it; None: there is none.
        missed: where it should have been told; None: nobody can say so.
        latest_ns: until when it may be told.
    """

    change: Record
    size: int
    told: Record | None
    missed: Record | None
    latest_ns: int


def _owed(trace: Trace, gateway: str) -> Iterator[Due]:
    """What a gateway owes for changes of its table: where its size is known by DHCP and cables,
    and is not what was told last (AMB-P1-08)."""
    since = active_since(trace, gateway)
    if since is None or not honest_table(trace, gateway):
        return
    last = min(
        (
            call.call.number
            for call, change in sets_of(trace, gateway)
            if change.name == COUNT and change.notification != ACTIVE
            if call.call.number > since.number
        ),
        default=len(trace.records),
    )
    known = _size(trace, gateway, since.number)
    told = [(since, None if known is None else str(known)), *told_counts(trace, gateway)]
    points = [each for each in changes(trace, gateway) if since.number < each.number < last]
    for change, following in zip_longest(points, points[1:]):
        size = _size(trace, gateway, change.number + 1)
        before, value = [each for each in told if each[0].number < change.number][-1]
        if size is None or value in (None, str(size)):
            continue
        free_ns = change.time_ns
        if before is not since:
            free_ns = max(free_ns, before.time_ns + limit_ns(trace, gateway))
        until = last if following is None else following.number
        yield _judge_due(trace, gateway, Due(change, size, None, None, free_ns), until)


def _size(trace: Trace, gateway: str, number: int) -> int | None:
    """How many entries the table has at a record; None: not known for sure."""
    all_of_them = [each for each in presences(trace, gateway) if listable(each.identity)]
    least = {each.identity for each in all_of_them if each.must_be(number)}
    most = {each.identity for each in all_of_them if each.may_be(number)}
    return len(least) if least == most else None


def _judge_due(trace: Trace, gateway: str, due: Due, until: int) -> Due:
    """Whether a size is told before the next change, or a session or too long a time passes."""
    latest_ns = due.latest_ns + AT_ONCE_NS
    latest_ns += int(trace.lateness.between(due.change.time_ns, latest_ns) * SECOND_NS)
    later = [
        session
        for session in sessions(trace, gateway)
        if session.turns[-1].number > due.change.number and session.turns[0].number < until
    ]
    missed: Record | None = None
    for session in later:
        inform = session.inform
        if inform is None or not due.change.number < inform.number < until:
            continue
        message = inform.find(rpc.Inform)
        if message is not None and message.value(COUNT) == str(due.size):
            return due._replace(told=inform, latest_ns=latest_ns)
        reads = [each for each in table_reads(trace, gateway) if each.session is session]
        if any(len(each.rows) != due.size for each in reads):
            return due  # the table itself is wrong, as others find
        if missed is None and session.accepted and inform.time_ns > due.latest_ns:
            missed = inform
    next_ns = trace.records[until].time_ns if until < len(trace.records) else trace.now_ns
    if missed is None and not later and next_ns > latest_ns:
        missed = due.change
    return due._replace(missed=missed, latest_ns=latest_ns)


@check("TR111-1.2.1-G8")
def notifications_keep_their_distance(trace: Trace) -> Iterator[Finding]:
    """Two notifications of the table's size are at least the limit apart, and the last one tells
    what is so in the end (AMB-P1-08)."""
    for gateway in gateways(trace):
        since, limit = active_since(trace, gateway), limit_ns(trace, gateway)
        if since is None or limit == 0:
            continue
        told = [each for each in told_counts(trace, gateway) if each[0].number > since.number]
        for (before, _), (record, number) in itertools.pairwise(told):
            gap_ns = record.time_ns - before.time_ns
            if gap_ns + CLOCK_NS + int(trace.late_s(before, record) * SECOND_NS) < limit:
                yield fault(
                    record,
                    f"{gateway} notifies after {gap_ns / 1e9:.3f} s, the limit is "
                    f"{limit // 1_000_000_000} s",
                )
            else:
                yield ok(record, f"{number} entries after {gap_ns / 1e9:.1f} s")
        for due in list(_owed(trace, gateway))[-1:]:
            if due.told is None and due.missed is not None:
                yield fault(due.missed, f"in the end {_untold(gateway, due)}")


@check("TR111-1.2.6-T2-3")
def limit_is_written_and_has_effect(trace: Trace) -> Iterator[Finding]:
    """The ACS sets ManageableDeviceNotificationLimit, reads it back, and it holds; 0 is no limit.

    Violation: refused, another value read back, or a gap that is shorter; with 0, changes that are
    told late.
    """
    for gateway in gateways(trace):
        wanted, where = None, None
        for session in sessions(trace, gateway):
            for call in session.calls(rpc.SetParameterValues):
                message = call.call.find(rpc.SetParameterValues)
                values = {e.name: e.value for e in message.parameters} if message else {}
                if LIMIT not in values or call.answer is None:
                    continue
                if not call.done:
                    yield fault(call.answer, f"{gateway} refuses to set its limit")
                    continue
                wanted, where = values[LIMIT], call.answer
        for seen in values_seen(trace, gateway):
            if where is None or LIMIT not in seen.values or seen.record.number < where.number:
                continue
            if seen.values[LIMIT] == wanted:
                yield ok(seen.record, f"{wanted} s")
            else:
                yield fault(seen.record, f"{gateway}: the limit is {seen.values[LIMIT]}")
        if where is not None:
            yield from notifications_keep_their_distance(trace)
        for due in _owed(trace, gateway) if where is not None and wanted == "0" else ():
            if due.told is not None and due.told.time_ns > due.latest_ns:
                yield fault(due.told, f"{_late(gateway, due)}, and there is no limit")
