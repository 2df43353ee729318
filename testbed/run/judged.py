"""What the sub-runs of a scenario come to, whether they have just ended or lie in their folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from testbed.conformance import Judgement, judge
from testbed.external import find_program
from testbed.report.result import Outcome

UNEXAMINED = ("interrupted", "unsupported")
"""Outcomes of runs in which nobody is judged: they were cut short, or asked what nobody can do."""


def judge_sub_runs(
    judged_as: str | None,
    variants: Collection[str],
    ended: Mapping[str, Outcome],
    cast: Mapping[str, str],
) -> list[Judgement]:
    """Sum up what the checks have found.

    Args:
        judged_as: the scenario of the register; see `Scenario`.
        variants: all that the scenario has.
        ended: what became of those that were run.
        cast: third parties' programs, by the node that they play.
    """
    return judge(
        judged_as,
        {variant: outcome.found for variant, outcome in ended.items()},
        sum(outcome.drops for outcome in ended.values()),
        [variant for variant in variants if variant not in ended],
        [variant for variant, outcome in ended.items() if outcome.kind == "unsupported"],
        _unmet(cast),
    )


def _unmet(cast: Mapping[str, str]) -> dict[str, str]:
    """What the programs of a cast cannot do, by what it is: abilities, ids of requirements."""
    return {
        ability: f"{node}={program}: {reason}"
        for node, program in cast.items()
        for ability, reason in find_program(program).about.cannot.items()
    }
