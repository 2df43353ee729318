"""Notifications of how many devices a gateway knows (TR-111 Part 1, 1.2.1 and Table 2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

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
from testbed.conformance.presences import presences
from testbed.conformance.sessions import Call, sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

ACTIVE = 2
CLOCK_NS = 20_000_000
"""How exactly a timer and a capture agree."""


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
                refusal = call.answer.find(rpc.Fault)
                yield fault(call.answer, f"{gateway} refuses: {refusal}")
                continue
            reads = attributes_read(trace, gateway, COUNT)
            until = _next_set(trace, gateway, call)
            after = [(r, value) for r, value in reads if call.call.number < r.number < until]
            for record, value in after:
                if value == ACTIVE:
                    yield ok(record, "2 is read back")
                else:
                    yield fault(record, f"{gateway} accepts 2, and then it is {value}")
            if not after:
                yield ok(call.answer)


def _next_set(trace: Trace, gateway: str, before: Call) -> int:
    """Where the ACS wants another notification of the table's size."""
    later = [
        call.call.number
        for call, change in sets_of(trace, gateway)
        if change.name == COUNT and call.call.number > before.call.number
    ]
    return min(later, default=len(trace.records))


@check("TR111-1.2.1-G7")
def every_change_is_notified(trace: Trace) -> Iterator[Finding]:
    """Under active notification each addition and removal is followed by an Inform with "4 VALUE
    CHANGE" and the table's size, at the latest when the limit's window ends (AMB-P1-08).

    Violation: none comes, another event, or another number than the table read in that session.
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
        yield from _never_told(trace, gateway, since, told)


def _changes(trace: Trace, gateway: str) -> list[Record]:
    """Where the table has to change: entries that come, and those that have ended for sure."""
    found = []
    for presence in presences(trace, gateway):
        found.append(presence.acked)
        if presence.ends is not None:
            found.append(presence.ends[0])
    return sorted(found, key=lambda each: each.number)


def _changed_between(trace: Trace, gateway: str, first: Record, last: Record) -> bool:
    return any(first.number < each.number < last.number for each in _changes(trace, gateway))


def _never_told(
    trace: Trace, gateway: str, since: Record, told: list[tuple[Record, str]]
) -> Iterator[Finding]:
    """Additions of which no Inform says anything, though the gateway had a session after them."""
    after = [each.acked for each in presences(trace, gateway) if each.acked.number > since.number]
    limit = limit_ns(trace, gateway)
    for added in after[:1]:
        if any(record.number > added.number for record, _ in told):
            continue
        for session in sessions(trace, gateway):
            inform = session.inform
            if inform is None or inform.number < added.number or not session.accepted:
                continue
            if inform.time_ns > added.time_ns + limit:
                why = f"the entry of record {added.number}"
                yield fault(inform, f"{gateway} does not tell of {why}")
                break


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
            if gap_ns + CLOCK_NS < limit:
                yield fault(
                    record,
                    f"{gateway} notifies after {gap_ns / 1e9:.3f} s, the limit is "
                    f"{limit // 1_000_000_000} s",
                )
            else:
                yield ok(record, f"{number} entries after {gap_ns / 1e9:.1f} s")


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
