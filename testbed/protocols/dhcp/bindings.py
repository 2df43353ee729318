"""Who holds which address of a DHCP server, who has been offered one, and which are in doubt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from testbed.protocols.dhcp.server_events import Binding
from testbed.protocols.dhcp.server_policy import ServerPolicy


class Bindings:
    """The server's book.  Knows no message.

    Args:
        bindings: what is held already.
    """

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self._held: dict[bytes, Binding] = {}
        self._holders: dict[str, bytes] = {}
        self._offers: dict[bytes, tuple[str, float]] = {}
        self._offered: dict[str, bytes] = {}
        self._declined: dict[str, float] = {}
        # One former holder for each address, so that strangers cannot make the book grow.
        self._former: dict[bytes, str] = {}
        self._last_holder: dict[str, bytes] = {}
        for binding in bindings:
            self.hold(binding)

    def __iter__(self) -> Iterator[Binding]:
        return iter(tuple(self._held.values()))

    def of(self, client: bytes) -> Binding | None:
        """What the client holds."""
        return self._held.get(client)

    def offer_to(self, client: bytes, now: float) -> str | None:
        """What is kept for the client since an offer."""
        address, until = self._offers.get(client, ("", -math.inf))
        return address if until > now else None

    def former_of(self, client: bytes) -> str | None:
        """What the client held last."""
        return self._former.get(client)

    def hold(self, binding: Binding) -> None:
        """The client holds the address from now on, and no other."""
        former = self._held.get(binding.client)
        if former is not None:
            self.end(former)
        self.forget_offer(binding.client)
        self._held[binding.client] = binding
        self._holders[binding.address] = binding.client
        self._forget_former(binding.client)
        self._forget_former(self._last_holder.get(binding.address, b""))
        self._former[binding.client] = binding.address
        self._last_holder[binding.address] = binding.client

    def end(self, binding: Binding) -> None:
        """The client does not hold the address any more; it is remembered as its last."""
        del self._held[binding.client]
        del self._holders[binding.address]

    def offer(self, client: bytes, address: str, until: float) -> None:
        """Keep the address for the client."""
        self.forget_offer(client)
        self.forget_offer(self._offered.get(address, b""))
        self._offers[client] = (address, until)
        self._offered[address] = client

    def forget_offer(self, client: bytes) -> None:
        """Keep nothing for the client."""
        if client in self._offers:
            address, _ = self._offers.pop(client)
            del self._offered[address]

    def decline(self, client: bytes, address: str, until: float) -> None:
        """Give the address to nobody before `until`, and not to this client by preference."""
        self._declined[address] = until
        self._forget_former(client)

    def _forget_former(self, client: bytes) -> None:
        if client in self._former:
            del self._last_holder[self._former.pop(client)]

    def expire(self, now: float) -> list[Binding]:
        """End every binding whose time is over; the earliest first."""
        over = sorted(
            (binding for binding in self._held.values() if binding.expires_at <= now),
            key=lambda binding: binding.expires_at,
        )
        for binding in over:
            self.end(binding)
        return over

    def next_expiry(self) -> float:
        """When the next binding ends; `math.inf`: none does."""
        return min((binding.expires_at for binding in self._held.values()), default=math.inf)

    def may_have(
        self, policy: ServerPolicy, client: bytes, hardware_address: str, address: str, now: float
    ) -> bool:
        """Whether the address is one of ours and nobody else's."""
        ours = address in policy.pool or address in policy.reservations.values()
        return ours and self._is_free(policy, client, hardware_address, address, now)

    def _is_free(
        self, policy: ServerPolicy, client: bytes, hardware_address: str, address: str, now: float
    ) -> bool:
        for hardware, kept in policy.reservations.items():
            if kept == address and hardware.lower() != hardware_address:
                return False
        if address == policy.address or self._declined.get(address, -math.inf) > now:
            return False
        if self._holders.get(address, client) != client:
            return False
        offered_to = self._offered.get(address, client)
        return offered_to == client or self.offer_to(offered_to, now) is None

    def choose(
        self,
        policy: ServerPolicy,
        client: bytes,
        hardware_address: str,
        wanted: str | None,
        now: float,
    ) -> str | None:
        """An address for the client; None: there is none left.

        First what is reserved for it; then, as RFC 2131 section 4.3.1 has it, its current address,
        its former one, the one it asks for, and a free one: where possible one that nobody has had.
        """
        current = self._held.get(client)
        preferred = (
            policy.reserved_for(hardware_address),
            current.address if current else None,
            self.offer_to(client, now),
            self.former_of(client),
            wanted,
        )
        for address in preferred:
            if address and self.may_have(policy, client, hardware_address, address, now):
                return address
        free = (
            address
            for address in policy.pool
            if self._is_free(policy, client, hardware_address, address, now)
        )
        first = next(free, None)
        if first not in self._last_holder:
            return first
        return next((address for address in free if address not in self._last_holder), first)
