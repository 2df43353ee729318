"""A run from start to end: world up, ladder played, trace drained, checks applied, all written."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from testbed.conformance import examine
from testbed.engines import SIMULATION
from testbed.errors import EXIT_FAILED, MissingFeature, TestbedError, Unsupported
from testbed.external import find_program
from testbed.external.device import PATIENCE, Device
from testbed.faults import find_fault, put_on
from testbed.probing.truth import Truth, examine_nats
from testbed.report.result import Outcome
from testbed.roles import make_role
from testbed.roles.role import Part
from testbed.run.credentials import equip, write_credentials
from testbed.run.judged import UNEXAMINED
from testbed.run.plan import Plan, topology_of
from testbed.run.play import last_step, play
from testbed.run.ports import register_ports
from testbed.run.run_json import notes, write_run_json
from testbed.run.worlds import (
    links_of,
    make_world,
    modelled_by,
    patience_of,
    runner,
    settled_s_of,
    versions_of,
)
from testbed.scenario import Scenario, Stage
from testbed.settings import asks_for_nat
from testbed.topology import Topology, ladder_order, places, static_addresses
from testbed.trace.folder import RunWriter
from testbed.trace.ladder import LadderPrinter, Line
from testbed.trace.ladder_svg import draw_svg
from testbed.trace.trace import Trace

if TYPE_CHECKING:
    from testbed.engines.emulation.device import Wires

KEY_LOG = Path("keys", "tls.log")
"""The secrets of a run's TLS connections, in its folder; the capture has them too."""

Tell = Callable[[Mapping[str, Any]], None]
OnFail = Callable[[Any, Stage, asyncio.AbstractEventLoop], None]
LADDER_PERIOD_S = 0.1
"""How often the ladder on the terminal is asked for lines whose time has come."""


def perform(
    plan: Plan,
    scenario: Scenario,
    tell: Tell,
    on_fail: OnFail | None = None,
    wires: Wires = MappingProxyType({}),
) -> int:
    """Run the plan here: in the namespaces of a lab, or in virtual time; gives the exit status.

    Args:
        plan: what to run.
        scenario: the one that the plan names.
        tell: gets {"line": ...} for each line of the ladder, {"ask": ...} for what somebody must
            do, {"outcome": ...} at the end.
        on_fail: called in the world that failed, before it is taken down (`--shell-on-fail`).
        wires: sockets on interfaces of this machine, by the node that a device plays there.
    """
    topology = topology_of(plan, scenario)
    run_here, moment = runner(plan.engine)
    equip(topology, plan.seed, moment)
    try:
        asked = asks_for_nat(plan.nat, plan.settings)
        truths = examine_nats(
            *(topology, plan.engine, asked, lambda line: tell({"line": line, "style": "dim"})),
            devices=plan.devices,
        )
        work = _perform(plan, scenario, topology, truths, tell, on_fail, wires)
        try:
            return run_here(work)
        except FileNotFoundError as error:
            raise _missing_program(error) from None
        finally:
            work.close()  # if Ctrl-C came before it began; else it has ended
    except TestbedError as error:
        kind = "unable" if isinstance(error, MissingFeature) else "crashed"
        tell({"outcome": Outcome(kind, str(error)).to_json()})
        return error.exit_status


def _missing_program(error: FileNotFoundError) -> Exception:
    """A program that could not be started (its name has no folder) is told as missing."""
    name = str(error.filename or "")
    if not name or "/" in name:
        return error
    return MissingFeature(
        f"the program {name!r} is not in PATH ({os.environ.get('PATH', '')}): "
        "install it or mend PATH; `testbed doctor` tells what a lab needs"
    )


async def _perform(
    plan: Plan,
    scenario: Scenario,
    topology: Topology,
    truths: Sequence[Truth],
    tell: Tell,
    on_fail: OnFail | None,
    wires: Wires,
) -> int:
    plan.folder.mkdir(parents=True, exist_ok=True)
    for name in plan.devices:
        write_credentials(topology.nodes[name], plan.folder / "keys")
    trace = Trace(arrivals=True)
    trace.set_nodes(places(topology), static_addresses(topology))
    trace.set_roles({name: node.role for name, node in topology.nodes.items()})
    register_ports(trace.decoders, topology)
    printer = LadderPrinter(trace, ladder_order(topology), plan.width, is_terminal=plan.width > 0)
    trace.listeners.append(lambda record: _tell_lines(tell, printer.record(record)))
    writer = RunWriter(plan.folder, trace, notes(plan))
    key_log = plan.folder / KEY_LOG
    key_log.unlink(missing_ok=True)
    world = make_world(plan.engine, topology, trace, plan, key_log, wires)
    is_real_time = plan.engine != SIMULATION
    clock = asyncio.ensure_future(tell_time(tell, printer)) if is_real_time else None
    stage: Stage | None = None
    try:
        patience = patience_of(plan.settings, PATIENCE if plan.devices else 1.0)
        parts = _parts(plan, topology, world, tell)
        stage = Stage(world, topology, trace, parts, plan.variant, scenario.step_s, patience)
        stage.settled_s = settled_s_of(plan.settings)
        outcome = await play(plan, scenario, stage, world)
        if outcome.status == EXIT_FAILED and on_fail is not None:
            await asyncio.to_thread(on_fail, world, stage, asyncio.get_running_loop())
    except Unsupported as error:
        outcome = Outcome("unsupported", str(error))
    finally:
        if clock is not None:
            clock.cancel()
        world.finish()
        trace.close()
        writer.close((world.key_log,))
    _tell_lines(tell, printer.finish())
    outcome.drops = trace.drops
    outcome.late_s = trace.lateness.longest_s
    outcome.records = len(trace.records)
    if trace.records:
        first, last = trace.records[0].time_ns, trace.records[-1].time_ns
        outcome.seconds = (last - first) / 1e9
    if outcome.kind not in UNEXAMINED:
        outcome.found = examine(scenario.judged_as, trace, plan.variant)
    drawn = draw_svg(trace, ladder_order(topology), plan.title)
    (plan.folder / "ladder.svg").write_text(drawn, encoding="utf-8")
    told = (modelled_by(world), last_step(stage), versions_of(world), links_of(world))
    write_run_json(plan, topology, truths, outcome, *told)
    tell({"outcome": outcome.to_json()})
    return outcome.status


async def tell_time(tell: Tell, printer: LadderPrinter) -> None:
    """Lines of the ladder come out on a quiet wire too."""
    while True:
        await asyncio.sleep(LADDER_PERIOD_S)
        _tell_lines(tell, printer.passed(time.time_ns()))


def _parts(plan: Plan, topology: Topology, world: Any, tell: Tell) -> dict[str, Part]:
    """Who plays which node, and with which faults."""
    parts: dict[str, Part] = {}
    faults = [find_fault(word) for word in plan.faults]
    for name, node in topology.nodes.items():
        if name in plan.cast:
            log = plan.folder / "logs" / f"{name}.log"
            parts[name] = find_program(plan.cast[name])(world.hosts[name], node, log)
            continue
        role = make_role(node, world.hosts[name])
        if name in plan.devices:
            facts = {each: getattr(role, each) for each in role.facts}
            ask = functools.partial(_ask, tell)
            parts[name] = Device(
                world.hosts[name], node, plan.devices[name], role.starts_off, ask, facts
            )
            continue
        for fault in faults:
            if fault.role == node.role:
                put_on(fault, role)
        parts[name] = role
    return parts


def _ask(tell: Tell, sentence: str) -> None:
    tell({"ask": sentence})


def _tell_lines(tell: Tell, lines: Sequence[Line]) -> None:
    for line in lines:
        tell({"line": str(line), "style": line.style})
