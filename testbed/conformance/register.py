"""The register of requirements: every sentence of the three documents that a run can keep or break.

It is data (`requirements.yaml`), carried with the package; checks name its entries by id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from testbed.errors import BadInput

_ENTRY = re.compile(r"^(- n: \d+\n  id: (\S+)\n(?:(?!- n:).*\n?)*)", re.MULTILINE)


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


class Register(Mapping[str, Requirement]):
    """All requirements by id, in the file's order; an entry is read when somebody asks for it.

    To read all takes longer than to build a lab, and a run needs a few.  So entries are told apart
    by their first two lines alone, `- n: NUMBER` and `  id: ID`.

    Args:
        text: of the file.
    """

    def __init__(self, text: str) -> None:
        entries = _ENTRY.findall(text)
        self._texts: dict[str, str] = {name: entry for entry, name in entries}
        assert len(self._texts) == len(entries), "two requirements have the same id"
        self._known: dict[str, Requirement] = {}

    def add(self, text: str, where: str) -> None:
        """Take in a user's own entries, in the form of the file.

        Raises:
            BadInput: not of that form, or an id that is taken.
        """
        try:
            entries = _read(text)
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            told = " ".join(str(error).split())
            raise BadInput(
                f"{where}: {type(error).__name__}: {told}; an entry has n, id, source, role, "
                "level, text, check and scenario"
            ) from error
        for name, entry in entries.items():
            if name in self._texts:
                raise BadInput(f"{where}: there is a requirement {name} already")
            self._texts[name] = " ".join(entry.scenarios)
            self._known[name] = entry

    def __getitem__(self, name: str) -> Requirement:
        if name not in self._known:
            self._known |= _read(self._texts[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, name: object) -> bool:
        return name in self._texts

    def values(self) -> ValuesView[Requirement]:
        """Every entry."""
        waiting = [text for name, text in self._texts.items() if name not in self._known]
        if waiting:
            self._known |= _read("".join(waiting))
        return {name: self._known[name] for name in self._texts}.values()

    def naming(self, word: str) -> list[Requirement]:
        """The entries whose text has that word, wherever."""
        return [self[name] for name, text in self._texts.items() if word in text]


def _read(text: str) -> dict[str, Requirement]:
    # The C loader reads the file in a twentieth of the time; it is not on every platform.
    entries = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
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


@cache
def register() -> Register:
    """All requirements by id, in the register's order."""
    file = resources.files("testbed.conformance").joinpath("requirements.yaml")
    return Register(file.read_text(encoding="utf-8"))


def for_scenario(scenario: str) -> list[Requirement]:
    """The requirements that judge that scenario: those whose entry names it."""
    return [each for each in register().naming(scenario) if scenario in each.scenarios]
