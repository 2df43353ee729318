"""The arrows of a scenario on every link, with all that they say, are the same on both engines."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.protocols import stun
from testbed.protocols.wire import Endpoint
from testbed.registry import find_scenario, load_scenarios
from testbed.simulate import simulate
from testbed.trace.folder import load
from testbed.trace.record import Record
from tests.simulation.copies import superfluous
from tests.simulation.labels import Labels
from tests.simulation.parity import (
    Conversation,
    first_difference,
    joined_by_period,
    periodic_of,
    told,
)

RACES = {
    "association_notification_limit/read_at_once": "the ACS asks while it is told, or after",
    **dict.fromkeys(
        (
            "datamodel_conformance/connection_requests_device",
            "datamodel_conformance/connection_requests_gateway",
        ),
        "the ACS reads a binding in the session that switches STUN on: it is there, or not",
    ),
    "nat_stun_auth_failure/no_username": "the last keep-alive falls before the end, or after",
}
"""Where two runs in the emulation differ, too, and why."""
TRIES = 3
SCENARIOS = [name for name in load_scenarios() if f"{name}/" not in RACES]
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
    """The simulation has to be what the emulation shows in one run of `TRIES`.

    A real clock orders what nothing else does, and two runs of the emulation may differ in that.
    """
    theirs = played(folder, "simulation", title)
    differences = []
    for number in range(TRIES):
        ours = played(folder / str(number), "emulation", title)
        ends = [json.loads((run / "run.json").read_text())["last_step"] for run in (ours, theirs)]
        traces = load(ours), load(theirs)
        assert sum(len(each.arrows) for each in told(traces[0])) > 2, "nothing to compare"
        differences.append(first_difference(*traces, *ends))
        if not differences[-1]:
            return
        logging.getLogger(__name__).warning("once different: %s", differences[-1])
    pytest.fail("\n".join(differences), pytrace=False)


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
    for title in RACES:
        name, _, variant = title.partition("/")
        find_scenario(name).find(variant)


def test_one_other_word_is_a_difference() -> None:
    scenario = find_scenario("discovery_public")
    one, other = (simulate(scenario, settings=each).trace for each in ({}, {"hnb_gw": "no"}))

    assert first_difference(one, other).startswith("hnb and initial_hms by tcp 443, arrow 6 of")


def test_one_more_arrow_is_a_difference() -> None:
    scenario = find_scenario("lan_connectivity")
    one, other = simulate(scenario).trace, simulate(scenario, "nak").trace

    assert first_difference(one, one) == ""
    assert "arrow 3 of 2 and 4" in first_difference(one, other)


def test_one_conversation_more_is_a_difference() -> None:
    scenario = find_scenario("nat_binding_discovery")
    one, other = simulate(scenario).trace, simulate(scenario, "by_address").trace

    assert first_difference(one, other).startswith(
        "device and outer_dns by udp 53, arrow 1 of 1 and 0"
    )
    assert "emulation  nothing" in first_difference(other, one)


def test_another_timing_is_none() -> None:
    scenario = find_scenario("discovery_public")
    one, other = (simulate(scenario, settings={"link.delay_ms": each}).trace for each in "19")

    assert first_difference(one, other) == ""


def test_other_draws_are_none() -> None:
    scenario = find_scenario("udp_connection_request")
    one, other = (simulate(scenario, seed=each).trace for each in "12")

    assert first_difference(one, other) == ""


def test_a_port_by_chance_stays_the_same_one_wherever_it_is_told() -> None:
    inside, outside, server = (Endpoint(each, 0) for each in ("10.0.0.2", "192.0.2.1", "192.0.2.9"))

    def name(asked: int, mapped: int, text: bytes) -> bytes:
        stun = Endpoint(server.address, 3478)
        records = [
            Record(0, 0, "home", "hnb", "gateway", "udp", Endpoint(inside.address, asked), stun),
            Record(
                1, 0, "internet", "gateway", "x", "udp", Endpoint(outside.address, mapped), stun
            ),
        ]
        return Labels(records).in_text(text)

    told = name(40001, 50001, b"I am 192.0.2.1:50001, of 10.0.0.2:40001")
    assert told == b"I am 192.0.2.1:<3478#1>, of 10.0.0.2:<3478#1>"
    assert told == name(45000, 1025, b"I am 192.0.2.1:1025, of 10.0.0.2:45000")
    assert told != name(45000, 1025, b"I am 192.0.2.1:1026, of 10.0.0.2:45000")
    assert name(7547, 1025, b"10.0.0.2:7547") == b"10.0.0.2:7547"


def test_what_is_answered_late_is_asked_once() -> None:
    scenario = find_scenario("nat_binding_discovery")
    quick, slow = (
        simulate(scenario, settings={"link.delay_ms": each}).trace for each in ("1", "60")
    )
    silent = simulate(find_scenario("nat_keepalive"), "silent_server").trace

    assert superfluous(quick.arrows) == set()
    copies = [each for each in slow.arrows if each.first.number in superfluous(slow.arrows)]
    assert {type(each.message) for each in copies} == {stun.BindingRequest, stun.BindingResponse}
    assert superfluous(silent.arrows) == set()


INFORM, ASK, ANSWER, END = ("Inform", "ok", ""), ("Get",), ("Got",), ("204",)


def session(*words: str, due: int = 99, events: str = "2 PERIODIC", **more: Any) -> Conversation:
    """A session; "" and "204" are its messages without a body."""
    arrows: list[Any] = [(word,) for word in words]
    empty = [place for place, word in enumerate(words) if word in ("", "204")]
    between = ("cpe", "acs", "tcp 443")
    return Conversation(between, arrows, min(due, len(words)), empty, frozenset({events}), **more)


def parted(*sessions: Conversation) -> tuple[str, ...]:
    """All that is asked in them."""
    *_, asked = joined_by_period(list(sessions), {session().between})
    assert asked.between[-1] == "asked"
    return tuple(str(word) for (word, *_) in asked.arrows)


def test_which_session_of_a_period_a_question_falls_in_is_for_the_clock() -> None:
    early = session(*INFORM, *ASK, *ANSWER, *ASK, *ANSWER, *END), session(*INFORM, *END)
    late = session(*INFORM, *END), session(*INFORM, *ASK, *ANSWER, *END)
    last = session(*INFORM, *ASK, *ANSWER, *END, events="4 VALUE CHANGE")

    assert parted(*early) == parted(*late, last) == ("Get", "Got", "Get", "Got")
    assert all(each.arrows == session(*INFORM, *END).arrows for each in (*early, *late, last))


def test_a_name_for_which_each_session_of_a_period_asks_counts_once() -> None:
    def query(name: str) -> Conversation:
        return Conversation(("cpe", "dns", "udp 53"), [(name,)])  # type: ignore[list-item]

    conversations = [session(*INFORM, *END), query("acs"), query("acs"), query("stun")]
    found = joined_by_period(conversations, periodic_of(conversations))

    assert [each.arrows for each in found[1:]] == [[("acs",)], [("stun",)]]
    assert len(joined_by_period([query("acs"), query("acs")], set())) == 2


def test_where_nothing_is_periodic_the_session_counts() -> None:
    bootstrap = session(*INFORM, *ASK, *ANSWER, *END, events="0 BOOTSTRAP")

    assert joined_by_period([bootstrap], periodic_of([bootstrap])) == [bootstrap]
    assert len(bootstrap.arrows) == 6


def test_a_connection_that_is_cut_off_is_compared_as_far_as_it_went() -> None:
    whole = session("Inform", "ok", due=1)

    assert session("Inform").differs(session("Inform", "ok")) == 1
    assert session("Inform", is_open=True).differs(session("Inform", "ok")) is None
    assert session("Inform", due=1).differs(whole) is None
