"""Every scenario in virtual time, and what a user sees of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.single_faults import (
    KINDS,
    WITHOUT,
    Case,
    EndlessLoop,
    OneFault,
    Outcome,
    at_most,
    cases,
    check,
    outcome_of,
    packets_of,
    sample,
)
from testbed.engines.simulation.clock import NothingWillHappen
from testbed.engines.simulation.links import Fate
from testbed.engines.simulation.packets import Packet
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.registry import find_scenario, load_scenarios
from testbed.scenario import Scenario, Stage
from testbed.simulate import Simulated, simulate
from topologies.homes import home_on_internet

TITLES = [
    (scenario.name, variant)
    for scenario in load_scenarios().values()
    for variant in scenario.variants
]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed", "run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(("name", "variant"), TITLES, ids=lambda each: each or "main")
def test_every_variant_is_completed(name: str, variant: str) -> None:
    result = simulate(find_scenario(name), variant)

    assert result.is_completed, result.missed or result.stuck or result.crashes or result.broken


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["discovery_public", "lan_connectivity"])
def test_a_flow_recovers_from_a_single_fault_of_the_network(name: str, kind: str) -> None:
    frames = packets_of(find_scenario(name), "")
    for number in range(1, frames + 1, 7):
        assert check(Case(name, "", kind, number, frames))[1].is_recovered, number


def test_a_sample_of_single_faults_comes_to_nothing_without_a_name() -> None:
    """Drawn by a fixed seed from every main scenario; `make nightly` plays them all."""
    every = cases([f"{name}/" for name in load_scenarios()])
    outcomes = [check(each) for each in sample(every, share=0.01, seed="1")]

    assert len(outcomes) > 60
    assert [(each.title, came_to) for each, came_to in outcomes if came_to.is_wrong] == []


def judged(**changes: Any) -> Outcome:
    """Of a run that has missed a step and told nothing, but for what is given."""
    undisturbed = simulate(find_scenario("lan_connectivity")).trace
    result = Simulated(undisturbed, missed="step 1 did not happen")
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
    trace = simulate(find_scenario("udp_connection_request")).trace
    sent = next(each for each in trace.records if each.find(UdpConnectionRequest))
    assert sent.frame is not None
    struck = (sent.link, Packet("", "", 17, sent.frame.data[34:]))
    result = Simulated(trace, missed="step 1 did not happen")
    told = outcome_of(result, struck, lambda: False, lambda: trace)

    assert told.name.startswith("missed: nobody acknowledges a UDP Connection Request")
    assert not told.is_wrong


def test_a_failure_counts_only_where_it_is_not_usual() -> None:
    usual = simulate(find_scenario("lan_connectivity")).trace
    failing = simulate(find_scenario("lan_connectivity"), "no_lease").trace
    result = Simulated(failing, missed="step 1 did not happen")
    told = [
        outcome_of(result, None, lambda: False, lambda trace=trace: trace)
        for trace in (usual, failing)
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
    with pytest.raises(EndlessLoop), at_most(0.01):
        time.sleep(60)


@pytest.mark.soak
@pytest.mark.parametrize("name", [each for each in load_scenarios() if f"{each}/" not in WITHOUT])
def test_every_single_fault_of_the_network(name: str) -> None:
    words = [sys.executable, "bench/single_faults.py", name]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)

    print(ended.stdout)  # noqa: T201 -- the table
    assert ended.returncode == 0, ended.stdout


def test_a_deadlock_is_told_with_the_scenarios_step() -> None:
    async def waits(at: Stage) -> None:
        import asyncio

        await asyncio.get_running_loop().create_future()

    scenario = Scenario("waits", home_on_internet, 10, "waits")
    scenario.variant("")(waits)
    result = simulate(scenario)

    assert result.stuck.startswith("nothing will ever happen: waiting for")
    assert "the scenario" in result.stuck
    assert issubclass(NothingWillHappen, Exception)


def test_a_run_tells_its_engine_and_what_is_modelled(tmp_path: Path) -> None:
    ended = run("lan_connectivity/", "--engine", "simulation", "--out", str(tmp_path))
    told = json.loads((tmp_path / "lan_connectivity" / "run.json").read_text())
    report = (tmp_path / "lan_connectivity" / "report.html").read_text()

    assert ended.returncode == 0, ended.stderr
    assert "engine simulation" in ended.stdout
    assert told["engine"] == "simulation"
    assert set(told["modelled"]) == {"network", "nat", "tls", "tunnels"}
    assert "modelled: tls" in report
    assert "mininet" not in told["versions"]


def test_a_run_is_repeated_in_the_same_engine(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    run("lan_connectivity/", "--engine", "simulation", "--out", str(one))
    ended = run("--again", str(one), "--out", str(other))
    captures = [each / "lan_connectivity" / "trace.pcapng" for each in (one, other)]

    assert ended.returncode == 0, ended.stderr
    assert captures[0].read_bytes() == captures[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cast", "outer_dns=bind"], "programs need real namespaces"),
        (["--shell-on-fail"], "over before anyone could type"),
        (["--set", "engine.tls=false"], "value for --set engine.tls"),
        (["--set", "engine.speed=9"], "setting of the simulation"),
        (["--set", "link.loss=2"], "loss is 2; it may be 0 to 1"),
        (["--set", "link.moon.loss=0.1"], "no link is called 'moon'"),
    ],
)
def test_what_the_simulation_cannot_do_is_told(words: list[str], sentence: str) -> None:
    ended = run("lan_connectivity/", "--engine", "simulation", *words)

    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_emulation_refuses_what_only_the_simulation_has() -> None:
    ended = run("lan_connectivity/", "--set", "engine.tls=real")

    assert ended.returncode == 2
    assert "use --engine simulation" in ended.stderr


def test_openssl_is_there_by_choice(tmp_path: Path) -> None:
    words = ("--engine", "simulation", "--set", "engine.tls=real", "--out", str(tmp_path))
    ended = run("discovery_public/", *words)
    told = json.loads((tmp_path / "discovery_public" / "run.json").read_text())

    assert ended.returncode == 0, ended.stderr
    assert told["modelled"]["tls"].startswith("OpenSSL")
    assert (tmp_path / "discovery_public" / "keys" / "tls.log").stat().st_size > 0


def test_a_lossy_link_is_recovered_from(tmp_path: Path) -> None:
    words = ("--engine", "simulation", "--set", "link.loss=0.05", "--seed", "5")
    ended = run("discovery_public/", *words, "--out", str(tmp_path))

    assert ended.returncode == 0, ended.stdout


def test_ctrl_c_ends_a_simulation_in_order(tmp_path: Path) -> None:
    words = ["discovery_public", "--engine", "simulation", "--out", str(tmp_path), "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.rglob("events.jsonl")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in complaint


def test_nothing_of_the_emulation_is_needed() -> None:
    program = (
        "import sys\n"
        "for name in ('mininet', 'pyroute2'):\n"
        "    sys.modules[name] = None\n"
        "from testbed.registry import find_scenario\n"
        "from testbed.simulate import simulate\n"
        "for name in ('discovery_public', 'discovery_intranet'):\n"
        "    assert simulate(find_scenario(name)).is_completed\n"
        "print([name for name in sys.modules if 'emulation' in name])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"
