"""Right conduct is accused of nothing where a capture is all that there is, however little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.batch import Batch
from testbed.conformance import register
from testbed.faults import load_faults
from testbed.registry import load_scenarios
from testbed.run import Plan
from tests.conformance.field_captures import FieldCapture, cuts, failures

SCENARIOS = load_scenarios()
ENDLESS = 6000
"""Frames from which on a capture is the flood of a hostile peer, and judged once is enough."""
UNLUCKY = {("discovery_intranet", "fragments_dropped")}
"""Runs in which the network, and no node, breaks what a requirement asks."""


SHOWN = (
    "association.device-another-class",
    "association.gateway-notifies-nothing",
    "connectivity.asks-another-server",
)
"""Faults that the wire alone shows, whoever looks at it."""


def play(name: str, variant: str, folder: Path, *faults: str) -> FieldCapture:
    """A run in virtual time with OpenSSL's TLS, as a capture of the field."""
    settings = {"engine.tls": "real"}
    plan = Plan(name, variant, "simulation", "7", settings, None, folder, faults)
    scenarios = {name: replace(SCENARIOS[name], step_s=3.0)} if faults else dict(SCENARIOS)
    Batch(scenarios, [plan], jobs=1).run()
    return FieldCapture(folder)


def accused(name: str, variant: str, folder: Path) -> dict[str, dict[str, str]]:
    """By way of seeing less: the requirements that fail, and why."""
    capture = play(name, variant, folder)
    if capture.is_staged or (name, variant) in UNLUCKY:
        return {}  # who looks at the wire alone rightly finds fault with it
    found = {}
    for way, frames, names in cuts(capture):
        if len(frames) < ENDLESS and (wrong := failures(capture.trace(frames, names))):
            found[way] = wrong
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_conformant_run_is_accused_of_nothing(name: str, tmp_path: Path) -> None:
    assert accused(name, "", tmp_path) == {}


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "variant"),
    [(name, each) for name, one in SCENARIOS.items() for each in one.variants if each],
)
def test_no_variant_is_accused_of_anything(name: str, variant: str, tmp_path: Path) -> None:
    assert accused(name, variant, tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_what_the_wire_shows_is_found_without_a_lab(name: str, tmp_path: Path) -> None:
    fault = load_faults()[name]
    scenario, _, variant = fault.shown_in[0].partition("/")
    capture = play(scenario, variant, tmp_path, f"{fault.role}:{name}")
    due = {each for each in fault.breaks if scenario in register()[each].scenarios}

    found = failures(capture.trace(capture.frames, capture.names))

    assert due
    assert due <= {*found}
