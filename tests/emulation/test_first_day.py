"""An HNB's first day on real stacks, in all its forms, judged by every check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.emulation, pytest.mark.slow]


def test_no_check_fails_in_any_form(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "testbed", "run", "hnb_first_day", "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    folder = tmp_path / "hnb_first_day"
    judged = json.loads((folder / "verdicts.json").read_text())["verdicts"]
    passed = {each["requirement"] for each in judged if each["verdict"] == "PASS"}

    assert "FAIL" not in {each["verdict"] for each in judged}
    assert "3 of 3" in ended.stdout
    assert {"32583-5.1.1-2.3", "32583-5.1.2-6", "TR111-1.2.3-A2", "TR111-2.1-1"} <= passed
    assert (folder / "trace.pcapng").stat().st_size > 0
    assert (folder / "intranet/trace.pcapng").stat().st_size > 0
