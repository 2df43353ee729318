"""How an ACS learns a binding by notification (TR-111 Part 2, 2.2.2.2.2, figure 6)."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.bindings import ADDRESS, USERNAME, cpes, seconds, transactions, value_at
from testbed.conformance.check import check
from testbed.conformance.probes import probes
from testbed.conformance.reading import events_of, has_lost
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

VALUE_CHANGE = "4 VALUE CHANGE"
NOTIFIED_S = 1.5
"""Within which a session begins; no notification limit is set here."""
LONGEST_DELAY_S = 60.0
"""What a CPE may wait beyond that where it has a cause (AMB-P2-31)."""
MOST_CHANGES = 3


def _notified(trace: Trace, cpe: str) -> Iterator[tuple[Record, str]]:
    """Informs with "4 VALUE CHANGE" and UDPConnectionRequestAddress, and what that is."""
    for session in sessions(trace, cpe):
        inform = session.inform
        told = None if inform is None else inform.find(rpc.Inform)
        if (
            inform is None
            or told is None
            or not any(each.code == VALUE_CHANGE for each in told.events)
        ):
            continue
        for each in told.parameters:
            if each.name.endswith(f".{ADDRESS}"):
                yield inform, each.value


@check("TR111-2.2.1.3-C14")
def bindings_are_notified(trace: Trace) -> Iterator[Finding]:
    """Each new binding is in an Inform with "4 VALUE CHANGE", soon after it was learnt."""
    for cpe in cpes(trace):
        known = None
        for each in transactions(trace, cpe):
            success = each.success
            mapped = None if success is None else success.message.mapped_address
            if success is None or not each.is_primary or mapped in (None, known, each.source):
                continue
            known = mapped
            said = [r for r, v in _notified(trace, cpe) if r.number > success.number]
            if said and seconds(success, said[0]) <= NOTIFIED_S:
                yield ok(said[0], str(mapped))
            elif has_lost(trace, cpe, success, said[0] if said else trace.records[-1]):
                continue  # the Inform, or what had to come before it, has to be sent again
            elif seconds(success, trace.records[-1]) > NOTIFIED_S:
                yield fault(success, f"{mapped} is new, and no Inform says so")


@check("TR111-2.2.1.3-C16")
def notifications_wait_for_a_cause_only(trace: Trace) -> Iterator[Finding]:
    """Where bindings are notified, a notification waits for longer than the limit only while the
    lifetime is looked for, or where bindings change all the time; never for more than a minute."""
    for cpe in cpes(trace):
        told = [record for record, _ in _notified(trace, cpe)]
        for success, mapped in _learnt(trace, cpe):
            said = next((record for record in told if record.number > success.number), None)
            if said is None:
                continue  # whether it is told at all is judged elsewhere
            limit_s = float(value_at(trace, cpe, f"{ADDRESS}NotificationLimit", success) or 0)
            delay_s = seconds(success, said)
            over_s = delay_s - max(limit_s, NOTIFIED_S)
            if over_s <= 0 or (over_s <= LONGEST_DELAY_S and _has_cause(trace, cpe, success)):
                yield ok(said, f"{mapped}, after {delay_s:.3f} s")
            elif not has_lost(trace, cpe, success, said):
                yield fault(said, f"{mapped} is told {delay_s:.3f} s after it was learnt")


def _learnt(trace: Trace, cpe: str) -> Iterator[tuple[Record, str]]:
    """Responses that show the primary port another translation than before."""
    known = None
    for each in transactions(trace, cpe):
        success = each.success
        mapped = None if success is None else success.message.mapped_address
        is_new = mapped not in (None, known, each.source)
        if success is not None and each.is_primary and not each.is_probe and is_new:
            known = mapped
            yield success, str(mapped)


def _has_cause(trace: Trace, cpe: str, moment: Record) -> bool:
    """Whether another change is to be expected: the lifetime is looked for, or there were more than
    three changes within a minute.  A CPE that does not tell its phase is believed while it tests.
    """

    def is_recent(record: Record) -> bool:
        return record.number <= moment.number and seconds(record, moment) <= LONGEST_DELAY_S

    if sum(is_recent(record) for record, _ in _learnt(trace, cpe)) > MOST_CHANGES:
        return True
    phases = [each for each in events_of(trace, cpe, "STUN_PHASE") if each.number < moment.number]
    if phases:
        return bool(phases[-1].message.fields.get("phase") == "discovery")
    return any(is_recent(each.record) for each in probes(trace, cpe))


@check("TR111-2.2.2.2.2-A8", "TR111-2.2.3-F6")
def nobody_is_challenged(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE of a CPE without STUNUsername is answered by a plain Binding Response."""
    for cpe in cpes(trace):
        for each in transactions(trace, cpe):
            if not each.request.is_change or value_at(trace, cpe, USERNAME, each.first):
                continue
            for reply in each.replies:
                if reply.message.error_code is not None or reply.message.is_signed:
                    yield fault(reply, f"it is answered {reply.message.summary()!r}")
                else:
                    yield ok(reply)
