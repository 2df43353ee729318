"""What to say of a fault that tripped nothing: the runs that show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from testbed.faults import Fault, find_fault
from testbed.registry import find_scenario

if TYPE_CHECKING:
    from testbed.report.result import Result


def hints(words: Iterable[str], results: Sequence[Result]) -> list[str]:
    """A sentence for each fault that breaks something of which nothing has failed.

    Args:
        words: the faults, as the command line names them.
        results: of all scenarios that were run under them.
    """
    failed = {
        each.requirement.id
        for result in results
        for each in result.judgements
        if each.verdict == "FAIL"
    }
    played = {f"{result.scenario}/{variant}" for result in results for variant in result.outcomes}
    for result in results:
        if set(find_scenario(result.scenario).variants) <= set(result.outcomes):
            played.add(result.scenario)
    faults = [find_fault(word) for word in words]
    return [
        _sentence(each, [run for run in each.shown_in if run not in played])
        for each in faults
        if each.breaks and not failed & set(each.breaks)
    ]


def _sentence(fault: Fault, elsewhere: list[str]) -> str:
    told = f"{fault.role}:{fault.name} breaks {', '.join(fault.breaks)}, and nothing of it failed"
    if not elsewhere:
        return f"{told} in what shows it"
    runs = " ".join(elsewhere)
    return f"{told} here; this shows it: testbed run {runs} --fault {fault.role}:{fault.name}"
