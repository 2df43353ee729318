"""Runs that many tests look at: played some at a time, each once, whichever process asks first.

Under xdist every worker collects all tests and has fixtures of its own; what one has played is left
in the session's folder for the others, and a lock keeps two from playing the same.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from testbed.batch import Batch
from testbed.registry import load_scenarios
from testbed.report.result import Outcome
from testbed.run import Plan

AT_A_TIME = 24
"""Runs of a part: enough to keep a machine busy, few enough that workers share the parts."""


def session_folder(folders: pytest.TempPathFactory) -> Path:
    """The one that all workers of this session share."""
    own = folders.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


class Together:
    """What runs come to; a run that is asked for is played with its neighbours.

    Args:
        name: of the folder, below `session_folder`.
        wanted: each run by a key of its own; the plan's folder is chosen here.
        jobs: so many at a time.
        step_s: how long a step may take; None: as the scenario says.
    """

    def __init__(
        self,
        folders: pytest.TempPathFactory,
        name: str,
        wanted: Mapping[str, Plan],
        jobs: int,
        step_s: float | None = None,
    ) -> None:
        self._folder = session_folder(folders) / name
        self._folder.mkdir(exist_ok=True)
        self._wanted = wanted
        self._places = {key: number // AT_A_TIME for number, key in enumerate(wanted)}
        self._jobs = jobs
        self._step_s = step_s
        self._known: dict[str, Outcome] = {}

    def outcome(self, key: str) -> Outcome:
        """What that run comes to."""
        if key not in self._known:
            self._known |= self._part(self._places[key])
        return self._known[key]

    def folder(self, key: str) -> Path:
        """Where its results are."""
        return self._folder / f"run{list(self._wanted).index(key)}"

    def _part(self, number: int) -> dict[str, Outcome]:
        written = self._folder / f"part{number}.json"
        with (self._folder / f"part{number}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not written.exists():
                keys = [key for key, place in self._places.items() if place == number]
                found = self._played(keys)
                written.write_text(json.dumps({key: found[key].to_json() for key in keys}))
        told = json.loads(written.read_text())
        return {key: Outcome.from_json(each) for key, each in told.items()}

    def _played(self, keys: Sequence[str]) -> dict[str, Outcome]:
        known, scenarios, plans = load_scenarios(), {}, []
        for key in keys:  # a batch tells its runs apart by scenario and variant
            plan = self._wanted[key]
            found = known[plan.scenario]
            step_s = found.step_s if self._step_s is None else self._step_s
            scenarios[key] = dataclasses.replace(found, step_s=step_s)
            plans.append(dataclasses.replace(plan, scenario=key, folder=self.folder(key)))
        batch = Batch(scenarios, plans, jobs=self._jobs)
        batch.play()
        return {key: batch.outcomes[key, self._wanted[key].variant] for key in keys}
