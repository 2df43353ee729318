"""Discoveries in virtual time that take a way of their own: by no check of discovery accused."""

from __future__ import annotations

import pytest

from testbed.conformance import Verdict, examine, judge
from testbed.registry import find_scenario
from testbed.simulate import simulate


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("discovery_provisioning_fault", "redirected"),
        ("discovery_provisioning_fault", "intranet_tunnel_deleted"),
        ("discovery_intranet_shared_hms", "other_name"),
    ],
)
def test_no_check_of_either_flow_fails(name: str, variant: str) -> None:
    result = simulate(find_scenario(name), variant)
    judged = judge(None, {variant: examine(None, result.trace, variant)})
    of_discovery = [each for each in judged if each.requirement.id.startswith("32583")]

    assert result.is_completed
    assert [each.reason for each in of_discovery if each.verdict is Verdict.FAIL] == []
    assert any(each.verdict is Verdict.PASS for each in of_discovery)
