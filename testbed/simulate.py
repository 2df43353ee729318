"""A scenario played in virtual time within this process: no folder, no report, one trace.

For tests and benches that play thousands; `run` is what a user's run goes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed.engines.simulation.clock import NothingWillHappen, SimulationLoop, run
from testbed.engines.simulation.epoch import EPOCH_S
from testbed.engines.simulation.links import Judge
from testbed.engines.simulation.world import SimulationWorld
from testbed.errors import StepMissed, TestbedError
from testbed.expectation import Expectation
from testbed.roles import make_role
from testbed.run.credentials import equip
from testbed.run.ports import register_ports
from testbed.scenario import Scenario, Stage
from testbed.settings import build_topology
from testbed.topology import places, static_addresses
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@dataclass
class Simulated:
    """What a simulation came to.

    Attributes:
        trace: all of it.
        missed: the step that did not happen, in words; "": none.
        awaited: what that step waited for.
        steps: what the steps before it waited for, and what came.
        broken: what must never have appeared and did.
        stuck: why nothing would ever have happened any more; "".
        crashes: node and error of each role that crashed; "" is the scenario itself.
        seconds: of virtual time.
        is_idle: whether nothing was scheduled any more when a step had not happened in time.
    """

    trace: Trace
    missed: str = ""
    awaited: Expectation | None = None
    steps: list[tuple[Expectation, Record]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    stuck: str = ""
    crashes: list[tuple[str, BaseException]] = field(default_factory=list)
    seconds: float = 0.0
    is_idle: bool = False

    @property
    def is_completed(self) -> bool:
        """Whether the ladder was played to its end, and nothing else is wrong."""
        return not (self.missed or self.broken or self.stuck or self.crashes)


def simulate(
    scenario: Scenario,
    variant: str = "",
    seed: str = "1",
    settings: Mapping[str, str] | None = None,
    nat: str | None = None,
    judge: Judge | None = None,
    step_s: float | None = None,
) -> Simulated:
    """Play a scenario.

    Args:
        scenario: what to play.
        variant: which sub-run.
        seed: of all randomness.
        settings: as a user gives them.
        nat: kind for every gateway that translates.
        judge: says of each frame what becomes of it.
        step_s: how long a step may take that does not say so itself; None: as the scenario has it.
    """
    found = scenario.find(variant)
    topology = build_topology(found.topology, found.settings, settings or {}, nat)
    equip(topology, seed, EPOCH_S)
    trace = Trace(arrivals=True)
    trace.set_nodes(places(topology), static_addresses(topology))
    trace.set_roles({name: node.role for name, node in topology.nodes.items()})
    register_ports(trace.decoders, topology)
    result = Simulated(trace)

    async def play(loop: SimulationLoop) -> None:
        world = SimulationWorld(topology, trace, seed, judge=judge)
        roles = {name: make_role(node, world.hosts[name]) for name, node in topology.nodes.items()}
        stage = Stage(world, topology, trace, roles, variant, step_s or scenario.step_s)
        try:
            await _watched(loop, world, _script(stage, found.function))
            await world.flush()
        except StepMissed as error:
            result.missed = str(error)
            result.awaited = error.awaited if isinstance(error.awaited, Expectation) else None
            result.is_idle = not loop.is_anything_due
        except NothingWillHappen as error:
            result.stuck = str(error)
        except TestbedError as error:
            result.crashes.append(("", error))
        finally:
            result.seconds = loop.time()
            world.finish()
        result.steps = stage.steps
        result.crashes += world.crashes
        result.broken = [wanted.describe() for wanted, _ in stage.violated()]

    run(play)
    trace.close()
    return result


async def _script(stage: Stage, function: Any) -> None:
    for player in stage.players.values():
        if not player.role.starts_off:
            started = stage.power(player.name, True)
            if started is not None:
                await asyncio.wait([started])
    await function(stage)


async def _watched(loop: SimulationLoop, world: SimulationWorld, script: Any) -> None:
    """Play the script until its end, a role's crash, or a deadlock.

    Raises:
        NothingWillHappen: the deadlock.
    """
    stuck: asyncio.Future[NothingWillHappen] = loop.create_future()

    def deadlocked(error: NothingWillHappen) -> None:
        if not stuck.done():
            stuck.set_result(error)

    loop.on_deadlock = deadlocked
    playing = loop.create_task(script, name="the scenario")
    crash = loop.create_task(world.crashed.wait(), name="waits for a crash")
    await asyncio.wait([playing, crash, stuck], return_when=asyncio.FIRST_COMPLETED)
    for task in (playing, crash):
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if playing.cancelled():
        if stuck.done():
            raise stuck.result()
        return
    playing.result()
