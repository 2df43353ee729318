"""Every check has a fault that it catches, and a fault trips what it declares and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from testbed.batch import Batch
from testbed.conformance import Verdict, judge, load_checks, register
from testbed.faults import load_faults
from testbed.registry import load_scenarios
from testbed.report.result import Result
from testbed.roles import ROLES
from testbed.run import Plan
from tests.together import Together

STEP_S = 3.0
"""How long a step may take in a run under a fault, most of which stop where the fault shows."""
PATIENT_STEP_S = 15.0
"""How long in a run of its own, where that was too little."""
IN_VIRTUAL_TIME = {
    "hnb_first_day",
    "nat_keepalive",
    "nat_timeout_discovery",
    "stun_server_conformance",
}
"""Scenarios that wait for lifetimes and periods, and judge them to fractions of a second: beside
sixteen others on two cores that would judge the machine.  `make soak` proves them in emulation."""
WAITING = {"nat_keepalive", "nat_timeout_discovery"}
"""Scenarios whose runs need no processor for most of their time."""
FAULTS = load_faults()
ENDS = ("completed", "missed", "violated")
SHOWS = [(name, run) for name, fault in FAULTS.items() for run in fault.shown_in]


def engine_of(run: str) -> str:
    """Which engine proves a fault there."""
    return "simulation" if run.partition("/")[0] in IN_VIRTUAL_TIME else "emulation"


def variants_of(run: str) -> list[str]:
    """The variants that SCENARIO/VARIANT means; without a slash all of them."""
    name, slash, variant = run.partition("/")
    return [variant] if slash else list(load_scenarios()[name].variants)


def key_of(name: str, run: str, variant: str) -> str:
    return f"{name} in {run}, {variant or 'main'}"


def under(wanted: Iterable[tuple[str, str]], engine: str | None = None) -> dict[str, Plan]:
    """These runs under faults, each variant by its key.

    Args:
        wanted: fault and run.
        engine: where; None: where each is proved on each change.
    """
    return {
        key_of(name, run, variant): Plan(
            run.partition("/")[0],
            variant,
            engine or engine_of(run),
            "7",
            {},
            None,
            Path(),
            (f"{FAULTS[name].role}:{name}",),
        )
        for name, run in wanted
        for variant in variants_of(run)
    }


@pytest.fixture(scope="module")
def under_faults(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Together:
    """All the wanted runs under faults; most wait for a step that does not come, so that many go
    at a time."""
    wanted = [
        (item.callspec.params["name"], item.callspec.params["run"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == "test_a_fault_trips_exactly_what_it_declares"
    ]
    jobs = 3 * (os.cpu_count() or 1)
    return Together(tmp_path_factory, "under_faults", under(wanted), jobs, STEP_S)


def trips(name: str, run: str, played: Together) -> None:
    """The run fails in what the fault declares, and in nothing else."""
    failed, declared, odd = comes_to(name, run, played)

    assert odd == []
    assert {*failed} == declared, [*failed.values()]


def is_cut_short(name: str, run: str, played: Together) -> bool:
    """Whether a step was missed before the run could show all that the fault breaks: a machine may
    be too busy for `STEP_S`."""
    failed, declared, _ = comes_to(name, run, played)
    kinds = {played.outcome(key_of(name, run, each)).kind for each in variants_of(run)}
    return "missed" in kinds and {*failed} < declared


def comes_to(name: str, run: str, played: Together) -> tuple[dict[str, str], set[str], list[str]]:
    """What fails in a run under a fault, with reasons; what should; how it ended, if oddly."""
    scenario = run.partition("/")[0]
    outcomes = {each: played.outcome(key_of(name, run, each)) for each in variants_of(run)}
    found = {variant: outcome.found for variant, outcome in outcomes.items()}
    judged = judge(scenario, found, sum(outcome.drops for outcome in outcomes.values()))
    failed = {each.requirement.id: each.reason for each in judged if each.verdict is Verdict.FAIL}
    declared = {*FAULTS[name].breaks} & {each.requirement.id for each in judged}
    return failed, declared, [each.text for each in outcomes.values() if each.kind not in ENDS]


def test_every_entry_of_both_flows_has_a_check() -> None:
    mine = {each for each in register() if each.startswith("32583-5.1")}

    assert mine - set(load_checks()) == set()


def test_every_check_has_a_fault_that_breaks_it() -> None:
    broken = {requirement for fault in FAULTS.values() for requirement in fault.breaks}

    assert set(load_checks()) - broken == set()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_what_there_is(name: str) -> None:
    fault, scenarios = FAULTS[name], load_scenarios()

    assert fault.about.endswith(".")
    assert fault.role in ROLES
    assert set(fault.breaks) <= set(load_checks())
    assert fault.shown_in
    for run in fault.shown_in:
        scenario = run.partition("/")[0]
        assert {*variants_of(run)} <= {*scenarios[scenario].variants}
        if fault.breaks:
            judging = {each for each in fault.breaks if scenario in register()[each].scenarios}
            assert judging, f"{run} judges nothing that {name} breaks"


@pytest.mark.parametrize("name", FAULTS)
def test_each_broken_requirement_is_shown_broken_somewhere(name: str) -> None:
    fault = FAULTS[name]
    shown = {
        requirement
        for run in fault.shown_in
        for requirement in fault.breaks
        if run.partition("/")[0] in register()[requirement].scenarios
    }

    assert {*fault.breaks} <= shown


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize(("name", "run"), SHOWS, ids=[f"{name}-in-{run}" for name, run in SHOWS])
def test_a_fault_trips_exactly_what_it_declares(
    name: str, run: str, under_faults: Together, tmp_path_factory: pytest.TempPathFactory
) -> None:
    played = under_faults
    if is_cut_short(name, run, played):
        folder = f"patient_{name}_in_{run}".replace("/", "_")
        played = Together(tmp_path_factory, folder, under([(name, run)]), 1, PATIENT_STEP_S)
    trips(name, run, played)


@pytest.mark.emulation
@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "run"), [each for each in SHOWS if engine_of(each[1]) == "simulation"]
)
def test_a_fault_trips_the_same_in_real_time(
    name: str, run: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = f"real_{name}_in_{run}".replace("/", "_")
    alone = under([(name, run)], "emulation")
    trips(name, run, Together(tmp_path_factory, folder, alone, 4, STEP_S))


@pytest.mark.soak
def test_every_fault_trips_the_same_in_virtual_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """All that the simulation does not refuse; with the patience that a user's runs have."""
    wanted = [each for each in SHOWS if not FAULTS[each[0]].emulation_only]
    plans, jobs = under(wanted, "simulation"), os.cpu_count() or 1
    played = Together(tmp_path_factory, "in_virtual_time", plans, jobs)
    others = {}
    for name, run in wanted:
        failed, declared, odd = comes_to(name, run, played)
        if odd or {*failed} != declared:
            others[f"{name} in {run}"] = (failed, declared, odd)

    assert len(wanted) > 300
    assert others == {}


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize("name", load_scenarios())
def test_good_runs_fail_nothing(name: str, tmp_path: Path) -> None:
    scenarios = dict(load_scenarios())
    variants = scenarios[name].variants
    plans = [
        Plan(name, each, "emulation", "7", {}, None, tmp_path / (each or "main"))
        for each in variants
    ]

    jobs = (2 if name in WAITING else 1) * (os.cpu_count() or 1)
    (result,) = Batch(scenarios, plans, jobs=jobs).run()

    outcomes = {variant: each.text for variant, each in result.outcomes.items() if each.status}
    failed = [each.reason for each in result.judgements if each.verdict is Verdict.FAIL]
    assert (outcomes, failed) == ({}, [])


def test_a_fault_that_peers_bear_fails_no_run() -> None:
    bearing = [name for name, fault in FAULTS.items() if not fault.breaks]

    result = Result("discovery_public", {}, [], 0.0, Path(), frozenset())

    assert bearing
    assert not result.failed
