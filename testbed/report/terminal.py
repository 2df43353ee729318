"""What the terminal shows at the end: one row a scenario, and every requirement that failed."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from testbed.conformance import Verdict
from testbed.report.result import WORTH_TELLING_S, Result
from testbed.report.text import readable

STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}


UNSEEN_COLUMNS = 160
"""Of a table that goes into a file or a pipe, where nobody has set COLUMNS; at least."""


def table_console() -> Console:
    """Where a command's table goes; what goes into a pipe is not cut to the width of a terminal."""
    console = Console(highlight=False)
    if _is_unseen(console):
        console.width = UNSEEN_COLUMNS
    return console


def _is_unseen(console: Console) -> bool:
    return not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit()


def print_whole_names(console: Console, table: Table) -> None:
    """Print a table of names; in a pipe it is so wide that none is broken, for whoever searches.

    Args:
        table: only the cells of its last column may then go on in a second line.
    """
    if _is_unseen(console):
        print_unbroken(console, table, table.columns[:-1])
    else:
        console.print(table)


def print_unbroken(console: Console, table: Table, columns: Sequence[Column]) -> None:
    """Print a table in which no cell of these columns is cut or goes on in a second line.

    A terminal too narrow for them folds the lines, which loses nothing.
    """
    options = console.options.update(max_width=sys.maxsize)
    for column in columns:
        cells = (column.header, *column.cells)
        column.no_wrap = True
        column.min_width = max(Measurement.get(console, options, each).maximum for each in cells)
    seen = UNSEEN_COLUMNS if _is_unseen(console) else console.width
    console.width = max(seen, Measurement.get(console, options, table).minimum)
    console.print(table)


def show_results(console: Console, results: Sequence[Result], out: str) -> None:
    """Failures in full, then the table, then where the results lie."""
    for result in results:
        _show_failures(console, result)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("scenario")
    table.add_column("verdict")
    table.add_column("requirements", min_width=len(Verdict.INCONCLUSIVE))
    table.add_column("sub-runs")
    table.add_column("time", justify="right")
    for result in results:
        completed = sum(outcome.kind == "completed" for outcome in result.outcomes.values())
        table.add_row(
            result.scenario,
            Text(result.verdict, style=STYLES[result.verdict]),
            _counts(result),
            f"{completed} of {len(result.outcomes)}",
            f"{result.seconds:.2f} s",
        )
    whole = [each for each in table.columns if each.header != "requirements"]
    print_unbroken(console, table, whole)
    late_s = max((o.late_s for each in results for o in each.outcomes.values()), default=0.0)
    if late_s >= WORTH_TELLING_S:
        console.print(
            f"late       this machine was busy, and up to {late_s:.2f} s late; checks of seconds "
            f"allow for that, fewer --jobs would help",
            soft_wrap=True,
            highlight=False,
        )
    console.print(f"results    {escape(out)}", soft_wrap=True, highlight=False)


def _counts(result: Result) -> str:
    counts = Counter(each.verdict for each in result.judgements)
    told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    return ", ".join(told) or "none"


def _show_failures(console: Console, result: Result) -> None:
    for variant, outcome in result.outcomes.items():
        if outcome.kind in ("completed", "interrupted"):
            continue
        title = f"{result.scenario}/{variant}" if variant else result.scenario
        if outcome.kind == "unsupported":
            told = Text(f"{title}: INCONCLUSIVE: {outcome.text}\n")
            console.print(told, soft_wrap=True, highlight=False)
            continue
        folder = result.folder / variant if variant else result.folder
        console.print(Text(readable(f"{title}: {outcome.text}")), soft_wrap=True, highlight=False)
        place = f"{result.folder}/report.html#{variant or 'main'}"
        if outcome.record is not None:
            place += f"-r{outcome.record}"
        console.print(
            Text(f"  see        {place}      again   testbed run --again {folder}\n"),
            soft_wrap=True,
            highlight=False,
        )
    for word, judgements in (("FAIL", result.failures), ("warning:", result.warnings)):
        for each in judgements:
            console.print(
                Text(readable(f"{result.scenario}: {word} {each.requirement.id}: {each.reason}")),
                soft_wrap=True,
                highlight=False,
            )
            console.print(
                Text(f"  {each.requirement.level}       {each.requirement.text}\n"),
                soft_wrap=True,
                highlight=False,
            )
