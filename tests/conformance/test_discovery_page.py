"""The page of the flow says what the code does."""

from __future__ import annotations

from pathlib import Path

from testbed.conformance import load_checks, register
from testbed.faults import load_faults

PAGE = Path(__file__).resolve().parents[2] / "docs" / "discovery_public.md"


def rows(columns: int) -> list[list[str]]:
    """The cells of every table row with so many columns, without code marks."""
    cut = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()]
    return [[cell.replace("`", "") for cell in cells] for cells in cut if len(cells) == columns]


def test_the_page_names_check_and_faults_of_every_requirement() -> None:
    checks, faults = load_checks(), load_faults()
    told = {
        cells[0]: (cells[1], cells[2], set(cells[3].split()))
        for cells in rows(4)
        if cells[0] in register() and cells[2] in ("wire", "told", "read back", "-")
    }

    known = {
        each: (
            checks[each].name,
            checks[each].observed,
            {fault.name for fault in faults.values() if each in fault.breaks},
        )
        if each in checks
        else ("-", "-", {"-"})
        for each in register()
        if each.startswith(("32583-5.1-", "32583-5.1.2-"))
    }
    assert told == known


def test_the_page_names_every_fault_of_the_flow() -> None:
    known = {
        f"{each.role}:{each.name}": each
        for each in load_faults().values()
        if any(run.startswith("discovery_") for run in each.shown_in)
        and not each.name.startswith("connectivity.")
    }
    told = {cells[0]: cells[1:] for cells in rows(4) if cells[0] in known}

    assert set(known) == set(told)
    for name, (about, breaks, shown_in) in told.items():
        fault = known[name]
        expected = ", ".join(each.removeprefix("32583-") for each in fault.breaks) or "nothing"
        assert (about, breaks, shown_in) == (fault.about, expected, " ".join(fault.shown_in))
