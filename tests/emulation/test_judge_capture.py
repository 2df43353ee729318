"""A capture of one link, as a field engineer brings it, judged with names and with key logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.trace.pcapng_reader import load_capture
from tests.commands.test_judge_capture import pcap
from tests.emulation.test_run import on_the_host

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

WHO = """
[hnb]
addresses = ["{hnb}"]
[gateway]
addresses = ["192.168.1.1", "203.0.113.100"]
[outer_dns]
addresses = ["203.0.113.53"]
[initial_hms]
addresses = ["203.0.113.20"]
[serving_hms]
addresses = ["203.0.113.21"]
[serving_segw]
addresses = ["203.0.113.50"]
"""
SEEN_IN_CLEAR_ONLY = "32583-5.1.2-6"


def verdicts(folder: Path, *words: str) -> dict[str, str]:
    done = on_the_host(
        folder, "judge", "field.pcap", "--scenario", "discovery_public", "--json", *words
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {row["requirement"]: row["verdict"] for row in json.loads(done.stdout)["verdicts"]}


def test_a_capture_of_the_home_is_judged_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    assert on_the_host(tmp_path, "run", "discovery_public/", "--out", "out").returncode == 0
    run = tmp_path / "out" / "discovery_public"
    frames = [each for each in load_capture(run / "trace.pcapng").frames if each.link == "home"]
    (tmp_path / "field.pcap").write_bytes(pcap(frames))
    (tmp_path / "who.toml").write_text(WHO.format(hnb="192.168.1.100"))
    closed = verdicts(tmp_path, "--names", "who.toml")
    opened = verdicts(tmp_path, "--names", "who.toml", "--keys", str(run / "keys" / "tls.log"))

    assert "FAIL" not in {*closed.values(), *opened.values()}
    assert closed[SEEN_IN_CLEAR_ONLY] == "INCONCLUSIVE"
    assert opened[SEEN_IN_CLEAR_ONLY] == "PASS"
    assert closed["32583-5.1.2-2"] == "PASS", "the name is asked for in clear"
