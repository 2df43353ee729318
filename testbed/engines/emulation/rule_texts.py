"""Pieces of nftables text."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from testbed.nat.supply import FIRST_PORT, PORTS

_MOST_ELEMENTS = 65_535


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
    return f"meta l4proto udp snat ip to {address} : numgen inc mod {count} map {{ {ports} }}"
