"""Third parties' programs in the place of roles, from the command line to the verdict."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from testbed.external import PROGRAMS, find_program
from tests.emulation import ground

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

SCENARIOS = """\
import os
import signal

from testbed.protocols import dns
from testbed.scenario import Stage, scenario
from topologies.homes import home_on_internet


@scenario(home_on_internet, step_s=20)
async def killed(at: Stage) -> None:
    at.hnb.power_on()
    await at.tells(at.hnb, "RESOLVED")
    os.kill(at.outer_dns.process.pid, signal.SIGTERM if at.variant else signal.SIGKILL)
    await at.sees(at.hnb, "->", at.outer_dns, dns.Answer)  # never comes


killed.variant("terminated")(killed.variants[""].function)


@scenario(home_on_internet, step_s=20)
async def power_cuts(at: Stage) -> None:
    for _ in range(3):
        at.outer_dns.power_off()
        at.gateway.power_off()
        at.outer_dns.power_on()
        at.gateway.power_on()
        await at.tells(at.outer_dns, "READY")
        at.hnb.power_on()
        await at.tells(at.hnb, "RESOLVED")
        at.hnb.power_off()


@scenario(home_on_internet, device=True)
async def leased_device(at: Stage) -> None:
    at.device.power_on()
    await at.tells(at.device, "CONNECTED")
    await at.tells(at.device, "RESOLVED", addresses=["203.0.113.20"])


@scenario(home_on_internet)
async def left_alone(at: Stage) -> None:
    await at.tells(at.hnb, "NEVER", within_s=60)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's folder with the scenarios above."""
    (tmp_path / "own/scenarios").mkdir(parents=True)
    (tmp_path / "own/scenarios/for_casts.py").write_text(SCENARIOS)
    return tmp_path / "own"


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "testbed", "run", *map(str, words)]


def run(*words: str | Path) -> tuple[int, str]:
    """Exit status and all that was said."""
    done = subprocess.run(
        command(*words),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


@pytest.mark.parametrize("server", ["bind", "unbound"])
def test_lan_connectivity_passes_with_foreign_servers(server: str, tmp_path: Path) -> None:
    cast = ["--cast", f"outer_dns={server}", "--cast", "gateway=dnsmasq"]

    status, said = run("lan_connectivity/", *cast, "--out", tmp_path / "out")

    assert status == 0, said
    assert "lan_connectivity  PASS     2 PASS" in said
    folder = tmp_path / "out/lan_connectivity"
    players = told(folder)["cast"]
    assert players["outer_dns"] == {"program": server, "version": find_program(server).version()}
    assert players["hnb"]["program"] == "ours"
    assert f"outer_dns={server} " in (folder / "report.html").read_text()
    assert (folder / "logs/outer_dns.log").stat().st_size > 0
    assert "DHCPACK(eth0)" in (folder / "logs/gateway.log").read_text()


@pytest.mark.parametrize(
    ("cast", "passed"),
    [
        ("gateway=dnsmasq", ("TR111-1.2.1-G2b", "TR111-1.2.2-D2")),
        ("gateway=kea", ("TR111-1.2.1-G2b", "TR111-1.2.2-D2")),
        ("device=udhcpc", ("TR111-1.2.2-D1b", "TR111-1.2.5-O2")),
        ("device=dhclient", ("TR111-1.2.2-D1b", "TR111-1.2.5-O2")),
    ],
)
def test_foreign_programs_tell_their_identities(
    cast: str, passed: tuple[str, ...], tmp_path: Path
) -> None:
    status, said = run("association_discover/dhcp_only", "--cast", cast, "--out", tmp_path / "out")

    assert status == 0, said
    assert "completed" in said
    file = tmp_path / "out/association_discover/verdicts.json"
    judged = json.loads(file.read_text())["verdicts"]
    verdicts = {each["requirement"]: each["verdict"] for each in judged}
    assert {verdicts[each] for each in passed} == {"PASS"}
    assert "FAIL" not in verdicts.values()


def test_a_variant_that_only_our_role_can_play_is_inconclusive_and_runs_again(
    tmp_path: Path,
) -> None:
    first = tmp_path / "first/lan_connectivity/dns_silent"
    status, said = run(
        "lan_connectivity/dns_silent", "--cast", "outer_dns=bind", "--out", tmp_path / "first"
    )
    again, said_again = run("--again", first, "--out", tmp_path / "again")

    reason = "outer_dns is played by bind, which has no 'zone': its zone is fixed when it starts"
    assert (status, again) == (0, 0)
    assert f"lan_connectivity/dns_silent: INCONCLUSIVE: {reason}" in said
    assert f"lan_connectivity/dns_silent: INCONCLUSIVE: {reason}" in said_again
    assert told(first)["outcome"] == "unsupported"


def test_a_device_leases_and_asks_by_busybox(own: Path, tmp_path: Path) -> None:
    status, said = run(
        "leased_device", "--with", own, "--cast", "device=udhcpc", "--out", tmp_path / "out"
    )

    assert status == 0, said
    log = (tmp_path / "out/leased_device/logs/device.log").read_text()
    assert "udhcpc: lease of 192.168.1.100 obtained from 192.168.1.1" in log


@pytest.mark.parametrize(
    ("variant", "end"),
    [("", "was killed by SIGKILL"), ("terminated", "ended with status 0")],
    ids=["killed", "terminated"],
)
def test_a_program_that_ends_in_mid_run_crashes_the_run(
    variant: str, end: str, own: Path, tmp_path: Path
) -> None:
    status, said = run(
        f"killed/{variant}", "--with", own, "--cast", "outer_dns=bind", "--out", tmp_path / "out"
    )

    assert status == 1
    assert f"role outer_dns (bind) crashed: {end}; last log lines of logs/outer_dns.log:" in said
    assert "log        " in said
    folder = tmp_path / "out/killed" / variant
    assert told(folder)["outcome"] == "crashed"
    assert '"event": "EXITED"' in (folder / "events.jsonl").read_text()


def test_programs_survive_power_cuts(own: Path, tmp_path: Path) -> None:
    cast = ["--cast", "outer_dns=bind", "--cast", "gateway=dnsmasq"]

    status, said = run("power_cuts", "--with", own, *cast, "--out", tmp_path / "out")

    assert status == 0, said
    log = (tmp_path / "out/power_cuts/logs/outer_dns.log").read_text()
    assert log.count("all zones loaded") == 4


def test_a_missing_program_ends_with_3_and_names_its_package(tmp_path: Path) -> None:
    """A machine that has not installed it: its folder of programs is an empty one."""
    hidden = tmp_path / "empty"
    hidden.mkdir()
    script = 'mount --bind "$0" /usr/sbin && exec "$@"'
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    wanted = command("lan_connectivity/", "--cast", "outer_dns=bind", "--out", tmp_path / "out")
    done = subprocess.run(
        ["unshare", *user, "--mount", "sh", "-c", script, hidden, *wanted],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr == (
        "testbed: the cast bind needs the program named, which this machine lacks; "
        "as root run: apt-get install --no-install-recommends bind9\n"
    )
    assert not (tmp_path / "out/lan_connectivity").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_nothing_of_a_cast_is_left_when_the_testbed_is_ended(number: signal.Signals) -> None:
    def facts() -> None:
        with ground.nothing_left():
            place = Path(tempfile.mkdtemp())
            (place / "scenarios").mkdir()
            (place / "scenarios/for_casts.py").write_text(SCENARIOS)
            cast = ["--cast", "outer_dns=bind", "--cast", "gateway=dnsmasq"]
            words = command("left_alone", "--with", place, *cast, "--out", place / "out")
            running = subprocess.Popen(
                words,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert running.stdout is not None
            with ground.watchdog("both programs' start"):
                ready = 0
                while ready < 2:
                    ready += "READY" in running.stdout.readline()
            running.send_signal(number)
            with ground.watchdog("the testbed's end"):
                running.communicate()
            with ground.watchdog("the end of the programs"):
                while ground.alive() != {1}:
                    os.sched_yield()
            shutil.rmtree(place)

    ground.on_ground(facts)


def test_every_program_of_a_cast_is_on_this_machine() -> None:
    """`make test` has installed them all."""
    for name in PROGRAMS:
        assert find_program(name).version()
