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
    starts_anew,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.checks.datamodel_stun import other_values_are_refused
from testbed.conformance.index import index_of
from testbed.conformance.probes import USED_A_MOMENT_AGO_S, probes
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

TOLERANCE_S = 0.25
"""What a timer on a busy machine may be off.  Never to the CPE's disadvantage."""
SILENT_S = 0.75
"""What a keep-alive that never comes must be late, before its CPE is said to have stopped."""
SAYS_SO_WITHIN_S = 5.0
"""Within which a CPE that has started sends its Inform, after its STUN has begun."""
NEXT_COPY_S = 1.0
"""The second copy is due after 0.1 s (RFC 3489 9.3)."""
ALL_THE_TIME_S = 0.8
"""Keep-alives that follow each other so soon, where no period asks for it, come all the time."""
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
            if same_place and not between and not _restarts(trace, one, next_one):
                yield one, next_one, seconds(one.first, next_one.first)


def _restarts(trace: Trace, one: Transaction, next_one: Transaction) -> bool:
    """Whether the CPE has started between two keep-alives; it may say so a little later."""
    return any(
        one.first.number < number
        and seconds(next_one.first, trace.records[number]) < SAYS_SO_WITHIN_S
        for number in starts_anew(trace, one.cpe)
    )


def _sent_before(trace: Trace, transaction: Transaction) -> Record:
    """The last Binding Request from the primary port before one, whatever it was for, copies
    included: it has kept the binding alive as well."""
    return [
        copy
        for each in transactions(trace, transaction.cpe)
        for copy in each.copies
        if each.is_primary and copy.number < transaction.first.number
    ][-1]


def _silence(trace: Trace, cpe: str) -> Finding | None:
    """What is wrong with a CPE that has STUN on, says other things, and sends no Binding Request
    from its primary port any more though the maximum has long passed; None: nothing."""
    sent = [c for e in transactions(trace, cpe) if e.is_primary for c in e.copies]
    last = max(sent, key=lambda record: record.number, default=None)
    if last is None:
        return None
    maximum = value_at(trace, cpe, MAXIMUM, last)
    limit_s = NO_MAXIMUM if maximum is None else int(maximum)
    is_set_since = any(each.answer.number > last.number for each in settings(trace, cpe))
    if limit_s == NO_MAXIMUM or is_set_since or not was_on(trace, cpe, last):
        return None
    if any(number > last.number for number in starts_anew(trace, cpe)):
        return None
    for record in index_of(trace).of_node.get(cpe, ()):
        is_own = record.sender == cpe and not record.is_event
        if is_own and trace.spent_s(last, record) > max(limit_s, 1) + SILENT_S:
            told = f"no Binding Request for {seconds(last, record):.3f} s"
            return fault(record, f"{told}, the maximum is {limit_s} s")
    return None


def _period(trace: Trace, transaction: Transaction, name: str) -> int | None:
    value = value_at(trace, transaction.cpe, name, transaction.first)
    return None if value is None else int(value)


@check("TR111-2.2.1.2-C1", supposes=("whole",))
def keep_alives_come_from_the_primary_port(trace: Trace) -> Iterator[Finding]:
    """Marked requests go on from the endpoint of the first one, each under an ID of its own, as
    long as STUN is on."""
    for cpe in cpes(trace):
        every = transactions(trace, cpe)
        marked = [each for each in every if not each.is_test and not each.request.is_change]
        silence = _silence(trace, cpe)
        if silence is not None:
            yield silence
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
        if gap_s >= minimum_s - TOLERANCE_S - trace.late_s(one.first, next_one.first):
            yield ok(next_one.first, f"{gap_s:.3f} s after the last one")
        else:
            yield fault(
                next_one.first, f"{gap_s:.3f} s after the last one, the minimum is {minimum_s} s"
            )


@check("TR111-2.2.4-T6-8")
def maximum_is_a_period_or_none(trace: Trace) -> Iterator[Finding]:
    """Keep-alives are no further apart than STUNMaximumKeepAlivePeriod; it is no less than -1."""
    yield from keep_alives_are_frequent_enough(trace)
    yield from other_values_are_refused(trace, MAXIMUM)


@check("TR111-2.2.1.2-C3")
def keep_alives_are_frequent_enough(trace: Trace) -> Iterator[Finding]:
    """Between a keep-alive and the request from the same port before it lies at most
    STUNMaximumKeepAlivePeriod, where that is given; and there is a next one."""
    for cpe in cpes(trace):
        silence = _silence(trace, cpe)
        if silence is not None:
            yield silence
    for one, next_one, _ in _gaps(trace):
        before = _sent_before(trace, next_one)
        gap_s = seconds(before, next_one.first)
        maximum_s = _period(trace, one, MAXIMUM)
        if maximum_s is None or maximum_s == NO_MAXIMUM:
            continue
        if trace.spent_s(before, next_one.first) <= max(maximum_s, 1) + TOLERANCE_S:
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
            tests = [e for e in every if e.is_probe and e.first.number > success.number]
            idle = [e for e in tests if e.first.number not in _idle_for_nothing(trace, cpe)]
            passed_s = trace.spent_s(success, trace.records[-1])
            if idle:
                yield ok(idle[0].first)
            elif tests and 0 <= maximum_s < passed_s:
                yield fault(tests[0].first, "a binding is tested that has just been used")
            elif not tests and passed_s > PROBE_WITHIN_S:
                yield fault(success, "the periods differ, and the lifetime is not looked for")
            break


def _idle_for_nothing(trace: Trace, cpe: str) -> set[int]:
    """The tests, by their first copies, of a binding that a moment ago was used: they say nothing
    about how long one lives."""
    return {e.record.number for e in probes(trace, cpe) if e.idle_s <= USED_A_MOMENT_AGO_S}


@check("TR111-2.2.4-T6-8b")
def minus_one_is_no_maximum(trace: Trace) -> Iterator[Finding]:
    """STUNMaximumKeepAlivePeriod = -1 is accepted, and is no reason to send all the time."""
    for one, next_one, gap_s in _gaps(trace):
        if _period(trace, one, MAXIMUM) == NO_MAXIMUM and gap_s < ALL_THE_TIME_S:
            yield fault(next_one.first, f"{MAXIMUM} is -1, and {gap_s:.3f} s have passed")
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
            waited_s = trace.spent_s(each.first, each.copies[1]) if len(each.copies) > 1 else None
            if waited_s is not None and waited_s < min(minimum_s, NEXT_COPY_S):
                yield ok(each.copies[1], f"{len(each.copies)} copies")
            elif waited_s is not None:
                yield fault(each.copies[1], f"it is sent again after {waited_s:.3f} s only")
            elif len(each.copies) == 1 and trace.spent_s(each.first, trace.records[-1]) > 1.0:
                yield fault(each.first, "it is not answered, and is not sent again")
