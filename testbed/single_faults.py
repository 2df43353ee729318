"""A run in which the network does one thing wrong, and what it came to: recovered, or why not.

One packet is lost, doubled or overtaken.  A flow that does not come to its ladder's end then must
have told what has failed, or have a reason that lies in the fault; whatever has none is somebody's
defect.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.engines.simulation.links import Content, Fate
from testbed.engines.simulation.packets import TCP, Packet
from testbed.expectation import Expectation
from testbed.protocols.udp_connection_request import SUBJECT, UdpConnectionRequest
from testbed.registry import find_scenario
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
LONGEST_CPU_S = 60.0
"""Of a processor's time, for one run: far more than the longest takes."""
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
CHALLENGE = 401
"""Of a STUN server: the CPE is to sign what it has asked (TR-111 Part 2, Figure 5)."""
FLOW_FAILED = "FAILED"
"""The one by which a role tells that its flow has come to its end."""
UNREPEATED = "nobody acknowledges a UDP Connection Request (TR-111 Part 2, 2.2.2.3)"
"""Whose sender cannot know that it is lost, and where it is written."""
RECOVERED = "recovered"


class EndlessLoop(KeyboardInterrupt):
    """A run goes round without end, and sends nothing.

    Of the errors in a callback asyncio lets only Ctrl-C's through, and the end of the program's.
    """


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
def at_most(cpu_s: float) -> Iterator[None]:
    """Bound what is inside.

    Raises:
        EndlessLoop: it takes more of a processor's time.
    """

    def over(number: int, frame: object) -> None:
        raise EndlessLoop(f"longer than {cpu_s:g} s")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def packets_of(scenario: Scenario, variant: str) -> list[Hashable]:
    """What each packet of the undisturbed run has in common with those that are like it: the link,
    who sends it to whom, and, of TCP, the service, the flags, and whether it carries anything."""
    found: list[Hashable] = []

    def note(link: str, content: Content) -> None:
        found.append((link, *_likeness(content)))

    undisturbed = simulate(scenario, variant, judge=note)
    assert undisturbed.is_completed, f"{scenario.name}/{variant}: {undisturbed}"
    return found


def _likeness(content: Content) -> tuple[Hashable, ...]:
    if not isinstance(content, Packet):
        return ("ARP", content.operation)
    ends = (content.source, content.destination, content.protocol)
    if content.protocol != TCP or content.offset:
        return (*ends, len(content.payload))
    ports = (content.payload[:2], content.payload[2:4])
    head_octets = (content.payload[12] >> 4) * 4
    return (*ends, min(ports), content.payload[13], len(content.payload) > head_octets)


def few_of_each(packets: Sequence[Hashable], most: int) -> list[int]:
    """The numbers, from 1, of packets that show all that there is: at most so many that are alike,
    from the first to the last of them."""
    alike: dict[Hashable, list[int]] = {}
    for number, packet in enumerate(packets, 1):
        alike.setdefault(packet, []).append(number)
    found: set[int] = set()
    for numbers in alike.values():
        count = min(most, len(numbers))
        found.update(
            numbers[each * (len(numbers) - 1) // max(1, count - 1)] for each in range(count)
        )
    return sorted(found)


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


Telling = tuple[str, str, object]
"""Node, name of the event, and the step at which a flow has failed."""


def events_of(records: Iterable[Record]) -> Counter[Telling]:
    """How often each node tells each event."""
    return Counter(_telling(each) for each in records if isinstance(each.message, Event))


def _telling(record: Record) -> Telling:
    return record.sender, record.message.name, record.message.fields.get("step")


def outcome_of(
    result: Simulated,
    struck: tuple[str, Content] | None,
    later: Callable[[], bool],
    undisturbed: Callable[[], Simulated],
) -> Outcome:
    """Judge a run.

    Args:
        result: of it.
        struck: link and content of the frame that had the fault.
        later: whether the same run comes to its end with more time for each step.
        undisturbed: the run without the fault.
    """
    wrong = _wrong(result)
    if wrong is not None:
        return wrong
    if not result.missed:
        return Outcome(RECOVERED)
    step = result.missed.splitlines()
    line = "; ".join(each.strip() for each in step[:3])
    usual = undisturbed()
    place = _place_of(result, usual)
    failed = _failure(result.trace, events_of(usual.trace.records))
    if failed is not None:
        return Outcome(
            f"failed cleanly: {failed.message.name} is told", f"{failed.summary()}; {line}"
        )
    ended = _early_end(result, events_of(usual.trace.records[:place]))
    if ended is not None:
        return Outcome(
            f"failed cleanly: {FLOW_FAILED} is told as usual, but before the step",
            f"{ended.summary()}; {line}",
        )
    if result.awaited is not None:
        came, comes = (_count(result.awaited, each.trace) for each in (result, usual))
        if 0 < comes <= came:
            return Outcome("missed: it came, but in another order than the steps'", line)
    record = _record_of(result.trace, struck)
    if record is not None and _is_unrepeated(record):
        return Outcome(f"missed: {UNREPEATED}", line)
    if later():
        return Outcome("missed: it comes, but after the step's deadline", line)
    if _came_to_the_same(result, usual, place):
        return Outcome("missed: not by this message, but all came to the same end", line)
    if result.is_idle:
        return Outcome("hangs: nothing is scheduled, and no failure was told", line, True)
    return Outcome("missed, and nobody knows why", line, True)


def _place_of(result: Simulated, usual: Simulated) -> int:
    """Where the undisturbed run has what the other one missed: the number of the record, or how
    many there are where nobody can tell."""
    done, missed = len(result.steps), result.awaited
    if missed is not None and done < len(usual.steps):
        awaited, record = usual.steps[done]
        if (awaited.step, awaited.describe()) == (missed.step, missed.describe()):
            return record.number
    return len(usual.trace.records)


def _came_to_the_same(result: Simulated, usual: Simulated, place: int) -> bool:
    """Whether the nodes tell all that they tell in the undisturbed run, but for failures, and some
    of it comes there only after what was missed.

    Whatever a scenario does after a step that was missed is not done; what that would have brought
    about is not told then.
    """
    told = events_of(result.trace.records)
    wanted = _without_failures(events_of(usual.trace.records))
    is_later = bool(_without_failures(events_of(usual.trace.records[place:])))
    return is_later and all(told[each] >= count for each, count in wanted.items())


def _without_failures(told: Counter[Telling]) -> Counter[Telling]:
    return Counter({each: count for each, count in told.items() if each[1] not in FAILURES})


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


def _failure(trace: Trace, usual: Counter[Telling]) -> Record | None:
    """The first failure that is told more often than in the undisturbed run."""
    seen: Counter[Telling] = Counter()
    for record in trace.records:
        if isinstance(record.message, Event) and _is_failure(record.message):
            told = _telling(record)
            seen[told] += 1
            if seen[told] > usual[told]:
                return record
    return None


def _is_failure(event: Event) -> bool:
    """Whether a role tells that something has failed; a STUN server's challenge is none."""
    return event.name in FAILURES and event.fields.get("code") != CHALLENGE


def _early_end(result: Simulated, usual: Counter[Telling]) -> Record | None:
    """By what one end of the missed step told that its flow has failed; None: it has not, or has
    done so as often before the step in the undisturbed run."""
    if result.awaited is None:
        return None
    ends = (result.awaited.origin, result.awaited.end)
    told = [
        each
        for each in result.trace.records
        if isinstance(each.message, Event)
        and each.message.name == FLOW_FAILED
        and each.sender in ends
    ]
    return next(
        (each for each in told if events_of(told)[_telling(each)] > usual[_telling(each)]), None
    )


def _record_of(trace: Trace, struck: tuple[str, Content] | None) -> Record | None:
    """What the trace has of the frame that had the fault."""
    if struck is None:
        return None
    link, content = struck
    octets = content.payload if isinstance(content, Packet) else content.encode()
    frames = (each for each in trace.records if each.link == link and each.frame is not None)
    return next((each for each in frames if each.frame and octets in each.frame.data), None)


def _is_unrepeated(record: Record) -> bool:
    """Whether it is a UDP Connection Request, or what somebody has sent as one."""
    is_bad_one = record.error is not None and str(record.error).startswith(f"{SUBJECT}: ")
    return is_bad_one or record.find(UdpConnectionRequest) is not None


def check(case: Case) -> tuple[Case, Outcome]:
    """What a case came to."""
    scenario, fate = find_scenario(case.scenario), KINDS[case.kind]
    most = MOST_FRAMES * (case.frames + 50)
    judge = OneFault(case.number, fate, most)
    try:
        with at_most(LONGEST_CPU_S):
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

    def undisturbed() -> Simulated:
        """The run in which nothing goes wrong."""
        return simulate(scenario, case.variant)

    return case, outcome_of(result, judge.struck, later, undisturbed)
