"""Right conduct is accused of nothing where a capture is all that there is, however little."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.batch import Batch
from testbed.registry import load_scenarios
from testbed.run import Plan
from tests.conformance.field_captures import FieldCapture, cuts, failures

SCENARIOS = load_scenarios()
ENDLESS = 6000
"""Frames from which on a capture is the flood of a hostile peer, and judged once is enough."""
UNLUCKY = {("discovery_intranet", "fragments_dropped")}
"""Runs in which the network, and no node, breaks what a requirement asks."""


def play(name: str, variant: str, folder: Path) -> FieldCapture:
    """A conformant run in virtual time with OpenSSL's TLS, as a capture of the field."""
    plan = Plan(name, variant, "simulation", "7", {"engine.tls": "real"}, None, folder)
    Batch(dict(SCENARIOS), [plan], jobs=1).run()
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
