"""Every single fault of the network: each packet of a scenario lost, doubled or overtaken, once.

A run for each.  The flow recovers, or fails cleanly by its deadline: no role hangs or crashes, and
what must never appear does not.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import click

from testbed.engines.simulation.links import Content, Fate
from testbed.registry import find_scenario, load_scenarios
from testbed.scenario import Scenario
from testbed.simulate import Simulated, simulate

KINDS = {
    "lost": Fate(()),
    "doubled": Fate((0, 0)),
    "overtaken": Fate((0,), overtaken=True),
}
LONGEST_S = 1800.0
"""Of virtual time: far beyond the deadline of any flow."""
WITHOUT = frozenset({"discovery_public/hostile"})
"""What sends a thousand times as much as others; a sample of it is as good."""


@dataclass(frozen=True)
class Case:
    """One fault in one run."""

    scenario: str
    variant: str
    kind: str
    number: int

    @property
    def title(self) -> str:
        """For tables and names of tests."""
        return f"{self.scenario}/{self.variant} packet {self.number} {self.kind}"


class OneFault:
    """Judges frames: the one of that number has that fate, all others as the link has it."""

    def __init__(self, number: int, fate: Fate) -> None:
        self.count = 0
        self._number = number
        self._fate = fate

    def __call__(self, link: str, content: Content) -> Fate | None:
        """The fate of the next frame."""
        self.count += 1
        return self._fate if self.count == self._number else None


def packets_of(scenario: Scenario, variant: str) -> int:
    """How many packets the undisturbed run has."""
    counting = OneFault(0, Fate())
    undisturbed = simulate(scenario, variant, judge=counting)
    assert undisturbed.is_completed, f"{scenario.name}/{variant}: {undisturbed}"
    return counting.count


def cases(names: list[str]) -> Iterator[Case]:
    """Every case of the scenarios of those names."""
    for name in names:
        scenario = find_scenario(name)
        for variant in scenario.variants:
            if f"{name}/{variant}" in WITHOUT:
                continue
            for number in range(1, packets_of(scenario, variant) + 1):
                for kind in KINDS:
                    yield Case(name, variant, kind, number)


def what_is_wrong(result: Simulated) -> str:
    """Why a disturbed run is no good; "": it recovered, or failed cleanly."""
    if result.crashes:
        node, error = result.crashes[0]
        return f"{node or 'the scenario'} crashed: {error!r}"
    if result.stuck:
        return result.stuck
    if result.broken:
        return f"must never be: {result.broken[0]}"
    if result.seconds > LONGEST_S:
        return f"it took {result.seconds:g} s"
    return ""


def check(case: Case) -> tuple[Case, str, str]:
    """The case, what is wrong, and what it came to."""
    result = simulate(
        find_scenario(case.scenario),
        case.variant,
        judge=OneFault(case.number, KINDS[case.kind]),
    )
    return case, what_is_wrong(result), "missed" if result.missed else "recovered"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--jobs", default=2, type=click.IntRange(1, 64))
@click.option("--missed", is_flag=True, help="Tell each flow that did not recover.")
def main(names: tuple[str, ...], jobs: int, missed: bool) -> None:
    """Play every case of the scenarios named, or of all; exit status 1 if one is no good."""
    begun = time.monotonic()
    told: Counter[str] = Counter()
    wrong = []
    with ProcessPoolExecutor(jobs) as pool:
        todo = cases(list(names) or list(load_scenarios()))
        for case, problem, came_to in pool.map(check, todo, chunksize=16):
            told[f"{case.kind}: {came_to}"] += 1
            if problem:
                wrong.append(case)
                print(f"{case.title}: {problem}")
            elif missed and came_to == "missed":
                print(f"{case.title}: missed")
    for what, count in sorted(told.items()):
        print(f"{count:6}  {what}")
    print(f"{sum(told.values())} runs in {time.monotonic() - begun:.0f} s, {len(wrong)} no good")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
