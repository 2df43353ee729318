"""Pieces of nftables text."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from testbed.nat.supply import FIRST_PORT, PORTS

_MOST_ELEMENTS = 65_535

AS_GIVEN = "fully-random"
"""Ends a rule that names the one port that it wants, which is then all that chance can choose.

Without it the kernel looks for another flow of the same inside first, and takes the port without
looking who has it: where that is a flow which has ended and is not cleared away yet (that takes up
to a minute), the packet is dropped when it is to be kept track of.  With it, the kernel looks the
port up, and to be looked up clears away what has ended (nf_nat_core.c, nf_conntrack_tuple_taken).
"""


class Ends(Enum):
    """Where a packet's remote endpoint stands: address and port."""

    SOURCE = ("ip saddr", "udp sport")
    DESTINATION = ("ip daddr", "udp dport")
    ORIGINAL = ("ct original ip daddr", "ct original proto-dst")
    """As the inside wrote it, before a hairpin turned the packet."""


def seconds(value: float) -> str:
    """A time as nftables takes it."""
    return f"{round(value * 1000)}ms"


def dynamic(name: str, kind: str, timeout_s: float) -> str:
    """A map or set whose elements packets add, and which end by themselves."""
    return (
        f"  {name} {{\n    type {kind}\n    flags dynamic,timeout\n"
        f"    size {_MOST_ELEMENTS}\n    timeout {seconds(timeout_s)}\n  }}\n"
    )


def chain(name: str, lines: Sequence[str], hook: str = "") -> str:
    """A chain; with a hook, one that packets enter by themselves."""
    begin = f"    type {hook}; policy accept;\n" if hook else ""
    return f"  chain {name} {{\n{begin}" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def allotment(address: str, is_random: bool, first: int, count: int) -> str:
    """The rule that gives a new mapping its port.

    A list stands between the counter and the port: nftables 1.0 takes a counter itself in the
    host's byte order, so that ports would be 256 apart.
    """
    if is_random:
        last = FIRST_PORT + PORTS - 1
        return f"meta l4proto udp snat ip to {address}:{FIRST_PORT}-{last} fully-random"
    ports = ", ".join(
        f"{number} : {FIRST_PORT + (first + number) % PORTS}" for number in range(count)
    )
    chosen = f"numgen inc mod {count} map {{ {ports} }}"
    return f"meta l4proto udp snat ip to {address} : {chosen} {AS_GIVEN}"
