"""How a CPE finds out how long its binding lives (TR-111 Part 2, 2.2.1.2, figure 4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from testbed.conformance.bindings import (
    MINIMUM,
    all_transactions,
    cpes,
    seconds,
    transactions,
    value_at,
    was_on,
)
from testbed.conformance.check import check
from testbed.conformance.probes import (
    USED_A_MOMENT_AGO_S,
    Idle,
    Probe,
    every_probe,
    idles,
    primary_of,
    probes,
)
from testbed.conformance.reading import events_of, is_one_of
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import stun
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record
from testbed.trace.trace import Trace

TOLERANCE_S = 0.25
"""What a timer on a busy machine may be off; never to the CPE's disadvantage."""
JITTER_S = 0.05
"""Times that are meant to be the same differ by so much."""
REPEATED_S = 0.1
"""How exactly a test that waits for the minimum does so."""
PASSED_ON_S = 0.5
"""Within which a gateway passes a packet on."""


# The test itself


def _public(trace: Trace, cpe: str, moment: Record) -> Endpoint | None:
    """What the CPE's primary port was last said to be, before a record."""
    known = [
        success.message.mapped_address
        for each in transactions(trace, cpe)
        if each.is_primary and not each.is_probe
        if (success := each.success) is not None and success.number < moment.number
    ]
    return known[-1] if known else None


@check("TR111-2.2.1.2-C5")
def tests_ask_for_the_public_endpoint(trace: Trace) -> Iterator[Finding]:
    """A request with RESPONSE-ADDRESS comes from another port than the primary one, and names the
    public endpoint of that; where it is answered there, the answer is the binding's."""
    for each in every_probe(trace):
        request, cpe = each.transaction, each.transaction.cpe
        wanted = request.request.response_address
        public = _public(trace, cpe, each.record)
        if public is None:
            continue
        primary = primary_of(trace, cpe)
        if primary is not None and request.source.port == primary.port:
            yield fault(each.record, "it comes from the very port whose binding it is to test")
        elif wanted != public:
            yield fault(each.record, f"RESPONSE-ADDRESS is {wanted}, the binding is {public}")
        elif each.alive is not None:
            yield ok(each.record, f"after {each.idle_s:.3f} s, {'alive' if each.alive else 'dead'}")


@check("TR111-2.2.1.3-C4", supposes=("whole",))
def tests_are_not_marked(trace: Trace) -> Iterator[Finding]:
    """No request from another port than the primary one has CONNECTION-REQUEST-BINDING."""
    for cpe in cpes(trace):
        primary = primary_of(trace, cpe)
        for each in transactions(trace, cpe):
            is_secondary = primary is not None and each.source.port != primary.port
            if not each.is_probe and not is_secondary:
                continue
            if each.request.is_marked:
                yield fault(each.first, "it has CONNECTION-REQUEST-BINDING")
            else:
                yield ok(each.first)


@check("TR111-2.2.3-F4")
def figure_4_is_kept(trace: Trace) -> Iterator[Finding]:
    """The answer goes from (A3, P3) to (A1', P1'); it reaches the primary port, or the gateway does
    not let it in.  Nothing is said before both were seen."""
    every = [
        each
        for each in every_probe(trace)
        if each.alive is not None and (not each.alive or each.idle_s > USED_A_MOMENT_AGO_S)
    ]
    for each in every_probe(trace):
        message = each.transaction.request
        if message.is_marked:
            yield fault(each.record, "the test has CONNECTION-REQUEST-BINDING")
        wanted, outer = message.response_address, each.transaction.outer
        # A server may refuse to answer to another address than the one that asks (AMB-P2-04).
        is_own = wanted is not None and outer is not None and wanted.address == outer.address
        for reply in each.transaction.arrived:
            if is_own and reply.destination == each.transaction.source:
                yield fault(reply, "the answer comes to the secondary port")
        for reply in each.transaction.replies:
            is_answer = isinstance(reply.message, stun.BindingResponse)
            if is_answer and reply.source != each.record.destination:
                yield fault(reply, f"it is answered from {reply.source}")
    if {each.alive for each in every} == {True, False}:
        for each in every:
            shown = each.transaction.arrived if each.alive else each.transaction.replies
            yield ok(shown[0], f"after {each.idle_s:.3f} s, {'in' if each.alive else 'not let in'}")


# What follows from it


def _died(trace: Trace, cpe: str) -> list[Probe]:
    return [each for each in probes(trace, cpe) if each.alive is False]


def _limit(tested: list[Probe], moment: Record) -> Probe | None:
    """The shortest idle time that is known to be too long when a record was sent: one that the
    binding did not survive, and has not survived since."""
    known: Probe | None = None
    for each in tested:
        if each.record.number >= moment.number:
            break
        if each.alive is False and (known is None or each.idle_s < known.idle_s):
            known = each
        elif each.alive and known is not None and each.idle_s >= known.idle_s:
            known = None
    return known


def _left_alone(trace: Trace, cpe: str) -> Iterator[tuple[Idle, Probe | None]]:
    """The primary port's idle times that no test ended, each with what was known to be too long."""
    for each in idles(trace, cpe):
        if not each.probes and was_on(trace, cpe, each.request.first):
            yield each, _limit(probes(trace, cpe), each.began)


def _idle_s(trace: Trace, idle: Idle) -> float:
    """How long a CPE has chosen to leave its primary port alone."""
    return idle.idle_s - trace.late_s(idle.began, idle.request.first)


@check(
    "TR111-2.2.1-C3",
    needs_in={"nat_timeout_discovery": ("", "outbound_refresh", "two_stages", "other_ports")},
)
def intervals_are_what_bindings_survive(trace: Trace) -> Iterator[Finding]:
    """Once a binding has been seen to die after some time, the primary port is not left alone for
    that long again, but to be tested; before, a binding that was left alone for less than one has
    been seen to survive."""
    for cpe in cpes(trace):
        for each, limit in _left_alone(trace, cpe):
            survived_s = [p.idle_s for p in probes(trace, cpe) if p.alive]
            if limit is not None and _idle_s(trace, each) > limit.idle_s - JITTER_S:
                yield fault(
                    each.request.first,
                    f"after {each.idle_s:.3f} s, though after {limit.idle_s:.3f} s the binding was "
                    f"dead (record {limit.record.number})",
                )
            elif limit is not None:
                yield ok(each.request.first, f"{each.idle_s:.3f} s, {limit.idle_s:.3f} s is death")
            elif survived_s and each.idle_s <= max(survived_s) + TOLERANCE_S:
                yield ok(each.request.first, f"{each.idle_s:.3f} s, which it has survived")


@check("TR111-2.2.1.2-C6", needs=("shortened",))
def a_binding_that_dies_is_looked_at_anew(trace: Trace) -> Iterator[Finding]:
    """A binding that dies after a time which it had survived before is no longer left alone for
    that long."""
    for cpe in cpes(trace):
        tested = probes(trace, cpe)
        for dead in _died(trace, cpe):
            before = [
                p
                for p in tested
                if p.alive and p.record.number < dead.record.number and p.idle_s > dead.idle_s - 0.1
            ]
            if not before:
                continue
            for each, _ in _left_alone(trace, cpe):
                limit = _limit(tested, each.began)
                if each.began.number < dead.record.number or limit is None:
                    continue
                if _idle_s(trace, each) > limit.idle_s - JITTER_S:
                    yield fault(
                        each.request.first,
                        f"after {each.idle_s:.3f} s still, though the binding has not survived "
                        f"{limit.idle_s:.3f} s (record {limit.record.number})",
                    )
                else:
                    yield ok(each.request.first, f"{each.idle_s:.3f} s, not {dead.idle_s:.3f} s")


@check("TR111-2.2.1.2-C7")
def the_minimum_is_not_for_tests(trace: Trace) -> Iterator[Finding]:
    """Requests from the secondary port follow each other sooner than STUNMinimumKeepAlivePeriod
    where they need to.  A CPE that never does so, and repeats what has failed after just that time,
    applies it to them."""
    for cpe in cpes(trace):
        sooner, waiting = [], []
        for one, other in pairwise(probes(trace, cpe)):
            minimum_s = float(value_at(trace, cpe, MINIMUM, other.record) or 0)
            gap_s = seconds(one.record, other.record)
            if minimum_s < 1:
                continue
            if gap_s < minimum_s - TOLERANCE_S:
                sooner.append(ok(other.record, f"{gap_s:.3f} s after the last one"))
            elif trace.late_s(one.record, other.record) > REPEATED_S:
                continue  # it may be of that length by being late
            elif not one.alive and abs(gap_s - minimum_s) < REPEATED_S:
                text = f"a failed test is repeated after the minimum, {minimum_s:g} s"
                waiting.append(fault(other.record, text))
        yield from sooner or waiting


# The gateway


@check(
    "TR111-2.2.1.3-FN10",
    needs_in={"nat_timeout_discovery": ("", "tr111_aware")},
    supposes=("whole",),
)
def gateways_pass_marked_requests_on(trace: Trace) -> Iterator[Finding]:
    """Requests with CONNECTION-REQUEST-BINDING leave the gateway as they came, whether it knows the
    attribute or not."""
    for each in all_transactions(trace):
        if not each.request.is_marked or not _is_behind_a_gateway(trace, each.first):
            continue
        passed = [copy for copy in each.copies if len(trace.arrow_of(copy).hops) > 1]
        if passed:
            yield ok(passed[0])
        elif altered := _sent_on(trace, each.first):
            yield fault(altered, "the gateway has changed it")
        elif trace.spent_s(each.first, trace.records[-1]) > PASSED_ON_S:
            yield fault(each.first, f"none of {len(each.copies)} copies left the gateway")


def _is_behind_a_gateway(trace: Trace, record: Record) -> bool:
    roles, node = trace.roles, record.receiver
    if node is not None:
        return roles.get(node) == "gateway" or is_one_of(node, "gateway")
    return any(role == "gateway" for role in roles.values())


def _sent_on(trace: Trace, record: Record) -> Record | None:
    """What another node sent under the same transaction ID with other octets."""
    for other in trace.all(stun.BindingRequest):
        same = other.message.transaction_id == record.message.transaction_id
        if same and other.sender != record.sender and other.payload != record.payload:
            return other
    return None


# Bindings that nobody tests


@check("TR111-2.2-P6", needs=("short_lived",))
def bindings_do_not_die_unnoticed(trace: Trace) -> Iterator[Finding]:
    """Between two keep-alives without a test the binding does not die.

    It has died where the gateway tells so, or where the next keep-alive is translated to another
    port and the gateway has had no other reason.  Behind a gateway that keeps ports and tells
    nothing, nobody knows.

    Where the ACS keeps the CPE from asking earlier, by STUNMinimumKeepAlivePeriod, it is the ACS's
    doing that it does.
    """
    gateways = [*trace.nodes_with_role("gateway"), *trace.nodes_with_role("carrier")]
    told = {
        name: [record for node in gateways for record in events_of(trace, node, name)]
        for name in ("BINDING_CREATED", "BINDING_EXPIRED", "ADDRESS")
    }
    for cpe in cpes(trace):
        primary = primary_of(trace, cpe)
        ends = _of_binding(told["BINDING_EXPIRED"], primary)
        is_told = bool(_of_binding(told["BINDING_CREATED"], primary))
        for each in idles(trace, cpe):
            if each.probes or not was_on(trace, cpe, each.began):
                continue
            before = _outer_before(trace, each)
            shows = before is not None and before.port != each.request.source.port
            if is_told:
                died = _between(each, ends)
            elif shows and not _between(each, told["ADDRESS"]):
                died = before != each.request.outer
            else:
                continue
            minimum_s = value_at(trace, cpe, MINIMUM, each.began)
            if died and minimum_s and _idle_s(trace, each) <= int(minimum_s) + TOLERANCE_S:
                continue
            if died and each.idle_s - _idle_s(trace, each) > TOLERANCE_S:
                continue  # it was the machine that was too late for it, or may have been
            if died:
                yield fault(
                    each.request.first, f"the binding had died: {each.idle_s:.3f} s without traffic"
                )
            elif each.request.outer is not None:
                yield ok(each.request.first, f"{each.idle_s:.3f} s after the last packet")


def _of_binding(records: list[Record], primary: Endpoint | None) -> list[Record]:
    return [each for each in records if each.message.fields.get("inside") == str(primary)]


def _between(idle: Idle, records: list[Record]) -> bool:
    return any(idle.began.time_ns < each.time_ns < idle.request.first.time_ns for each in records)


def _outer_before(trace: Trace, idle: Idle) -> Endpoint | None:
    """As what the primary port was last seen by the server before an idle time."""
    seen = [
        each.outer
        for each in transactions(trace, idle.request.cpe)
        if each.is_primary and each.outer is not None and each.first.number <= idle.began.number
    ]
    return seen[-1] if seen else None
