"""How many live bindings the kernel's NATs hold, and what a packet through them costs then.

python bench/kernel_nat.py [--bindings 20000] [--kind masquerade]...
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from testbed.engines.emulation.lab import Lab, launch
from testbed.engines.emulation.nat_ground import KernelGround, kernel_ground
from testbed.errors import EXIT_OK
from testbed.nat.ground import INSIDE, ONE
from testbed.protocols.wire import Endpoint
from testbed.topology import find_nat

KINDS = ("masquerade", "full-cone", "port-restricted", "symmetric", "symmetric-contiguous")
FIRST_PORT = 10_000
TRIES = 200


@dataclass(frozen=True)
class Row:
    """What one kind came to.

    Attributes:
        kind: its name.
        made: bindings that packets have made, each with an outside endpoint of its own.
        seconds: from the first of them to the last.
        reached: how many of them let an answer in, when all were there.
        empty_us, full_us: a packet to and fro, before and then, in microseconds; the median.
    """

    kind: str
    made: int
    seconds: float
    reached: int
    empty_us: float
    full_us: float

    def line(self) -> str:
        """For the terminal."""
        rate = self.made / self.seconds / 1000
        return (
            f"{self.kind:22} {self.made:6} bindings in {self.seconds:5.2f} s ({rate:4.1f} k/s)  "
            f"{self.reached:6} reached  "
            f"to and fro {self.empty_us:4.0f} us, then {self.full_us:4.0f}"
        )


def measure(ground: KernelGround, kind: str, bindings: int) -> Row:
    """One kind, on a street of its own: each binding is of another inside port."""
    empty_us = round_trip_us(ground, Endpoint(INSIDE, 9_500))
    insides = [Endpoint(INSIDE, FIRST_PORT + number) for number in range(bindings)]
    began = time.perf_counter()
    outsides = [made(ground, each) for each in insides]
    seconds = time.perf_counter() - began
    full_us = round_trip_us(ground, Endpoint(INSIDE, 9_501))
    pairs = [(i, o) for i, o in zip(insides, outsides, strict=True) if o is not None]
    reached = sum(is_reached(ground, inside, outside) for inside, outside in pairs)
    return Row(kind, len({outside for _, outside in pairs}), seconds, reached, empty_us, full_us)


def made(ground: KernelGround, inside: Endpoint) -> Endpoint | None:
    """A binding's outside end; its socket is given back: a process may have fewer than this."""
    outside = ground.outbound_alone(inside, ONE)
    ground.release(inside)
    return outside


def is_reached(ground: KernelGround, inside: Endpoint, outside: Endpoint) -> bool:
    """Whether an answer comes in by that binding."""
    ground.listen(inside)
    came = ground.inbound_alone(ONE, outside, inside)
    ground.release(inside)
    return came


def round_trip_us(ground: KernelGround, inside: Endpoint) -> float:
    """A packet out and its answer in, by a binding that is there."""
    outside = ground.outbound_alone(inside, ONE)
    assert outside is not None
    taken = []
    for _ in range(TRIES):
        began = time.perf_counter()
        ground.outbound_alone(inside, ONE)
        ground.inbound_alone(ONE, outside, inside)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def main() -> None:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bindings", type=int, default=20_000)
    parser.add_argument("--kind", action="append", choices=KINDS)
    given = parser.parse_args()

    def work(lab: Lab) -> int:
        for kind in given.kind or KINDS:
            with kernel_ground(find_nat(kind)) as ground:
                lab.tell({"line": measure(ground, kind, given.bindings).line(), "style": ""})
        return EXIT_OK

    with launch(work, "kernel-nat") as process:
        process.wait()
        for message in process.messages():
            print(message.get("line") or message)


if __name__ == "__main__":
    main()
