"""Every check has a fault that it catches, and a fault trips what it declares and nothing else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from testbed.batch import Batch
from testbed.conformance import Verdict, load_checks, register
from testbed.faults import load_faults
from testbed.registry import load_scenarios
from testbed.report.result import Result
from testbed.roles import ROLES
from testbed.run import Plan

STEP_S = 1.5
"""How long a step may take in a run under a fault, most of which stop where the fault shows."""
FAULTS = load_faults()
SHOWS = [(name, run) for name, fault in FAULTS.items() for run in fault.shown_in]
FLOW = (
    "discovery_public",
    "discovery_cert_mismatch",
    "discovery_dns_failure",
    "discovery_provisioning_fault",
)
LATER = {"32583-5.1-P7"}
"""Entries of the flow's section that need a Security Gateway: only the intranet flow shows them."""


def played(plans: list[Plan], step_s: float | None = None) -> list[Result]:
    scenarios = {
        name: dataclasses.replace(each, step_s=step_s or each.step_s)
        for name, each in load_scenarios().items()
    }
    return Batch(scenarios, plans, jobs=os.cpu_count() or 1).run()


def plan(run: str, folder: Path, *faults: str) -> Plan:
    name, _, variant = run.partition("/")
    return Plan(name, variant, "emulation", "7", {}, None, folder, faults)


def test_every_entry_of_the_flow_has_a_check() -> None:
    mine = {each for each in register() if each.startswith(("32583-5.1-", "32583-5.1.2-"))}

    assert mine - set(load_checks()) == LATER


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
        scenario, _, variant = run.partition("/")
        assert variant in scenarios[scenario].variants
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
    of_this_flow = {each for each in fault.breaks if not each.startswith("32583-5.1.1-")}

    assert of_this_flow <= shown


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize(("name", "run"), SHOWS, ids=[f"{name}-in-{run}" for name, run in SHOWS])
def test_a_fault_trips_exactly_what_it_declares(name: str, run: str, tmp_path: Path) -> None:
    fault = FAULTS[name]

    (result,) = played([plan(run, tmp_path, f"{fault.role}:{name}")], STEP_S)

    judged = {each.requirement.id: each for each in result.judgements}
    failed = {key: each.reason for key, each in judged.items() if each.verdict is Verdict.FAIL}
    assert set(failed) == set(fault.breaks) & set(judged), failed
    assert not result.failed, result.outcomes


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize("name", FLOW)
def test_good_runs_fail_nothing(name: str, tmp_path: Path) -> None:
    variants = load_scenarios()[name].variants
    plans = [plan(f"{name}/{each}", tmp_path / (each or "main")) for each in variants]

    (result,) = played(plans)

    outcomes = {variant: each.text for variant, each in result.outcomes.items() if each.status}
    failed = [each.reason for each in result.judgements if each.verdict is Verdict.FAIL]
    assert (outcomes, failed) == ({}, [])
