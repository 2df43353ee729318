"""Discovery over IPsec as a user runs it: its results, its capture alone, and its sudden end."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.emulation import command, ground
from tests.emulation.test_run import on_the_host

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

VARIANTS = ("", "tunnel_kept", "other_mode", "serving_dead")
"""Those whose capture alone says least of what the HNB is about."""
KILLS = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs of the variants."""
    folder = tmp_path_factory.mktemp("intranet")
    names = [f"discovery_intranet/{each}" for each in VARIANTS]
    done = on_the_host(folder, "run", *names, "--jobs", "2", "--out", "out", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out" / "discovery_intranet"


def test_results_tell_strongswan_s_version(run: Path) -> None:
    told = json.loads((run / "run.json").read_text())["versions"]["strongSwan"]

    assert re.match(r"\d+\.\d+\.\d+", told)
    assert f"<td>strongSwan</td> <td>{told}</td>" in (run / "report.html").read_text()


@pytest.mark.parametrize("has_keys", [False, True], ids=["closed", "opened"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_capture_alone_is_judged_without_a_false_fail(
    variant: str, has_keys: bool, run: Path, tmp_path: Path
) -> None:
    folder = run / variant
    shutil.copy(folder / "trace.pcapng", tmp_path / "bare.pcapng")
    tables = ("ikev2_decryption_table", "esp_sa") if has_keys else ()
    keys = [word for each in tables for word in ("--keys", str(folder / "keys" / each))]
    done = on_the_host(tmp_path, "judge", "bare.pcapng", "--json", *keys)
    rows = json.loads(done.stdout)["verdicts"]

    assert [each for each in rows if each["verdict"] == "FAIL"] == []
    assert "PASS" in {each["verdict"] for each in rows}


def test_nothing_is_left_when_the_testbed_is_killed_while_tunnels_live() -> None:
    """No charon, no namespace, no device, no file, wherever in the ladder it dies."""
    signs = ("IKE_SA_INIT", "IKE_AUTH response", "TUNNEL_UP", "CWMP Inform", "REGISTRATION_START")

    def facts() -> None:
        command.set_up()
        dice = random.Random("kills")
        for number in range(KILLS):
            with ground.nothing_left():
                (command.OUT / "said").unlink(missing_ok=True)
                words = ("run", "discovery_intranet/", "--out", f"out{number}")
                pid = command.start(*words)
                command.await_word(signs[number % len(signs)])
                chain = [pid, *ground.children_of(pid)]
                os.kill(dice.choice(chain), signal.SIGKILL)
                ground.ended(pid)
                with ground.watchdog("the end of every charon"):
                    while ground.alive() != {1}:
                        os.sched_yield()

    ground.on_ground(facts, within_s=300)
