"""Kinds of NAT probed in full side by side, in a lab of their own.

Each is kept as soon as it is known, so that whoever ends it has lost only what was under way.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.engines.interrupts import Interrupts
from testbed.errors import EXIT_OK, LocalError
from testbed.nat.behaviour import Behaviour, declared, differences
from testbed.nat.times import wait_s
from testbed.probing.measuring import measure_kernels
from testbed.probing.truth import keep, recall
from testbed.topology import Nat

if TYPE_CHECKING:
    from testbed.engines.emulation.lab import Lab

_TOLD_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What a full probe came to.

    Attributes:
        nat: of which kind.
        rules: their fingerprint; "" in the simulation.
        measured: what was found; None: it could not be probed.
        refusal: why not.
        kept_before: whether it was known already.
    """

    nat: Nat
    rules: str
    measured: Behaviour | None
    refusal: str = ""
    kept_before: bool = False

    @property
    def wrong(self) -> list[str]:
        """Where it is not what is declared, in half-sentences."""
        if self.measured is None:
            return []
        return differences(declared(self.nat), self.measured)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Kinds whose rules and timers are the same: what is found of one is true of all.

    Attributes:
        rules: the fingerprint.
        nats: the kinds, that which is probed first.
    """

    rules: str
    nats: tuple[Nat, ...]


def rule_sets(nats: Iterable[Nat]) -> list[RuleSet]:
    """What is to be probed for these kinds, carriers' before them included."""
    from testbed.engines.emulation.nat_ground import fingerprint

    found: dict[str, list[Nat]] = {}
    for nat in nats:
        for each in (nat, nat.carrier):
            if each is not None and each not in (same := found.setdefault(fingerprint(each), [])):
                same.append(each)
    return [RuleSet(rules, tuple(same)) for rules, same in found.items()]


def known_before(one: RuleSet) -> Probed | None:
    """What is kept of it in full."""
    kept = recall(one.rules)
    if kept is None or not kept.has_times:
        return None
    return Probed(one.nats[0], one.rules, kept, kept_before=True)


class Probing:
    """A lab in which kernels' NATs are probed in full; it has begun when this is made.

    Args:
        wanted: what is probed.
        complain: called with a sentence where something cannot be kept.

    Attributes:
        takes_s: about how long it takes.
        found: what is known by now.
    """

    def __init__(self, wanted: Sequence[RuleSet], complain: Callable[[str], None]) -> None:
        from testbed.engines.emulation.lab import launch

        self._wanted = list(wanted)
        self._complain = complain
        self.takes_s = max((wait_s(each.nats[0]) for each in wanted), default=0.0)
        self.found: list[Probed] = []
        self.is_over = False
        self._began = time.monotonic()
        self._crash = ""
        self._process = launch(self._work, "probe-nat")

    def _work(self, lab: Lab) -> int:
        """In the lab."""
        for nat, found in measure_kernels([each.nats[0] for each in self._wanted]):
            rules = next(each.rules for each in self._wanted if each.nats[0] is nat)
            if isinstance(found, Behaviour):
                lab.tell({"rules": rules, "measured": found.told()})
            else:
                lab.tell({"rules": rules, "refusal": str(found)})
        return EXIT_OK

    def read(self) -> list[Probed]:
        """What has become known since the last call; never blocks."""
        fresh = []
        for message in self._process.messages():
            if "rules" not in message:
                self._crash = message.get("error") or message["crash"].rstrip().rpartition("\n")[2]
                continue
            one = next(each for each in self._wanted if each.rules == message["rules"])
            measured = None
            if "measured" in message:
                measured = Behaviour.from_told(message["measured"])
                # A difference too: it stops runs of these rules until a probe finds none.
                try:
                    keep(one.rules, measured)
                except OSError as error:
                    self._complain(f"the probe of {one.nats[0].name} is not kept: {error}")
            fresh.append(Probed(one.nats[0], one.rules, measured, message.get("refusal", "")))
        self.found += fresh
        return fresh

    def wait(self, found: Callable[[Probed], None], passed: Callable[[float], None]) -> bool:
        """Wait for the rest; gives whether nobody interrupted it.

        Args:
            found: called with each kind as soon as it is known.
            passed: called with the seconds since it began, now and then.

        Raises:
            LocalError: it could not be done; says why.
        """
        with Interrupts() as interrupts, selectors.DefaultSelector() as selector:
            selector.register(interrupts, selectors.EVENT_READ)
            selector.register(self._process, selectors.EVENT_READ)
            while not self._process.finished:
                for key, _ in selector.select(_TOLD_EVERY_S):
                    if key.fileobj is interrupts:
                        interrupts.drain()
                for each in self.read():
                    found(each)
                passed(time.monotonic() - self._began)
            selector.unregister(self._process)
            self._close(found)
            if self._crash:
                raise LocalError(self._crash)
            return interrupts.count == 0

    def end(self) -> None:
        """Give up what is still under way."""
        if not self.is_over:
            self._process.kill()
            self._close(lambda each: None)

    def _close(self, found: Callable[[Probed], None]) -> None:
        self._process.wait()
        self.is_over = True
        for each in self.read():
            found(each)
