"""How an ACS learns a binding by notification (TR-111 Part 2, 2.2.2.2.2, figure 6)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from testbed.conformance.bindings import (
    ADDRESS,
    ANSWER_ON_ITS_WAY_S,
    USERNAME,
    cpes,
    seconds,
    transactions,
    value_at,
)
from testbed.conformance.check import check
from testbed.conformance.probes import probes
from testbed.conformance.reading import begun, events_of, has_lost
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

VALUE_CHANGE = "4 VALUE CHANGE"
ACTIVE = 2
NOTIFIED_S = 2.0
"""Within which a session begins, on a busy machine too; no notification limit is set here."""
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


def limit_s(trace: Trace, cpe: str, moment: Record) -> float:
    """UDPConnectionRequestAddressNotificationLimit, as the ACS has set it."""
    return float(value_at(trace, cpe, f"{ADDRESS}NotificationLimit", moment) or 0)


def is_active(trace: Trace, cpe: str, name: str, moment: Record) -> bool:
    """Whether the ACS has asked for active notification of a parameter of ManagementServer."""
    active = False
    for session in sessions(trace, cpe):
        for each in session.calls(rpc.SetParameterAttributes):
            message = each.call.find(rpc.SetParameterAttributes)
            if message is None or not each.done or each.call.number > moment.number:
                continue
            for change in message.parameters:
                if change.name.endswith(f".{name}") and change.notification_change:
                    active = change.notification == ACTIVE
    return active


@check("TR111-2.2.1.3-C14")
def bindings_are_notified(trace: Trace) -> Iterator[Finding]:
    """Each new binding, or a newer one, is in an Inform with "4 VALUE CHANGE", soon after it was
    learnt."""
    for cpe in cpes(trace):
        yield from _is_notified(trace, cpe)


def _is_notified(trace: Trace, cpe: str) -> Iterator[Finding]:
    learnt = [*_learnt(trace, cpe)]
    for place, (success, mapped) in enumerate(learnt):
        if not is_active(trace, cpe, ADDRESS, success):
            continue
        within_s = NOTIFIED_S + limit_s(trace, cpe, success)
        wanted = {form for _, newer in learnt[place:] for form in _forms(newer)}
        said = [(r, v) for r, v in _notified(trace, cpe) if r.number > success.number]
        right = [record for record, value in said if value in wanted]
        free = _free(trace, cpe, success)
        if right and trace.spent_s(free, begun(trace, cpe, right[0])) <= within_s:
            yield ok(right[0], mapped)
        elif has_lost(trace, cpe, success, said[0][0] if said else trace.records[-1]):
            continue  # the Inform, or what had to come before it, has to be sent again
        elif trace.spent_s(free, trace.records[-1]) <= within_s:
            continue
        elif said and not right:
            yield fault(said[0][0], f"{mapped} is new, and the Inform tells {said[0][1]!r}")
        else:
            yield fault(success, f"{mapped} is new, and no Inform says so in {within_s:g} s")


def _free(trace: Trace, cpe: str, moment: Record) -> Record:
    """When a CPE can open a session: at once, or when the one that it has is over."""
    for session in sessions(trace, cpe):
        first, last = begun(trace, cpe, session.turns[0]), session.turns[-1]
        if first.number < moment.number < last.number:
            return last
    return moment


def _forms(endpoint: str) -> tuple[str, ...]:
    """How UDPConnectionRequestAddress may say an endpoint: port 80 may be left out."""
    host, _, port = endpoint.rpartition(":")
    return (endpoint, host) if port == "80" else (endpoint,)


@check("TR111-2.2.1.3-C16", supposes=("whole",))
def notifications_wait_for_a_cause_only(trace: Trace) -> Iterator[Finding]:
    """Where bindings are notified, a notification waits for longer than the limit only while the
    lifetime is looked for, or where bindings change all the time; never for more than a minute."""
    for cpe in cpes(trace):
        told = [record for record, _ in _notified(trace, cpe)]
        for success, mapped in _learnt(trace, cpe):
            said = next((record for record in told if record.number > success.number), None)
            if said is None:
                continue  # whether it is told at all is judged elsewhere
            free, opened = _free(trace, cpe, success), begun(trace, cpe, said)
            delay_s = seconds(free, opened)
            over_s = trace.spent_s(free, opened) - max(limit_s(trace, cpe, success), NOTIFIED_S)
            if over_s <= 0 or (over_s <= LONGEST_DELAY_S and _has_cause(trace, cpe, said)):
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


TIMER_S = 0.02
"""A timer is not finer."""


@check("TR111-2.2.1.3-C15", needs=("limited",))
def notifications_keep_their_limit(trace: Trace) -> Iterator[Finding]:
    """Two notifications of the address are no closer than the limit; the one that was held back
    tells the latest value."""
    for cpe in cpes(trace):
        bindings = [*_learnt(trace, cpe)]
        for (before, told), (after, value) in pairwise(_notified(trace, cpe)):
            limit, passed_s = limit_s(trace, cpe, before), seconds(before, after)
            known = [mapped for success, mapped in bindings if success.number < after.number]
            if limit <= 0 or not known:
                continue
            crossing = [
                earlier
                for earlier, (success, _) in zip(["", *known], bindings, strict=False)
                if 0 <= trace.spent_s(success, after) < ANSWER_ON_ITS_WAY_S
            ]
            latest = {form for each in (known[-1], *crossing) for form in _forms(each)}
            if value == told and value in latest:
                continue  # the Inform is about something else
            if passed_s < limit - TIMER_S - trace.late_s(before, after):
                yield fault(after, f"after {passed_s:.3f} s, the limit is {limit:g} s")
            elif value not in latest:
                yield fault(after, f"it tells {value}, the binding is {known[-1]}")
            else:
                yield ok(after, f"after {passed_s:.3f} s, the limit is {limit:g} s")


@check(
    "TR111-2.3-S2",
    needs_in={
        "nat_binding_change_notification": ("flapping",),
        "nat_binding_change_loss": ("flapping",),
    },
)
def limit_bounds_the_work(trace: Trace) -> Iterator[Finding]:
    """While bindings change all the time an ACS that has set a limit is told no more often than
    that allows; how long its knowledge is outdated is the price."""
    for cpe in cpes(trace):
        learnt = [*_learnt(trace, cpe)]
        told = [record for record, _ in _notified(trace, cpe)]
        limit = limit_s(trace, cpe, trace.records[-1])
        if limit <= 0 or len(learnt) <= MOST_CHANGES or not told:
            continue
        passed_s = seconds(told[0], told[-1])
        most = int((passed_s + TIMER_S) / limit) + 1
        stale_s = [
            seconds(success, record)
            for success, _ in learnt
            for record in [next((r for r in told if r.number > success.number), None)]
            if record is not None
        ]
        counted = f"{len(learnt)} changes and {len(told)} notifications in {passed_s:.1f} s"
        if len(told) > most:
            yield fault(told[most], f"{counted}: {most} are allowed by {limit:g} s")
        else:
            yield ok(told[-1], f"{counted}; outdated for up to {max(stale_s):.1f} s")


@check("TR111-2.2.3-F6", supposes=("no_challenges",))
def figure_6_is_kept(trace: Trace) -> Iterator[Finding]:
    """BINDING-CHANGE of a CPE without STUNUsername, a plain Binding Response, and the Inform that
    tells the binding, where the ACS has asked for it."""
    yield from nobody_is_challenged(trace)
    for cpe in cpes(trace):
        if not value_at(trace, cpe, USERNAME, trace.records[-1]):
            yield from _is_notified(trace, cpe)


@check("TR111-2.2.2.2.2-A8", supposes=("no_challenges",))
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
