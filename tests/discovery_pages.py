"""Writes the tables of the two pages on discovery: `python -m tests.discovery_pages`."""

from __future__ import annotations

from pathlib import Path

from testbed.conformance import load_checks, register
from testbed.faults import load_faults
from testbed.faults.fault import Fault
from testbed.registry import load_scenarios

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {"discovery_public": "hms_on_internet", "discovery_intranet": "hms_on_intranet"}
"""Each page, and the topology of its flow."""
CHECKS_HEAD = "| requirement | check | observed | faults that make it FAIL |"
FAULTS_HEAD = "| fault | what is wrong | breaks (32583-) | shown in |"


def requirements_of(page: str) -> list[str]:
    """The entries that a page tells of."""
    if page == "discovery_public":
        return [each for each in register() if each.startswith(("32583-5.1-", "32583-5.1.2-"))]
    own = ("32583-5.1-P5", "32583-5.1-P7", "32583-5.1-P9")
    return [each for each in register() if each in own or each.startswith("32583-5.1.1-")]


def faults_of(page: str) -> list[Fault]:
    """The faults that a run of the page's flow shows."""
    scenarios, found = load_scenarios(), []
    for fault in load_faults().values():
        topologies = set()
        for run in fault.shown_in:
            name, slash, variant = run.partition("/")
            variants = [variant] if slash else scenarios[name].variants
            topologies |= {scenarios[name].variants[each].topology.__name__ for each in variants}
        if PAGES[page] in topologies and not fault.name.startswith("connectivity."):
            found.append(fault)
    return found


def checks_table(page: str) -> list[str]:
    """A row for each entry: its check, and what makes it FAIL."""
    checks, faults, rows = load_checks(), load_faults().values(), []
    for name in requirements_of(page):
        check = checks[name]
        breaking = " ".join(f"`{each.name}`" for each in faults if name in each.breaks)
        rows.append(f"| {name} | `{check.name}` | {check.observed} | {breaking} |")
    return rows


def faults_table(page: str) -> list[str]:
    """A row for each fault."""
    rows = []
    for each in faults_of(page):
        breaks = ", ".join(name.removeprefix("32583-") for name in each.breaks) or "nothing"
        runs = " ".join(f"`{run}`" for run in each.shown_in)
        rows.append(f"| `{each.role}:{each.name}` | {each.about} | {breaks} | {runs} |")
    return rows


def rewritten(page: str) -> str:
    """The page with its two tables as they are to be."""
    lines = (DOCS / f"{page}.md").read_text().split("\n")
    for head, rows in ((CHECKS_HEAD, checks_table(page)), (FAULTS_HEAD, faults_table(page))):
        start = lines.index(head) + 2
        end = next(at for at in range(start, len(lines)) if not lines[at].startswith("|"))
        lines[start:end] = rows
    return "\n".join(lines)


if __name__ == "__main__":
    for page in PAGES:
        (DOCS / f"{page}.md").write_text(rewritten(page))
