from __future__ import annotations

from importlib import resources

import pytest
import yaml

from testbed.conformance import load_checks, register
from testbed.conformance.register import Register, for_scenario

FILE = resources.files("testbed.conformance").joinpath("requirements.yaml")


@pytest.fixture(scope="module")
def entries():
    """What a YAML reader makes of the whole file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(FILE.read_bytes(), Loader=loader)


def test_it_has_337_entries_each_with_an_id_and_a_number_of_its_own(entries) -> None:
    assert len(register()) == len(entries) == 337
    assert len({entry["id"] for entry in entries}) == 337
    assert [entry["n"] for entry in entries] == list(range(1, 338))


def test_entry_by_entry_it_reads_what_the_whole_file_says(entries) -> None:
    read = Register(FILE.read_text(encoding="utf-8"))

    assert list(read) == [entry["id"] for entry in entries]
    for entry in entries:
        each = read[entry["id"]]
        assert (each.number, each.text, each.check) == (entry["n"], entry["text"], entry["check"])
        assert each.scenarios == (entry["scenario"], *entry.get("also", ()))
        assert each.roles == tuple(entry["role"].split("|"))
        assert (each.source, each.level) == (entry["source"], entry["level"])
        assert each.ambiguities == tuple(entry.get("ambiguity", ()))


def test_all_at_once_is_the_same_as_one_by_one() -> None:
    text = FILE.read_text(encoding="utf-8")
    one_by_one = Register(text)

    assert list(Register(text).values()) == [one_by_one[name] for name in one_by_one]


def test_levels_are_five_words() -> None:
    levels = {each.level for each in register().values()}

    assert levels == {"MUST", "SHOULD", "MAY", "PROCEDURE", "TABLE"}


@pytest.mark.parametrize("scenario", ["lan_connectivity", "discovery_public"])
def test_a_scenario_is_judged_by_the_entries_that_name_it_first_or_also(scenario, entries) -> None:
    naming = [e["id"] for e in entries if scenario in (e["scenario"], *e.get("also", ()))]

    assert [each.id for each in for_scenario(scenario)] == naming
    assert naming


def test_a_word_of_the_text_is_no_scenario() -> None:
    assert for_scenario("HMS") == []


def test_every_check_decides_entries_of_the_register() -> None:
    assert set(load_checks()) <= set(register())
    assert load_checks()
