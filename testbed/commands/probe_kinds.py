"""`testbed probe-nat --nat ...`: kinds of ours, measured beside what they declare."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, BadInput, LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed.probing.kinds import Probed, Probing, RuleSet
    from testbed.topology import Nat

ALL = "all"
_COLUMNS = {
    "lifetime_s": "lifetime",
    "confirmed_lifetime_s": "confirmed",
    "binding_request_lifetime_s": "TR-111's",
    "refresh": "refresh",
}
"""What the table of several kinds tells of each, in seconds and words."""


def chosen_kinds(word: str, given: Mapping[str, str]) -> list[Nat]:
    """The kinds that `--nat` names, with the knobs that are set.

    Raises:
        BadInput: an unknown kind, one twice, or a knob that it cannot have.
    """
    from testbed.settings import chosen_nat
    from testbed.topology import KINDS

    if word != ALL:
        words = [each.strip() for each in word.split(",")]
        for each in words:
            if words.count(each) > 1:
                raise BadInput(f"--nat names {each} twice")
        return [chosen_nat(each, given) for each in words]
    kinds = []
    for name in KINDS:
        try:
            kinds.append(chosen_nat(name, given))
        except BadInput as error:
            if not str(error).startswith(f"NAT {name}"):
                raise
            click.echo(f"left out   {error}", err=True)
    return kinds


def probe_kinds(kinds: Sequence[Nat], engine: str, anew: bool, as_json: bool) -> int:
    """Probe them in full; gives the exit status.

    Args:
        kinds: as the user chose them.
        engine: whose NATs.
        anew: what is kept is probed again.
        as_json: the result as JSON, and nothing else on standard output.
    """
    from testbed.engines import SIMULATION

    if engine == SIMULATION:
        from testbed.probing.kinds import Probed
        from testbed.probing.measuring import measure_table

        found = [Probed(nat, "", measure_table(nat)) for nat in kinds]
        whole = True
    else:
        found, whole = _in_kernel(kinds, anew, as_json)
    if as_json:
        told = [_told(each, engine) for each in found]
        click.echo(json.dumps(told[0] if len(told) == len(kinds) == 1 else told, indent=2))
    elif len(found) == 1:
        _show_one(found[0])
    else:
        _show_all(found)
    if not whole:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(each.wrong or each.measured is None for each in found) else EXIT_OK


def _in_kernel(kinds: Sequence[Nat], anew: bool, as_json: bool) -> tuple[list[Probed], bool]:
    """What is known in the end, kind by kind, and whether nobody interrupted it."""
    from testbed.probing.kinds import Probing, known_before, rule_sets

    sets = rule_sets(kinds)
    before = {} if anew else {each.rules: one for each in sets if (one := known_before(each))}
    wanted = [each for each in sets if each.rules not in before or before[each.rules].wrong]
    known = {rules: each for rules, each in before.items() if not each.wrong}
    whole = True
    if wanted:
        probing = Probing(wanted, complain)
        if not as_json:
            click.echo(_announced(wanted, probing, len(known)))
        try:
            with progress(probing, as_json) as (found, passed):
                whole = probing.wait(found, passed)
        finally:
            probing.end()
        known |= {each.rules: each for each in probing.found}
    return list(_by_kind(sets, known)), whole


def _by_kind(sets: Sequence[RuleSet], known: Mapping[str, Probed]) -> Iterator[Probed]:
    for one in sets:
        if one.rules in known:
            for nat in one.nats:
                yield dataclasses.replace(known[one.rules], nat=nat)


def _announced(wanted: Sequence[RuleSet], probing: Probing, kept: int) -> str:
    names = [nat.name for one in wanted for nat in one.nats]
    told = f"NAT {names[0]}" if len(names) == 1 else f"{len(names)} kinds of NAT side by side"
    rest = f"; {kept} rule sets are known already (--again probes them, too)" if kept else ""
    return f"{told}: {probing.takes_s:.1f} s, until bindings have died{rest}"


def complain(sentence: str) -> None:
    """Something went wrong that ends nothing."""
    click.echo(f"testbed: {sentence}", err=True)


@contextlib.contextmanager
def progress(
    probing: Probing, quiet: bool
) -> Iterator[tuple[Callable[[Probed], None], Callable[[float], None]]]:
    """Tells of a probing under way: a line for each kind, and on a terminal a bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(highlight=False, quiet=quiet)
    bar = Progress(
        *(TextColumn("probing"), BarColumn(), TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=max(probing.takes_s, 0.1))

    def found(one: Probed) -> None:
        console.print(f"{one.nat.name}: {result_of(one)}", markup=False, soft_wrap=True)

    with bar:
        yield found, lambda seconds: bar.update(task, completed=seconds)


def result_of(one: Probed) -> str:
    """In a word or two what a probe came to."""
    if one.measured is None:
        return f"not probed: {one.refusal}"
    if one.wrong:
        return f"differs: {'; '.join(one.wrong)}"
    return "as declared" + (" (kept)" if one.kept_before else "")


def _told(one: Probed, engine: str) -> dict[str, Any]:
    from testbed.nat.behaviour import declared

    return {
        "nat": one.nat.name,
        "engine": engine,
        "declared": declared(one.nat).told(),
        "measured": None if one.measured is None else one.measured.told(),
        "differences": one.wrong,
        "rules": one.rules,
        **({"refusal": one.refusal} if one.refusal else {}),
    }


def _show_all(found: Sequence[Probed]) -> None:
    """One table: what was measured, a row for each kind."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("NAT", no_wrap=True)
    for title in _COLUMNS.values():
        table.add_column(title)
    table.add_column("result", no_wrap=True)
    for one in found:
        told = {} if one.measured is None else one.measured.told()
        result = "as declared" if one.measured is not None and not one.wrong else "DIFFERS"
        result = result if one.measured is not None else "NOT PROBED"
        table.add_row(
            one.nat.name.partition("+")[0],
            *(cell_of(told.get(name), "-", ".3g") for name in _COLUMNS),
            Text(result, style="" if result == "as declared" else "bold red"),
        )
    console = Console(highlight=False)
    console.print(table)
    for one in found:
        if one.wrong or one.measured is None:
            console.print(f"{one.nat.name} {result_of(one)}", soft_wrap=True, markup=False)


def _show_one(one: Probed) -> None:
    from rich.console import Console
    from rich.table import Table

    from testbed.nat.behaviour import declared
    from testbed.probing.truth import kept_file

    if one.measured is None:
        raise LocalError(f"NAT {one.nat.name} could not be probed: {one.refusal}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("behaviour", "declared", "measured"):
        table.add_column(title)
    wants, found = declared(one.nat).told(), one.measured.told()
    for name in dict.fromkeys([*wants, *found]):
        table.add_row(name, cell_of(wants.get(name)), cell_of(found.get(name)))
    console = Console(highlight=False)
    console.print(table)
    for each in one.wrong:
        console.print(f"difference {each}", soft_wrap=True, markup=False)
    if one.rules and kept_file(one.rules).exists():
        console.print(f"kept       {kept_file(one.rules)}", soft_wrap=True, markup=False)


def cell_of(value: object, to: str = " to ", form: str = "g") -> str:
    """A behaviour or an interval, as a table tells it."""
    if value is None:
        return ""
    if isinstance(value, list):
        low, high = value
        if high is None:
            return f"over {low:{form}}"
        return f"{low:{form}}" if low == high else f"{low:{form}}{to}{high:{form}}"
    return str(value)
