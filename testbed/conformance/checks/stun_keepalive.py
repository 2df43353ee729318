"""How a CPE keeps its binding alive (TR-111 Part 2, 2.2.1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from testbed.conformance.bindings import (
    MAXIMUM,
    MINIMUM,
    NO_MAXIMUM,
    Transaction,
    cpes,
    seconds,
    settings,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.trace import Trace

TOLERANCE_S = 0.25
"""What a timer on a busy machine may be off.  Never to the CPE's disadvantage."""
PROBE_WITHIN_S = 1.0
"""Within which a CPE that is to look for the lifetime does something about it."""


def _gaps(trace: Trace) -> Iterator[tuple[Transaction, Transaction, float]]:
    """Successive keep-alives of a CPE under the same settings, and the time between their first
    copies; BINDING-CHANGE, answers to challenges and tests are none."""
    for cpe in cpes(trace):
        alive = [each for each in transactions(trace, cpe) if each.is_keep_alive]
        for one, next_one in pairwise(alive):
            same_place = (one.source, one.first.destination) == (
                next_one.source,
                next_one.first.destination,
            )
            between = [
                each
                for each in settings(trace, cpe)
                if one.first.number < each.record.number < next_one.first.number
            ]
            if same_place and not between:
                yield one, next_one, seconds(one.first, next_one.first)


def _period(trace: Trace, transaction: Transaction, name: str) -> int | None:
    value = value_at(trace, transaction.cpe, name, transaction.first)
    return None if value is None else int(value)


@check("TR111-2.2.1.2-C1", supposes=("whole",))
def keep_alives_come_from_the_primary_port(trace: Trace) -> Iterator[Finding]:
    """Marked requests go on from the endpoint of the first one, each under an ID of its own."""
    for cpe in cpes(trace):
        every = transactions(trace, cpe)
        marked = [each for each in every if not each.is_test and not each.request.is_change]
        for each in marked[1:]:
            if each.source != marked[0].source and each.source.address == marked[0].source.address:
                yield fault(each.first, f"it comes from {each.source}, not {marked[0].source}")
            elif len({record.payload for record in each.copies}) > 1:
                yield fault(each.first, "requests with different octets have the same ID")
            else:
                yield ok(each.first)


@check("TR111-2.2.1.2-C2", "TR111-2.2.4-T6-9")
def keep_alives_are_not_too_frequent(trace: Trace) -> Iterator[Finding]:
    """Between two keep-alives lies at least STUNMinimumKeepAlivePeriod."""
    for one, next_one, gap_s in _gaps(trace):
        minimum_s = _period(trace, one, MINIMUM)
        if not minimum_s:
            continue
        if gap_s >= minimum_s - TOLERANCE_S:
            yield ok(next_one.first, f"{gap_s:.3f} s after the last one")
        else:
            yield fault(
                next_one.first, f"{gap_s:.3f} s after the last one, the minimum is {minimum_s} s"
            )


@check("TR111-2.2.1.2-C3", "TR111-2.2.4-T6-8")
def keep_alives_are_frequent_enough(trace: Trace) -> Iterator[Finding]:
    """Between two keep-alives lies at most STUNMaximumKeepAlivePeriod, where that is given."""
    for one, next_one, gap_s in _gaps(trace):
        maximum_s = _period(trace, one, MAXIMUM)
        if maximum_s is None or maximum_s == NO_MAXIMUM:
            continue
        if gap_s <= max(maximum_s, 1) + TOLERANCE_S:
            yield ok(next_one.first, f"{gap_s:.3f} s after the last one")
        else:
            yield fault(
                next_one.first, f"{gap_s:.3f} s after the last one, the maximum is {maximum_s} s"
            )


@check(
    "TR111-2.2.1.2-C4",
    needs=("", "between"),
    needs_in={"nat_timeout_discovery": ("", "shortened")},
)
def lifetime_is_looked_for(trace: Trace) -> Iterator[Finding]:
    """Where the periods differ and there is a translation, the lifetime is tested from the
    secondary port; where they are equal, keep-alives are sent at that period."""
    for cpe in cpes(trace):
        every = transactions(trace, cpe)
        for each in every:
            success = each.success
            if not each.is_keep_alive or success is None:
                continue
            if success.message.mapped_address == each.source:
                continue
            minimum_s, maximum_s = (_period(trace, each, name) for name in (MINIMUM, MAXIMUM))
            if minimum_s is None or maximum_s is None:
                continue
            if minimum_s == maximum_s:
                yield ok(each.first, "the periods are equal")
                break
            probes = [e for e in every if e.is_probe and e.first.number > success.number]
            if probes:
                yield ok(probes[0].first)
            elif seconds(success, trace.records[-1]) > PROBE_WITHIN_S:
                yield fault(success, "the periods differ, and the lifetime is not looked for")
            break


@check("TR111-2.2.4-T6-8b")
def minus_one_is_no_maximum(trace: Trace) -> Iterator[Finding]:
    """STUNMaximumKeepAlivePeriod = -1 is accepted, and is no reason to send all the time."""
    for cpe in cpes(trace):
        for session in sessions(trace, cpe):
            for call in session.calls(rpc.SetParameterValues):
                message = call.call.find(rpc.SetParameterValues)
                wanted = message.parameters if message is not None else ()
                if call.answer is None or not any(
                    each.name.endswith(f".{MAXIMUM}") and each.value == str(NO_MAXIMUM)
                    for each in wanted
                ):
                    continue
                if call.done:
                    yield ok(call.answer)
                else:
                    yield fault(call.answer, f"{MAXIMUM} = -1 is answered {call.answer.summary()}")


@check("TR111-2.2.4-T6-9b")
def copies_do_not_wait_for_the_minimum(trace: Trace) -> Iterator[Finding]:
    """A request that is not answered is sent again by RFC 3489's schedule, whatever the minimum."""
    for cpe in cpes(trace):
        for each in transactions(trace, cpe):
            minimum_s = _period(trace, each, MINIMUM)
            if not each.is_keep_alive or not minimum_s or not was_on(trace, cpe, each.first):
                continue
            if each.replies:
                continue
            if len(each.copies) > 1 and seconds(each.first, each.copies[1]) < minimum_s:
                yield ok(each.copies[1], f"{len(each.copies)} copies")
            elif len(each.copies) == 1 and seconds(each.first, trace.records[-1]) > 1.0:
                yield fault(each.first, "it is not answered, and is not sent again")
