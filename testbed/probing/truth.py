"""Whether NATs do what their kinds say, on this machine, before anything is concluded from them.

Each rule set of the emulation is probed in full once, and that is kept for these rules and this
kernel: by `testbed probe-nat`, beside a grid, or before a run where it takes some seconds only.
Other runs look at what needs no waiting, and say that the rest is not known yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from testbed.engines import SIMULATION
from testbed.errors import LocalError, TestbedError
from testbed.nat.behaviour import Behaviour, declared, differences
from testbed.nat.times import wait_s
from testbed.probing.measuring import measure_kernel_at_once, measure_kernels, measure_table, merged
from testbed.topology import KINDS, Nat, Topology

AT_ONCE_S = 10.0
"""A full probe that takes so long at most is made before the first run that needs it."""
BEFORE_RUN, KEPT = "before this run", "kept from a full probe"
BOTH = "without waiting before this run, the rest kept from a full probe"
KEPT_PART = "without waiting before an earlier run"

Tell = Callable[[str], None]


class Untrue(LocalError):
    """A NAT does not do what its kind says."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One kind of NAT of a run.

    Attributes:
        name: its kind, with knobs.
        nodes: how many nodes of the topology have it.
        promised: what is declared.
        measured: what was found, as far as it was looked at.
        when: `BEFORE_RUN`, `KEPT`, `BOTH` or `KEPT_PART`, with what is not known yet and how it
            is found out.
        rules: the SHA-256 of the kernel's rules; "" in the simulation.
    """

    name: str
    nodes: int
    promised: Behaviour
    measured: Behaviour
    when: str
    rules: str = ""

    def told(self) -> dict[str, object]:
        """For run.json."""
        return {
            "nat": self.name,
            "nodes": self.nodes,
            "declared": self.promised.told(),
            "measured": self.measured.told(),
            "probed": self.when,
            **({"rules": self.rules} if self.rules else {}),
        }


def examine_nats(
    topology: Topology,
    engine: str,
    asked: bool,
    tell: Tell = lambda line: None,
    devices: Collection[str] = (),
) -> list[Truth]:
    """Measured beside declared, for every kind of NAT in the topology.

    In the emulation this must be called inside a lab.

    Args:
        topology: what is going to be run.
        engine: its engine.
        asked: whether the user chose the NAT: then a kernel's is looked at before each run.
        tell: called with a line before anything that takes seconds.
        devices: nodes that are devices, whose NATs are their own.

    Raises:
        Untrue: there is a difference.
        MissingFeature: this machine lacks what a kind needs.
    """
    nodes: dict[Nat, int] = {}
    for name, node in topology.nodes.items():
        if node.nat is not None and name not in devices:
            nodes[node.nat] = nodes.get(node.nat, 0) + 1
    truths = []
    for nat, number in nodes.items():
        if engine == SIMULATION:
            measured, when, rules = measure_table(nat), BEFORE_RUN, ""
        else:
            measured, when, rules = _measure_kernel(nat, asked, tell)
        truths.append(Truth(nat.name, number, declared(nat), measured, when, rules))
        require(nat, declared(nat), measured, engine)
    return truths


def require(nat: Nat, promised: Behaviour, measured: Behaviour, engine: str) -> None:
    """Nothing, if what was measured is what is declared.

    Raises:
        Untrue: it is not; says where.
    """
    wrong = differences(promised, measured)
    if wrong:
        place = "the simulation" if engine == SIMULATION else f"this kernel ({platform.release()})"
        raise Untrue(
            f"NAT {nat.name} does not do in {place} what its kind says: {'; '.join(wrong)}; "
            "verdicts about it would be about another NAT, so nothing is run"
        )


def _measure_kernel(nat: Nat, asked: bool, tell: Tell) -> tuple[Behaviour, str, str]:
    """What is known of the kind's rules in this kernel, how, and their fingerprint."""
    from testbed.engines.emulation.nat_ground import fingerprint

    rules = fingerprint(nat)
    kept = recall(rules)
    if kept is not None and kept.has_times:
        if not asked:
            return kept, KEPT, rules
        return merged(kept, measure_kernel_at_once(nat)), BOTH, rules
    if kept is not None and not asked and wait_s(nat) > AT_ONCE_S:
        return kept, f"{KEPT_PART}; {unknown_yet(nat)}", rules
    measured = measure_kernel_at_once(nat)
    if differences(declared(nat), measured):
        return measured, BEFORE_RUN, rules  # nothing is run, and nothing kept that may pass
    if measured.has_times or wait_s(nat) > AT_ONCE_S:
        _keep_if_possible(rules, measured)
        left = "" if measured.has_times else f"; {unknown_yet(nat)}"
        return measured, f"{BEFORE_RUN}{left}", rules
    tell(f"NAT {nat.name}: probed in full, this once, for {wait_s(nat):.1f} s")
    ((_, found),) = measure_kernels([nat])
    if isinstance(found, TestbedError):
        raise found
    _keep_if_possible(rules, found)
    return found, BEFORE_RUN, rules


def unknown_yet(nat: Nat) -> str:
    """What a probe without waiting leaves open, and the command that finds it out."""
    return f"lifetimes and refresh are not measured in this kernel yet: {command_for(nat)}"


def command_for(nat: Nat) -> str:
    """The command that probes that kind in full."""
    base, _, knobs = nat.name.partition("+")
    for kind in KINDS.values():
        if kind.carrier == nat:
            base = kind.name  # a carrier's is probed with the kind that stands before it
    words = [f" --set nat.{each}" for each in knobs.split(",") if each]
    return f"testbed probe-nat --nat {base if base in KINDS else 'FILE'}{''.join(words)}"


def _keep_if_possible(rules: str, measured: Behaviour) -> None:
    """A run does not fail because a cache cannot be written: the next one looks again."""
    known = recall(rules)
    if measured.has_times or known is None or not known.has_times:
        with contextlib.suppress(OSError):
            keep(rules, measured)


# What is kept


def keeping_place() -> Path:
    """The folder of what is known of rules: in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "testbed" / "nat"


def kept_file(rules: str) -> Path:
    """Where what is known of these rules is kept, if it is."""
    return keeping_place() / f"{rules}.json"


def keep(rules: str, measured: Behaviour) -> Path:
    """Keep what a probe has found; gives its file.

    Raises:
        OSError: the cache cannot be written.
    """
    file = kept_file(rules)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{secrets.token_hex(4)}")
    fresh.write_text(json.dumps(measured.told(), indent=2) + "\n", encoding="utf-8")
    fresh.replace(file)
    return file


def recall(rules: str) -> Behaviour | None:
    """What is known of these rules in this kernel; None: nothing that can be read."""
    try:
        told = json.loads(kept_file(rules).read_text(encoding="utf-8"))
        return Behaviour.from_told(told)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
