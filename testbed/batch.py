"""Many runs, several at a time, each in a world of its own; and what they come to together."""

from __future__ import annotations

import importlib
import json
import selectors
import shutil
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.conformance import load_checks
from testbed.engines import EMULATION, SIMULATION
from testbed.engines.interrupts import Interrupts
from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from testbed.faults import find_fault
from testbed.report.result import Outcome, Result, save_crash
from testbed.roles import OTHERWISE, ROLES
from testbed.run import Plan, topology_of
from testbed.run.folder import clear
from testbed.run.judged import judge_sub_runs
from testbed.run.perform import perform
from testbed.scenario import Scenario

if TYPE_CHECKING:  # each engine is imported when one of its runs is started
    from testbed.engines.emulation.device import Wires
    from testbed.engines.emulation.lab import Lab, LabProcess
    from testbed.engines.simulation.process import SimulationProcess

IMPORTED_LATE = {
    EMULATION: ("testbed.engines.emulation.world", "testbed.engines.emulation.nat_ground"),
    SIMULATION: ("testbed.engines.simulation.world",),
    "either": ("testbed.protocols.certificates", "testbed.protocols.pki", "testbed.trace.web"),
}
"""What runs import when they first need it, by engine."""


NOT_BEGUN = Outcome("interrupted", "not begun: Ctrl-C came before")


@dataclass
class Progress:
    """What a batch tells while it runs; each may be left as it is.

    Attributes:
        line: a line of a running ladder, and which plan's.
        ask: whoever runs this must do something with a device, in a sentence.
        started: a plan has begun.
        ended: a plan has ended, so many of so many.
    """

    line: Callable[[Plan, str, str], None] = lambda plan, line, style: None
    ask: Callable[[Plan, str], None] = lambda plan, sentence: None
    started: Callable[[Plan], None] = lambda plan: None
    ended: Callable[[Plan, Outcome, int, int], None] = lambda plan, outcome, done, all_plans: None


@dataclass
class _Running:
    plan: Plan
    process: LabProcess | SimulationProcess
    outcome: Outcome | None = None
    crash: str = ""


@dataclass
class Batch:
    """Runs plans, `jobs` at a time.

    Args:
        scenarios: by name.
        plans: what to run.
        jobs: how many at a time.
        progress: who is told.
        work: replaces `perform` (a shell after a failure).
        strict: recommendations count like obligations.
    """

    scenarios: dict[str, Scenario]
    plans: Sequence[Plan]
    jobs: int = 1
    progress: Progress = field(default_factory=Progress)
    work: Callable[[Plan, Scenario, Lab], int] | None = None
    strict: bool = False
    interrupted: bool = False
    stopped: bool = False
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    def run(self) -> list[Result]:
        """Run all; gives the results by scenario, in order.

        Ctrl-C ends the running labs in order, a second one at once; the others are left out.
        """
        seconds = self.play()
        return self.results({name: max(each) - min(each) for name, each in seconds.items()})

    def play(self) -> dict[str, list[float]]:
        """Run all, as far as nobody sets `stopped`; gives when each scenario's runs began and
        ended, by the wall clock."""
        if len(self.plans) > 1:
            _import_for({plan.engine for plan in self.plans})
        waiting = deque(self.plans)
        running: dict[int, _Running] = {}
        seconds: dict[str, list[float]] = {}
        with selectors.DefaultSelector() as selector, Interrupts() as interrupts:
            selector.register(interrupts, selectors.EVENT_READ)
            while running or (waiting and not interrupts.count):
                if self.stopped:
                    waiting.clear()
                while waiting and len(running) < self.jobs and not interrupts.count:
                    started = self._launch(waiting.popleft())
                    seconds.setdefault(started.plan.scenario, []).append(time.monotonic())
                    descriptor = started.process.fileno()
                    running[descriptor] = started
                    selector.register(descriptor, selectors.EVENT_READ)
                _import_reports()
                for key, _ in selector.select():
                    if key.fileobj is interrupts:
                        interrupts.drain()
                        continue
                    one = running[key.fd]
                    self._read(one)
                    if one.process.finished:
                        selector.unregister(key.fd)
                        del running[key.fd]
                        self._end(one)
                        seconds[one.plan.scenario].append(time.monotonic())
            self.interrupted = interrupts.count > 0
        return seconds

    def _launch(self, plan: Plan) -> _Running:
        clear(plan.folder)
        process = self._simulate(plan) if plan.engine == SIMULATION else self._emulate(plan)
        self.progress.started(plan)
        return _Running(plan, process)

    def _simulate(self, plan: Plan) -> SimulationProcess:
        from testbed.engines.simulation.process import launch

        return launch(lambda tell: perform(plan, self.scenarios[plan.scenario], tell))

    def _emulate(self, plan: Plan) -> LabProcess:
        from testbed.engines.emulation.lab import launch

        wires = self._open_wires(plan)
        try:
            return launch(lambda lab: self._work(plan, lab, wires), plan.title, keep=[plan.folder])
        finally:
            for wires_of_node in wires.values():
                for wire in wires_of_node:
                    wire.close()  # the lab has its own copy

    def _open_wires(self, plan: Plan) -> Wires:
        """Sockets on this machine's interfaces, which a lab cannot reach from inside."""
        if not plan.devices:
            return {}
        from testbed.engines.emulation.device import open_wires

        return open_wires(plan.devices, topology_of(plan, self.scenarios[plan.scenario]))

    def _work(self, plan: Plan, lab: Lab, wires: Wires) -> int:
        """What the lab does, in its own process."""
        scenario = self.scenarios[plan.scenario]
        try:
            if self.work is not None:
                return self.work(plan, scenario, lab)
            return perform(plan, scenario, lab.tell, wires=wires)
        finally:
            if plan.keep:
                keep_files(lab.directory, plan.folder / "lab")

    def _read(self, one: _Running) -> None:
        for message in one.process.messages():
            if "line" in message:
                self.progress.line(one.plan, message["line"], message["style"])
            elif "ask" in message:
                self.progress.ask(one.plan, message["ask"])
            elif "outcome" in message:
                one.outcome = Outcome.from_json(message["outcome"])
            else:
                one.crash = message.get("crash") or message.get("error") or one.crash

    def _end(self, one: _Running) -> None:
        end = one.process.wait()
        outcome = one.outcome
        if outcome is None and end.signal is not None:
            outcome = Outcome("killed", f"the run was killed by signal {end.signal}")
        elif outcome is None and end.status == EXIT_INTERRUPTED:
            outcome = Outcome("interrupted", "interrupted")
        elif outcome is None:
            outcome = Outcome("crashed", _last_line(one.crash) or f"it ended with {end.status}")
            save_crash(one.plan.folder, one.crash)
        self.outcomes[one.plan.scenario, one.plan.variant] = outcome
        self.progress.ended(one.plan, outcome, len(self.outcomes), len(self.plans))

    def results(self, seconds: Mapping[str, float]) -> list[Result]:
        """What has been run, judged, by scenario.

        Args:
            seconds: what each scenario took.
        """
        results = []
        words = self.plans[0].faults
        declared = (
            frozenset(i for word in words for i in find_fault(word).breaks) if words else None
        )
        for name in dict.fromkeys(plan.scenario for plan in self.plans):
            plans = [plan for plan in self.plans if plan.scenario == name]
            ended = {
                plan.variant: self.outcomes[name, plan.variant]
                for plan in plans
                if (name, plan.variant) in self.outcomes
            }
            if not ended:
                continue
            scenario = self.scenarios[name]
            cast = {node: each for plan in plans for node, each in plan.cast.items()}
            judgements = judge_sub_runs(scenario.judged_as, scenario.variants, ended, cast)
            folder = plans[0].folder if not plans[0].variant else plans[0].folder.parent
            not_begun = {plan.variant: NOT_BEGUN for plan in plans if self.interrupted}
            results.append(
                Result(
                    name,
                    not_begun | ended,
                    judgements,
                    seconds.get(name, 0.0),
                    folder,
                    declared,
                    self.strict,
                )
            )
        return results

    def status(self, results: Sequence[Result]) -> int:
        """The exit status that all of it comes to."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        if any(result.failed for result in results):
            return EXIT_FAILED
        # A missed step that does not fail its scenario is the work of a fault.
        statuses = {outcome.status for each in results for outcome in each.outcomes.values()}
        return max(statuses - {EXIT_FAILED}, default=EXIT_OK)


def _last_line(text: str) -> str:
    """Of a traceback: what went wrong."""
    return text.rstrip().rpartition("\n")[2]


def _import_for(engines: Collection[str]) -> None:
    """Import once, before the forks, what each of several runs would import again: more than half
    of the processor time of a short one."""
    load_checks()
    roles = [found.partition(":")[0] for found in (*ROLES.values(), *OTHERWISE.values())]
    for name in chain(roles, *(IMPORTED_LATE[each] for each in (*engines, "either"))):
        importlib.import_module(name)


def _import_reports() -> None:
    """Import what only reports need while the first labs are being built, which costs no time."""
    import testbed.report.html
    import testbed.report.junit
    import testbed.report.terminal  # noqa: F401


def keep_files(source: Path, target: Path) -> None:
    """Copy a lab's own files (configurations, logs); sockets and pipes are no files to keep."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def write_results(results: Sequence[Result], out: Path, scenarios: Mapping[str, Scenario]) -> None:
    """verdicts.json, junit.xml and report.html of each scenario, and one junit.xml for all."""
    from testbed.report.html import write_html
    from testbed.report.junit import write_junit
    from testbed.report.verdicts import write_verdicts

    for result in results:
        result.folder.mkdir(parents=True, exist_ok=True)
        write_verdicts(result.folder / "verdicts.json", result.scenario, result.judgements)
        write_junit(result.folder / "junit.xml", [result])
        variants = scenarios[result.scenario].variants
        titles = {name: variant.title for name, variant in variants.items()}
        write_html(result.folder / "report.html", result, titles)
    write_junit(out / "junit.xml", results)


def write_summary(results: Sequence[Result], out: Path) -> None:
    """results.json: what the table at the end says, for programs."""
    rows = [
        {
            "scenario": result.scenario,
            "verdict": result.verdict,
            "seconds": round(result.seconds, 3),
            "folder": str(result.folder),
            "variants": {name: outcome.kind for name, outcome in result.outcomes.items()},
        }
        for result in results
    ]
    (out / "results.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
