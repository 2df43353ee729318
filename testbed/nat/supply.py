"""The outside endpoints that a NAT has to give."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Pooling, Ports, Rebinding

FIRST_PORT = 10_000
PORTS = 20_000
"""What contiguous and random allocation give: 10000 to 29999, which hosts do not choose."""
REBINDING_STEP = 1_000
"""How much further contiguous allocation begins after each rebinding."""
_TRIES = 64


class Supply(Protocol):
    """Gives outside endpoints, each to one mapping at a time."""

    def take(self, inside: Endpoint) -> Endpoint | None:
        """One for a new mapping; None: there is none left."""

    def take_again(self, inside: Endpoint, outside: Endpoint) -> bool:
        """Take that very one, if nobody has it."""

    def give_back(self, outside: Endpoint) -> None:
        """A mapping has ended."""

    def rebind(self) -> None:
        """Give others from now on."""


class Untranslated:
    """A firewall's: every inside endpoint is its own outside endpoint."""

    def take(self, inside: Endpoint) -> Endpoint | None:
        """The same."""
        return inside

    def take_again(self, inside: Endpoint, outside: Endpoint) -> bool:
        """It is nobody else's."""
        return True

    def give_back(self, outside: Endpoint) -> None:
        """Nothing to do."""

    def rebind(self) -> None:
        """Nothing to do."""


class Pool:
    """Ports of outside addresses.

    Args:
        nat: how they are chosen.
        addresses: the gateway's outside addresses.
        random: of random ports.
    """

    def __init__(self, nat: Nat, addresses: Sequence[str], random: Random) -> None:
        self._nat = nat
        self._all = tuple(addresses)
        self._random = random
        self._generation = 0
        self._begin()

    def _begin(self) -> None:
        """Choose addresses and first ports for this generation."""
        everything = self._all
        if self._nat.rebinding is Rebinding.ADDRESS:
            everything = (everything[self._generation % len(everything)],)
        self.addresses = everything
        moved = self._generation if self._nat.rebinding is Rebinding.PORT else 0
        self._contiguous = moved > 0 and self._nat.ports is Ports.PRESERVING
        self._taken: dict[str, set[int]] = {address: set() for address in everything}
        self._next = dict.fromkeys(everything, moved * REBINDING_STEP % PORTS)
        self._turn = 0
        self._paired: dict[str, str] = {}

    def take(self, inside: Endpoint) -> Endpoint | None:
        """One for a new mapping; None: there is none left."""
        address = self._address(inside)
        taken = self._taken[address]
        if self._nat.ports is Ports.RANDOM:
            port = self._random_port(taken)
        elif (
            self._nat.ports is Ports.PRESERVING
            and not self._contiguous
            and inside.port not in taken
        ):
            port = inside.port
        else:
            port = self._next_port(address, taken)
        if port is None:
            return None
        taken.add(port)
        return Endpoint(address, port)

    def take_again(self, inside: Endpoint, outside: Endpoint) -> bool:
        """Take that very one, if nobody has it."""
        taken = self._taken.get(outside.address)
        if taken is None or outside.port in taken:
            return False
        taken.add(outside.port)
        return True

    def give_back(self, outside: Endpoint) -> None:
        """A mapping has ended."""
        self._taken[outside.address].discard(outside.port)

    def rebind(self) -> None:
        """Give others from now on."""
        self._generation += 1
        self._begin()

    def _address(self, inside: Endpoint) -> str:
        if len(self.addresses) == 1:
            return self.addresses[0]
        if self._nat.pooling is Pooling.PAIRED and inside.address in self._paired:
            return self._paired[inside.address]
        address = self.addresses[self._turn % len(self.addresses)]
        self._turn += 1
        self._paired[inside.address] = address
        return address

    def _next_port(self, address: str, taken: set[int]) -> int | None:
        for _ in range(PORTS):
            port = FIRST_PORT + self._next[address]
            self._next[address] = (self._next[address] + 1) % PORTS
            if port not in taken:
                return port
        return None

    def _random_port(self, taken: set[int]) -> int | None:
        for _ in range(_TRIES):
            port = FIRST_PORT + self._random.randrange(PORTS)
            if port not in taken:
                return port
        free = [p for p in range(FIRST_PORT, FIRST_PORT + PORTS) if p not in taken]
        return self._random.choice(free) if free else None
