"""Whether NATs do what their kinds say, on this machine, before anything is concluded from them.

Before a run with a NAT that the user chose, mapping and filtering are probed; the full probe, which
waits for bindings to die, is a command of its own (`testbed probe-nat`) and is kept for these rules
and this kernel.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import LocalError
from testbed.nat.portrait import Portrait, portray
from testbed.nat.probe import (
    Behaviour,
    Ground,
    TableGround,
    declared,
    differences,
    probe_fully,
    probe_quickly,
)
from testbed.topology import Nat, Rebinding, Topology
from testbed.worlds import SIMULATION

BEFORE_RUN, KEPT, NOT_MEASURED = "before this run", "kept from a full probe", "not measured"
BOTH = "mapping and filtering before this run, the rest kept from a full probe"


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
        when: `BEFORE_RUN`, `KEPT`, `BOTH` or `NOT_MEASURED`.
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
    topology: Topology, engine: str, asked: bool, devices: Collection[str] = ()
) -> list[Truth]:
    """Measured beside declared, for every kind of NAT in the topology.

    In the emulation this must be called inside a lab.

    Args:
        topology: what is going to be run.
        engine: its engine.
        asked: whether the user chose the NAT: only then a kernel's is probed now.
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
        measured, when, rules = _measure(_steady(nat), engine, asked)
        truth = Truth(nat.name, number, declared(nat), measured, when, rules)
        require(nat, truth.promised, measured, engine)
        truths.append(truth)
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


def measure_fully(nat: Nat, engine: str) -> tuple[Behaviour, str]:
    """The full probe, and the fingerprint of the rules ("" in the simulation).

    It takes 1.3 times the lifetime of a binding, in the emulation by the wall clock, inside a lab.
    """
    nat = _steady(nat)

    def probe(ground: Ground) -> Behaviour:
        return probe_fully(ground, nat.lifetime_s)

    if engine == SIMULATION:
        return probe(TableGround(nat)), ""
    return _in_kernel(nat, probe)


def portray_ours(nat: Nat, engine: str, longest_s: float) -> Portrait:
    """What the probe of a NAT that nobody has described finds of that one; inside a lab, in the
    emulation."""
    nat = _steady(nat)

    def work(ground: Ground) -> Portrait:
        return portray(ground, nat.name, longest_s)

    if engine == SIMULATION:
        return work(TableGround(nat))
    from testbed.engines.emulation.nat_ground import kernel_ground

    with kernel_ground(nat) as ground:
        return work(ground)


def _steady(nat: Nat) -> Nat:
    """Without rebinding, which ends bindings before their time: that is declared, not measured."""
    return dataclasses.replace(nat, rebinding=Rebinding.NEVER)


def _measure(nat: Nat, engine: str, asked: bool) -> tuple[Behaviour, str, str]:
    if engine == SIMULATION:
        return probe_quickly(TableGround(nat)), BEFORE_RUN, ""
    from testbed.engines.emulation.nat_ground import fingerprint

    rules = fingerprint(nat)
    kept = recall(rules)
    if not asked:
        return (Behaviour(), NOT_MEASURED, rules) if kept is None else (kept, KEPT, rules)
    measured, _ = _in_kernel(nat, probe_quickly)
    if kept is None:
        return measured, BEFORE_RUN, rules
    return Behaviour.from_told({**kept.told(), **measured.told()}), BOTH, rules


def _in_kernel(nat: Nat, probe: Callable[[Ground], Behaviour]) -> tuple[Behaviour, str]:
    from testbed.engines.emulation.nat_ground import fingerprint, kernel_ground

    with kernel_ground(nat) as ground:
        return probe(ground), fingerprint(nat)


# What is kept


def keeping_place() -> Path:
    """The folder of full probes: in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "testbed" / "nat"


def keep(rules: str, measured: Behaviour) -> Path:
    """Keep a full probe; gives its file.

    Raises:
        OSError: the cache cannot be written.
    """
    file = keeping_place() / f"{rules}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(measured.told(), indent=2) + "\n")
    fresh.replace(file)
    return file


def recall(rules: str) -> Behaviour | None:
    """The full probe of these rules in this kernel; None: none is kept that can be read."""
    try:
        told = json.loads((keeping_place() / f"{rules}.json").read_text())
        return Behaviour.from_told(told)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
