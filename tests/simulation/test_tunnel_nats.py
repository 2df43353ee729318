"""A tunnel behind NATs, with true lifetimes: 30 s against TR-196's defaults of 180 and 300 s."""

from __future__ import annotations

import pytest

from testbed.protocols import ike
from testbed.registry import find_scenario
from testbed.simulate import Simulated, simulate

DEFAULTS = {"lifetime_s": "30", "keepalive_s": "180", "dead_peer_s": "300"}
FREQUENT = {**DEFAULTS, "keepalive_s": "20"}
TUNNEL = "192.168.1.100:4500"


def times_of(result: Simulated, event: str) -> list[float]:
    """When the gateway has told this of the tunnel's binding, seconds from its first one."""
    told = [
        record
        for record in result.trace.records
        if record.is_event
        and record.message.name in (event, "BINDING_CREATED")
        and record.message.fields.get("inside") == TUNNEL
    ]
    return [(r.time_ns - told[0].time_ns) / 1e9 for r in told if r.message.name == event]


def test_tr_196_s_defaults_leave_the_hnb_unreachable_for_most_of_the_time() -> None:
    result = simulate(find_scenario("tunnel_life"), "short_lived_nat", settings=DEFAULTS)

    assert result.is_completed, result.missed
    created = [round(each) for each in times_of(result, "BINDING_CREATED")]
    expired = [round(each) for each in times_of(result, "BINDING_EXPIRED")]
    assert created == [0, 180, 300]
    assert expired == [30, 210]


def test_frequent_keep_alives_leave_nothing_to_die() -> None:
    result = simulate(find_scenario("tunnel_life"), "short_lived_nat_kept", settings=FREQUENT)

    assert result.is_completed, result.missed
    assert times_of(result, "BINDING_EXPIRED") == []


def test_keep_alives_that_are_too_rare_are_found_out() -> None:
    result = simulate(find_scenario("tunnel_life"), "short_lived_nat_kept", settings=DEFAULTS)

    assert not result.is_completed


@pytest.mark.parametrize("variant", ["rebinding_port", "rebinding_address"])
def test_a_rebinding_is_told_by_mobike_and_no_new_tunnel_is_built(variant: str) -> None:
    result = simulate(find_scenario("tunnel_life"), variant)
    updates = [
        record
        for record in result.trace.records
        if isinstance(record.message, ike.Informational)
        and "UPDATE_SA_ADDRESSES" in record.message.notifies
    ]
    moved = [
        record.message.fields["remote"]
        for record in result.trace.records
        if record.is_event
        and record.sender == "serving_segw"
        and record.message.name == "TUNNEL_CHANGED"
        and record.message.fields["kind"] == "moved"
    ]

    assert result.is_completed, result.missed
    assert updates
    assert len(moved) == 1
    assert moved[0] != "203.0.113.100:4500"
