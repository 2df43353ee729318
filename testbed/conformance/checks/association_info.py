"""GatewayInfo of a device: what it records, empties, discards and tells (TR-111 Part 1, 1.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from testbed.conformance.associations import (
    BOOTSTRAP,
    ELEMENTS,
    INFO,
    VALUE_CHANGE,
    Owed,
    Seen,
    acks_to,
    event_codes,
    gateway_in_record,
    info_in,
    managed_devices,
    owed_at,
    owed_info,
    parts,
    requests,
    values_seen,
)
from testbed.conformance.check import check
from testbed.conformance.sessions import Session, sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import dhcp
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

ACTIVE = 2
NOT_ACTIVE = (0, 1)


def _seen(trace: Trace) -> Iterator[tuple[str, Seen, Owed, dict[str, str]]]:
    """Each time that a device tells of its GatewayInfo, with what it has to be."""
    for device in managed_devices(trace):
        for seen in values_seen(trace, device):
            info = info_in(seen.values)
            owed = owed_at(trace, device, seen.record.number)
            if info and owed is not None:
                yield device, seen, owed, info


def _compared(trace: Trace, *names: str) -> Iterator[Finding]:
    for device, seen, owed, info in _seen(trace):
        wanted = parts(owed.identity)
        for name in names:
            if name not in info:
                continue
            if info[name] == wanted[name]:
                yield ok(seen.record, f"{name} is {info[name]!r}")
            else:
                yield fault(
                    seen.record,
                    f"{device}: {name} is {info[name]!r}, {wanted[name]!r} is due: {owed.cause} "
                    f"(record {owed.record.number})",
                )


@check("TR111-1.2.2-D2")
def identity_of_the_ack_is_recorded(trace: Trace) -> Iterator[Finding]:
    """GatewayInfo is what the last ACK says, all of it (AMB-P1-02)."""
    yield from _compared(trace, *ELEMENTS)


@check("TR111-1.2.2-D2a")
def oui_is_recorded(trace: Trace) -> Iterator[Finding]:
    """GatewayInfo.ManufacturerOUI is sub-option 4."""
    yield from _compared(trace, ELEMENTS[0])


@check("TR111-1.2.2-D2b")
def serial_number_is_recorded(trace: Trace) -> Iterator[Finding]:
    """GatewayInfo.SerialNumber is sub-option 5."""
    yield from _compared(trace, ELEMENTS[1])


@check("TR111-1.2.2-D2c")
def product_class_is_recorded(trace: Trace) -> Iterator[Finding]:
    """GatewayInfo.ProductClass is sub-option 6, empty where there is none."""
    yield from _compared(trace, ELEMENTS[2])


@check("TR111-1.2.2-D2d")
def offers_are_borne_and_the_ack_counts(trace: Trace) -> Iterator[Finding]:
    """An OFFER with option 125 is taken; what is recorded is the ACK's (AMB-P1-02).

    Violation: no REQUEST follows such OFFERs; another OFFER's identity is told.
    """
    for device in managed_devices(trace):
        own = trace.hardware_addresses(device)
        offers = [
            each
            for each in trace.records
            if isinstance(each.message, dhcp.Offer) and each.message.hardware_address in own
        ]
        offered = {gateway_in_record(each): each for each in offers if gateway_in_record(each)}
        acked = {gateway_in_record(each) for each in acks_to(trace, device)}
        if offered and _takes_none(trace, device, offers[0]):
            yield fault(offers[-1], f"{device} takes none of the OFFERs with option 125")
        for seen in values_seen(trace, device) if offered else ():
            info = info_in(seen.values)
            if not info:
                continue
            wrong = [
                each
                for each in offered
                if each is not None
                and each not in acked
                and all(parts(each)[name] == value for name, value in info.items())
                and not any(
                    ack is not None and all(parts(ack)[n] == v for n, v in info.items())
                    for ack in acked
                )
            ]
            if wrong:
                yield fault(seen.record, f"{device} tells {wrong[0]}, which was only offered")
            elif any(info.values()):
                yield ok(seen.record)


def _takes_none(trace: Trace, device: str, offer: Record) -> bool:
    """Whether a device asks all anew after an OFFER, and never for what was offered."""
    later = [each.message for each in requests(trace, device) if each.number > offer.number]
    again = any(isinstance(each, dhcp.Discover) for each in later)
    return again and not any(isinstance(each, dhcp.Request) for each in later)


@check("TR111-1.2.2-D3")
def missing_element_is_emptied(trace: Trace) -> Iterator[Finding]:
    """What an ACK does not say becomes empty, whatever it was (AMB-P1-05).

    Violation: the next session lacks the change, or an old value is told.
    """
    for device in managed_devices(trace):
        before = None
        for owed in owed_info(trace, device):
            if not isinstance(owed.record.message, dhcp.Ack):
                before = owed
                continue
            had = parts(before.identity) if before is not None else {}
            for name, value in parts(owed.identity).items():
                if value:
                    continue
                yield from _emptied(trace, device, owed, name, bool(had.get(name)))
            before = owed


def _emptied(
    trace: Trace, device: str, owed: Owed, name: str, was_there: bool
) -> Iterator[Finding]:
    later = [each for each in values_seen(trace, device) if each.record.number > owed.record.number]
    for seen in later:
        value = info_in(seen.values).get(name)
        if owed_at(trace, device, seen.record.number) != owed:
            return
        if value:
            yield fault(seen.record, f"{device}: {name} is {value!r}, the ACK has none")
            return
        if value == "":
            yield ok(seen.record, f"{name} is empty")
            return
    if was_there and later:
        yield fault(later[-1].record, f"{device} does not tell that {name} is empty now")
    elif later and any(info_in(each.values) for each in later):
        yield ok(later[-1].record, f"{name} stays empty")


# Attributes.


class Attributes(NamedTuple):
    """What a device answers of GatewayInfo's notification.

    Attributes:
        device, session, answer: where.
        found: notification by full name.
        is_whole: whether all of GatewayInfo was asked for.
    """

    device: str
    session: Session
    answer: Record
    found: dict[str, int]
    is_whole: bool


def _attributes(trace: Trace) -> Iterator[Attributes]:
    """What devices answer of GatewayInfo's notification."""
    for device in managed_devices(trace):
        for session in sessions(trace, device):
            for call, answer in session.calls(rpc.GetParameterAttributes):
                asked = call.find(rpc.GetParameterAttributes)
                told = answer.find(rpc.GetParameterAttributesResponse) if answer else None
                if asked is None or told is None or answer is None:
                    continue
                found = {each.name: each.notification for each in told.parameters}
                found = {name: each for name, each in found.items() if name.startswith(INFO)}
                is_whole = any(INFO.startswith(name) for name in asked.names)
                if found:
                    yield Attributes(device, session, answer, found, is_whole)


def _sets_attributes(trace: Trace, device: str, *wanted: int) -> list[Record]:
    """Where an ACS has set GatewayInfo's notification, to one of these or to anything.

    A path may be that of GatewayInfo, of what is in it, or of what it is in.
    """
    return [
        call.call
        for session in sessions(trace, device)
        for call in session.calls(rpc.SetParameterAttributes)
        if call.done
        and any(
            each.notification_change
            and (each.name.startswith(INFO) or INFO.startswith(each.name))
            and (not wanted or each.notification in wanted)
            for each in _attribute_changes(call.call)
        )
    ]


def _attribute_changes(call: Record) -> Iterable[rpc.AttributeChange]:
    message = call.find(rpc.SetParameterAttributes)
    return () if message is None else message.parameters


@check("TR111-1.2.2-D4")
def notification_is_active_by_default(trace: Trace) -> Iterator[Finding]:
    """Where no ACS has set anything else, all of GatewayInfo is notified actively."""
    for each in _attributes(trace):
        sets = _sets_attributes(trace, each.device)
        if not any(record.number < each.answer.number for record in sets):
            yield _all_active(each)


@check("TR111-1.2.2-D5")
def default_comes_back_with_another_url(trace: Trace) -> Iterator[Finding]:
    """After the ACS URL was set to another value, notification is active again, whatever an ACS
    had made of it before.

    Where it was active all along, nothing is shown.
    """
    for each in _attributes(trace):
        changed = _url_changed(trace, each.device, each.answer)
        sets = [record.number for record in _sets_attributes(trace, each.device)]
        off = [record.number for record in _sets_attributes(trace, each.device, *NOT_ACTIVE)]
        if changed is None or each.session.turns[0].number <= changed.number:
            continue
        if any(changed.number < number < each.answer.number for number in sets):
            continue
        finding = _all_active(each)
        if not finding.ok or any(number < changed.number for number in off):
            yield finding


def _url_changed(trace: Trace, device: str, before: Record) -> Record | None:
    for session in sessions(trace, device):
        record = session.acknowledged(
            lambda values: any(each.name.endswith("ManagementServer.URL") for each in values)
        )
        if record is not None and record.number < before.number:
            return record
    return None


def _is_off(told: Attributes) -> bool:
    return any(each != ACTIVE for each in told.found.values())


def _all_active(told: Attributes) -> Finding:
    device, answer, found = told.device, told.answer, told.found
    off = [name for name, each in found.items() if each != ACTIVE]
    missing = [name for name in ELEMENTS if f"{INFO}{name}" not in found]
    if off:
        said = f"notification of {off[0]} is {found[off[0]]}, {ACTIVE} (active) is due"
        return fault(answer, f"{device}: {said}")
    if missing and told.is_whole:
        return fault(answer, f"{device} has no GatewayInfo.{missing[0]}")
    return ok(answer)


# Telling.


def _change_told(trace: Trace, device: str, since: Record, until: Record | None) -> Seen | None:
    """The first Inform with GatewayInfo after a record."""
    for seen in values_seen(trace, device):
        number = seen.record.number
        is_inform = seen.record.find(rpc.Inform) is not None
        if number > since.number and is_inform and info_in(seen.values):
            return seen if until is None or number < until.number else None
    return None


@check(
    "TR111-1.2.2-D6",
    supposes=(
        "connected",
        "whole",
    ),
)
def changes_are_notified(trace: Trace) -> Iterator[Finding]:
    """A change makes an Inform with "4 VALUE CHANGE" that lists what has changed, and only that.

    "0 BOOTSTRAP" stands for it where the ACS is new to the device: then all is.
    """
    for device in managed_devices(trace):
        moved = _url_changed(trace, device, trace.records[-1])
        if _sets_attributes(trace, device) and moved is None:
            continue  # the ACS does not want to be told
        since = 0 if moved is None else moved.number
        read = [each for each in _attributes(trace) if each.device == device]
        if any(_is_off(each) for each in read if each.answer.number > since):
            continue  # whether that is right, others judge
        told = dict.fromkeys(ELEMENTS, "")
        came_back = False
        owed_all = owed_info(trace, device)
        for place, owed in enumerate(owed_all):
            following = owed_all[place + 1].record if place + 1 < len(owed_all) else None
            changed = [name for name, each in parts(owed.identity).items() if each != told[name]]
            if not isinstance(owed.record.message, dhcp.Ack):
                continue  # without an address it can tell nobody
            seen = _change_told(trace, device, owed.record, following)
            came_back |= place > 0 and not owed_all[place - 1].identity
            if seen is not None:
                yield _judge_change(device, seen, changed, came_back)
                came_back = False
                told |= info_in(seen.values)
            elif changed and _had_session(trace, device, owed.record, following):
                yield fault(owed.record, f"{device} does not notify that {changed[0]} has changed")
        yield from _told_without_change(trace, device)


def _judge_change(device: str, seen: Seen, changed: list[str], came_back: bool) -> Finding:
    codes = event_codes(seen.session)
    missing = [name for name in changed if name not in info_in(seen.values)]
    if VALUE_CHANGE not in codes and BOOTSTRAP not in codes:
        return fault(seen.record, f"{device} tells GatewayInfo, and the events are {codes}")
    if missing:
        return fault(seen.record, f"{device} does not list {missing[0]}, which has changed")
    if not changed and not came_back:
        return fault(seen.record, f"{device} notifies, and nothing has changed")
    return ok(seen.record, ", ".join(changed) or "discarded and recorded again")


def _had_session(trace: Trace, device: str, since: Record, until: Record | None) -> bool:
    return any(
        each.accepted
        and each.turns[0].number > since.number
        and (until is None or each.turns[0].number < until.number)
        for each in sessions(trace, device)
    )


def _told_without_change(trace: Trace, device: str) -> Iterator[Finding]:
    """Informs with GatewayInfo before any ACK has said anything."""
    acks = owed_info(trace, device)
    for seen in values_seen(trace, device):
        early = not acks or seen.record.number < acks[0].record.number
        if early and acks and any(info_in(seen.values).values()):
            yield fault(seen.record, f"{device} tells of a gateway before any DHCPACK")


@check("TR111-1.2.2-D7")
def lease_end_discards_all(trace: Trace) -> Iterator[Finding]:
    """Released or expired, GatewayInfo is empty: behind a gateway again, all of it is a change.

    Violation: the Inform after the next ACK does not list it anew.
    """
    for device in managed_devices(trace):
        owed_all = owed_info(trace, device)
        for ended, after in pairwise(owed_all):
            is_end = ended.cause != "the DHCPACK says so"
            if not is_end or not isinstance(after.record.message, dhcp.Ack) or not after.identity:
                continue
            seen = _change_told(trace, device, after.record, None)
            told = info_in(seen.values) if seen is not None else {}
            due = [name for name, value in parts(after.identity).items() if value]
            kept = [name for name in due if not told.get(name)]
            if seen is not None and not kept:
                yield ok(seen.record, f"told anew after {ended.cause}")
            elif seen is not None and len(kept) < len(due):
                yield fault(seen.record, f"{device} has kept {kept[0]}, though {ended.cause}")
            elif _had_session(trace, device, after.record, None):
                yield fault(after.record, f"{device} has kept GatewayInfo, though {ended.cause}")


@check("TR111-1.2-S2")
def identity_goes_all_the_way(trace: Trace) -> Iterator[Finding]:
    """ACK, GatewayInfo and the Inform with "4 VALUE CHANGE" say the same.

    Violation: any of them differs, or there is no such Inform though the device had a session.
    """
    for device in managed_devices(trace):
        previous = None
        for owed in owed_info(trace, device):
            changed = previous is None or owed.identity != previous.identity
            previous = owed
            if not owed.identity or not changed:
                continue
            if any(_sets_attributes(trace, device)):
                continue
            seen = _change_told(trace, device, owed.record, None)
            if seen is None and _had_session(trace, device, owed.record, None):
                yield fault(owed.record, f"{device} tells its ACS nothing of {owed.identity}")
            elif seen is not None and owed_at(trace, device, seen.record.number) == owed:
                wanted = parts(owed.identity)
                info = info_in(seen.values)
                wrong = [name for name, value in info.items() if value != wanted[name]]
                codes = event_codes(seen.session)
                if wrong:
                    name = wrong[0]
                    said = f"{name} is {info[name]!r} in the Inform, {wanted[name]!r} in option 125"
                    yield fault(seen.record, f"{said} of record {owed.record.number}")
                elif not {VALUE_CHANGE, BOOTSTRAP} & set(codes):
                    yield fault(seen.record, f"the events are {codes}")
                else:
                    yield ok(seen.record, str(owed.identity))
