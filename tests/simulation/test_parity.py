"""The arrows of a scenario on every link, with all that they say, are the same on both engines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.registry import find_scenario, load_scenarios
from testbed.simulate import simulate
from testbed.trace.folder import load
from tests.simulation.parity import first_difference, told

RACES = {
    "tunnel_life/": "a charon that starts takes its time, and is asked once more meanwhile",
    "tunnel_life/esp_rekey": "charon has the responder change the keys, the model the initiator",
    "tunnel_life/ike_rekey": "likewise",
    "tunnel_life/moved": "charon looks whether the old way is still there, and changes keys too",
    "hnb_first_day/binding_lost": "a binding's new port, by chance, stands in Informs",
    "discovery_intranet/at_once": "who comes first gets the first inner address",
}
"""Where the arrows of two runs in the emulation, or of charon and its model, are not the same."""
OPEN = {
    **dict.fromkeys(
        (
            *("nat_binding_change_notification", "nat_binding_change_stun_auth"),
            *("nat_binding_change_loss", "nat_local_address_change", "nat_keepalive"),
            "nat_timeout_discovery",
            *("udp_connection_request", "udp_connection_request_forged"),
            *("udp_connection_request_reboot", "udp_connection_request_replay"),
        ),
        "ports by chance stand in STUN's attributes and in Informs, which are compared whole",
    ),
    **dict.fromkeys(
        ("association_disconnect", "association_lease_expiry"),
        "the emulation has one DISCOVER more; why was not found out yet",
    ),
    **dict.fromkeys(
        (
            *("nat_binding_discovery", "nat_no_translation"),
            *("nat_stun_disabled", "nat_stun_auth_failure"),
        ),
        "periodic Informs each second fall between other messages, on a loaded machine elsewhere",
    ),
    "hnb_first_day": "the date stands in UDP Connection Requests",
    "stun_server_conformance": "on a loaded machine a device's DHCP client asks twice at times",
    **dict.fromkeys(
        ("datamodel_conformance", "association_notification_limit"),
        "what is asked in which session depends on who is faster",
    ),
}
"""Scenarios whose two traces differ, and for which nobody has told right from wrong yet."""
SCENARIOS = [name for name in load_scenarios() if f"{name}/" not in RACES and name not in OPEN]
VARIANTS = [
    f"{scenario.name}/{variant}"
    for scenario in load_scenarios().values()
    for variant in scenario.variants
    if variant and f"{scenario.name}/{variant}" not in RACES
]


def played(folder: Path, engine: str, title: str) -> Path:
    """The folder of a run by the command line."""
    command = [sys.executable, "-m", "testbed", "run", title, "--engine", engine, "--seed", "1"]
    command += ["--quiet", "--out", str(folder / engine)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (run,) = (folder / engine).rglob("run.json")
    return run.parent


def compare(folder: Path, title: str) -> None:
    one, other = (played(folder, engine, title) for engine in ("emulation", "simulation"))
    ends = [json.loads((run / "run.json").read_text())["last_step"] for run in (one, other)]
    traces = load(one), load(other)

    assert sum(map(len, told(traces[0], ends[0]).values())) > 2, "nothing was there to compare"
    assert first_difference(*traces, *ends) == ""


@pytest.mark.emulation
@pytest.mark.parametrize("name", SCENARIOS)
def test_both_engines_say_the_same(name: str, tmp_path: Path) -> None:
    compare(tmp_path, f"{name}/")


@pytest.mark.emulation
@pytest.mark.soak
@pytest.mark.parametrize("title", VARIANTS)
def test_both_engines_say_the_same_in_every_variant(title: str, tmp_path: Path) -> None:
    compare(tmp_path, title)


def test_every_exception_is_a_scenario() -> None:
    for title in [*RACES, *(f"{name}/" for name in OPEN)]:
        name, _, variant = title.partition("/")
        find_scenario(name).find(variant)


def test_one_other_word_is_a_difference() -> None:
    scenario = find_scenario("discovery_public")
    one, other = (simulate(scenario, settings=each).trace for each in ({}, {"hnb_gw": "no"}))

    assert first_difference(one, other).startswith("hnb -> serving_hms, arrow 4 of 4 and 5")


def test_one_more_arrow_is_a_difference() -> None:
    scenario = find_scenario("lan_connectivity")
    one, other = simulate(scenario).trace, simulate(scenario, "nak").trace

    assert "udp Ack over home\n  simulation udp Nak over home" in first_difference(one, other)


def test_another_timing_is_none() -> None:
    scenario = find_scenario("discovery_public")
    one, other = (simulate(scenario, settings={"link.delay_ms": each}).trace for each in "19")

    assert first_difference(one, other) == ""
