"""The engine of a run by its name: its world, its clock, and what it models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import BadInput, unknown
from testbed.settings import asks_for_nat, engine_settings
from testbed.topology import Topology
from testbed.trace.trace import Trace

if TYPE_CHECKING:
    from testbed.run import Plan

EMULATION, SIMULATION = "emulation", "simulation"
ENGINES = (EMULATION, SIMULATION)
TLS_SETTING = "tls"
_TLS_KINDS = ("modelled", "real")

Runner = Callable[[Coroutine[Any, Any, int]], int]
"""Runs a coroutine to its end, in the engine's time."""


def runner(engine: str) -> tuple[Runner, float]:
    """What runs a run in that engine's time, and the date at its start, seconds since 1970."""
    if engine != SIMULATION:
        return asyncio.run, time.time()
    from testbed.engines.simulation.clock import run
    from testbed.engines.simulation.epoch import EPOCH_S

    return lambda work: run(lambda loop: work), EPOCH_S


def check_settings(engine: str, topology: Topology, settings: Mapping[str, str]) -> None:
    """Nothing, if the engine can do what the settings ask of it.

    Raises:
        BadInput: it cannot.
    """
    asked = engine_settings(settings)
    if engine == SIMULATION:
        for name, value in asked.items():
            if name != TLS_SETTING:
                raise unknown("setting of the simulation", name, [TLS_SETTING])
            if value not in _TLS_KINDS:
                raise unknown("value for --set engine.tls", value, _TLS_KINDS)
        return
    if asked:
        raise BadInput(
            f"--set engine.{next(iter(asked))}: only the simulation has a choice; "
            "use --engine simulation"
        )
    for link in topology.links.values():
        if not link.quality.is_plain:
            raise BadInput(
                f"link {link.name}: delays and losses are the simulation's; use --engine simulation"
            )


def make_world(
    engine: str,
    topology: Topology,
    trace: Trace,
    plan: Plan,
    key_log: Path,
) -> Any:
    """The topology in an engine, in the loop that runs.

    Args:
        engine: its name.
        topology: what to build.
        trace: gets every frame and every event.
        plan: seed, settings, cast and folder of the run.
        key_log: where the secrets of TLS connections are written while they run.
    """
    check_settings(engine, topology, plan.settings)
    if engine == SIMULATION:
        from testbed.engines.simulation.world import SimulationWorld

        real_tls = engine_settings(plan.settings).get(TLS_SETTING) == "real"
        return SimulationWorld(topology, trace, plan.seed, real_tls, key_log)
    from testbed.engines.emulation.world import EmulationWorld

    return EmulationWorld(
        topology,
        trace,
        plan.seed,
        key_log,
        plan.cast,
        logs=plan.folder / "logs",
        bindings=asks_for_nat(plan.nat, plan.settings),
    )


def modelled_by(world: Any) -> Mapping[str, str]:
    """What in this world is a model, and of what kind; nothing in an emulation."""
    told: Mapping[str, str] = getattr(world, "modelled", {})
    return told


def versions_of(world: Any) -> Mapping[str, str]:
    """The programs of others that this world has started, as they told their versions."""
    told: Mapping[str, str] = getattr(world, "versions", {})
    return told


def watch_for_deadlock(loop: asyncio.AbstractEventLoop) -> asyncio.Future[str]:
    """A future that gets the reason when nothing will happen any more; only virtual time knows."""
    stuck: asyncio.Future[str] = loop.create_future()

    def told(reason: object) -> None:
        if not stuck.done():
            stuck.set_result(str(reason))

    if hasattr(loop, "on_deadlock"):
        loop.on_deadlock = told
    return stuck
