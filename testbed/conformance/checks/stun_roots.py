"""Who may be a CPE of TR-111 Part 2: gateways as well as devices, and those that know no Part 1."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.associations import (
    INFO,
    acks_to,
    gateway_in_record,
    gateways,
    managed_devices,
    values_seen,
)
from testbed.conformance.bindings import (
    ADDRESS,
    ENABLE,
    Setting,
    is_on,
    readings,
    settings,
    transactions,
)
from testbed.conformance.check import check
from testbed.conformance.sessions import sessions
from testbed.conformance.verdict import Finding, fault, ok
from testbed.trace.record import Record
from testbed.trace.trace import Trace

STARTS_WITHIN_S = 2.0
"""Of STUN, once it is enabled."""


def _enabled(trace: Trace, cpe: str) -> list[Setting]:
    """Where the ACS switches STUN on, or off."""
    return [each for each in settings(trace, cpe) if ENABLE in each.values]


@check("TR111-2.2.1-C6", supposes=("whole",))
def gateways_are_cpes_too(trace: Trace) -> Iterator[Finding]:
    """A gateway whose ACS switches STUN on, under InternetGatewayDevice, discovers its own binding
    behind whatever NAT it is behind, and tells it."""
    for cpe in gateways(trace):
        on = [each for each in _enabled(trace, cpe) if is_on(each.values[ENABLE])]
        if not on or not sessions(trace, cpe):
            continue
        last = trace.records[-1]
        found = [each for each in transactions(trace, cpe) if each.is_primary]
        answered = [each.success for each in found if each.success is not None]
        if not found and trace.spent_s(on[0].record, last) > STARTS_WITHIN_S:
            yield fault(on[0].answer, f"STUN is on, and {cpe} sends no Binding Request")
        for success in answered[:1]:
            told = [r for r in readings(trace, cpe, ADDRESS) if r.record.number > success.number]
            mapped = {str(s.message.mapped_address) for s in answered}
            if any(each.value in mapped for each in told):
                yield ok(success, f"{cpe} is seen as {success.message.mapped_address}")
            elif trace.spent_s(success, last) > STARTS_WITHIN_S:
                yield fault(success, f"{cpe} does not tell {success.message.mapped_address}")


@check("TR111-0-1", needs_in={"datamodel_conformance": ("stun_alone", "association_alone")})
def parts_need_not_each_other(trace: Trace) -> Iterator[Finding]:
    """GatewayInfo is filled by a CPE without STUN; STUN starts without a Gateway Identity.

    A CPE that has neither is judged elsewhere: only one whose one Part follows the other's fails.
    """
    for cpe in managed_devices(trace):
        yield from _association_without_stun(trace, cpe)
        yield from _stun_without_association(trace, cpe)


def _names_its_gateway(trace: Trace, cpe: str) -> list[tuple[Record, bool]]:
    """Where a device tells GatewayInfo, and whether there is somebody in it."""
    return [
        (seen.record, seen.values[f"{INFO}SerialNumber"] != "")
        for seen in values_seen(trace, cpe)
        if f"{INFO}SerialNumber" in seen.values
    ]


def _is_on_at(trace: Trace, cpe: str, moment: Record) -> bool:
    before = [s for s in _enabled(trace, cpe) if s.record.number < moment.number]
    return bool(before) and is_on(before[-1].values[ENABLE])


def _association_without_stun(trace: Trace, cpe: str) -> Iterator[Finding]:
    named = [ack for ack in acks_to(trace, cpe) if gateway_in_record(ack) is not None]
    if not named:
        return
    told = [
        (record, is_filled, _is_on_at(trace, cpe, record))
        for record, is_filled in _names_its_gateway(trace, cpe)
        if record.number > named[0].number
    ]
    empty = [record for record, is_filled, with_stun in told if not is_filled and not with_stun]
    for record, is_filled, with_stun in told:
        if is_filled and not with_stun:
            yield ok(record, "GatewayInfo is filled, and STUN is off")
            return
        if is_filled and empty and len(named) == 1:
            yield fault(empty[0], "GatewayInfo stays empty until STUN is on")
            return


def _stun_without_association(trace: Trace, cpe: str) -> Iterator[Finding]:
    on = [each for each in _enabled(trace, cpe) if is_on(each.values[ENABLE])]
    started = transactions(trace, cpe)
    if not on or not started:
        return
    named = [ack for ack in acks_to(trace, cpe) if gateway_in_record(ack) is not None]
    first = started[0].first
    if not named or first.number < named[0].number:
        yield ok(first, "STUN starts, and no gateway has told who it is")
    elif trace.spent_s(on[0].record, named[0]) > STARTS_WITHIN_S:
        yield fault(on[0].answer, "STUN is on, and starts only once the gateway tells who it is")
