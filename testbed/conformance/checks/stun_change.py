"""How a CPE tells a changed binding, and when it looks again (TR-111 Part 2, 2.2.1.3, 2.2.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from testbed.conformance.bindings import (
    ADDRESS,
    MINIMUM,
    NAT_DETECTED,
    Transaction,
    all_transactions,
    cpes,
    is_on,
    readings,
    seconds,
    settings,
    starts_anew,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.reading import events_of, is_address
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dhcp, stun
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

AT_ONCE_S = 1.0
"""What "immediately" means (AMB-P2-30)."""
REDISCOVERED_S = 2.0
SCHEDULE_S = (0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 4.7, 6.3, 7.9)
"""When copies of a request go out, from the first (RFC 3489 9.3)."""
TOLERANCE_S = 0.15
FAILED_S = 9.5
WAITED_S = 2.0
"""For how long after its last copy a BINDING-CHANGE must stay given up, to be so."""


def _changes(trace: Trace) -> Iterator[tuple[Record, stun.Message]]:
    """Every request with BINDING-CHANGE, in each copy."""
    for transaction in all_transactions(trace):
        for record in transaction.copies:
            if record.message.is_change:
                yield record, record.message


@check("TR111-2.2.1.3-T5-2")
def change_has_no_value(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE has Length 0."""
    for record, message in _changes(trace):
        value = message.first(stun.Kind.BINDING_CHANGE)
        if not value:
            yield ok(record)
        else:
            yield fault(record, f"BINDING-CHANGE holds {value!r}")


@check("TR111-2.2.1.3-T5-2b")
def changes_are_marked(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE never stands without CONNECTION-REQUEST-BINDING."""
    for record, message in _changes(trace):
        if message.is_marked:
            yield ok(record)
        else:
            yield fault(record, "BINDING-CHANGE without CONNECTION-REQUEST-BINDING")


@check("TR111-2.2.1.3-C7")
def changes_want_their_answer_here(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE stands beside neither RESPONSE-ADDRESS nor CHANGE-REQUEST."""
    for record, message in _changes(trace):
        for kind in (stun.Kind.RESPONSE_ADDRESS, stun.Kind.CHANGE_REQUEST):
            if message.first(kind) is not None:
                yield fault(record, f"BINDING-CHANGE with {kind.name.replace('_', '-')}")
                break
        else:
            yield ok(record)


def _learnt(trace: Trace, cpe: str) -> Iterator[tuple[Record, Endpoint, Transaction | None]]:
    """Responses that have shown a CPE another translated binding than before, or a first one, each
    with the next unsigned BINDING-CHANGE that followed within a second."""
    known = None
    primary = [each for each in transactions(trace, cpe) if each.is_primary]
    for transaction in primary:
        success = transaction.success
        mapped = None if success is None else success.message.mapped_address
        if success is None or mapped in (None, known, transaction.source):
            continue
        known = mapped
        told = [
            each
            for each in primary
            if each.request.is_change
            and each.first.number > success.number
            and trace.spent_s(success, each.first) <= AT_ONCE_S
        ]
        if told or trace.spent_s(success, trace.records[-1]) > AT_ONCE_S:
            yield success, mapped, next(iter(told), None)


@check("TR111-2.2.1.3-C9")
def changes_do_not_wait_for_the_minimum(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE goes out though STUNMinimumKeepAlivePeriod has not passed."""
    for cpe in cpes(trace):
        for success, mapped, told in _learnt(trace, cpe):
            minimum_s = int(value_at(trace, cpe, MINIMUM, success) or 0)
            if minimum_s <= AT_ONCE_S:
                continue
            if told is not None:
                yield ok(told.first, f"{seconds(success, told.first):.3f} s after the response")
            else:
                yield fault(success, f"{mapped} is not told within {AT_ONCE_S:g} s")


@check("TR111-2.2-P7", "TR111-2.2.1.3-C1", needs=("",), supposes=("whole",))
def both_ways_tell_the_binding(trace: Trace) -> Iterator[Finding]:
    """A new binding is told by BINDING-CHANGE and by UDPConnectionRequestAddress."""
    for cpe in cpes(trace):
        learnt = [*_learnt(trace, cpe)]
        for number, (success, mapped, told) in enumerate(learnt):
            until = learnt[number + 1][0].number if number + 1 < len(learnt) else None
            said = [
                each
                for each in readings(trace, cpe, ADDRESS)
                if each.record.number > success.number
                and was_on(trace, cpe, each.record)
                and (until is None or each.record.number < until)
            ]
            wanted = (str(mapped), mapped.address if mapped.port == 80 else str(mapped))
            if told is None:
                yield fault(success, f"STUN does not tell of {mapped}")
            elif said and said[-1].value not in wanted:
                host = said[-1].value.rpartition(":")[0] or said[-1].value
                yield fault(
                    said[-1].record,
                    f"{ADDRESS} is {said[-1].value!r}, not {mapped}",
                    () if is_address(host.strip("[]")) else ("resolved",),
                )
            elif said:
                yield ok(said[-1].record, f"and by STUN in {told.first.number}")


@check("TR111-2.2.1.1-C6")
def later_responses_are_believed(trace: Trace) -> Iterator[Finding]:
    """The very response that shows another binding than the one known changes what the CPE goes by:
    BINDING-CHANGE follows within a second."""
    for cpe in cpes(trace):
        for success, mapped, told in [*_learnt(trace, cpe)][1:]:
            if told is not None:
                yield ok(told.first, f"{mapped} is new")
            else:
                yield fault(success, f"{mapped} is new, and nothing follows from it")


@check("TR111-2.2.1.1-C9")
def another_local_address_is_another_binding(trace: Trace) -> Iterator[Finding]:
    """A CPE with another address of its own sends a request from it within two seconds, whatever
    the minimum says; it has it when it tells so, or uses it."""
    for cpe in cpes(trace):
        for other, address in _moves(trace, cpe):
            if not was_on(trace, cpe, other):
                continue
            later = [e for e in transactions(trace, cpe) if e.first.number >= other.number]
            asked = next((e for e in later if e.source.address == address), None)
            if asked is not None and trace.spent_s(other, asked.first) <= REDISCOVERED_S:
                yield ok(asked.first, f"from {asked.source}")
            elif trace.spent_s(other, trace.records[-1]) > REDISCOVERED_S:
                yield fault(other, f"its address is {address}, and it asks nobody how it is seen")


def _moves(trace: Trace, cpe: str) -> Iterator[tuple[Record, str]]:
    """Where a CPE has another address than before."""
    connected = [*events_of(trace, cpe, "CONNECTED")]
    for one, other in pairwise(connected):
        assert isinstance(one.message, Event)
        assert isinstance(other.message, Event)
        if other.message.fields["address"] != one.message.fields["address"]:
            yield other, str(other.message.fields["address"])
    if not connected:
        yield from _leases_used(trace, cpe)


def _leases_used(trace: Trace, cpe: str) -> Iterator[tuple[Record, str]]:
    """Where a CPE first sends from an address that DHCP has given it after another one."""
    own, leased, used = trace.hardware_addresses(cpe), "", ""
    for record in trace.records:
        message = record.message
        if isinstance(message, dhcp.Ack) and message.hardware_address in own:
            leased = message.address or leased
        source = record.source
        if record.sender == cpe and source is not None and source.address == leased != used:
            if used:
                yield record, leased
            used = leased


# What gets lost


@check("TR111-2.2.1.3-C10", supposes=("whole",))
def changes_are_sent_again(trace: Trace) -> Iterator[Finding]:
    """A BINDING-CHANGE that is not answered goes out again by RFC 3489's schedule, octet for
    octet."""
    for transaction in all_transactions(trace):
        copies = transaction.copies
        if not transaction.request.is_change or transaction.arrived:
            continue
        passed_s = trace.spent_s(copies[0], trace.records[-1])
        wanted = [each for each in SCHEDULE_S if each < passed_s - 2 * TOLERANCE_S]
        sent_s = [seconds(copies[0], each) for each in copies]
        late = [
            (when, wish)
            for copy, when, wish in zip(copies, sent_s, SCHEDULE_S, strict=False)
            if abs(when - wish) > TOLERANCE_S + trace.late_s(copies[0], copy)
        ]
        if len({each.payload for each in copies}) > 1:
            yield fault(copies[0], "copies under the same transaction ID differ")
        elif not len(wanted) <= len(copies) <= len(SCHEDULE_S):
            yield fault(copies[-1], f"{len(copies)} copies in {passed_s:.1f} s")
        elif late:
            yield fault(copies[0], f"a copy went out after {late[0][0]:.3f} s, not {late[0][1]} s")
        elif len(copies) > 1:
            yield ok(copies[-1], f"{len(copies)} copies")


@check("TR111-2.2.1.3-C11")
def failed_changes_are_given_up(trace: Trace) -> Iterator[Finding]:
    """After a BINDING-CHANGE that nobody answered there is none, until the binding changes anew."""
    for cpe in cpes(trace):
        for failed in transactions(trace, cpe):
            since = failed.first
            if not failed.request.is_change or failed.arrived:
                continue
            if seconds(since, trace.records[-1]) < FAILED_S:
                continue
            known = failed.outer or _mapped_before(trace, failed)
            shown = [
                each.success.number
                for each in transactions(trace, cpe)
                if each.success is not None
                and each.is_primary
                and each.success.number > since.number
                and each.success.message.mapped_address != known
            ]
            shown += [number for number in starts_anew(trace, cpe) if number > since.number]
            last = failed.copies[-1]
            again = [
                each.first
                for each in transactions(trace, cpe)
                if each.request.is_change
                and each.first.number > since.number
                and not any(number < each.first.number for number in shown)
            ]
            if again:
                yield fault(again[0], "BINDING-CHANGE again for a binding that was given up")
            elif trace.spent_s(last, trace.records[-1]) > WAITED_S:
                yield ok(last, "the last one")


def _mapped_before(trace: Trace, transaction: Transaction) -> Endpoint | None:
    """What the CPE was last said to be, before a request."""
    known = [
        success.message.mapped_address
        for each in transactions(trace, transaction.cpe)
        if each.is_primary
        and (success := each.success) is not None
        and success.number < transaction.first.number
    ]
    return known[-1] if known else None


# STUN is switched off


def _told_while_off(trace: Trace, name: str) -> Iterator[tuple[str, Record, str]]:
    """What CPEs said of a parameter after the ACS had switched STUN off."""
    for cpe in cpes(trace):
        off = [
            each.answer.number
            for each in settings(trace, cpe)
            if "STUNEnable" in each.values and not is_on(each.values["STUNEnable"])
        ]
        for each in readings(trace, cpe, name):
            if any(number < each.record.number for number in off) and not was_on(
                trace, cpe, each.record
            ):
                yield cpe, each.record, each.value


@check("TR111-2.2.4-T6-1b", observed="read back", supposes=("whole",))
def switched_off_the_address_is_its_own(trace: Trace) -> Iterator[Finding]:
    """With STUN off again, UDPConnectionRequestAddress is where the CPE itself listens."""
    for cpe, record, value in _told_while_off(trace, ADDRESS):
        own = [each.source for each in transactions(trace, cpe) if each.is_primary][-1:]
        if not own:
            continue
        if value == str(own[0]) or (own[0].port == 80 and value == own[0].address):
            yield ok(record, value)
        else:
            yield fault(record, f"{ADDRESS} is {value!r}, the CPE listens at {own[0]}")


@check("TR111-2.2.4-T6-10b", observed="read back")
def switched_off_no_nat_is_detected(trace: Trace) -> Iterator[Finding]:
    """With STUN off, NATDetected is false."""
    for _, record, value in _told_while_off(trace, NAT_DETECTED):
        if is_on(value):
            yield fault(record, f"{NAT_DETECTED} is {value} while STUN is off")
        else:
            yield ok(record)
