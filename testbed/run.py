"""One run from start to end, inside its world, and its folder.

A run is one variant of one scenario: world up, roles made, the ladder played, the trace drained,
the checks applied, everything written.  Many runs, and what they come to together, are `batch.py`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testbed import __version__
from testbed.conformance import examine
from testbed.credentials import equip, write_credentials
from testbed.errors import (
    EXIT_FAILED,
    NO_ROOM,
    MissingFeature,
    TestbedError,
    Unsupported,
    defect_sentence,
)
from testbed.external import OURS, find_program
from testbed.external.device import DEVICE, PATIENCE, Device
from testbed.facts import versions
from testbed.faults import find_fault, put_on
from testbed.nat_truth import Truth, examine_nats
from testbed.report.result import Outcome, save_crash
from testbed.roles import make_role
from testbed.roles.role import Part
from testbed.scenario import Scenario, Stage
from testbed.settings import asks_for_nat, build_topology
from testbed.topology import Topology, ladder_order, places, static_addresses
from testbed.trace.decoders import Decoders
from testbed.trace.folder import RunWriter
from testbed.trace.ladder import LadderPrinter, Line
from testbed.trace.ladder_svg import draw_svg
from testbed.trace.trace import Trace
from testbed.worlds import (
    SIMULATION,
    links_of,
    make_world,
    modelled_by,
    patience_of,
    runner,
    settled_s_of,
    sleep_noting_lateness,
    versions_of,
    watch_for_deadlock,
)

if TYPE_CHECKING:
    from testbed.engines.emulation.device import Wires

KEY_LOG = Path("keys", "tls.log")
"""The secrets of a run's TLS connections, in its folder; the capture has them too."""

Tell = Callable[[Mapping[str, Any]], None]
OnFail = Callable[[Any, Stage, asyncio.AbstractEventLoop], None]
LADDER_PERIOD_S = 0.1
"""How often the ladder on the terminal is asked for lines whose time has come."""


@dataclass(frozen=True)
class Plan:
    """What is to be run: enough to run it again.

    Attributes:
        scenario: its name.
        variant: "" is the main run.
        engine: "emulation" or "simulation".
        seed: of all randomness.
        settings: of the topology, as the user gave them (text).
        nat: kind for every gateway that translates; None: as the topology says.
        folder: where its results go.
        faults: ROLE:NAME each.
        cast: third parties' programs, by the node that they play.
        devices: interfaces of this machine, by the node that a device behind them plays.
        own: folders of the user's own scenarios and so on that were loaded.
        width: columns of the terminal that shows the ladder; 0: no terminal.
        keep: the files of the lab itself go into the folder too.
    """

    scenario: str
    variant: str
    engine: str
    seed: str
    settings: Mapping[str, str]
    nat: str | None
    folder: Path
    faults: tuple[str, ...] = ()
    cast: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    width: int = 0
    keep: bool = False

    @property
    def title(self) -> str:
        """Scenario and variant, as the command line takes them."""
        return f"{self.scenario}/{self.variant}" if self.variant else self.scenario


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
    variant = scenario.find(plan.variant)
    topology = build_topology(variant.topology, variant.settings, plan.settings, plan.nat)
    run_here, moment = runner(plan.engine)
    equip(topology, plan.seed, moment)
    try:
        asked = asks_for_nat(plan.nat, plan.settings)
        truths = examine_nats(
            *(topology, plan.engine, asked, lambda line: tell({"line": line, "style": "dim"})),
            devices=plan.devices,
        )
        try:
            return run_here(_perform(plan, scenario, topology, truths, tell, on_fail, wires))
        except FileNotFoundError as error:
            raise _missing_program(error) from None
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
    writer = RunWriter(plan.folder, trace, _notes(plan))
    key_log = plan.folder / KEY_LOG
    key_log.unlink(missing_ok=True)
    world = make_world(plan.engine, topology, trace, plan, key_log, wires)
    in_real_time = None if plan.engine == SIMULATION else _tell_time(tell, printer, trace)
    clock = asyncio.ensure_future(in_real_time) if in_real_time is not None else None
    stage: Stage | None = None
    try:
        patience = patience_of(plan.settings, PATIENCE if plan.devices else 1.0)
        parts = _parts(plan, topology, world, tell)
        stage = Stage(world, topology, trace, parts, plan.variant, scenario.step_s, patience)
        stage.settled_s = settled_s_of(plan.settings)
        outcome = await _play(plan, scenario, stage, world)
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
    outcome.drops, outcome.records = trace.drops, len(trace.records)
    if trace.records:
        first, last = trace.records[0].time_ns, trace.records[-1].time_ns
        outcome.seconds = (last - first) / 1e9
    if outcome.kind not in ("interrupted", "unsupported"):
        outcome.found = examine(scenario.judged_as, trace, plan.variant)
    (plan.folder / "ladder.svg").write_text(draw_svg(trace, ladder_order(topology), plan.title))
    told = (modelled_by(world), _last_step(stage), versions_of(world), links_of(world))
    _write_run_json(plan, topology, truths, outcome, *told)
    tell({"outcome": outcome.to_json()})
    return outcome.status


async def _tell_time(tell: Tell, printer: LadderPrinter, trace: Trace) -> None:
    """Lines of the ladder come out on a quiet wire too; how late we are woken is noted."""
    while True:
        await sleep_noting_lateness(LADDER_PERIOD_S, trace)
        _tell_lines(tell, printer.passed(time.time_ns()))


async def _play(plan: Plan, scenario: Scenario, stage: Stage, world: Any) -> Outcome:
    """The ladder itself, and what it came to."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():  # another one gets no signals
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupted.set)
    loop.set_exception_handler(functools.partial(_callback_failed, world))
    script = asyncio.ensure_future(_script(scenario, plan.variant, stage))
    stuck = watch_for_deadlock(loop)
    crash = asyncio.ensure_future(world.crashed.wait())
    stop = asyncio.ensure_future(interrupted.wait())
    try:
        await asyncio.wait([script, crash, stop, stuck], return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            return Outcome("interrupted", "interrupted")
        if not script.done() and (crash.done() or stuck.done()):
            script.cancel()
        try:
            await script
        except asyncio.CancelledError:
            pass
        except TestbedError as error:
            if not world.crashes:
                kind = "unsupported" if isinstance(error, Unsupported) else "missed"
                return Outcome(kind, str(error), record=_last_step(stage))
        except Exception as error:
            return Outcome("crashed", f"the scenario itself: {_told(error, plan.folder)}")
        if stuck.done():
            return Outcome("missed", stuck.result(), record=_last_step(stage))
        await world.flush()
        if world.crashes:
            node, crash_error = world.crashes[0]
            who = f"{node} ({plan.cast[node]})" if node in plan.cast else node
            return _crashed(who, crash_error, plan.folder)
        broken = stage.violated()
        if broken:
            wanted, record = broken[0]
            text = f"{wanted.step}: this must never appear and did, as record {record.number}"
            text = f"{text}\n  never      {wanted.describe()}"
            return Outcome("violated", text, record=record.number)
        return Outcome("completed")
    finally:
        for task in (script, crash, stop, stuck):
            task.cancel()


def _callback_failed(world: Any, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no role is to blame for, such as a trace that cannot be written, ends the run."""
    error = context.get("exception")
    if error is None or "handle" not in context:
        loop.default_exception_handler(context)
        return
    world.crashes.append(("", error))
    world.crashed.set()


async def _script(scenario: Scenario, variant: str, stage: Stage) -> None:
    """Power for the infrastructure; when all of it serves, the scenario's own lines."""
    starting = [
        stage.power(player.name, True)
        for player in stage.players.values()
        if not player.role.starts_off
    ]
    for started in starting:
        if started is not None:
            await asyncio.wait([started])
            if started.cancelled() or started.exception() is not None:
                return  # the role's crash is the run's end
    await scenario.find(variant).function(stage)


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


def _player_told(plan: Plan, node: str) -> dict[str, str]:
    """Program and version of whoever plays the node."""
    if node in plan.devices:
        return {"program": DEVICE, "version": f"at {', '.join(plan.devices[node])}"}
    if node not in plan.cast:
        return {"program": OURS, "version": __version__}
    program = find_program(plan.cast[node])
    return {"program": program.about.program, "version": program.version()}


def _last_step(stage: Stage | None) -> int | None:
    """The record of the ladder's last step that happened."""
    return stage.steps[-1][1].number if stage is not None and stage.steps else None


def _crashed(node: str, error: BaseException, folder: Path) -> Outcome:
    """What a role's exception comes to.

    Raises:
        MissingFeature: that was it: nothing of the testbed is broken.
        OSError: there is no room for the results.
    """
    if isinstance(error, MissingFeature):
        raise error
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        raise error
    who = f"role {node} crashed" if node else "the testbed itself"
    return Outcome("crashed", f"{who}: {_told(error, folder)}")


def _told(error: BaseException, folder: Path) -> str:
    """One sentence; the traceback, which is for the testbed's own people, goes to the logs."""
    if isinstance(error, TestbedError):
        return str(error)
    save_crash(folder, "".join(traceback.format_exception(error)))
    return defect_sentence(error)


def _tell_lines(tell: Tell, lines: Sequence[Line]) -> None:
    for line in lines:
        tell({"line": str(line), "style": line.style})


def register_ports(decoders: Decoders, topology: Topology) -> None:
    """Have the ports that the topology's nodes are told decoded as what they carry."""
    decoders.register_web(*_web_ports(topology))
    decoders.register_stun(*_stun_ports(topology))


def _web_ports(topology: Topology) -> list[int]:
    """The ports of all URLs that the topology's nodes are told."""
    ports = []
    for node in topology.nodes.values():
        for value in node.settings.values():
            if not isinstance(value, str) or not value.startswith(("http://", "https://")):
                continue
            try:
                port = urlsplit(value).port
            except ValueError:
                continue  # whoever uses the URL says what is wrong with it
            if port is not None:
                ports.append(port)
    return ports


def _stun_ports(topology: Topology) -> list[int]:
    """The ports that the topology's STUN servers are told."""
    told = [node.settings for node in topology.nodes.values() if node.role == "stun_server"]
    return [each[name] for each in told for name in ("port", "other_port") if each.get(name)]


def _notes(plan: Plan) -> dict[str, object]:
    return {
        "scenario": plan.title,
        "engine": plan.engine,
        "seed": plan.seed,
        "testbed": __version__,
    }


def _write_run_json(
    plan: Plan,
    topology: Topology,
    truths: Sequence[Truth],
    outcome: Outcome,
    modelled: Mapping[str, str],
    last_step: int | None,
    started: Mapping[str, str],
    links: Mapping[str, object],
) -> None:
    text = json.dumps(
        {
            "scenario": plan.scenario,
            "variant": plan.variant,
            "engine": plan.engine,
            "modelled": dict(modelled),
            "seed": plan.seed,
            "settings": dict(plan.settings),
            "nat": plan.nat,
            "nats": [truth.told() for truth in truths],
            "cast": {name: _player_told(plan, name) for name in topology.nodes},
            "devices": {name: list(each) for name, each in plan.devices.items()},
            "with": list(plan.own),
            "faults": list(plan.faults),
            "topology": topology.title,
            "links": links,
            "nodes": {
                name: {
                    "role": node.role,
                    "nat": node.nat.name if node.nat else None,
                    "interfaces": [[a.link, a.address] for a in node.attachments],
                }
                for name, node in topology.nodes.items()
            },
            "outcome": outcome.kind,
            "text": outcome.text,
            "drops": outcome.drops,
            "records": outcome.records,
            "last_step": last_step,
            "seconds": round(outcome.seconds, 6),
            "versions": {**versions(plan.engine), **started},
        },
        indent=2,
    )
    (plan.folder / "run.json").write_text(text + "\n")
