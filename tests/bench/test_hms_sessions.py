from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import hms_sessions as bench

BENCH = Path(__file__).resolve().parents[2] / "bench/hms_sessions.py"


def test_rates_are_of_the_clock_and_of_the_processor() -> None:
    row = bench.Row("clear", "kept", 1000, 2.0, 0.5)

    assert row.rate == 500
    assert row.rate_of_core == 2000
    assert bench.table([row]).splitlines()[-1].split() == [
        *("clear", "kept", "1000", "500", "2000")
    ]


@pytest.mark.emulation
def test_every_row_is_measured_in_one_run(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = ["--seconds", "0.2", "--json", str(figures)]
    subprocess.run([sys.executable, str(BENCH), *words], check=True, capture_output=True)
    rows = json.loads(figures.read_text())["rows"]

    assert [(row["protection"], row["connections"]) for row in rows] == [
        *(("clear", "kept"), ("clear", "new"), ("TLS", "kept"), ("TLS", "new"))
    ]
    assert all(row["sessions"] > 0 for row in rows)
