"""Association in virtual time: no check accuses what is done right."""

from __future__ import annotations

import pytest

from testbed.conformance import Verdict, examine, judge
from testbed.conformance.associations import owed_info
from testbed.conformance.presences import presences
from testbed.errors import BadInput
from testbed.protocols.association import NOBODY
from testbed.registry import find_scenario, load_scenarios
from testbed.simulate import Simulated, simulate
from topologies.association import managed_home

PLAYED = [
    (name, variant)
    for name, scenario in load_scenarios().items()
    for variant in scenario.variants
    if name.startswith("association_")
]
OF_OTHERS = ["dm_bootstrap_srv", "dm_bootstrap_scws", "discovery_public", "discovery_intranet"]


def played(name: str, variant: str) -> Simulated:
    result = simulate(find_scenario(name), variant)
    assert result.is_completed, result.missed or result.stuck or result.crashes or result.broken
    return result


@pytest.mark.parametrize(("name", "variant"), PLAYED, ids=lambda each: each or "main")
def test_no_check_fails(name: str, variant: str) -> None:
    result = played(name, variant)
    judged = judge(None, {variant: examine(None, result.trace, variant)})

    assert [each.reason for each in judged if each.verdict is Verdict.FAIL] == []
    assert any(each.verdict is Verdict.PASS for each in judged)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("learns_by", "guess"), ("devices", 0), ("gateways", 0), ("lease_s", -5)],
)
def test_a_setting_that_means_nothing_is_refused(setting: str, value: object) -> None:
    with pytest.raises(BadInput, match=setting):
        managed_home(**{setting: value})


@pytest.mark.parametrize("name", OF_OTHERS)
def test_who_has_nothing_to_do_with_association_is_not_accused_of_it(name: str) -> None:
    judged = judge(None, {"": examine(None, played(name, "").trace)})
    of_part_1 = [each for each in judged if each.requirement.id.startswith("TR111-1.")]

    assert [each.reason for each in of_part_1 if each.verdict is Verdict.FAIL] == []


@pytest.mark.parametrize(
    ("name", "variant", "why", "cause"),
    [
        ("association_lease_expiry", "refused", "refused", "there was a NAK"),
        ("association_lease_expiry", "release", "released", "the lease is released"),
        ("association_discover", "address_in_use", "declined", "there was a DECLINE"),
    ],
)
def test_how_an_entry_and_gateway_info_end_is_read(
    name: str, variant: str, why: str, cause: str
) -> None:
    trace = played(name, variant).trace
    first, *_ = presences(trace, "gateway")
    owed = owed_info(trace, "device")

    assert first.ends is not None
    assert first.ends[1] == why
    assert [(each.identity, each.cause) for each in owed if not each.identity] == [(NOBODY, cause)]
