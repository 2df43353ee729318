"""Gateway Identities in DHCP answers (TR-111 Part 1, 1.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.associations import (
    ASKING,
    Answer,
    answers,
    claims,
    client_of,
    device_in_record,
    gateway_in_record,
    gateways,
    managed_devices,
)
from testbed.conformance.check import check
from testbed.conformance.index import remembered
from testbed.conformance.reading import connection_of, staged
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dhcp
from testbed.trace.record import Record
from testbed.trace.trace import Trace


def owed_answers(trace: Trace) -> Iterator[tuple[str, Record, Record]]:
    """Every answer to a request that has told who asks (AMB-P1-04), with gateway and request."""
    for gateway in gateways(trace):
        for answer, request in answers(trace, gateway):
            if request is not None and device_in_record(request) is not None:
                yield gateway, answer, request


def _owed(gateway: str, answer: Record, request: Record, why: str) -> Finding:
    if gateway_in_record(answer) is not None:
        return ok(answer, why)
    said = f"{request.message.WORD} of record {request.number}"
    return fault(answer, f"{gateway} answers {said} without its identity: {why}")


@check("TR111-1.2.1-G1", supposes=("association",))
def every_request_is_looked_at(trace: Trace) -> Iterator[Finding]:
    """Broadcast or unicast, first or renewal: a request that tells who asks gets the identity.

    Violation: an answer without it; an answer on the WAN side, which is no LAN interface.
    """
    for gateway, answer, request in owed_answers(trace):
        unicast = request.receiver is not None
        if answer.link == _outside(trace, gateway):
            yield fault(answer, f"{gateway} serves {answer.link}, which is its WAN side")
        else:
            yield _owed(gateway, answer, request, "asked by unicast" if unicast else "by broadcast")
    for gateway in gateways(trace):
        outside = _outside(trace, gateway)
        served = {each.record.message.xid for each in answers(trace, gateway)}
        for record in trace.records if outside is not None else ():
            is_asked = record.link == outside and isinstance(record.message, ASKING)
            if is_asked and device_in_record(record) and record.message.xid not in served:
                yield ok(record, f"it comes from {outside}, the WAN side: not served")


@remembered
def _outside(trace: Trace, gateway: str) -> str | None:
    """The link by which a gateway reaches its ACS; None: it has none, or, in a capture, it may be
    that all its links are captured as one."""
    if trace.is_excerpt:
        return None
    for session in sessions(trace, gateway):
        connection = connection_of(trace, gateway, session.turns[0])
        if connection is not None:
            return connection.syn.link
    return None


@check("TR111-1.2.1-G1a", supposes=("association",))
def identity_is_what_section_1_2_5_says(trace: Trace) -> Iterator[Finding]:
    """Only option 125 with sub-options 1 and 2 of enterprise 3561 is a Device Identity.

    Violation: the gateway's identity for a client that has never told one; none for one that has.
    """
    for gateway in gateways(trace):
        told: set[str] = set()
        for answer, request in answers(trace, gateway):
            client = answer.message.hardware_address
            if request is not None and device_in_record(request) is not None:
                told.add(client)
                yield _owed(gateway, answer, request, "option 125 holds a Device Identity")
            elif request is not None and client not in told and _has_vendor_options(request):
                if gateway_in_record(answer) is None:
                    yield ok(answer, "what it asked with is no Device Identity")
                else:
                    yield fault(answer, f"{gateway} takes for a Device Identity what is none")


def _has_vendor_options(request: Record) -> bool:
    return any(request.message.option(code) is not None for code in (43, 125))


@check(
    "TR111-1.2.1-G1b",
    supposes=("association",),
    needs_in={"association_discover": ("first_in_discover", "first_in_request")},
)
def three_kinds_of_request_count(trace: Trace) -> Iterator[Finding]:
    """DISCOVER, REQUEST or INFORM: whichever tells the identity first has the answer carry it."""
    for gateway in gateways(trace):
        told: set[str] = set()
        for answer, request in answers(trace, gateway):
            if request is None or device_in_record(request) is None:
                continue
            client = request.message.hardware_address
            first = " for the first time" if client not in told else ""
            told.add(client)
            yield _owed(gateway, answer, request, f"{request.message.WORD} tells it{first}")


@check(
    "TR111-1.2.1-G2",
    supposes=("association",),
    needs_in={"association_discover": ("not_listed",)},
)
def all_later_answers_carry_it(trace: Trace) -> Iterator[Finding]:
    """Once told, each answer carries it, also where option 125 was not asked for (AMB-P1-04)."""
    for gateway, answer, request in owed_answers(trace):
        listed = dhcp.Code.VENDOR_IDENTITY in request.message.parameter_request_list
        why = "option 125 is" + (" " if listed else " not ") + "in the parameter request list"
        yield _owed(gateway, answer, request, why)


@check("TR111-1.2.1-G2b", supposes=("association",))
def offer_and_ack_carry_it(trace: Trace) -> Iterator[Finding]:
    """Both kinds of answer; a NAK need not (AMB-P1-04)."""
    for gateway, answer, request in owed_answers(trace):
        yield _owed(gateway, answer, request, f"it is a DHCP{answer.message.WORD}")


@check("TR111-1.2.4-F2")
def inform_gets_its_ack(trace: Trace) -> Iterator[Finding]:
    """Figure 2: INFORM with Device Identity, ACK with Gateway Identity, no address and no lease.

    Violation: a DISCOVER or REQUEST of the same client; an ACK that leases, or lacks the identity.
    """
    for gateway in gateways(trace):
        for answer, request in answers(trace, gateway):
            if request is None or not isinstance(request.message, dhcp.Inform):
                continue
            yield _judge_inform(trace, gateway, Answer(answer, request))


def _judge_inform(trace: Trace, gateway: str, answer: Answer) -> Finding:
    record, request = answer
    assert request is not None
    client, message = client_of(trace, request.message), record.message
    others = [
        each
        for each in trace.records
        if each.sender == client and isinstance(each.message, (dhcp.Discover, dhcp.Request))
    ]
    if others:
        return fault(others[0], f"{client} sends {others[0].message.WORD} beside its INFORM")
    if message.address is not None or message.lease_s is not None:
        return fault(record, f"{gateway} leases {message.address} in answer to an INFORM")
    if device_in_record(request) is None:
        return fault(request, "the INFORM has no Device Identity")
    if gateway_in_record(record) is None:
        return fault(record, "the ACK has no Gateway Identity")
    return ok(record)


@check("TR111-1.2.5-O6b")
def gateway_may_have_no_product_class(trace: Trace) -> Iterator[Finding]:
    """Without sub-option 6 the rest of the identity holds all the same.

    Violation: the device does not record the rest, and tells its ACS nothing of it.
    """
    for gateway in gateways(trace):
        if staged(trace, gateway, "gateway_identity"):
            continue
        for answer, _ in answers(trace, gateway):
            told = gateway_in_record(answer)
            if told is None or told.product_class or not isinstance(answer.message, dhcp.Ack):
                continue
            device = client_of(trace, answer.message)
            if device not in managed_devices(trace):
                continue
            said = [each for each in claims(trace) if each.device == device]
            after = [each for each in said if each.record.number > answer.number]
            if any(each.gateway == told for each in after):
                yield ok(answer, f"{device} tells {told}")
            elif _had_time(trace, answer, device):
                yield fault(answer, f"{device} does not tell of {told}")


def _had_time(trace: Trace, ack: Record, device: str) -> bool:
    """Whether the device had a session after the ACK in which it could have told."""
    return any(
        each.inform is not None and each.inform.number > ack.number and each.accepted
        for each in sessions(trace, device)
    )
