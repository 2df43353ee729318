"""The engine of a run by its name: its world, its clock, and what it models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from testbed.engines import SIMULATION
from testbed.errors import BadInput, unknown
from testbed.scenario import SETTLED_S
from testbed.settings import asks_for_nat, engine_settings
from testbed.settings.convert import convert
from testbed.topology import Esp, Nat, Topology
from testbed.trace.trace import Trace

if TYPE_CHECKING:
    from testbed.engines.emulation.carriage import Wanted
    from testbed.engines.emulation.device import Wires
    from testbed.run.plan import Plan

TLS_SETTING = "tls"
_TLS_KINDS = ("modelled", "real")
LINKS_SETTING = "links"
_LINK_CARRIERS = ("auto", "netem", "relay")
PATIENCE_SETTING, SETTLED_SETTING = "patience", "settled_s"

ALWAYS = (PATIENCE_SETTING, SETTLED_SETTING)
"""What every engine can be told: how long a scenario waits."""

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
    patience_of(settings)
    settled_s_of(settings)
    for name in ALWAYS:
        asked.pop(name, None)
    if engine == SIMULATION:
        if topology.esp is Esp.KERNEL:
            raise BadInput(
                "--set esp=kernel: the simulation has no kernel, its ESP is modelled; "
                "use --engine emulation"
            )
        for name, value in asked.items():
            if name == LINKS_SETTING:
                raise BadInput(
                    "--set engine.links: only the emulation has that choice; the simulation's "
                    "links are a model"
                )
            if name != TLS_SETTING:
                raise unknown("setting of the simulation", name, [TLS_SETTING, *ALWAYS])
            if value not in _TLS_KINDS:
                raise unknown("value for --set engine.tls", value, _TLS_KINDS)
        return
    for name, value in asked.items():
        if name == TLS_SETTING:
            raise BadInput(
                f"--set engine.{name}: only the simulation has that choice; use --engine simulation"
            )
        if name != LINKS_SETTING:
            raise unknown("setting of the emulation", name, [LINKS_SETTING, *ALWAYS])
        if value not in _LINK_CARRIERS:
            raise unknown("value for --set engine.links", value, _LINK_CARRIERS)


def patience_of(settings: Mapping[str, str], usual: float = 1.0) -> float:
    """How many times as long a step may take, by the user's settings; `usual` where none says.

    Raises:
        BadInput: it is no number above 0.
    """
    return _above_0(settings, PATIENCE_SETTING, usual)


def settled_s_of(settings: Mapping[str, str]) -> float:
    """How long the wires are quiet when a device is taken to have done its part.

    Raises:
        BadInput: it is no number above 0.
    """
    return _above_0(settings, SETTLED_SETTING, SETTLED_S)


def _above_0(settings: Mapping[str, str], name: str, usual: float) -> float:
    told = engine_settings(settings).get(name)
    value = usual if told is None else float(convert(f"--set engine.{name}", told, float))
    if not 0 < value < inf:
        raise BadInput(f"--set engine.{name}={told}: a number above 0 is wanted")
    return value


def wanted_carrier(settings: Mapping[str, str]) -> Wanted:
    """Who is to carry links that are no mere wires, by the user's settings."""
    from testbed.engines.emulation.carriage import Wanted

    return Wanted(engine_settings(settings).get(LINKS_SETTING, Wanted.AUTO))


def make_world(
    engine: str,
    topology: Topology,
    trace: Trace,
    plan: Plan,
    key_log: Path,
    wires: Wires = MappingProxyType({}),
) -> Any:
    """The topology in an engine, in the loop that runs.

    Args:
        engine: its name.
        topology: what to build.
        trace: gets every frame and every event.
        plan: seed, settings, cast and folder of the run.
        key_log: where the secrets of TLS connections are written while they run.
        wires: sockets on interfaces of this machine, by the node that a device plays there.
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
        bindings=asks_for_nat(plan.nat, plan.settings) or _has_special_nats(topology),
        wanted=wanted_carrier(plan.settings),
        devices=wires,
    )


def _has_special_nats(topology: Topology) -> bool:
    """Whether a scenario has its NATs do something out of the common, which is worth watching."""
    common = (None, Nat.NONE, Nat.MASQUERADE)
    return any(node.nat not in common for node in topology.nodes.values())


def modelled_by(world: Any) -> Mapping[str, str]:
    """What in this world is a model, and of what kind; nothing in an emulation."""
    told: Mapping[str, str] = getattr(world, "modelled", {})
    return told


def links_of(world: Any) -> dict[str, dict[str, object]]:
    """Each link: its subnet, what is asked of it, who carries it, and what became of its frames.

    Who carries is "veth", "netem" or "relay" in the emulation, "model" in the simulation.
    """
    told: Mapping[str, Mapping[str, object]] = getattr(world, "links_told", {})
    topology: Topology = world.topology
    return {
        name: {
            "subnet": str(link.subnet),
            "quality": link.quality.told(),
            **told.get(name, {"back_end": "model"}),
        }
        for name, link in topology.links.items()
    }


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
