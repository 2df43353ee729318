"""What becomes of a device's claim to be behind a gateway: what its ACS asks, reads and says of it.

Read for checks, never judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.associations import (
    Claim,
    TableRead,
    acss,
    claims,
    connection_requests,
    coupled,
    decisions,
    gateway_of,
    gateways,
    table_reads,
)
from testbed.conformance.sessions import sessions
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

DECISIONS = ("ASSOCIATED", "ASSOCIATION_KEPT", "ASSOCIATION_REFUSED")


def fields_of(record: Record) -> dict[str, object]:
    """The fields of an event."""
    return dict(record.message.fields)


def is_validated(record: Record) -> bool:
    """Whether an association is said to be validated; an ACS may be told not to."""
    return bool(fields_of(record).get("validated"))


def claim_of(trace: Trace, acs: str, decision: Record) -> Claim | None:
    """The last claim of that device to that ACS before a decision."""
    who = fields_of(decision).get("device")
    found = [
        each
        for each in claims(trace)
        if each.acs == acs and str(each.who) == who and each.record.number < decision.number
    ]
    return found[-1] if found else None


def validated(trace: Trace) -> Iterator[tuple[str, Record, Claim | None]]:
    """Every association that is said to be validated, with the claim that it decides."""
    for acs in acss(trace):
        for record in decisions(trace, acs, "ASSOCIATED"):
            if is_validated(record):
                yield acs, record, claim_of(trace, acs, record)


def read_for(trace: Trace, acs: str, decision: Record) -> TableRead | None:
    """The last reading of the claimed gateway's table before a decision."""
    for node in gateways(trace):
        reads = [
            each
            for each in table_reads(trace, node)
            if each.session.acs in coupled(trace, acs) and each.record.number < decision.number
        ]
        if reads and _named(trace, node, acs) == fields_of(decision).get("gateway"):
            return reads[-1]
    return None


def validation(trace: Trace, acs: str, decision: Record, claim: Claim | None) -> TableRead | None:
    """The reading that can have validated a claim: after it, or a kept one that lists it."""
    read = read_for(trace, acs, decision)
    if read is None or claim is None:
        return read
    is_later = read.record.number > claim.record.number
    return read if is_later or claim.who in read.listed else None


def _named(trace: Trace, node: str, acs: str) -> str | None:
    for session in sessions(trace, node):
        if session.acs in coupled(trace, acs) and session.inform is not None:
            who = session.inform.find(rpc.Inform)
            if who is not None:
                told = who.device_id
                return f"{told.oui}/{told.serial_number}/{told.product_class}"
    return None


def decision_after(trace: Trace, claim: Claim, *names: str) -> Record | None:
    """What the ACS decides of a claim before the next claim of the same device."""
    later = [
        each.record.number
        for each in claims(trace)
        if each.device == claim.device and each.record.number > claim.record.number
    ]
    until = min(later, default=len(trace.records))
    if claim.acs is None:
        return None
    return next(
        (
            each
            for each in decisions(trace, claim.acs, *names)
            if claim.record.number < each.number < until
            and fields_of(each).get("device") == str(claim.who)
        ),
        None,
    )


def asked_before(trace: Trace, claim: Claim, made: Record | None) -> Record | None:
    """A Connection Request to the claimed gateway between a claim and its decision."""
    node = gateway_of(trace, claim.gateway, claim.acs)
    if node is None or claim.acs is None:
        return None
    for acs in sorted(coupled(trace, claim.acs)):
        for asked in connection_requests(trace, acs, node):
            is_over = made is not None and asked.number > made.number
            if asked.number > claim.record.number and not is_over:
                return asked
    return None
