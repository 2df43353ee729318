"""Shell to verdict of the smallest scenario, beside what Python itself and Mininet's import take.

    .venv/bin/python bench/smallest_scenario.py [--times 10] [--json FILE]

All are started as a shell starts them, in turn, in one run on one machine: only the ratios say
something of the testbed.  The aim: at most 1 s.  Without FILE the JSON goes to
runs/bench/smallest_scenario.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIM_S = 1.0
BASE = "python -c pass"


def commands(out: Path) -> dict[str, list[str]]:
    """What is measured, by name."""
    python = sys.executable
    testbed = [python, "-m", "testbed"]
    return {
        BASE: [python, "-c", "pass"],
        "import mininet.net": [python, "-W", "ignore", "-c", "import mininet.net"],
        "testbed --help": [*testbed, "--help"],
        "testbed run lan_connectivity/": [
            *(*testbed, "run", "lan_connectivity/", "--quiet", "--out", str(out))
        ],
    }


def measure(words: dict[str, list[str]], times: int) -> dict[str, list[float]]:
    """Seconds of each, `times` times, in turn; the first round warms caches and is not counted.

    Raises:
        CalledProcessError: one of them failed: there is nothing to measure.
    """
    taken: dict[str, list[float]] = {name: [] for name in words}
    for number in range(times + 1):
        for name, command in words.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if number:
                taken[name].append(time.perf_counter() - began)
    return taken


def rows(taken: dict[str, list[float]]) -> list[dict[str, str | float]]:
    """One row each: median, best, worst, and the ratio of the medians to Python's own start."""
    base = statistics.median(taken[BASE])
    return [
        {
            "command": name,
            "median_s": round(statistics.median(each), 4),
            "best_s": round(min(each), 4),
            "worst_s": round(max(each), 4),
            "ratio": round(statistics.median(each) / base, 1),
        }
        for name, each in taken.items()
    ]


def table(found: list[dict[str, str | float]]) -> str:
    """The rows for a reader."""
    lines = [f"{'':30} {'median':>8} {'best':>8} {'worst':>8} {'x Python':>9}"]
    lines += [
        f"{row['command']:30} {row['median_s']:7.3f}s {row['best_s']:7.3f}s {row['worst_s']:7.3f}s "
        f"{row['ratio']:9.1f}"
        for row in found
    ]
    return "\n".join([*lines, f"aim of the last: at most {AIM_S:g} s"])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=10, help="rounds (default: %(default)s)")
    default = Path("runs/bench/smallest_scenario.json")
    parser.add_argument("--json", type=Path, default=default, help="where the JSON goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = rows(measure(commands(Path(folder)), options.times))
    print(table(found))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"aim_s": AIM_S, "rows": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
