"""The language of scenarios: the ladder of the spec, line by line.

A scenario is an async function of a `Stage`.  `sees` waits for the next record that fits; other
records may lie between.  `never` is judged on the drained trace, after the scenario's end: an end
is an event, nobody sleeps to see whether something still comes.  Variants are named sub-runs, each
in a world of its own.  Knows no engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from testbed.errors import BadInput, StepMissed, unknown
from testbed.expectation import Expectation, calling_step
from testbed.host import Host, World
from testbed.roles.role import Part
from testbed.topology import Links, Topology, TopologyFunction, link_settings
from testbed.trace.record import Record
from testbed.trace.trace import Trace

T = TypeVar("T")
SETTLED_S = 5.0
"""So long nothing is on any wire when a device that tells nothing is taken to have done its part.
"""
FIRST_TOLD, LAST_TOLD = 4, 8
"""Of what happened before a step was missed: what is told, where there is more."""
ScenarioFunction = Callable[["Stage"], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}
ALL_CHECKS = "all checks"
"""What judges a scenario that joins several documents; see `scenario`."""


@dataclass
class Variant:
    """One way to run a scenario.

    Attributes:
        name: "" for the main run.
        topology: what it runs on.
        function: the ladder.
        settings: of the topology and its links, under what `--set` says.
        title: first line of its docstring.
    """

    name: str
    topology: TopologyFunction
    function: ScenarioFunction
    settings: Mapping[str, Any]
    title: str


@dataclass
class Scenario:
    """A scenario and its variants.

    Attributes:
        name: the register's.
        topology: what its main run is on, and each variant that names no other.
        variants: by name; "" is the main run, and first.
        step_s: how long a step may take unless it says otherwise.
        judged_as: the register's scenario whose requirements judge it; None: all that have a check.
    """

    name: str
    topology: TopologyFunction
    step_s: float
    judged_as: str | None
    variants: dict[str, Variant] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """First line of the main run's docstring."""
        return self.variants[""].title

    def variant(
        self,
        name: str,
        topology: TopologyFunction | None = None,
        links: Links | None = None,
        **settings: Any,
    ) -> Callable[[ScenarioFunction], ScenarioFunction]:
        """Add the function below as the variant of that name.

        Args:
            name: unique in the scenario.
            topology: what it runs on; None: what the main run is on.
            links: qualities by the name of the link, under what `--set` says.
            settings: of that topology, likewise.
        """
        settings |= link_settings(links or {})

        def enter(function: ScenarioFunction) -> ScenarioFunction:
            if name in self.variants:
                raise BadInput(f"{self.name} has two variants {name!r}")
            where = topology or self.topology
            self.variants[name] = Variant(name, where, function, settings, _title(function))
            return function

        return enter

    def find(self, variant: str) -> Variant:
        """The variant of that name.

        Raises:
            BadInput: there is none; names the nearest.
        """
        if variant not in self.variants:
            raise unknown(f"variant of {self.name}", variant, [v for v in self.variants if v])
        return self.variants[variant]


def _title(function: ScenarioFunction) -> str:
    return (function.__doc__ or "").strip().split("\n")[0]


def scenario(
    topology: TopologyFunction,
    step_s: float = 30.0,
    judged_as: str | None = None,
    **settings: Any,
) -> Callable[[ScenarioFunction], Scenario]:
    """Make the function below a scenario, named after it.

    Args:
        topology: what it runs on.
        step_s: how long a step may take unless it says otherwise.
        judged_as: a scenario of the register whose requirements judge this one, or `ALL_CHECKS`:
            all requirements that have a check; None: those that name this one.
        settings: of the topology, under what `--set` says.
    """

    def enter(function: ScenarioFunction) -> Scenario:
        name = function.__name__
        known = SCENARIOS.get(name)
        if known is not None:
            raise BadInput(f"two scenarios are called {name!r}")
        judge = None if judged_as == ALL_CHECKS else judged_as or name
        made = Scenario(name, topology, step_s, judge)
        made.variants[""] = Variant("", topology, function, settings, _title(function))
        SCENARIOS[name] = made
        return made

    return enter


class Player:
    """A node on the stage: its role, and its power switch.  Unknown attributes are the role's."""

    def __init__(self, stage: Stage, role: Part) -> None:
        self._stage = stage
        self.role = role
        self.name = role.name

    def __repr__(self) -> str:
        return self.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.role, name)

    @property
    def host(self) -> Host:
        """What the role sees of the world."""
        return self.role.host

    def power_on(self) -> None:
        """Give the node power: its role starts."""
        self._stage.power(self.name, True)

    def power_off(self) -> None:
        """Take its power: nothing is said on the wire about it."""
        self._stage.power(self.name, False)

    def unplug(self, interface: str = "eth0") -> None:
        """Pull the cable."""
        self._stage.world.set_link(self.name, interface, False)

    def plug(self, interface: str = "eth0") -> None:
        """Plug the cable in."""
        self._stage.world.set_link(self.name, interface, True)


class Stage:
    """What a scenario holds: the players by name, the waiting, the switches.

    Args:
        world: the engine with the topology in it.
        topology: what is wired to what.
        trace: grows while the scenario runs.
        roles: by node name.
        variant: which sub-run this is.
        step_s: how long a step may take unless it says otherwise.
        patience: how many times as long every step may take (a device that boots for minutes).
    """

    def __init__(
        self,
        world: World,
        topology: Topology,
        trace: Trace,
        roles: Mapping[str, Part],
        variant: str = "",
        step_s: float = 30.0,
        patience: float = 1.0,
    ) -> None:
        self.world = world
        self.topology = topology
        self.trace = trace
        self.variant = variant
        self.step_s = step_s
        self.patience = patience
        self.settled_s = SETTLED_S
        self.players = {name: Player(self, role) for name, role in roles.items()}
        self.prohibitions: list[Expectation] = []
        self.cursor = 0
        self.steps: list[tuple[Expectation, Record]] = []  # what each waited for, and what came
        self._grown = asyncio.Event()
        self._powered: set[str] = set()
        trace.listeners.append(lambda _record: self._grown.set())
        trace.opened_listeners.append(lambda _record: self._grown.set())

    def __getattr__(self, name: str) -> Player:
        players: dict[str, Player] = self.__dict__.get("players", {})
        if name not in players:
            raise AttributeError(f"the stage has no node {name!r}: it has {', '.join(players)}")
        return players[name]

    def all(self, role: str) -> list[Player]:
        """Every player of that role, in the topology's order."""
        return [p for n, p in self.players.items() if self.topology.nodes[n].role == role]

    def power(self, node: str, on: bool) -> asyncio.Task[None] | None:
        """Switch a node; see `Player`.  With power on, gives the task that ends when it serves.

        Raises:
            BadInput: it is so already.
        """
        player = self.players[node]
        if on == (node in self._powered):
            raise BadInput(f"{node} has {'power already' if on else 'no power'}")
        if on:
            self._powered.add(node)
            self.world.power(node, True)
            return player.host.spawn(player.role.start(), f"{node} starts")
        self._powered.remove(node)
        player.role.stop()
        self.world.power(node, False)
        return None

    def sees(
        self,
        left: Player,
        direction: str,
        right: Player,
        message_type: type,
        within_s: float | None = None,
        step_name: str | None = None,
        **fields: Any,
    ) -> Coroutine[Any, Any, Record]:
        """Wait for the next message between two nodes that fits; gives its record.

        Args:
            left: one node.
            direction: "->" or "<-".
            right: the other.
            message_type: class of the decoded message.
            within_s: how long to wait; the scenario's `step_s` by default.
            step_name: the step's number; else the comment at the end of the calling line, else its
                number.
            fields: attribute values of the message; `port`, `source_port` of the datagram.

        Raises:
            StepMissed: it did not come; the text tells what came instead.
        """
        origin, end = _directed(left, direction, right)
        wanted = Expectation(
            step_name or calling_step(), origin.name, end.name, message_type, fields, self.cursor
        )
        return self._wait(wanted, within_s)

    def tells(
        self,
        player: Player,
        event: str,
        within_s: float | None = None,
        step_name: str | None = None,
        **fields: Any,
    ) -> Coroutine[Any, Any, Record]:
        """Wait for the next event of that name that the node tells; gives its record.

        A device tells nothing.  Where one plays the node, the step is taken when nothing has been
        on any wire for `settled_s`, which is told as the event NOT_TOLD.

        Raises:
            StepMissed: it did not come.
            Unsupported: whoever plays the node never tells it.
        """
        player.role.must_tell(event)
        if player.role.tells_nothing:
            player.host.tell("NOT_TOLD", awaited=event)
            return self._settled(within_s)
        wanted = Expectation(
            step_name or calling_step(), player.name, None, event, fields, self.cursor
        )
        return self._wait(wanted, within_s)

    async def answered(self, call: asyncio.Future[T], within_s: float | None = None) -> T:
        """Wait for the answer to what an ACS was given to call, as long as a step may take.

        Raises:
            StepMissed: no session has brought it.
        """
        step, within_s = calling_step(), self._seconds(within_s)
        left_s, lost_s = within_s, self.trace.lateness.total_s
        while not call.done():
            if left_s <= 0:
                raise StepMissed(f"step {step}: an ACS's call has no answer within {within_s:g} s")
            await asyncio.wait((call,), timeout=left_s)
            lost_before_s, lost_s = lost_s, self.trace.lateness.total_s
            left_s = lost_s - lost_before_s
        return call.result()

    def never(
        self, left: Player, direction: str, right: Player, message_type: type, **fields: Any
    ) -> None:
        """From here on no such message may appear; judged at the end, on the drained trace."""
        origin, end = _directed(left, direction, right)
        self.prohibitions.append(
            Expectation(
                calling_step(),
                origin.name,
                end.name,
                message_type,
                fields,
                len(self.trace.records),
            )
        )

    def violated(self) -> list[tuple[Expectation, Record]]:
        """Every prohibition that was broken, with the first record that broke it."""
        broken = []
        for wanted in self.prohibitions:
            for record in self.trace.records[wanted.since :]:
                if wanted.fits(self.trace, record):
                    broken.append((wanted, record))
                    break
        return broken

    def _seconds(self, within_s: float | None) -> float:
        """How long a step may take, of which the scenario says so."""
        return (self.step_s if within_s is None else within_s) * self.patience

    async def _settled(self, within_s: float | None) -> Record:
        """Wait until the wires are quiet, or the step's time is over; gives the latest record."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds(within_s)):
                while await self._grows():
                    pass
        return self.trace.records[-1]

    async def _grows(self) -> bool:
        """Whether something comes into the trace within `settled_s`."""
        self._grown.clear()
        try:
            async with asyncio.timeout(self.settled_s):
                await self._grown.wait()
        except TimeoutError:
            return False
        return True

    async def _wait(self, wanted: Expectation, within_s: float | None) -> Record:
        """The record that fits; the machine's own lateness is not on the step's account."""
        within_s = self._seconds(within_s)
        lost_s = self.trace.lateness.total_s
        record = await self._awaited(wanted, within_s)
        while record is None:
            await self.world.flush()  # what was on a wire in time has come in time
            lost_before_s, lost_s = lost_s, self.trace.lateness.total_s
            record = await self._awaited(wanted, lost_s - lost_before_s)
            if record is None and lost_s == lost_before_s:
                raise StepMissed(self._missed(wanted, within_s), wanted)
        return record

    async def _awaited(self, wanted: Expectation, within_s: float) -> Record | None:
        """The record that fits; None: there is none within that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                position, opened = wanted.since, self.trace.opened
                while True:
                    self._grown.clear()
                    if opened != self.trace.opened:  # what was passed over may say more now
                        position, opened = wanted.since, self.trace.opened
                    while position < len(self.trace.records):
                        record = self.trace.records[position]
                        position += 1
                        if wanted.fits(self.trace, record):
                            self.cursor = max(self.cursor, position)
                            self.steps.append((wanted, record))
                            return record
                    await self._grown.wait()
        return None

    def _missed(self, wanted: Expectation, within_s: float) -> str:
        lines = [f"step {wanted.step} did not happen within {within_s:g} s"]
        lines.append(f"  expected   {wanted.describe()}")
        since = self._happened_since(wanted) or ["nothing was on the wires"]
        left_out = len(since) - FIRST_TOLD - LAST_TOLD
        if left_out > 1:
            since[FIRST_TOLD:-LAST_TOLD] = [f"... {left_out} more"]
        for number, line in enumerate(since):
            lines.append(f"  {'since' if number == 0 else '     '}      {line}")
        return "\n".join(lines)

    def _happened_since(self, wanted: Expectation) -> list[str]:
        """The distinct messages since the last step, each with the times at which it came.

        Who asks for whose hardware address is left out: it would hide what matters.
        """
        start = self.trace.records[0].time_ns if self.trace.records else 0
        times: dict[tuple[str, str | None, str], list[float]] = {}
        for record in self.trace.records[wanted.since :]:
            if (record.message is None and record.error is None) or record.transport == "arp":
                continue
            said = record.summary() or f"malformed: {record.error}"
            key = (record.sender, None if record.is_event else record.receiver or "all", said)
            times.setdefault(key, []).append((record.time_ns - start) / 1e9)
        lines = []
        for (sender, receiver, said), seconds in times.items():
            way = f"{sender} -> {receiver}" if receiver else sender
            again = ""
            if len(seconds) > 1:
                times_told = ", ".join(f"{s:.{1 if s >= 1 else 3}f}" for s in seconds[1:6])
                again = f", and again at {times_told} s"
            lines.append(f"{way}   {said}   at {seconds[0]:.3f} s{again}")
        return lines


def _directed(left: Player, direction: str, right: Player) -> tuple[Player, Player]:
    if direction == "->":
        return left, right
    if direction == "<-":
        return right, left
    raise BadInput(f"a step's direction is '->' or '<-', not {direction!r}")
