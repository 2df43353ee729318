"""The data model for connection requests via NAT: TR-111 Part 2, tables 6, 7 and 8, over CWMP.

Both roots have it: Table 7 is about `Device.`, Table 8 about `InternetGatewayDevice.`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from testbed.conformance.associations import values_seen
from testbed.conformance.bindings import ADDRESS, ENABLE, NAT_DETECTED, PASSWORD, is_on
from testbed.conformance.check import CHECKS, check
from testbed.conformance.model_calls import (
    DEVICE,
    GATEWAY,
    LIMIT,
    OBJECT,
    READ_ONLY,
    TABLE_6,
    WRITABLE,
    all_cpes,
    answered,
    fits,
    is_of_type,
    leaf_of,
    listings,
)
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

PROFILE = "UDPConnReq:1"
LEAST_VERSION = {DEVICE: 1, GATEWAY: 2}
"""Minor versions that the profile needs (2.2.4.2.2, 2.2.4.2.3)."""
BOTH_ROOTS = ("connection_requests_device", "connection_requests_gateway")
"""Sub-runs: one root each."""
PASSIVE, ACTIVE = 1, 2
_RULES = "TR111-2.2.1"
"""Ids of what 2.2.1 asks of CPEs begin so."""


# Names: 2.2.4 and the heads of Tables 6, 7 and 8.


def _has_table_6(trace: Trace, root: str) -> Iterator[Finding]:
    """All ten are listed below a root.  Nobody has to implement Part 2: a CPE that has none of them
    and does not announce the profile is not blamed."""
    for each in listings(trace):
        if each.root != root:
            continue
        missing = [name for name in TABLE_6 if f"{root}{OBJECT}{name}" not in each.names]
        if not missing:
            yield ok(each.answer, f"all {len(TABLE_6)}")
        elif len(missing) < len(TABLE_6) or each.cpe in _announcing(trace):
            yield fault(each.answer, f"{each.cpe} does not list {root}{OBJECT}{missing[0]}")


@check("TR111-2.2.4-M1")
def devices_have_table_6(trace: Trace) -> Iterator[Finding]:
    """A CPE with the root Device lists the ten parameters."""
    yield from _has_table_6(trace, DEVICE)


@check("TR111-2.2.4-M2")
def gateways_have_table_6(trace: Trace) -> Iterator[Finding]:
    """A CPE with the root InternetGatewayDevice lists the ten parameters."""
    yield from _has_table_6(trace, GATEWAY)


def _object_is_listed(trace: Trace) -> Iterator[Finding]:
    for each in listings(trace):
        if f"{each.root}{OBJECT}" in each.names:
            yield ok(each.answer)
        else:
            yield fault(each.answer, f"{each.cpe} does not list {each.root}{OBJECT}")


@check("TR111-2.2.4-T6-0")
def object_holds_the_parameters(trace: Trace) -> Iterator[Finding]:
    """The object ManagementServer is below the root."""
    yield from _object_is_listed(trace)


@check("TR111-2.2.4.2-T78-0", needs=BOTH_ROOTS)
def object_is_on_both_roots(trace: Trace) -> Iterator[Finding]:
    """The object ManagementServer is below both roots."""
    yield from _object_is_listed(trace)


# What may be read and set.


@check("TR111-2.2.4-FN")
def read_only_is_refused_the_rest_accepted(trace: Trace) -> Iterator[Finding]:
    """SetParameterValues of UDPConnectionRequestAddress and NATDetected is refused, and neither is
    announced as writable; the other eight are set, to what their types can hold."""
    for leaf in READ_ONLY:
        yield from is_read_only(trace, leaf)
    for each in answered(trace, rpc.SetParameterValues):
        assert isinstance(each.call, rpc.SetParameterValues)
        for value in each.call.parameters:
            leaf = leaf_of(value.name)
            if leaf not in WRITABLE or not fits(trace, each, leaf, value.value):
                continue
            if each.refusal is not None and len(each.call.parameters) == 1:
                yield fault(each.answer, f"{each.cpe} refuses {value.name}: {each.refusal.code}")
            else:
                yield ok(each.answer, value.name)


def is_read_only(trace: Trace, leaf: str) -> Iterator[Finding]:
    """A parameter of Table 6 that no ACS can set, and that is not announced as writable."""
    for each in answered(trace, rpc.SetParameterValues):
        assert isinstance(each.call, rpc.SetParameterValues)
        for value in each.call.parameters:
            if leaf_of(value.name) != leaf:
                continue
            if each.done:
                yield fault(each.answer, f"{each.cpe} lets {value.name} be set")
            else:
                yield ok(each.answer, value.name)
    for listing in listings(trace):
        if listing.names.get(f"{listing.root}{OBJECT}{leaf}"):
            yield fault(listing.answer, f"{listing.cpe} announces {leaf} as writable")


def other_values_are_refused(trace: Trace, leaf: str) -> Iterator[Finding]:
    """A value that the row's type does not hold is answered by a fault."""
    for each in answered(trace, rpc.SetParameterValues):
        assert isinstance(each.call, rpc.SetParameterValues)
        for value in each.call.parameters:
            if leaf_of(value.name) != leaf or is_of_type(leaf, value.value):
                continue
            if each.done:
                yield fault(each.answer, f"{each.cpe} takes {leaf} = {value.value!r}")
            else:
                yield ok(each.answer, f"{value.value!r} is refused")


def _readable(trace: Trace, leaf: str) -> Iterator[Finding]:
    """A parameter that is asked for alone is answered by its value."""
    for each in answered(trace, rpc.GetParameterValues):
        assert isinstance(each.call, rpc.GetParameterValues)
        if len(each.call.names) != 1 or leaf_of(each.call.names[0]) != leaf:
            continue
        told = each.answer.find(rpc.GetParameterValuesResponse)
        if told is not None and [value.name for value in told.parameters] == [*each.call.names]:
            yield ok(each.answer, told.parameters[0].value)
        else:
            why = "with other parameters" if each.refusal is None else each.refusal.code
            yield fault(each.answer, f"{each.cpe} answers a reading of {leaf} by {why}")


def _keeps(trace: Trace, leaf: str) -> Iterator[Finding]:
    """What is set is read back: what the next reading says, alone, with nothing set between.

    STUNPassword reads back empty (AMB-P2-24).
    """
    wanted: dict[str, str] = {}
    for each in answered(trace, rpc.SetParameterValues, rpc.GetParameterValues):
        if isinstance(each.call, rpc.SetParameterValues):
            for value in each.call.parameters:
                if leaf_of(value.name) != leaf:
                    continue
                if each.done:
                    wanted[each.cpe] = "" if leaf == PASSWORD else value.value
                elif (
                    each.refusal is not None
                    and len(each.call.parameters) == 1
                    and fits(trace, each, leaf, value.value)
                ):
                    yield fault(each.answer, f"{each.cpe} refuses {leaf}: {each.refusal.code}")
            continue
        told = each.answer.find(rpc.GetParameterValuesResponse)
        for value in told.parameters if told is not None else ():
            if leaf_of(value.name) == leaf and each.cpe in wanted:
                is_same = _same(leaf, wanted.pop(each.cpe), value.value)
                text = f"{leaf} reads {value.value!r}"
                yield ok(each.answer, text) if is_same else fault(each.answer, text)


def _same(leaf: str, one: str, other: str) -> bool:
    return is_on(one) == is_on(other) if leaf == ENABLE else one.strip() == other.strip()


def _kept_and_readable(trace: Trace, leaf: str) -> Iterator[Finding]:
    yield from _readable(trace, leaf)
    yield from _keeps(trace, leaf)


@check("TR111-2.2.4-T6-2")
def limit_is_writable(trace: Trace) -> Iterator[Finding]:
    """UDPConnectionRequestAddressNotificationLimit is set and read back.

    What it does to notifications is judged with 2.2.1.3.
    """
    yield from _keeps(trace, LIMIT)


@check("TR111-2.2.4-T6-7b")
def password_is_not_told(trace: Trace) -> Iterator[Finding]:
    """STUNPassword reads back empty once it was set, and no Inform tells it."""
    for cpe in all_cpes(trace):
        is_set = False
        for session in sessions(trace, cpe):
            for turn in session.turns:
                asked = turn.find(rpc.SetParameterValues)
                for value in asked.parameters if asked is not None else ():
                    is_set |= leaf_of(value.name) == PASSWORD and value.value != ""
                told = turn.find(rpc.GetParameterValuesResponse) or turn.find(rpc.Inform)
                for value in told.parameters if told is not None else ():
                    if leaf_of(value.name) != PASSWORD or not is_set:
                        continue
                    if value.value == "":
                        yield ok(turn)
                    else:
                        yield fault(turn, f"{cpe} tells {len(value.value)} characters of it")


# Notification: 2.2.4.1.


@check("TR111-2.2.4.1-N1")
def every_notification_is_granted(trace: Trace) -> Iterator[Finding]:
    """Passive and active notification of each of the ten, and that is what the CPE then says: it
    takes all twenty to say that nothing is excepted."""
    wanted: dict[tuple[str, str], int] = {}
    done: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for each in answered(trace, rpc.SetParameterAttributes, rpc.GetParameterAttributes):
        if isinstance(each.call, rpc.SetParameterAttributes):
            for change in each.call.parameters:
                leaf = leaf_of(change.name)
                if not leaf or not change.notification_change:
                    continue
                if change.notification not in (PASSIVE, ACTIVE):
                    wanted.pop((each.cpe, leaf), None)
                elif each.done:
                    wanted[each.cpe, leaf] = change.notification
                    done[each.cpe].add((leaf, change.notification))
                    if len(done[each.cpe]) == 2 * len(TABLE_6):
                        yield ok(each.answer, f"all of {each.cpe}'s")
                else:
                    code = None if each.refusal is None else each.refusal.code
                    yield fault(each.answer, f"{each.cpe} refuses {leaf}: {code}")
            continue
        told = each.answer.find(rpc.GetParameterAttributesResponse)
        for found in told.parameters if told is not None else ():
            leaf = leaf_of(found.name)
            granted = wanted.get((each.cpe, leaf), found.notification)
            if granted != found.notification:
                yield fault(each.answer, f"{leaf} has {found.notification}, {granted} was granted")


# The profile: 2.2.4.2, Tables 7 and 8.


@check("TR111-2.2.4.2.1-N", needs=BOTH_ROOTS)
def codes_of_the_profile_are_kept(trace: Trace) -> Iterator[Finding]:
    """R is answered by a value, W is set and read back: for every row."""
    for leaf in TABLE_6:
        yield from _readable(trace, leaf)
    for leaf in WRITABLE:
        yield from _keeps(trace, leaf)


@check("TR111-2.2.4.2-T78-1", needs=BOTH_ROOTS)
def address_is_readable(trace: Trace) -> Iterator[Finding]:
    """UDPConnectionRequestAddress: R."""
    yield from _readable(trace, ADDRESS)


@check("TR111-2.2.4.2-T78-2", needs=BOTH_ROOTS)
def limit_is_kept(trace: Trace) -> Iterator[Finding]:
    """UDPConnectionRequestAddressNotificationLimit: W."""
    yield from _kept_and_readable(trace, LIMIT)


@check("TR111-2.2.4.2-T78-3", needs=BOTH_ROOTS)
def enabling_is_kept(trace: Trace) -> Iterator[Finding]:
    """STUNEnable: W."""
    yield from _kept_and_readable(trace, ENABLE)


@check("TR111-2.2.4.2-T78-4", needs=BOTH_ROOTS)
def server_address_is_kept(trace: Trace) -> Iterator[Finding]:
    """STUNServerAddress: W."""
    yield from _kept_and_readable(trace, "STUNServerAddress")


@check("TR111-2.2.4.2-T78-5", needs=BOTH_ROOTS)
def server_port_is_kept(trace: Trace) -> Iterator[Finding]:
    """STUNServerPort: W."""
    yield from _kept_and_readable(trace, "STUNServerPort")


@check("TR111-2.2.4.2-T78-6", needs=BOTH_ROOTS)
def username_is_kept(trace: Trace) -> Iterator[Finding]:
    """STUNUsername: W."""
    yield from _kept_and_readable(trace, "STUNUsername")


@check("TR111-2.2.4.2-T78-7", needs=BOTH_ROOTS)
def password_is_kept_and_hidden(trace: Trace) -> Iterator[Finding]:
    """STUNPassword: W, and empty when it is read."""
    yield from _kept_and_readable(trace, PASSWORD)


@check("TR111-2.2.4.2-T78-8", needs=BOTH_ROOTS)
def maximum_is_kept(trace: Trace) -> Iterator[Finding]:
    """STUNMaximumKeepAlivePeriod: W."""
    yield from _kept_and_readable(trace, "STUNMaximumKeepAlivePeriod")


@check("TR111-2.2.4.2-T78-9", needs=BOTH_ROOTS)
def minimum_is_kept(trace: Trace) -> Iterator[Finding]:
    """STUNMinimumKeepAlivePeriod: W."""
    yield from _kept_and_readable(trace, "STUNMinimumKeepAlivePeriod")


@check("TR111-2.2.4.2-T78-10", needs=BOTH_ROOTS)
def detection_is_readable(trace: Trace) -> Iterator[Finding]:
    """NATDetected: R."""
    yield from _readable(trace, NAT_DETECTED)


def _announcing(trace: Trace) -> dict[str, tuple[Record, str]]:
    """The CPEs whose DeviceSummary names the profile: where they say so, and what."""
    found: dict[str, tuple[Record, str]] = {}
    for cpe in all_cpes(trace):
        for seen in values_seen(trace, cpe):
            for name, text in seen.values.items():
                if name.endswith(".DeviceSummary") and PROFILE in text:
                    found.setdefault(cpe, (seen.record, text))
    return found


def _profile_is_kept(trace: Trace, root: str) -> Iterator[Finding]:
    """Whoever announces the profile for a root has that root's least version, and keeps 2.2.1 as
    far as this trace shows it."""
    for cpe, (record, summary) in _announcing(trace).items():
        version = re.match(rf"{re.escape(root[:-1])}:1\.(\d+)\b", summary)
        if not summary.startswith(f"{root[:-1]}:"):
            continue
        if version is None or int(version[1]) < LEAST_VERSION[root]:
            yield fault(record, f"{cpe} announces {PROFILE} with {summary[:60]!r}")
        rules = {c.function: c.supposes for name, c in CHECKS.items() if name.startswith(_RULES)}
        found = [
            replace(each, supposes=(*supposes, *each.supposes))
            for rule, supposes in rules.items()
            for each in rule(trace)
        ]
        mine = [each for each in found if cpe in (each.record.sender, each.record.receiver)]
        broken = [each for each in mine if not each.ok]
        yield from broken
        if mine and not broken:
            yield ok(record, f"{len(mine)} findings, and all is well")


@check("TR111-2.2.4.2.2-P")
def devices_keep_the_profile_they_announce(trace: Trace) -> Iterator[Finding]:
    """UDPConnReq:1 of a device: Device:1.1, and 2.2.1."""
    yield from _profile_is_kept(trace, DEVICE)


@check("TR111-2.2.4.2.3-P")
def gateways_keep_the_profile_they_announce(trace: Trace) -> Iterator[Finding]:
    """UDPConnReq:1 of a gateway: InternetGatewayDevice:1.2, and 2.2.1."""
    yield from _profile_is_kept(trace, GATEWAY)
