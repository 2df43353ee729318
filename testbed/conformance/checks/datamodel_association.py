"""The gateway's data model for association: TR-111 Part 1, tables 2, 3 and 4, over CWMP."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from testbed.conformance.associations import (
    COUNT,
    ELEMENTS,
    LIMIT,
    SERVER,
    TABLE,
    gateways,
    managed_devices,
    values_seen,
)
from testbed.conformance.check import check
from testbed.conformance.checks import (
    association_answers,
    association_notification,
    association_table,
)
from testbed.conformance.checks.association_notification import (
    attributes_read,
    changes,
    next_set,
    sets_of,
)
from testbed.conformance.sessions import Call, sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

NOTIFICATION_REJECTED, NOT_WRITABLE, INVALID_ARGUMENTS = 9009, 9008, 9003
ACTIVE, PASSIVE = 2, 1
ROW = re.compile(rf"{re.escape(TABLE)}\d+\.")
PROFILE = "DeviceAssociation:1"
SUMMARY = "InternetGatewayDevice.DeviceSummary"
LEAST_VERSION = {"Device": (1, 1), "InternetGatewayDevice": (1, 2)}
"""Versions that TR-111 extends the models to."""


def _calls(trace: Trace, kind: type[rpc.Rpc]) -> Iterator[tuple[str, rpc.Rpc, Call, Record]]:
    """Every call of a kind to a gateway that was answered, with both."""
    for gateway in gateways(trace):
        for session in sessions(trace, gateway):
            for call in session.calls(kind):
                message = call.call.find(kind)
                if message is not None and call.answer is not None:
                    yield gateway, message, call, call.answer


def _names(trace: Trace) -> Iterator[tuple[str, Record, str, dict[str, bool]]]:
    """What gateways answer to GetParameterNames: path asked for, and names with writability."""
    for gateway, message, _, answer in _calls(trace, rpc.GetParameterNames):
        assert isinstance(message, rpc.GetParameterNames)
        told = answer.find(rpc.GetParameterNamesResponse)
        if told is not None:
            yield gateway, answer, message.path, {e.name: e.writable for e in told.parameters}


def _whole(trace: Trace) -> Iterator[tuple[str, Record, dict[str, bool]]]:
    """Answers that list all of ManagementServer."""
    for gateway, answer, path, names in _names(trace):
        if path == SERVER and not all(name.count(".") < 3 for name in names):
            yield gateway, answer, names


@check("TR111-1.2.6-M0")
def names_are_where_table_2_has_them(trace: Trace) -> Iterator[Finding]:
    """All of Table 2 is below InternetGatewayDevice.ManagementServer."""
    for gateway, answer, names in _whole(trace):
        wanted = [COUNT, LIMIT, TABLE]
        rows = [name for name in names if ROW.fullmatch(name)]
        wanted += [f"{row}{each}" for row in rows for each in ELEMENTS]
        missing = [name for name in wanted if name not in names]
        if missing:
            yield fault(answer, f"{gateway} does not list {missing[0]}")
        else:
            yield ok(answer, f"{len(wanted)} names")


@check("TR111-1.2.6-T2-1")
def management_server_is_fixed(trace: Trace) -> Iterator[Finding]:
    """The object is there, and cannot be added or deleted."""
    for gateway, answer, names in _whole(trace):
        if SERVER in names:
            yield ok(answer)
        else:
            yield fault(answer, f"{gateway} does not list {SERVER}")
    yield from _objects_refused(trace, lambda name: name == SERVER)


def _objects_refused(trace: Trace, about: object) -> Iterator[Finding]:
    for kind in (rpc.AddObject, rpc.DeleteObject):
        for gateway, message, call, answer in _calls(trace, kind):
            name = getattr(message, "object_name", "")
            if not (callable(about) and about(name)):
                continue
            if call.done:
                yield fault(answer, f"{gateway} carries out {message.method} of {name}")
            else:
                yield ok(answer, f"{message.method} of {name} is refused")


@check("TR111-1.2.6-FN")
def what_is_read_only_is_refused(trace: Trace) -> Iterator[Finding]:
    """SetParameterValues of a row without W is refused by 9008 within 9003; objects likewise.

    Violation: carried out, another fault code, or announced as writable.
    """
    for gateway, message, call, answer in _calls(trace, rpc.SetParameterValues):
        assert isinstance(message, rpc.SetParameterValues)
        for each in message.parameters:
            if each.name != COUNT and not ROW.match(each.name):
                continue
            refusal = answer.find(rpc.Fault)
            codes = {e.code for e in refusal.parameters} if refusal is not None else set()
            if call.done or refusal is None:
                yield fault(answer, f"{gateway} lets {each.name} be set")
            elif refusal.code != INVALID_ARGUMENTS or NOT_WRITABLE not in codes:
                yield fault(answer, f"{gateway} refuses {each.name} by {refusal.code}, {codes}")
            else:
                yield ok(answer, f"{each.name} is read-only")
    yield from _objects_refused(trace, lambda name: name.startswith(TABLE))
    for gateway, answer, names in _whole(trace):
        wrong = [n for n, writable in names.items() if writable and _is_read_only(n)]
        if wrong:
            yield fault(answer, f"{gateway} announces {wrong[0]} as writable")
        else:
            yield ok(answer)


def _is_read_only(name: str) -> bool:
    return name in (COUNT, TABLE, SERVER) or bool(ROW.match(name))


# Notification: 1.2.6.1 and Table 3.


def _granted(trace: Trace, wanted: int, names: tuple[str, ...], rows: bool) -> Iterator[Finding]:
    for gateway in gateways(trace):
        for call, change in sets_of(trace, gateway):
            about = change.name in names or (rows and ROW.match(change.name))
            if not about or change.notification != wanted or call.answer is None:
                continue
            if not call.done:
                refusal = call.answer.find(rpc.Fault)
                code = refusal.code if refusal is not None else None
                yield fault(call.answer, f"{gateway} refuses {wanted} for {change.name}: {code}")
                continue
            until = next_set(trace, gateway, call, change.name)
            after = [
                value
                for record, value in attributes_read(trace, gateway, change.name)
                if call.call.number < record.number < until
            ]
            if after and after[0] != wanted:
                text = f"{gateway} grants {wanted} for {change.name}, it is {after[0]}"
                yield fault(call.answer, text)
            else:
                yield ok(call.answer, change.name)


@check("TR111-1.2.6.1-N1")
def active_notification_of_table_2(trace: Trace) -> Iterator[Finding]:
    """Granted for all but the parameters of Table 3."""
    yield from _granted(trace, ACTIVE, (COUNT, LIMIT), rows=False)


@check("TR111-1.2.6.1-N2")
def refusal_is_9009(trace: Trace) -> Iterator[Finding]:
    """Active notification of a parameter of Table 3 is granted, or refused by 9009."""
    for name in ELEMENTS:
        yield from _table_3(trace, name)


def _table_3(trace: Trace, name: str) -> Iterator[Finding]:
    for gateway in gateways(trace):
        for call, change in sets_of(trace, gateway):
            is_row = ROW.match(change.name) and change.name.endswith(f".{name}")
            if not is_row or change.notification != ACTIVE or call.answer is None:
                continue
            refusal = call.answer.find(rpc.Fault)
            if refusal is None or refusal.code == NOTIFICATION_REJECTED:
                yield ok(call.answer, "granted" if refusal is None else "refused by 9009")
            else:
                yield fault(call.answer, f"{gateway} refuses {change.name} by {refusal.code}")


@check("TR111-1.2.6.1-N3")
def passive_notification_of_all(trace: Trace) -> Iterator[Finding]:
    """Granted for every parameter, and a changed value is in the next Inform."""
    yield from _granted(trace, PASSIVE, (COUNT, LIMIT), rows=True)
    for gateway in gateways(trace):
        passive = [
            record for record, value in attributes_read(trace, gateway, COUNT) if value == PASSIVE
        ]
        changed = changes(trace, gateway)
        counts = [
            (seen, seen.values[COUNT])
            for seen in values_seen(trace, gateway)
            if COUNT in seen.values
        ]
        for before, after in itertools.pairwise(counts):
            session = after[0].session
            inform = session.inform
            if before[1] == after[1] or inform is None or not passive:
                continue
            # Only what changes under passive notification, and was not told already, is owed.
            later = [each for each in changed if before[0].record.number < each.number]
            if not any(passive[-1].number < each.number < inform.number for each in later):
                continue
            told = inform.find(rpc.Inform)
            if told is not None and told.value(COUNT) is not None:
                yield ok(inform, f"tells {after[1]}")
            else:
                yield fault(inform, f"{gateway} has {after[1]} entries and its Inform does not say")


@check("TR111-1.2.6.1-T3-1")
def active_oui_may_be_denied(trace: Trace) -> Iterator[Finding]:
    """ManufacturerOUI: 9009 is a right answer."""
    yield from _table_3(trace, ELEMENTS[0])


@check("TR111-1.2.6.1-T3-2")
def active_serial_number_may_be_denied(trace: Trace) -> Iterator[Finding]:
    """SerialNumber: 9009 is a right answer."""
    yield from _table_3(trace, ELEMENTS[1])


@check("TR111-1.2.6.1-T3-3")
def active_product_class_may_be_denied(trace: Trace) -> Iterator[Finding]:
    """ProductClass: 9009 is a right answer."""
    yield from _table_3(trace, ELEMENTS[2])


# The profile: 1.2.6.2 and Table 4.


def _readable(trace: Trace, wanted: str) -> Iterator[Finding]:
    """A parameter that is asked for alone is answered by its value."""
    for gateway, message, _, answer in _calls(trace, rpc.GetParameterValues):
        assert isinstance(message, rpc.GetParameterValues)
        if len(message.names) != 1 or not re.fullmatch(wanted, message.names[0]):
            continue
        told = answer.find(rpc.GetParameterValuesResponse)
        if told is not None and [each.name for each in told.parameters] == [message.names[0]]:
            yield ok(answer, told.parameters[0].value)
        else:
            refusal = answer.find(rpc.Fault)
            why = refusal.code if refusal is not None else "with other parameters"
            yield fault(answer, f"{gateway} answers a reading of {message.names[0]} by {why}")


def _present(trace: Trace, path: str) -> Iterator[Finding]:
    """An object is listed by GetParameterNames."""
    for gateway, message, _, answer in _calls(trace, rpc.GetParameterNames):
        assert isinstance(message, rpc.GetParameterNames)
        refusal = answer.find(rpc.Fault)
        if message.path == path and refusal is not None:
            yield fault(answer, f"{gateway} answers for {path} by {refusal.code}")
    for gateway, answer, names in _whole(trace):
        if path in names:
            yield ok(answer)
        else:
            yield fault(answer, f"{gateway} does not list {path}")


@check("TR111-1.2.6.2.1-N")
def codes_of_the_profile_are_kept(trace: Trace) -> Iterator[Finding]:
    """R is answered by a value, P is listed: for every row of Table 4."""
    yield from _readable(trace, re.escape(COUNT))
    yield from _present(trace, TABLE)
    for name in ELEMENTS:
        yield from _readable(trace, rf"{ROW.pattern}{name}")


@check("TR111-1.2.6.2.2-T4-1")
def management_server_is_present(trace: Trace) -> Iterator[Finding]:
    """The object itself owes nothing but its name."""
    yield from _present(trace, SERVER)


@check("TR111-1.2.6.2.2-T4-2")
def count_is_readable(trace: Trace) -> Iterator[Finding]:
    """ManageableDeviceNumberOfEntries: R."""
    yield from _readable(trace, re.escape(COUNT))


@check("TR111-1.2.6.2.2-T4-3")
def table_is_present(trace: Trace) -> Iterator[Finding]:
    """ManageableDevice.{i}.: P."""
    yield from _present(trace, TABLE)


@check("TR111-1.2.6.2.2-T4-4")
def oui_is_readable(trace: Trace) -> Iterator[Finding]:
    """ManufacturerOUI: R."""
    yield from _readable(trace, rf"{ROW.pattern}{ELEMENTS[0]}")


@check("TR111-1.2.6.2.2-T4-5")
def serial_number_is_readable(trace: Trace) -> Iterator[Finding]:
    """SerialNumber: R."""
    yield from _readable(trace, rf"{ROW.pattern}{ELEMENTS[1]}")


@check("TR111-1.2.6.2.2-T4-6")
def product_class_is_readable(trace: Trace) -> Iterator[Finding]:
    """ProductClass: R."""
    yield from _readable(trace, rf"{ROW.pattern}{ELEMENTS[2]}")


@check(
    "TR111-1.2.6.2.2-P",
    supposes=(
        "connected",
        "whole",
    ),
)
def announced_profile_is_kept(trace: Trace) -> Iterator[Finding]:
    """Whoever announces DeviceAssociation:1 is InternetGatewayDevice:1.2 at least, and does all of
    1.2.1 and of Table 4.

    Violation: it announces the profile and fails there.
    """
    announced = {}
    for gateway in gateways(trace):
        for seen in values_seen(trace, gateway):
            summary = seen.values.get(SUMMARY, "")
            if PROFILE in summary:
                announced[gateway] = seen.record
                if (version_in(summary, "InternetGatewayDevice") or (0, 0)) < (1, 2):
                    yield fault(seen.record, f"{gateway} announces {PROFILE} with {summary}")
    if not announced:
        return
    for kept in (
        association_answers.offer_and_ack_carry_it,
        association_table.entry_comes_with_the_ack,
        association_table.entry_stays_while_the_device_does,
        association_table.entry_goes,
        association_table.entry_goes_with_its_lease,
        association_notification.active_notification_is_granted,
        association_notification.every_change_is_notified,
        association_notification.notifications_keep_their_distance,
        codes_of_the_profile_are_kept,
    ):
        yield from kept(trace)


def version_in(summary: str, root: str) -> tuple[int, int] | None:
    """Major and minor version of a root object in a DeviceSummary; None: it is not told."""
    found = re.search(rf"\b{root}:(\d+)\.(\d+)\b", summary)
    return None if found is None else (int(found[1]), int(found[2]))


@check("TR111-0-2")
def models_have_their_versions(trace: Trace) -> Iterator[Finding]:
    """Device:1.1 and InternetGatewayDevice:1.2, or later, by the DeviceSummary of an Inform."""
    for cpe in dict.fromkeys([*gateways(trace), *managed_devices(trace)]):
        for seen in values_seen(trace, cpe):
            for name, summary in seen.values.items():
                root, _, leaf = name.partition(".")
                if leaf != "DeviceSummary" or root not in LEAST_VERSION:
                    continue
                version = version_in(summary, root)
                if version is not None and version >= LEAST_VERSION[root]:
                    yield ok(seen.record, f"{root}:{version[0]}.{version[1]}")
                else:
                    yield fault(seen.record, f"{cpe} says {summary[:60]!r}")
