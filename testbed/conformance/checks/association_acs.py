"""What an ACS makes of a device's claim to be behind a gateway (TR-111 Part 1, 1.1, 1.2.3, 1.3).

What it keeps is seen on no wire: it tells ASSOCIATED, ASSOCIATION_KEPT and ASSOCIATION_REFUSED.
What it does before is seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.associations import (
    BOOTSTRAP,
    COUNT,
    VALUE_CHANGE,
    Claim,
    acks_to,
    acss,
    answers,
    claims,
    decisions,
    device_in_record,
    devices,
    event_codes,
    gateway_in_record,
    gateway_of,
    gateways,
    identity_of,
    requests,
    values_seen,
)
from testbed.conformance.check import check
from testbed.conformance.claims import (
    DECISIONS,
    asked_before,
    claim_of,
    decision_after,
    fields_of,
    is_validated,
    read_for,
    validated,
    validation,
)
from testbed.conformance.reading import events_of, staged
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dhcp
from testbed.protocols.association import Identity
from testbed.trace.record import Record
from testbed.trace.trace import Trace

AT_ONCE_S = 0.1
"""What comes so shortly before a decision has crossed it on its way."""


@check("TR111-1.1-1", needs=("uncoupled",), observed="told")
def only_one_acs_associates(trace: Trace) -> Iterator[Finding]:
    """Where one ACS manages both, it associates them; an ACS that does not know the gateway
    neither associates nor refuses.

    Violation: an ACS that has never had the gateway decides.  PASS needs uncoupled ACSs.
    """
    for claim in claims(trace):
        if not claim.gateway or claim.acs is None:
            continue
        known = gateway_of(trace, claim.gateway, claim.acs)
        made = decision_after(trace, claim, "ASSOCIATED", "ASSOCIATION_REFUSED")
        if known is not None:
            yield from [ok(made, f"{claim.acs} manages both")] if made is not None else []
        elif made is None:
            yield ok(claim.record, f"{claim.acs} knows no such gateway, and says nothing")
        elif made.message.name == "ASSOCIATION_REFUSED" or is_validated(made):
            yield fault(made, f"{claim.acs} has never met {claim.gateway}, and decides")


@check("TR111-1.1.1-2", observed="told")
def gateways_are_told_apart(trace: Trace) -> Iterator[Finding]:
    """An association is with the gateway of the whole identity that was claimed, and it is that one
    which is asked.

    Violation: another one is associated, or asked.
    """
    for claim in claims(trace):
        yield from _asks_a_twin(trace, claim)
        made = decision_after(trace, claim, "ASSOCIATED", "ASSOCIATION_KEPT")
        if made is None:
            continue
        if fields_of(made).get("gateway") == str(claim.gateway):
            yield ok(made, str(claim.gateway))
        else:
            said = f"{claim.device} claims {claim.gateway}"
            yield fault(made, f"{said}, associated is {fields_of(made).get('gateway')}")


def _asks_a_twin(trace: Trace, claim: Claim) -> Iterator[Finding]:
    """Whom a claim's ACS asks, where gateways differ in product class alone: seen on the wire."""
    made = decision_after(trace, claim, *DECISIONS)
    if gateway_of(trace, claim.gateway, claim.acs) is None or made is None:
        return
    right = asked_before(trace, claim, made)
    for node in gateways(trace):
        who = identity_of(trace, node)
        if who is None or who == claim.gateway or not _are_twins(who, claim.gateway):
            continue
        asked = asked_before(trace, claim._replace(gateway=who), made)
        if right is not None:
            yield ok(right, f"asked is {claim.gateway}")
        elif asked is not None and not _claimed_by_others(trace, claim, who, asked):
            yield fault(asked, f"{claim.device} claims {claim.gateway}, asked is {who}")


def _claimed_by_others(trace: Trace, claim: Claim, gateway: Identity, asked: Record) -> bool:
    """Whether another device had a claim on a gateway when it was asked."""
    return any(
        each.gateway == gateway and each.device != claim.device
        for each in claims(trace)
        if each.record.number < asked.number
    )


def _are_twins(one: Identity, other: Identity) -> bool:
    return (one.oui, one.serial_number) == (other.oui, other.serial_number)


@check("TR111-1.2-S3", observed="told")
def claim_is_cross_checked(trace: Trace) -> Iterator[Finding]:
    """Before it associates, the ACS has read the gateway's table.

    Violation: associated from the device's claim alone.
    """
    for acs, record, claim in validated(trace):
        read = validation(trace, acs, record, claim)
        if read is None:
            where = fields_of(record)["gateway"]
            yield fault(record, f"{acs} has not looked for the device in the table of {where}")
        elif claim is not None:
            yield ok(record, f"read at record {read.record.number}")


@check("TR111-1.2.3-A0", observed="told")
def device_speaks_first(trace: Trace) -> Iterator[Finding]:
    """The device's Inform with GatewayInfo comes before any decision.

    Violation: a decision without one, or the ACS asks the device for GatewayInfo.
    """
    for acs in acss(trace):
        for record in decisions(trace, acs, *DECISIONS):
            claim = claim_of(trace, acs, record)
            if claim is None:
                who = fields_of(record).get("device")
                yield fault(record, f"{acs} decides of {who}, which has told of no gateway")
            else:
                yield ok(record, f"told at record {claim.record.number}")


@check("TR111-1.2.3-A1", observed="told")
def same_gateway_again_needs_nothing(trace: Trace) -> Iterator[Finding]:
    """The gateway that is associated already is claimed again: no question, nothing stored.

    Violation: a Connection Request to it, or another ASSOCIATED.
    """
    prior: dict[tuple[str | None, str], object] = {}
    for claim in claims(trace):
        key = claim.acs, claim.device
        made = decision_after(trace, claim, *DECISIONS)
        same = prior.get(key) == str(claim.gateway) and bool(claim.gateway)
        if same and claim.acs is not None:
            asked = asked_before(trace, claim, made)
            if asked is not None:
                yield fault(asked, f"{claim.acs} asks {claim.gateway}, which is known already")
            elif made is not None and made.message.name != "ASSOCIATION_KEPT":
                yield fault(made, f"{claim.acs} stores {claim.gateway} again")
            else:
                yield ok(claim.record, f"{claim.gateway} is known")
        elif not same and made is not None and made.message.name == "ASSOCIATION_KEPT":
            yield fault(made, f"{claim.acs} overlooks that {claim.gateway} is another gateway")
        if made is not None and made.message.name == "ASSOCIATED":
            prior[key] = fields_of(made).get("gateway")


@check("TR111-1.2.3-A2", observed="told")
def validation_comes_before_the_update(trace: Trace) -> Iterator[Finding]:
    """Another gateway: Inform, validation, update, in this order; a claim that fails changes
    nothing.

    Violation: the update is told and the last table read since the claim, or read last before it,
    does not list the device; a refusal that does not keep what was known.
    """
    prior: dict[tuple[str, str], str] = {}
    for acs in acss(trace):
        for record in decisions(trace, acs, "ASSOCIATED", "ASSOCIATION_REFUSED", "DISSOCIATED"):
            fields = fields_of(record)
            key = acs, str(fields["device"])
            if record.message.name == "ASSOCIATED":
                if is_validated(record):
                    read = validation(trace, acs, record, claim_of(trace, acs, record))
                    if read is None:
                        yield fault(record, f"{acs} updates before it has validated")
                    else:
                        yield ok(record, f"validated by record {read.record.number}")
                prior[key] = str(fields["gateway"])
            elif record.message.name == "DISSOCIATED":
                prior.pop(key, None)
            elif fields.get("kept") == prior.get(key):
                yield ok(record, f"keeps {fields.get('kept')}")
            else:
                yield fault(record, f"{acs} keeps {fields.get('kept')}, not {prior.get(key)}")


@check("TR111-1.2.3-A3", observed="told")
def all_elements_have_to_match(trace: Trace) -> Iterator[Finding]:
    """Valid is what one entry of the indicated gateway's table holds, in all elements (AMB-P1-09).

    Violation: associated though no entry equals the DeviceId; refused though one does.
    """
    for acs in acss(trace):
        for record in decisions(trace, acs, "ASSOCIATED", "ASSOCIATION_REFUSED"):
            claim, read = claim_of(trace, acs, record), read_for(trace, acs, record)
            if claim is None or read is None:
                continue
            is_listed, accepts = claim.who in read.listed, record.message.name == "ASSOCIATED"
            if accepts and not is_validated(record):
                continue
            listed = ", ".join(map(str, read.listed)) or "nobody"
            if is_listed == accepts:
                yield ok(record, f"{claim.who}; listed: {listed}")
            else:
                said = "associates" if accepts else "refuses"
                yield fault(record, f"{acs} {said} {claim.who}; the table lists {listed}")


@check("TR111-1.2.3-A4", observed="told")
def table_is_fresh(trace: Trace) -> Iterator[Finding]:
    """The table comes from a session that the ACS has asked for, or that tells of its size; and no
    change was told since.

    Violation: associated by a table that is older than the last notification of its size.
    """
    for acs, record, _ in validated(trace):
        read = read_for(trace, acs, record)
        if read is None:
            yield fault(record, f"{acs} has no table to validate by")
            continue
        newer = [
            seen.record
            for seen in values_seen(trace, read.session.cpe)
            if COUNT in seen.values
            and seen.session is not read.session
            and VALUE_CHANGE in event_codes(seen.session)
            and read.record.number < seen.record.number < record.number
            and trace.spent_s(seen.record, record) > AT_ONCE_S
        ]
        codes = event_codes(read.session)
        if newer:
            told = f"goes by the table of record {read.record.number}"
            yield fault(record, f"{acs} {told}; record {newer[0].number} tells of a change since")
        else:
            yield ok(record, f"read in a session of {', '.join(codes)}")


@check("TR111-1.2.4-F1", observed="told", supposes=("association",))
def ladder_runs_in_order(trace: Trace) -> Iterator[Finding]:
    """Figure 1: DISCOVER, OFFER, REQUEST, ACK with identities, the device's Inform, the reading of
    the table, the association.

    Violation: one is missing before the next; an option is missing; the Inform comes before the
    ACK.
    """
    for device in devices(trace):
        asked = [
            each for each in requests(trace, device) if isinstance(each.message, dhcp.Discover)
        ]
        made = [
            (acs, record, claim)
            for acs, record, claim in validated(trace)
            if claim is not None and claim.device == device
        ]
        for acs, record, claim in made[:1] if asked else []:
            assert claim is not None
            yield _judge_ladder(trace, device, acs, record, claim)
        if asked and not made:
            yield from _unfinished(trace, device)


def _unfinished(trace: Trace, device: str) -> Iterator[Finding]:
    """Nothing came of it; whether an option was missing on the way."""
    for ack in acks_to(trace, device)[:1]:
        missing = _missing_option(trace, device, ack)
        if missing is not None and any(gateways(trace)):
            yield fault(missing, f"{missing.message.WORD} without identity")


def _missing_option(trace: Trace, device: str, ack: Record) -> Record | None:
    client = ack.message.hardware_address
    for record in requests(trace, device):
        if record.number < ack.number and device_in_record(record) is None:
            return record
    for gateway in gateways(trace):
        for answer, _ in answers(trace, gateway):
            mine = answer.message.hardware_address == client and answer.number <= ack.number
            if mine and gateway_in_record(answer) is None:
                return answer
    return None


def _judge_ladder(trace: Trace, device: str, acs: str, made: Record, claim: Claim) -> Finding:
    acks = [each for each in acks_to(trace, device) if each.number < claim.record.number]
    if not acks:
        return fault(claim.record, f"{device} informs of its gateway before any DHCPACK")
    missing = _missing_option(trace, device, acks[0])
    if missing is not None:
        return fault(missing, f"{missing.message.WORD} without identity")
    session = next((each for each in sessions(trace, device) if claim.record in each.turns), None)
    codes = event_codes(session) if session is not None else ()
    if not {VALUE_CHANGE, BOOTSTRAP} & set(codes):
        return fault(claim.record, f"{device} tells its gateway with the events {codes}")
    read = validation(trace, acs, made, claim)
    if read is None:
        return fault(made, f"{acs} associates without a reading of the table")
    return ok(
        made, f"ACK {acks[0].number}, Inform {claim.record.number}, read {read.record.number}"
    )


@check("TR111-1.3-S1", observed="told")
def tampering_is_detected(trace: Trace) -> Iterator[Finding]:
    """An identity that was changed on its way comes to no association; an ACS that does not
    validate says so.

    Violation: associated as valid though the identity in DHCP is not the sender's own.
    """
    tampered = _tampered(trace)
    if not tampered:
        return
    since = min(tampered.values())
    for acs in acss(trace):
        for record in decisions(trace, acs, "ASSOCIATED", "ASSOCIATION_REFUSED", "GATEWAY_UNKNOWN"):
            if record.number < since:
                continue
            if record.message.name != "ASSOCIATED":
                yield ok(record, f"{acs} does not associate")
            elif is_validated(record):
                who = next(iter(tampered))
                yield fault(record, f"{acs} associates, though {who}'s identity is changed")
            else:
                yield ok(record, f"{acs} does not validate, and says so: unprotected")


def _tampered(trace: Trace) -> dict[str, int]:
    """Whose identity in DHCP is made another than its own, and from which record on."""
    found: dict[str, int] = {}
    claimants = dict.fromkeys(claim.device for claim in claims(trace))
    for node, what in (
        *((each, "gateway_identity") for each in gateways(trace)),
        *((each, "vendor_identity") for each in claimants),
    ):
        for record in events_of(trace, node, "STAGED"):
            if what not in fields_of(record) or "only_in" in fields_of(record):
                continue
            if what == "gateway_identity" or not _is_own(trace, node, record.number):
                found.setdefault(node, record.number)
    return found


def _is_own(trace: Trace, device: str, since: int) -> bool:
    """Whether a device tells its own identity from then on, however that is written."""
    own = {str(claim.who) for claim in claims(trace) if claim.device == device}
    asked = [each for each in requests(trace, device) if each.number > since]
    told = {str(identity) for each in asked if (identity := device_in_record(each)) is not None}
    return bool(told) and told <= own


@check("TR111-1.3-S2", needs=("proxy", "proxy_filtered"), observed="told")
def filter_is_the_only_defence(trace: Trace) -> Iterator[Finding]:
    """A box at home can speak for a device elsewhere: it associates, unless the gateway's owner has
    not admitted that device.

    Violation: associated though the owner's filter leaves the device out.
    """
    for acs in acss(trace):
        for record in decisions(trace, acs, "ASSOCIATED", "ASSOCIATION_REFUSED"):
            claim = claim_of(trace, acs, record)
            if claim is None or acks_to(trace, claim.device):
                continue  # it was at home itself
            filters = [each for each in gateways(trace) if staged(trace, each, "admitted")]
            if record.message.name == "ASSOCIATED" and filters:
                yield fault(record, f"{filters[0]} does not admit {claim.who}; it is associated")
            else:
                yield ok(record, f"{record.message.name}, filter {'on' if filters else 'off'}")
