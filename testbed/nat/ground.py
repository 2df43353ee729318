"""Where a NAT is probed: a table of ours, and what every such place has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from testbed.nat.outcomes import Forwarded, Refused
from testbed.nat.table import NatTable
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat

OUTSIDE = "203.0.113.7"
"""The outside address of the NAT under probe; the others of a pool follow it."""
INSIDE, NEIGHBOUR = "192.168.1.10", "192.168.2.10"
ONE = Endpoint("203.0.113.50", 3478)
OTHER_PORT = Endpoint("203.0.113.50", 3479)
OTHER_ADDRESS = Endpoint("203.0.113.51", 3478)
FIRST_PORT = 5000
"""Insides of the probe have this port and those after it."""


@dataclass(frozen=True, slots=True)
class Places:
    """The endpoints of a ground.

    Attributes:
        inside: an address behind the NAT.
        neighbour: another one; the same where there is no other.
        first_port: insides have this port and those after it.
        one: the remote that bindings are made to.
        other_port: another port of its address.
        other_address: another address; None: the remote has none.
    """

    inside: str = INSIDE
    neighbour: str = NEIGHBOUR
    first_port: int = FIRST_PORT
    one: Endpoint = ONE
    other_port: Endpoint = OTHER_PORT
    other_address: Endpoint | None = OTHER_ADDRESS

    def at(self, number: int) -> Endpoint:
        """An inside endpoint."""
        return Endpoint(self.inside, self.first_port + number)

    @property
    def others(self) -> list[Endpoint]:
        """The remotes that no binding is made to."""
        return [self.other_port, *([self.other_address] if self.other_address else [])]


def outside_addresses(nat: Nat) -> tuple[str, ...]:
    """The outside addresses of the NAT under probe."""
    network, _, host = OUTSIDE.rpartition(".")
    return tuple(f"{network}.{int(host) + number}" for number in range(nat.addresses))


class Ground(Protocol):
    """Where a NAT is probed: two insides, and remotes of two addresses with two ports each."""

    places: Places

    def outbound(self, inside: Endpoint, remote: Endpoint, payload: bytes = b"") -> Endpoint | None:
        """Send from inside; the source that the remote sees, None: it sees nothing."""

    def was_rejected(self) -> bool:
        """Whether a packet that the remote did not see was refused by ICMP."""

    def inbound(self, remote: Endpoint, outside: Endpoint, insides: Sequence[Endpoint]) -> bool:
        """Send from outside; whether one of the insides gets it."""

    def sent(self) -> float:
        """When what was last sent from outside was on its way, at the latest."""

    def hairpin(self, inside: Endpoint, outside: Endpoint, target: Endpoint) -> Endpoint | None:
        """Send from inside to an outside endpoint; the source that the target sees."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def wait_until(self, when: float) -> None:
        """Let time pass."""


class TableGround:
    """A `NatTable` under probe; its time passes when it is waited for.

    Args:
        nat: the behaviour.

    Attributes:
        began: when it began to translate.
    """

    began = 0.0

    def __init__(self, nat: Nat) -> None:
        self._table = NatTable(nat, outside_addresses(nat), Random(0))
        self._now = 0.0
        self._rejected = False
        self.places = Places()

    def was_rejected(self) -> bool:
        """Whether a packet that the remote did not see was refused by ICMP."""
        return self._rejected

    def outbound(self, inside: Endpoint, remote: Endpoint, payload: bytes = b"") -> Endpoint | None:
        """Send from inside; the source that the remote sees, None: it sees nothing."""
        passed = self._table.outbound(inside, remote, "udp", self._now, payload)
        self._rejected |= isinstance(passed, Refused) and passed.told
        return passed.source if isinstance(passed, Forwarded) else None

    def inbound(self, remote: Endpoint, outside: Endpoint, insides: Sequence[Endpoint]) -> bool:
        """Send from outside; whether one of the insides gets it."""
        passed = self._table.inbound(remote, outside, "udp", self._now)
        return isinstance(passed, Forwarded) and passed.destination in insides

    def sent(self) -> float:
        """When what was last sent from outside was on its way, at the latest."""
        return self._now

    def hairpin(self, inside: Endpoint, outside: Endpoint, target: Endpoint) -> Endpoint | None:
        """Send from inside to an outside endpoint; the source that the target sees."""
        passed = self._table.outbound(inside, outside, "udp", self._now)
        if isinstance(passed, Forwarded) and passed.destination == target:
            return passed.source
        return None

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return self._now

    def wait_until(self, when: float) -> None:
        """Let time pass."""
        self._now = max(self._now, when)
