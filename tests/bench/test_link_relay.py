from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "bench" / "link_relay.py"


@pytest.mark.emulation
def test_the_relay_is_measured_beside_a_wire(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    command = [sys.executable, str(FILE), "--packets", "20", "--seconds", "0.1"]
    command += ["--most-ms", "1000", "--json", str(told)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    rows = json.loads(told.read_text())["rows"]

    assert ended.returncode == 0, ended.stderr
    assert {each["link"] for each in rows} >= {"veth and bridge", "relay, 0 ms", "relay, 20 ms"}
    assert all(value > -1 for each in rows for value in each["values"].values())
    assert ended.stdout.count("\n") == len(rows)
