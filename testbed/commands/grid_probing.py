"""Full probes of a grid's kinds, before its runs where that takes seconds, else beside them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from testbed.commands.probe_kinds import complain, progress, result_of
from testbed.errors import BadInput

if TYPE_CHECKING:
    from testbed.probing.kinds import Probed, Probing, RuleSet
    from testbed.topology import Nat


class GridProbing:
    """What of a grid's kinds in the kernel is not known yet, and is found out beside its runs.

    Args:
        kinds: the grid's rows.
        settings: of its topologies, the knobs of NATs among them.
        quiet: nothing is told.
        differs: called with a row and a sentence where a kind is not what it declares.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        settings: Mapping[str, str],
        quiet: bool,
        differs: Callable[[str, str], None],
    ) -> None:
        from testbed.probing.kinds import known_before, rule_sets

        nats = {kind: nat for kind in kinds if (nat := _with_knobs(kind, settings)) is not None}
        self._rows: dict[str, list[str]] = {}
        for kind, nat in nats.items():
            for one in rule_sets([nat]):
                self._rows.setdefault(one.rules, []).append(kind)
        self._quiet = quiet
        self._differs = differs
        self._beside: Probing | None = None
        unknown = []
        for one in rule_sets(nats.values()):
            known = known_before(one)
            if known is None:
                unknown.append(one)
            elif known.wrong:
                self._found(known)
        self._soon, self._late = _by_patience(unknown)

    def before_runs(self) -> bool:
        """Probe what takes seconds, and begin with the rest; gives whether nobody interrupted."""
        from testbed.probing.kinds import Probing

        if self._soon and not self._wait(Probing(self._soon, complain), "before all runs"):
            return False
        if self._late:
            self._beside = Probing(self._late, complain)
            self._say(f"{len(self._late)} rule sets are probed in full beside the runs")
        return True

    def look(self) -> None:
        """Tell what has been found meanwhile."""
        if self._beside is not None:
            for each in self._beside.read():
                self._found(each)

    def after_runs(self) -> bool:
        """Wait for the rest; gives whether nobody interrupted it."""
        beside, self._beside = self._beside, None
        return beside is None or self._wait(beside, "all has been run; Ctrl-C leaves out the rest")

    def end(self) -> None:
        """Give up what is still under way."""
        if self._beside is not None:
            self._beside.end()
            self._beside = None

    def _wait(self, probing: Probing, when: str) -> bool:
        self._say(f"full probes of NATs take {probing.takes_s:.1f} s in all: {when}")
        try:
            with progress(probing, self._quiet) as (_, passed):
                return probing.wait(self._found, passed)
        finally:
            probing.end()

    def _found(self, one: Probed) -> None:
        self._say(f"{one.nat.name}: probed in full: {result_of(one)}")
        if one.wrong:
            sentence = (
                f"NAT {one.nat.name} does not do in this kernel ({platform.release()}) what its "
                f"kind says: {'; '.join(one.wrong)}; this verdict is about another NAT"
            )
            for row in self._rows[one.rules]:
                self._differs(row, sentence)

    def _say(self, line: str) -> None:
        if not self._quiet:
            click.echo(line)


def _with_knobs(kind: str, settings: Mapping[str, str]) -> Nat | None:
    """The kind as the grid plays it; None: its cells are refused."""
    from testbed.settings import NAT_PREFIX, chosen_nat

    knobs = {name: value for name, value in settings.items() if name.startswith(NAT_PREFIX)}
    try:
        return chosen_nat(kind, knobs)
    except BadInput:
        return None


def _by_patience(sets: Sequence[RuleSet]) -> tuple[list[RuleSet], list[RuleSet]]:
    """Those that take seconds, and the others."""
    from testbed.nat.times import wait_s
    from testbed.probing.truth import AT_ONCE_S

    soon = [each for each in sets if wait_s(each.nats[0]) <= AT_ONCE_S]
    return soon, [each for each in sets if each not in soon]
