"""Every NAT of one engine under the probe: a table of ours at once, kernels' side by side."""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from testbed.engines import SIMULATION
from testbed.errors import TestbedError
from testbed.nat.behaviour import Behaviour
from testbed.nat.ground import Ground, TableGround
from testbed.nat.portrait import Portrait, portray
from testbed.nat.probe import probe_at_once
from testbed.nat.times import Steps, drive, probe_fully, probe_rebinding, steady
from testbed.topology import Nat, Rebinding

if TYPE_CHECKING:
    from testbed.engines.emulation.nat_ground import KernelGround

_DESCRIPTORS_EACH = 128
"""What a ground under a full probe holds open: a socket for each binding, its namespaces."""

Found = Behaviour | TestbedError
"""What a NAT does, or why that could not be found out."""


def measure_table(nat: Nat) -> Behaviour:
    """Everything, of a table of ours; takes no time."""
    still = steady(nat)
    ground = TableGround(still)
    found = drive(ground, probe_fully(ground, still))
    if still is nat:
        return found
    moving = TableGround(nat)
    return merged(found, drive(moving, probe_rebinding(moving, nat, moving.began)))


def measure_kernel_at_once(nat: Nat) -> Behaviour:
    """All that needs no waiting, of a kernel's rules; inside a lab."""
    from testbed.engines.emulation.nat_ground import kernel_ground

    with kernel_ground(nat) as ground:
        return probe_at_once(ground)


def measure_kernels(nats: Sequence[Nat]) -> Iterator[tuple[Nat, Found]]:
    """Everything, of the rules of several kinds side by side; each as soon as it is found.

    It takes as long as the one that lives longest (`nat.times.wait_s`); inside a lab.
    """
    from testbed.engines.emulation.descriptors import allow_descriptors
    from testbed.engines.emulation.nat_ground import on_one_processor

    allow_descriptors(2 * len(nats) * _DESCRIPTORS_EACH, "the probe of NATs")
    with on_one_processor(), contextlib.ExitStack() as grounds:
        still = [_Part(nat, steady(nat), grounds) for nat in nats]
        # A gateway that rebinds counts from when it is there: its watch begins first.
        moving = [_Part(nat, nat, grounds) for nat in nats if nat.rebinding is not Rebinding.NEVER]
        parts = [*moving, *still]
        missing = {nat: sum(part.nat is nat for part in parts) for nat in nats}
        known: dict[Nat, Found] = {}
        for part, found in _side_by_side(parts):
            nat = part.nat
            before = known.get(nat, Behaviour())
            if isinstance(before, Behaviour):  # else it could not be probed, and that is all
                known[nat] = merged(before, found) if isinstance(found, Behaviour) else found
            missing[nat] -= 1
            if not missing[nat]:
                yield nat, known[nat]


def merged(one: Behaviour, other: Behaviour) -> Behaviour:
    """What two probes of a NAT have found; what the second one did outweighs."""
    return Behaviour.from_told({**one.told(), **other.told()})


def portray_ours(nat: Nat, engine: str, longest_s: float) -> Portrait:
    """What the probe of a NAT that nobody has described finds of that one; inside a lab, in the
    emulation."""
    nat = steady(nat)

    def work(ground: Ground) -> Portrait:
        return portray(ground, nat.name, longest_s)

    if engine == SIMULATION:
        return work(TableGround(nat))
    from testbed.engines.emulation.nat_ground import kernel_ground

    with kernel_ground(nat) as ground:
        return work(ground)


class _Part:
    """One ground of a kind, and its probe; it may not have come to be.

    Args:
        nat: the kind.
        played: what the ground does; the same, or that without rebinding.
        grounds: close it in the end.
    """

    def __init__(self, nat: Nat, played: Nat, grounds: contextlib.ExitStack) -> None:
        from testbed.engines.emulation.nat_ground import KernelGround

        self.nat = nat
        self.steps: Steps
        self.ground: KernelGround | None = None
        self.refusal: TestbedError | None = None
        try:
            self.ground = KernelGround(played)
        except TestbedError as error:
            self.refusal = error
            return
        grounds.callback(self.ground.close)
        if played.rebinding is Rebinding.NEVER:
            self.steps = probe_fully(self.ground, played)
        else:
            self.steps = probe_rebinding(self.ground, nat, self.ground.began)

    def go_on(self) -> float | Found:
        """The next part of its probe: when it wants to go on, or what it came to."""
        if self.refusal is not None:
            return self.refusal
        try:
            return next(self.steps)
        except StopIteration as end:
            found: Behaviour = end.value
            return found
        except TestbedError as error:
            return error


def _side_by_side(parts: Sequence[_Part]) -> Iterator[tuple[_Part, Found]]:
    order = itertools.count()
    agenda = [(0.0, next(order), part) for part in parts]
    while agenda:
        when, _, part = heapq.heappop(agenda)
        if part.ground is not None:
            part.ground.wait_until(when)
        came = part.go_on()
        if isinstance(came, float):
            heapq.heappush(agenda, (came, next(order), part))
        else:
            yield part, came
