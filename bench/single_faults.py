"""Every single fault of the network: each packet of a scenario lost, doubled or overtaken, once.

    .venv/bin/python bench/single_faults.py [--part 3/10] [--missed] [NAME|NAME/VARIANT...]

A run for each.  The flow recovers, or fails cleanly: a role tells what has failed, or a step's
deadline passes for a reason that has a name.  No role hangs or crashes, nothing loops without end,
and what must never appear does not.

What each variant came to is kept as JSON; what has been swept of this version of the testbed is
not swept again, so that whoever ends a sweep half-way goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import click

from testbed.registry import find_scenario, load_scenarios
from testbed.single_faults import KINDS, Case, Outcome, check, few_of_each, packets_of

FLOODS = frozenset({"discovery_public/hostile"})
"""What repeats itself a thousand times."""
MOST_ALIKE = 12
"""So many of a flood's packets are struck of each kind, from its first to its last."""

RESULTS = Path("runs", "single_faults")
ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("testbed", "topologies", "scenarios")


def version() -> str:
    """Of the testbed: another one as soon as a line of it is changed."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def variants(titles: list[str]) -> Iterator[tuple[str, str]]:
    """Scenario and variant: of scenarios ("NAME", with all its variants), of variants
    ("NAME/VARIANT"; the main one is "NAME/")."""
    for title in titles:
        name, slash, wanted = title.partition("/")
        for variant in [wanted] if slash else find_scenario(name).variants:
            yield name, variant


def cases(name: str, variant: str) -> Iterator[Case]:
    """Every case of a variant; of a flood, few of each kind of packet."""
    packets = packets_of(find_scenario(name), variant)
    numbers: Sequence[int] = range(1, len(packets) + 1)
    if f"{name}/{variant}" in FLOODS:
        numbers = few_of_each(packets, MOST_ALIKE)
    for number in numbers:
        for kind in KINDS:
            yield Case(name, variant, kind, number, len(packets))


def part_of(found: Iterator[Case], number: int, of: int) -> Iterator[Case]:
    """One of so many parts of the cases: every so manyth, from that one on."""
    return islice(found, number - 1, None, of)


def part(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, int]:
    """Which part of how many: "3/10".

    Raises:
        click.BadParameter: it is no part.
    """
    number, _, of = value.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"{value!r} is no part of a whole, as 3/10 is")
    return int(number), int(of)


def _leave_ctrl_c() -> None:
    """Ctrl-C is for the process that has started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def sweep(
    name: str, variant: str, part: tuple[int, int], pool: Executor
) -> Iterator[tuple[Case, Outcome]]:
    """Play a part of a variant's cases; gives each with what it came to."""
    return pool.map(check, part_of(cases(name, variant), *part), chunksize=8)


def summed(outcomes: list[tuple[Case, Outcome]], took_s: float) -> dict[str, Any]:
    """What is kept of a variant."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for case, outcome in outcomes:
        counts[case.kind][outcome.name] += 1
    return {
        "runs": len(outcomes),
        "seconds": round(took_s, 1),
        "came_to": {kind: dict(sorted(found.items())) for kind, found in counts.items()},
        "not_recovered": [
            {
                "packet": case.number,
                "kind": case.kind,
                "came_to": outcome.name,
                "told": outcome.told,
                "is_wrong": outcome.is_wrong,
            }
            for case, outcome in outcomes
            if not outcome.is_recovered
        ],
    }


def kept(path: Path, what: dict[str, Any]) -> dict[str, Any] | None:
    """What a sweep of exactly that came to; None: there was none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if what.items() <= found.items() else None


def keep(path: Path, result: dict[str, Any]) -> None:
    """Write it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    beside.replace(path)


def table(results: list[dict[str, Any]]) -> str:
    """Lines: how many runs with which fault came to what."""
    counts = {kind: Counter[str]() for kind in KINDS}
    for result in results:
        for kind in KINDS:
            counts[kind].update(result["came_to"][kind])
    lines = ["".join([*(f"{kind:>11}" for kind in KINDS), "  came to"])]
    for came_to in sorted({each for found in counts.values() for each in found}):
        numbers = "".join(f"{counts[kind][came_to]:11}" for kind in KINDS)
        lines.append(f"{numbers}  {came_to}")
    return "\n".join(lines)


@click.command()
@click.argument("titles", nargs=-1)
@click.option("--jobs", default=2, type=click.IntRange(1, 64))
@click.option("--part", default="1/1", callback=part, help="Every Nth case, from the Kth on.")
@click.option("--missed", is_flag=True, help="Tell each flow that did not recover, and why.")
@click.option("--anew", is_flag=True, help="Sweep what has been swept, too.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="Where results lie.")
def main(
    titles: tuple[str, ...], jobs: int, part: tuple[int, int], missed: bool, anew: bool, out: Path
) -> None:
    """Play every case of the scenarios named, or of all; exit status 1 if one is no good."""
    what = {"version": version(), "part": "{}/{}".format(*part)}
    results, known = [], 0
    with ProcessPoolExecutor(jobs, initializer=_leave_ctrl_c) as pool:
        for name, variant in variants(list(titles) or list(load_scenarios())):
            path = out / name / f"{variant or 'main'}.json"
            result = None if anew else kept(path, what)
            if result is None:
                begun = time.monotonic()
                outcomes = list(sweep(name, variant, part, pool))
                result = what | summed(outcomes, time.monotonic() - begun)
                keep(path, result)
            else:
                known += result["runs"]
            results.append(result)
            for each in result["not_recovered"]:
                if missed or each["is_wrong"]:
                    place = f"{name}/{variant} packet {each['packet']} {each['kind']}"
                    print(f"{place}: {each['came_to']}: {each['told']}", flush=True)
    wrong = sum(each["is_wrong"] for result in results for each in result["not_recovered"])
    runs, took_s = (sum(result[key] for result in results) for key in ("runs", "seconds"))
    print(table(results))
    print(f"{runs} runs in {took_s:.0f} s ({known} of them known from before), {wrong} no good")
    print(f"results: {out}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
