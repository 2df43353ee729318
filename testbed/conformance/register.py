"""The register of requirements: every sentence of the three documents that a run can keep or break.

It is data (`requirements.yaml`), carried with the package; checks name its entries by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True, slots=True)
class Requirement:
    """One entry.

    Attributes:
        number: its place in the register, from 1.
        id: stable name ("32583-5.1.1-2").
        source: document and clause.
        roles: who must obey, in the register's words ("hnb", "hms_initial").
        level: MUST, SHOULD, MAY, PROCEDURE (a step without keyword) or TABLE (a row of a table).
        text: the requirement, in our words.
        check: what is to be observed, and what would violate it.
        scenarios: primary scenario first, then the others that exercise it.
        ambiguities: ids of the decisions that apply.
    """

    number: int
    id: str
    source: str
    roles: tuple[str, ...]
    level: str
    text: str
    check: str
    scenarios: tuple[str, ...]
    ambiguities: tuple[str, ...]


@cache
def register() -> Mapping[str, Requirement]:
    """All requirements by id, in the register's order."""
    text = resources.files("testbed.conformance").joinpath("requirements.yaml").read_bytes()
    # The C loader reads the file in a twentieth of the time; it is not on every platform.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(text, Loader=loader)
    return {
        entry["id"]: Requirement(
            number=entry["n"],
            id=entry["id"],
            source=entry["source"],
            roles=tuple(entry["role"].split("|")),
            level=entry["level"],
            text=entry["text"],
            check=entry["check"],
            scenarios=(entry["scenario"], *entry.get("also", ())),
            ambiguities=tuple(entry.get("ambiguity", ())),
        )
        for entry in entries
    }


def for_scenario(scenario: str) -> list[Requirement]:
    """The requirements that judge that scenario: those whose entry names it."""
    return [each for each in register().values() if scenario in each.scenarios]
