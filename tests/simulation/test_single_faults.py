"""Single faults of the network: the flows recover, and what does not has a name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from bench.single_faults import FLOODS, cases, part_of, variants, version
from testbed.engines.simulation.links import Fate
from testbed.engines.simulation.packets import Packet
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.registry import find_scenario, load_scenarios
from testbed.simulate import Simulated, simulate
from testbed.single_faults import (
    KINDS,
    RECOVERED,
    Case,
    EndlessLoop,
    OneFault,
    Outcome,
    at_most,
    check,
    few_of_each,
    outcome_of,
    packets_of,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["discovery_public", "lan_connectivity"])
def test_a_flow_recovers_from_a_single_fault_of_the_network(name: str, kind: str) -> None:
    frames = len(packets_of(find_scenario(name), ""))
    for number in range(1, frames + 1, 7):
        assert check(Case(name, "", kind, number, frames))[1].is_recovered, number


def test_a_sample_of_single_faults_comes_to_nothing_without_a_name() -> None:
    """Every hundredth of every main scenario; `make sweep` plays them all."""
    every = chain.from_iterable(cases(name, "") for name in load_scenarios())
    outcomes = [check(each) for each in part_of(every, 1, 100)]

    assert len(outcomes) > 60
    assert [(each.title, came_to) for each, came_to in outcomes if came_to.is_wrong] == []


EARLY_END = "failed cleanly: FAILED is told as usual, but before the step"
SAME_END = "missed: not by this message, but all came to the same end"
UNHEARD = "missed: nobody acknowledges a UDP Connection Request (TR-111 Part 2, 2.2.2.3)"
ANOTHER_ORDER = "missed: it came, but in another order than the steps'"
FOUND = [
    ("lan_connectivity/dns_silent", 8, "lost", EARLY_END),  # the first query
    ("lan_connectivity/nak", 4, "lost", SAME_END),  # the NAK
    ("dm_bootstrap_failure/dm_server_dead", 19, "lost", RECOVERED),  # a SYN that is sent again
    ("association_gateway_change/class_dropped", 78, "lost", RECOVERED),  # the renewal's ACK
    ("discovery_public/black_hole", 45, "overtaken", RECOVERED),  # ICMP that the link drops
    ("association_discover/address_in_use", 37, "lost", RECOVERED),  # an ARP probe
    ("association_discover/address_in_use", 47, "lost", RECOVERED),  # two orders are right
    ("association_inform/late_server", 15, "lost", RECOVERED),  # an ACK that is sent again
    ("nat_binding_discovery/by_address", 59, "lost", RECOVERED),  # either server is told first
    ("udp_connection_request/managed_gateway", 65, "lost", RECOVERED),  # likewise
    ("nat_binding_change_stun_auth/asked", 41, "lost", RECOVERED),  # bound before it has answered
    ("hnb_first_day/binding_lost", 237, "overtaken", ANOTHER_ORDER),  # one challenge more
    ("udp_connection_request_forged/", 134, "lost", UNHEARD),  # a malformed one
    ("stun_server_conformance/off_path", 76, "lost", RECOVERED),  # the lie
    ("stun_server_conformance/copies", 5, "lost", RECOVERED),  # the second answer
    ("stun_server_conformance/computations", 27, "lost", RECOVERED),  # an answer
    ("discovery_intranet/factory_reset", 189, "lost", RECOVERED),  # an answer of who leaves at once
    ("tunnel_life/reboot", 183, "lost", RECOVERED),  # likewise
]


@pytest.mark.parametrize(("title", "number", "kind", "came_to"), FOUND)
def test_what_sweeps_have_found(title: str, number: int, kind: str, came_to: str) -> None:
    name, _, variant = title.partition("/")

    assert check(Case(name, variant, kind, number, frames=500))[1].name == came_to


def test_an_early_end_counts_only_where_an_end_of_the_step_tells_it() -> None:
    scenario = find_scenario("lan_connectivity")
    usual = simulate(scenario, "dns_silent")
    lost = simulate(scenario, "dns_silent", judge=OneFault(8, KINDS["lost"]))
    assert lost.awaited is not None
    lost.awaited = replace(lost.awaited, origin="gateway")
    told = outcome_of(lost, None, lambda: False, lambda: usual)

    assert told.is_wrong


def test_another_end_is_not_the_same_end() -> None:
    scenario = find_scenario("lan_connectivity")
    usual = simulate(scenario, "nak")
    lost = simulate(scenario, "nak", judge=OneFault(4, KINDS["lost"]))
    lost.trace.records = [each for each in lost.trace.records if not each.is_event]
    told = outcome_of(lost, None, lambda: False, lambda: usual)

    assert told.is_wrong


def judged(**changes: Any) -> Outcome:
    """Of a run that has missed a step and told nothing, but for what is given."""
    undisturbed = simulate(find_scenario("lan_connectivity"))
    result = Simulated(undisturbed.trace, missed="step 1 did not happen")
    for name, value in changes.items():
        setattr(result, name, value)
    return outcome_of(result, None, lambda: False, lambda: undisturbed)


def test_what_a_network_may_not_bring_about_is_found() -> None:
    assert judged(missed="").is_recovered
    assert judged().name == "missed, and nobody knows why"
    assert judged(is_idle=True).name.startswith("hangs")
    assert judged(broken=["hnb -> outer_dns"]).name == "what must never be was"
    assert judged(stuck="nothing will ever happen").name == "deadlocked"
    assert judged(crashes=[("hnb", ValueError())]).told == "hnb: ValueError()"
    assert judged(seconds=1e6).name == "took too long"
    for changes in ({}, {"is_idle": True}, {"broken": ["x"]}, {"stuck": "x"}, {"seconds": 1e6}):
        assert judged(**changes).is_wrong


def test_what_nobody_acknowledges_may_be_lost() -> None:
    usual = simulate(find_scenario("udp_connection_request"))
    sent = next(each for each in usual.trace.records if each.find(UdpConnectionRequest))
    assert sent.frame is not None
    struck = (sent.link, Packet("", "", 17, sent.frame.data[34:]))
    result = Simulated(usual.trace, missed="step 1 did not happen")
    told = outcome_of(result, struck, lambda: False, lambda: usual)

    assert told.name.startswith("missed: nobody acknowledges a UDP Connection Request")
    assert not told.is_wrong


def test_a_failure_counts_only_where_it_is_not_usual() -> None:
    usual = simulate(find_scenario("lan_connectivity"))
    failing = simulate(find_scenario("lan_connectivity"), "no_lease")
    result = Simulated(failing.trace, missed="step 1 did not happen")
    told = [
        outcome_of(result, None, lambda: False, lambda run=run: run) for run in (usual, failing)
    ]

    assert [each.name for each in told] == [
        "failed cleanly: FAILED is told",
        "missed, and nobody knows why",
    ]


def test_a_run_that_sends_without_end_is_cut_off() -> None:
    judge = OneFault(2, KINDS["lost"], most=3)
    fates = [judge("home", None) for _ in range(5)]  # type: ignore[arg-type]

    assert fates == [None, KINDS["lost"], None, Fate(()), Fate(())]
    assert judge.is_endless


def test_a_run_that_goes_round_without_end_is_cut_off_wherever_it_does() -> None:
    def goes_round(link: str, content: object) -> Fate:
        while True:
            pass

    with pytest.raises(EndlessLoop), at_most(0.05):
        simulate(find_scenario("lan_connectivity"), judge=goes_round)


def swept(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/single_faults.py", "--out", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sweep_goes_on_where_the_one_before_has_ended(tmp_path: Path) -> None:
    first = swept(tmp_path, "lan_connectivity/no_lease")
    second = swept(tmp_path, "lan_connectivity/no_lease", "lan_connectivity/dns_silent")
    result = json.loads((tmp_path / "lan_connectivity" / "no_lease.json").read_text())

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "9 runs in" in first.stdout
    assert "(0 of them known from before), 0 no good" in first.stdout
    assert "48 runs in" in second.stdout
    assert "(9 of them known from before), 0 no good" in second.stdout
    assert result["version"] == version()
    assert result["came_to"] == {kind: {RECOVERED: 3} for kind in KINDS}


def test_what_another_version_came_to_is_swept_again(tmp_path: Path) -> None:
    swept(tmp_path, "lan_connectivity/no_lease")
    path = tmp_path / "lan_connectivity" / "no_lease.json"
    path.write_text(path.read_text().replace(version(), "another"))

    assert "(0 of them known" in swept(tmp_path, "lan_connectivity/no_lease").stdout
    assert version() in path.read_text()


def test_a_sweep_tells_what_did_not_recover(tmp_path: Path) -> None:
    told = swept(tmp_path, "lan_connectivity/nak", "--missed").stdout
    path = tmp_path / "lan_connectivity" / "nak.json"
    result = json.loads(path.read_text())
    (missed,) = result["not_recovered"]
    path.write_text(json.dumps(result | {"not_recovered": [missed | {"is_wrong": True}]}))
    again = swept(tmp_path, "lan_connectivity/nak")

    assert f"lan_connectivity/nak packet 4 lost: {SAME_END}" in told
    assert again.returncode == 1
    assert "1 no good" in again.stdout


def test_the_parts_are_the_whole() -> None:
    every = list(cases("lan_connectivity", "nak"))
    parts = [set(part_of(iter(every), number, 10)) for number in range(1, 11)]

    assert len(every) == 51
    assert sorted(map(len, parts)) == [5] * 9 + [6]
    assert set.union(*parts) == set(every)


@pytest.mark.parametrize("part", ["0/10", "11/10", "3", "a/b", "1/0"])
def test_what_is_no_part_is_told(part: str, tmp_path: Path) -> None:
    ended = swept(tmp_path, "--part", part)

    assert ended.returncode == 2
    assert f"'{part}' is no part of a whole, as 3/10 is" in ended.stderr


def test_a_sweep_of_all_has_every_variant() -> None:
    every = {f"{name}/{variant}" for name, variant in variants(list(load_scenarios()))}
    known = {f"{each.name}/{key}" for each in load_scenarios().values() for key in each.variants}

    assert every == known
    assert known > FLOODS


def test_of_packets_that_are_alike_few_are_struck_the_first_and_the_last_among_them() -> None:
    packets = [*("flood",) * 100, "end", *("flood",) * 100, "last"]

    assert few_of_each(packets, 3) == [1, 100, 101, 201, 202]
    assert few_of_each(packets, 1) == [1, 101, 202]
    assert few_of_each(packets, 1000) == list(range(1, 203))


def test_packets_of_one_connection_differ_by_way_flags_and_whether_they_carry_anything() -> None:
    packets = packets_of(find_scenario("discovery_public"), "")

    assert len(packets) / 3 < len(set(packets)) < len(packets)
    assert packets.count(packets[-1]) < len(packets) / 10
