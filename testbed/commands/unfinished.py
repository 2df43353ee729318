"""Runs that were killed half-way: which of their sub-runs did not come to their end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click


class SubRun(NamedTuple):
    """What a run.json says of its place among others.

    Attributes:
        file: the run.json.
        scenario: its name.
        variant: "" is the main run.
        asked: the scenario's variants that were to be run with it, itself too.
    """

    file: Path
    scenario: str
    variant: str
    asked: tuple[str, ...]


def tell_unfinished(source: Path, found: Iterable[SubRun]) -> None:
    """Say on standard error what a folder lacks; a folder of one variant alone lacks nothing."""
    runs = [each for each in found if not (each.variant and each.file.parent == source)]
    for scenario in dict.fromkeys(each.scenario for each in runs):
        here = [each for each in runs if each.scenario == scenario]
        ended = {each.variant for each in here}
        asked = dict.fromkeys(variant for each in here for variant in each.asked)
        lacking = [variant or "the main run" for variant in asked if variant not in ended]
        if lacking:
            click.echo(
                f"testbed: {source}: {len(lacking)} of {len(asked)} sub-runs of {scenario} did "
                f"not come to their end, and are left out: {', '.join(lacking)}",
                err=True,
            )
