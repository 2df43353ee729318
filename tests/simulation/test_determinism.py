"""The same seed gives the same capture and the same events, octet by octet, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from testbed.registry import load_scenarios
from tests.simulation import digests

SLOW = {"discovery_public/hostile"}
"""Sends a hundred times as much as others; what it does is in no other way its own."""
SEEDS = [str(seed) for seed in range(10)]
ROOT = Path(__file__).resolve().parents[2]


def titles(variants: bool) -> list[str]:
    return [
        f"{scenario.name}/{variant}"
        for scenario in load_scenarios().values()
        for variant in (scenario.variants if variants else [""])
        if f"{scenario.name}/{variant}" not in SLOW
    ]


def said(folder: Path, hash_seed: str, wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """What the runs of another process have written, by digests.

    Args:
        hash_seed: Python's there.
        wanted: the seeds of each run.
    """
    words = [f"{title}:{','.join(seeds)}" for title, seeds in wanted.items()]
    ended = subprocess.run(
        [sys.executable, digests.__file__, str(folder / hash_seed), *words],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.slow
def test_every_variant_writes_the_same_octets_in_every_process(tmp_path: Path) -> None:
    wanted = titles(variants=True)
    runs = {title: ["1"] for title in wanted}
    one, other = (said(tmp_path, hash_seed, runs) for hash_seed in ("0", "4711"))

    assert len(one) == len(wanted)
    assert one == other


@pytest.mark.slow
def test_ten_seeds_are_ten_runs_and_all_are_repeated(tmp_path: Path) -> None:
    wanted = titles(variants=False)
    runs = dict.fromkeys(wanted, SEEDS)
    one, other = (said(tmp_path, hash_seed, runs) for hash_seed in ("1", "random"))

    assert len({line.split()[-1] for line in one}) == len(wanted) * len(SEEDS)
    assert one == other
