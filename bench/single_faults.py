"""Every single fault of the network: each packet of a scenario lost, doubled or overtaken, once.

A run for each.  The flow recovers, or fails cleanly: a role tells what has failed, or a step's
deadline passes for a reason that has a name.  No role hangs or crashes, nothing loops without end,
and what must never appear does not.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import click

from testbed.engines.simulation.links import Content, Fate
from testbed.engines.simulation.packets import Packet
from testbed.expectation import Expectation
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.registry import find_scenario, load_scenarios
from testbed.scenario import Scenario
from testbed.simulate import Simulated, simulate
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

KINDS = {
    "lost": Fate(()),
    "doubled": Fate((0, 0)),
    "overtaken": Fate((0,), overtaken=True),
}
PATIENT = 20.0
"""How many times as long a step may take where it is asked whether the flow was merely late."""
MOST_FRAMES = 20
"""So many times the undisturbed run's frames are a loop without end."""
WITHOUT = frozenset({"discovery_public/hostile"})
"""What sends a thousand times as much as others; a sample of it is as good."""


LONGEST_WALL_S = 120.0
"""Of real time, for one run: far more than the longest takes."""


class EndlessLoop(BaseException):
    """A run goes round without end, and sends nothing."""


LONGEST_S = 1800.0
"""Of virtual time: far beyond the deadline of any flow."""
FAILURES = frozenset(
    {
        *("ACCEPT_FAILED", "BOOTSTRAP_REFUSED", "EXPIRED", "FAILED", "MALFORMED", "NO_ANSWER"),
        *("REFUSED", "SESSION_LOST", "STREAM_BROKEN", "STUN_NO_ANSWER", "STUN_REFUSED"),
        *("STUN_SERVER_UNKNOWN", "TLS_FAILED", "TUNNEL_DOWN", "TUNNEL_FAILED", "TUNNEL_LOST"),
        "UDP_REQUEST_IGNORED",
    }
)
"""Events by which a role tells that something has failed, and what."""
UNREPEATED: dict[type, str] = {
    UdpConnectionRequest: "nobody acknowledges a UDP Connection Request (TR-111 Part 2, 2.2.2.3)",
}
"""Messages that their sender cannot know to be lost, and where it is written."""
RECOVERED = "recovered"


@dataclass(frozen=True)
class Case:
    """One fault in one run.

    Attributes:
        scenario: its name.
        variant: of it.
        kind: of fault.
        number: of the frame, from 1.
        frames: how many the undisturbed run has.
    """

    scenario: str
    variant: str
    kind: str
    number: int
    frames: int

    @property
    def title(self) -> str:
        """For tables and names of tests."""
        return f"{self.scenario}/{self.variant} packet {self.number} {self.kind}"


class OneFault:
    """Judges frames: the one of that number has that fate, all others as the link has it.

    Args:
        number: of the frame, from 1.
        fate: its fate.
        most: frames; all that come after them are lost, so that a run that sends without end ends.

    Attributes:
        count: frames so far.
        struck: the link and the content of the one frame.
    """

    def __init__(self, number: int, fate: Fate, most: int = sys.maxsize) -> None:
        self.count = 0
        self.struck: tuple[str, Content] | None = None
        self._number = number
        self._fate = fate
        self._most = most

    @property
    def is_endless(self) -> bool:
        """Whether there were more frames than any flow sends."""
        return self.count > self._most

    def __call__(self, link: str, content: Content) -> Fate | None:
        """The fate of the next frame."""
        self.count += 1
        if self.is_endless:
            return Fate(())
        if self.count != self._number:
            return None
        self.struck = (link, content)
        return self._fate


@contextmanager
def at_most(wall_s: float) -> Iterator[None]:
    """Bound what is inside.

    Raises:
        EndlessLoop: it takes longer.
    """

    def over(number: int, frame: object) -> None:
        raise EndlessLoop(f"longer than {wall_s:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def packets_of(scenario: Scenario, variant: str) -> int:
    """How many packets the undisturbed run has."""
    counting = OneFault(0, Fate())
    undisturbed = simulate(scenario, variant, judge=counting)
    assert undisturbed.is_completed, f"{scenario.name}/{variant}: {undisturbed}"
    return counting.count


def cases(titles: list[str]) -> Iterator[Case]:
    """Every case of scenarios ("NAME", with all its variants) and of variants ("NAME/VARIANT")."""
    for title in titles:
        name, slash, wanted = title.partition("/")
        scenario = find_scenario(name)
        for variant in [wanted] if slash else scenario.variants:
            if f"{name}/{variant}" in WITHOUT:
                continue
            frames = packets_of(scenario, variant)
            for number in range(1, frames + 1):
                for kind in KINDS:
                    yield Case(name, variant, kind, number, frames)


def sample(found: Iterator[Case], share: float, seed: str) -> Iterator[Case]:
    """A part of the cases, drawn; the same ones for the same seed."""
    random = Random(seed)
    return (each for each in found if random.random() < share)


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        name: for the table.
        told: more of this run.
        is_wrong: whether somebody has to mend it.
    """

    name: str
    told: str = ""
    is_wrong: bool = False

    @property
    def is_recovered(self) -> bool:
        """Whether the ladder was played to its end."""
        return self.name == RECOVERED


def events_of(trace: Trace) -> Counter[tuple[str, str]]:
    """How often each node tells each event."""
    return Counter(
        (each.sender, each.message.name)
        for each in trace.records
        if isinstance(each.message, Event)
    )


def outcome_of(
    result: Simulated,
    struck: tuple[str, Content] | None,
    later: Callable[[], bool],
    undisturbed: Callable[[], Trace],
) -> Outcome:
    """Judge a run.

    Args:
        result: of it.
        struck: link and content of the frame that had the fault.
        later: whether the same run comes to its end with more time for each step.
        undisturbed: the trace of the run without the fault.
    """
    wrong = _wrong(result)
    if wrong is not None:
        return wrong
    if not result.missed:
        return Outcome(RECOVERED)
    step = result.missed.splitlines()
    line = "; ".join(each.strip() for each in step[:3])
    usual = undisturbed()
    failed = _failure(result.trace, events_of(usual))
    if failed is not None:
        return Outcome(
            f"failed cleanly: {failed.message.name} is told", f"{failed.summary()}; {line}"
        )
    if result.awaited is not None and _count(result.awaited, result.trace) >= _count(
        result.awaited, usual
    ):
        return Outcome("missed: it came, but in another order than the steps'", line)
    record = _record_of(result.trace, struck)
    message = None if record is None else record.message
    if type(message) in UNREPEATED:
        return Outcome(f"missed: {UNREPEATED[type(message)]}", line)
    if later():
        return Outcome("missed: it comes, but after the step's deadline", line)
    if result.is_idle:
        return Outcome("hangs: nothing is scheduled, and no failure was told", line, True)
    return Outcome("missed, and nobody knows why", line, True)


def _count(awaited: Expectation, trace: Trace) -> int:
    """How often that came."""
    return sum(awaited.fits(trace, each) for each in trace.records)


def _wrong(result: Simulated) -> Outcome | None:
    """What no network may bring about."""
    if result.crashes:
        node, error = result.crashes[0]
        return Outcome("crashed", f"{node or 'the scenario'}: {error!r}", True)
    if result.stuck:
        return Outcome("deadlocked", result.stuck, True)
    if result.broken:
        return Outcome("what must never be was", result.broken[0], True)
    if result.seconds > LONGEST_S:
        return Outcome("took too long", f"{result.seconds:g} s", True)
    return None


def _failure(trace: Trace, usual: Counter[tuple[str, str]]) -> Record | None:
    """The first failure that is told more often than in the undisturbed run."""
    seen: Counter[tuple[str, str]] = Counter()
    for record in trace.records:
        if isinstance(record.message, Event) and record.message.name in FAILURES:
            told = (record.sender, record.message.name)
            seen[told] += 1
            if seen[told] > usual[told]:
                return record
    return None


def _record_of(trace: Trace, struck: tuple[str, Content] | None) -> Record | None:
    """What the trace has of the frame that had the fault."""
    if struck is None:
        return None
    link, content = struck
    octets = content.payload if isinstance(content, Packet) else content.encode()
    frames = (each for each in trace.records if each.link == link and each.frame is not None)
    return next((each for each in frames if each.frame and octets in each.frame.data), None)


def check(case: Case) -> tuple[Case, Outcome]:
    """What a case came to."""
    scenario, fate = find_scenario(case.scenario), KINDS[case.kind]
    most = MOST_FRAMES * (case.frames + 50)
    judge = OneFault(case.number, fate, most)
    try:
        with at_most(LONGEST_WALL_S):
            result = simulate(scenario, case.variant, judge=judge)
    except EndlessLoop:
        return case, Outcome("loops without end, and sends nothing", is_wrong=True)
    if judge.is_endless:
        return case, Outcome("sends without end", f"{judge.count} frames", True)

    def later() -> bool:
        """Whether it would have come to its end with more patience."""
        again = OneFault(case.number, fate, most)
        step_s = PATIENT * scenario.step_s
        return simulate(scenario, case.variant, judge=again, step_s=step_s).is_completed

    def undisturbed() -> Trace:
        """Of the run in which nothing goes wrong."""
        return simulate(scenario, case.variant).trace

    return case, outcome_of(result, judge.struck, later, undisturbed)


def table(counts: Counter[tuple[str, str]]) -> str:
    """Lines: how many runs with which fault came to what."""
    outcomes = sorted({came_to for _, came_to in counts})
    lines = ["".join([*(f"{kind:>11}" for kind in KINDS), "  came to"])]
    for came_to in outcomes:
        numbers = "".join(f"{counts[kind, came_to]:11}" for kind in KINDS)
        lines.append(f"{numbers}  {came_to}")
    return "\n".join(lines)


@click.command()
@click.argument("titles", nargs=-1)
@click.option("--jobs", default=2, type=click.IntRange(1, 64))
@click.option("--share", default=1.0, type=click.FloatRange(0, 1), help="Of the cases, drawn.")
@click.option("--seed", default="1", help="Of what is drawn.")
@click.option("--missed", is_flag=True, help="Tell each flow that did not recover, and why.")
def main(titles: tuple[str, ...], jobs: int, share: float, seed: str, missed: bool) -> None:
    """Play every case of the scenarios named, or of all; exit status 1 if one is no good."""
    begun = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    wrong = 0
    todo = sample(cases(list(titles) or list(load_scenarios())), share, seed)
    with ProcessPoolExecutor(jobs) as pool:
        for case, outcome in pool.map(check, todo, chunksize=16):
            counts[case.kind, outcome.name] += 1
            wrong += outcome.is_wrong
            if outcome.is_wrong or (missed and not outcome.is_recovered):
                print(f"{case.title}: {outcome.name}: {outcome.told}", flush=True)
    print(table(counts))
    took_s = time.monotonic() - begun
    print(f"{sum(counts.values())} runs in {took_s:.0f} s with {jobs} at a time, {wrong} no good")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
