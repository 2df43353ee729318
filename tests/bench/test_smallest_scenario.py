from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import smallest_scenario as bench


def test_ratios_are_those_of_the_medians_to_pythons_own_start() -> None:
    taken = {bench.BASE: [0.02, 0.03, 0.02], "testbed run": [0.4, 0.4, 4.0]}
    base, run = bench.rows(taken)

    assert (base["ratio"], run["ratio"]) == (1.0, 20.0)
    assert (run["median_s"], run["best_s"], run["worst_s"]) == (0.4, 0.4, 4.0)
    assert "testbed run" in bench.table([base, run])


def test_the_first_round_is_not_counted() -> None:
    taken = bench.measure({"nothing": [sys.executable, "-S", "-c", "pass"]}, times=2)

    assert len(taken["nothing"]) == 2


def test_what_fails_is_not_measured() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        bench.measure({"fails": [sys.executable, "-S", "-c", "raise SystemExit(1)"]}, times=1)


def test_the_last_is_the_smallest_scenario(tmp_path: Path) -> None:
    last = list(bench.commands(tmp_path).values())[-1]

    assert last[1:5] == ["-m", "testbed", "run", "lan_connectivity/"]
