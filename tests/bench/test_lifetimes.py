from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import lifetimes as bench
from testbed.protocols.stun import Search

BENCH = Path(__file__).resolve().parents[2] / "bench/lifetimes.py"


def test_a_common_lifetime_counts_more() -> None:
    rows = [bench.Row("gallop", 60, 55, 100.0, 20, 2), bench.Row("gallop", 600, 595, 1000.0, 90, 2)]
    common, rare = bench.SHARES[60], bench.SHARES[600]

    assert bench.alike_s(rows, "gallop") == 550
    assert bench.average_s(rows, "gallop") == (100 * common + 1000 * rare) / (common + rare)
    assert rows[0].error_s == 5


@pytest.mark.parametrize("search", Search, ids=lambda each: each.value)
def test_every_search_is_off_by_a_step_at_most(search: Search) -> None:
    row = bench.measure(search, 45, 5.0)

    assert 0 <= row.error_s <= 5
    assert row.seconds > row.found_s
    assert (row.ports > 2) is (search is Search.LADDER)


@pytest.mark.slow
def test_both_aims_are_met(tmp_path: Path) -> None:
    """In virtual time the figures are the same on every machine."""
    figures = tmp_path / "figures.json"
    words = [sys.executable, str(BENCH), "--json", str(figures)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    ratios = json.loads(figures.read_text())["ratios"]

    assert ended.returncode == 0, ended.stdout
    assert ratios["gallop"] >= 1.5
    assert ratios["ladder"] >= 8
