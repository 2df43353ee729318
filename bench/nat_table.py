"""How many packets a second go through NatTable, and how many bindings it holds.

python bench/nat_table.py [--packets 1000000] [--insides 10000]
"""

from __future__ import annotations

import argparse
import resource
import time
from random import Random

from testbed.nat import Forwarded, NatTable
from testbed.protocols.wire import Endpoint
from testbed.topology import find_nat

KINDS = ("masquerade", "full-cone", "port-restricted", "symmetric", "symmetric-contiguous")
REMOTES = [Endpoint("203.0.113.50", 3478), Endpoint("203.0.113.51", 3478)]


def measure(kind: str, packets: int, insides: int) -> tuple[float, int, int]:
    """Seconds, bindings at the end, and answers that came through.

    Every inside speaks to both servers in turn and gets an answer to each packet; the clock goes on
    so that each inside comes every 20 seconds.
    """
    table = NatTable(find_nat(kind), ["203.0.113.7"], Random(1))
    ends = [Endpoint(f"10.{n >> 14}.{n >> 7 & 127}.{n & 127}", 5000 + n) for n in range(insides)]
    step_s = 20.0 / insides
    now, through = 0.0, 0
    began = time.process_time()
    for number in range(packets // 2):
        now += step_s
        turn, inside = divmod(number, insides)
        remote = REMOTES[turn & 1]
        sent = table.outbound(ends[inside], remote, "udp", now)
        if isinstance(sent, Forwarded):
            came = table.inbound(remote, sent.source, "udp", now)
            through += isinstance(came, Forwarded)
        if number % 1000 == 0:
            table.events()
    return time.process_time() - began, len(table.bindings()), through


def main() -> None:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--insides", type=int, default=8_000)
    given = parser.parse_args()
    print(f"{given.packets} packets, {given.insides} insides, two servers")
    for kind in KINDS:
        seconds, bindings, through = measure(kind, given.packets, given.insides)
        rate = given.packets / seconds
        print(
            f"{kind:22} {seconds:6.2f} s  {rate / 1000:6.0f} k packets/s  {bindings:6} bindings  "
            f"{through} answers"
        )
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
