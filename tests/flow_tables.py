"""The tables of the flows' pages: which check decides a requirement, what proves the check.

`python -m tests.flow_tables` writes them anew, between the marks
`<!-- requirements PREFIX ... -->` or `<!-- faults SCENARIO ... -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from testbed.conformance import load_checks, register
from testbed.faults import load_faults

DOCS = Path(__file__).resolve().parent.parent / "docs"
_MARKED = re.compile(r"(<!-- (requirements|faults) ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> Iterator[Path]:
    """The pages that have such a table."""
    return (page for page in sorted(DOCS.glob("*.md")) if _MARKED.search(page.read_text()))


def written(text: str) -> str:
    """A page with its tables as they are now."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{_table(found[2], found[3])}\n{found[4]}", text)


def _table(kind: str, words: str) -> str:
    rows = _requirements(words.split()) if kind == "requirements" else _faults(words.split())
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _code(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names) or "-"


def _requirements(prefixes: list[str]) -> Iterator[tuple[str, ...]]:
    checks, faults = load_checks(), load_faults()
    yield ("requirement", "check", "observed", "faults that make it FAIL")
    yield ("---",) * 4
    for name in register():
        if not name.startswith(tuple(prefixes)):
            continue
        check = checks.get(name)
        proving = [each.name for each in faults.values() if name in each.breaks]
        observed = check.observed if check else "-"
        yield (name, f"`{check.name}`" if check else "-", observed, _code(proving))


def _faults(scenarios: list[str]) -> Iterator[tuple[str, ...]]:
    yield ("fault", "what is wrong", "breaks", "shown in")
    yield ("---",) * 4
    for fault in load_faults().values():
        if any(run.partition("/")[0] in scenarios for run in fault.shown_in):
            breaks = ", ".join(fault.breaks) or "nothing"
            yield (
                *(f"`{fault.role}:{fault.name}`", fault.about),
                *(breaks, " ".join(fault.shown_in)),
            )


if __name__ == "__main__":
    for each in pages():
        each.write_text(written(each.read_text()))
