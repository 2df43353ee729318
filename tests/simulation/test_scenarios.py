"""Every scenario in virtual time, and what a user sees of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.engines.simulation.clock import NothingWillHappen
from testbed.registry import find_scenario, load_scenarios
from testbed.scenario import Scenario, Stage
from testbed.simulate import simulate
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
        (["--fault", "segw:ike.wrong-idr"], "a crafted peer makes real keys"),
        (["--shell-on-fail"], "over before anyone could type"),
        (["--set", "esp=kernel"], "no kernel, its ESP is modelled"),
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
