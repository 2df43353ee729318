"""The page of quirks names tests and faults that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed.faults import find_fault

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "interop_quirks.md"
NAMES = sorted(
    {
        name
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ")
        for name in re.findall(r"`([^`]+)`", line.rpartition(" | ")[2])
    }
)


def known_tests() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"def (test_\w+)\(", path.read_text()))
    return found


def test_every_quirk_is_shown_by_something() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    bare = [line for line in rows if "shown by" not in line and "`" not in line.split(" | ")[-1]]

    assert len(rows) > 60
    assert bare == []


def test_every_test_that_the_page_names_is_there() -> None:
    assert {name for name in NAMES if ":" not in name} - known_tests() == set()


@pytest.mark.parametrize("name", [name for name in NAMES if ":" in name])
def test_every_fault_that_the_page_names_is_there(name: str) -> None:
    assert find_fault(name).about
