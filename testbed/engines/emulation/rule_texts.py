"""Pieces of nftables text."""

from __future__ import annotations

import sys
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


def allotment(address: str, first: int, count: int) -> str:
    """The rule that gives a new mapping the port after the last one's.

    A list stands between the counter and the port: nftables 1.0 takes a counter itself in the
    host's byte order, so that ports would be 256 apart.
    """
    ports = ", ".join(
        f"{number} : {FIRST_PORT + (first + number) % PORTS}" for number in range(count)
    )
    chosen = f"numgen inc mod {count} map {{ {ports} }}"
    return f"meta l4proto udp snat ip to {address} : {chosen} {AS_GIVEN}"


# Random ports.  A number that was drawn can be looked up only where it can be kept, which is a
# mark, and nftables 1.0 makes no mark of a port, but of 32 bits of a packet.  So what is taken is
# kept a second time, by marks that are ports as they stand in a packet (UDP's, behind an IPv4
# header without options), read in the host's byte order; and marks of 16 bits are drawn until one
# is a port of ours that nobody has.  (On a big-endian host those are none: every probe tells.)
SOURCE_MARK = "ct mark set @nh,160,32 & 0xffff0000"
DESTINATION_MARK = "ct mark set @nh,176,32 & 0xffff0000"
_TRIES_EACH = 20
"""Of each of three levels: of 8,000 marks, 2,400 are ports; then there is no free one."""


def ports_by_mark() -> str:
    """The map of every port that can be drawn."""
    elements = ", ".join(
        f"{int.from_bytes(port.to_bytes(2, 'big') + bytes(2), sys.byteorder)} : {port}"
        for port in range(FIRST_PORT, FIRST_PORT + PORTS)
    )
    return f"  map ports {{\n    type mark : inet_service\n    elements = {{ {elements} }}\n  }}\n"


def drawing(number: int, address: str, is_free: str) -> tuple[str, str]:
    """Chains that give a new mapping a random port, and how one goes there.

    Args:
        number: of the outside address.
        address: the outside address.
        is_free: matches a mark that is nobody's port.
    """
    given = f"meta l4proto udp snat ip to {address} : ct mark map @ports {AS_GIVEN}"
    text = chain(f"give_{number}", [given])
    draw = ["ct mark set numgen random mod 65536", f"{is_free} goto give_{number}"]
    text += chain(f"draw_{number}", draw)
    below = f"draw_{number}"
    for level in ("few", "many", "all"):
        text += chain(f"{level}_{number}", [f"jump {below}"] * _TRIES_EACH)
        below = f"{level}_{number}"
    return text, f"jump {below}"
