"""One simulated discovery in this process, again and again: how long it takes once imported.

    .venv/bin/python bench/simulated_discovery.py [--times 40] [--most-ms 50] [NAME]

Time is the process's own, so that whoever else is on the machine hardly counts.
Exit status: 1 where the median is above what may be.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import sys
import time
from pathlib import Path

import click

from testbed.registry import find_scenario
from testbed.simulate import simulate

RESULTS = Path("runs", "bench", "simulated_discovery.json")
WARM_UP = 3
"""Rounds before those that count: what is imported late is imported by then."""


@click.command()
@click.argument("name", default="discovery_intranet")
@click.option("--times", default=40, type=click.IntRange(1), help="Rounds that count.")
@click.option("--most-ms", default=50.0, help="What the median may be.")
@click.option("--profile", is_flag=True, help="Say where the time goes instead.")
def main(name: str, times: int, most_ms: float, profile: bool) -> None:
    """Measure one scenario."""
    scenario = find_scenario(name)
    taken_ms = []
    for _ in range(WARM_UP):
        simulate(scenario)
    profiler = cProfile.Profile()
    for _ in range(times):
        begun = time.process_time()
        if profile:
            profiler.enable()
        result = simulate(scenario)
        profiler.disable()
        taken_ms.append(1000 * (time.process_time() - begun))
        assert result.is_completed, result.missed
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
        return
    median_ms = statistics.median(taken_ms)
    row = {
        "scenario": name,
        "times": times,
        "least_ms": round(min(taken_ms), 1),
        "median_ms": round(median_ms, 1),
        "most_ms": round(max(taken_ms), 1),
    }
    print("  ".join(f"{key} {value}" for key, value in row.items()))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(row, indent=2) + "\n")
    sys.exit(median_ms > most_ms)


if __name__ == "__main__":
    main()
