"""Who is where: which interface a link-layer address belongs to, who held which IP address when.

Two homes may use the same IP addresses, so an IP address can have several holders at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """One interface of a node, and the link it is on."""

    node: str
    interface: str
    link: str


@dataclass(slots=True)
class Holding:
    """One address on one interface for a time.

    Attributes:
        from_ns: when it began.
        until_ns: when it ended; None: it has not.
    """

    address: str
    node: str
    interface: str
    from_ns: int
    until_ns: int | None = None

    def covers(self, time_ns: int) -> bool:
        """Whether the address was held at that time."""
        return self.from_ns <= time_ns and (self.until_ns is None or time_ns < self.until_ns)


ALWAYS_NS = 0
"""The beginning of a static address's time."""


class Addresses:
    """All places and holdings of a trace."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._members: dict[str, dict[str, None]] = {}
        self._links_of: dict[tuple[str, str], str] = {}
        self._of_address: dict[str, list[Holding]] = {}
        self._peers: dict[tuple[str, str], str] = {}
        self._behind: dict[tuple[str, str], str] = {}
        self._of_interface: dict[tuple[str, str], list[Holding]] = {}
        self._bound: dict[tuple[str, str, str], list[tuple[int, int | None]]] = {}

    @property
    def nodes(self) -> list[str]:
        """Every node that has a place, in the order in which they were told."""
        return list(dict.fromkeys(place.node for place in self.places.values()))

    def set_place(self, hardware_address: str, place: Place) -> None:
        """That link-layer address belongs to that interface."""
        self.places[hardware_address.lower()] = place
        self.join(place.node, place.interface, place.link)

    def join(self, node: str, interface: str, link: str) -> None:
        """That node has an interface on that link."""
        self._members.setdefault(link, {})[node] = None
        self._links_of.setdefault((node, interface), link)

    def members(self, link: str) -> list[str]:
        """The nodes that are known to be on a link."""
        return list(self._members.get(link, ()))

    def is_member(self, node: str, link: str) -> bool:
        """Whether a node is known to be on a link."""
        return node in self._members.get(link, ())

    def hold(self, node: str, interface: str, address: str | None, time_ns: int) -> None:
        """From that time on the interface has this address, in place of others of its family.

        Args:
            node: whose interface.
            interface: "eth0".
            address: None: no address at all.
            time_ns: 0 for a static address.
        """
        held = self._of_interface.setdefault((node, interface), [])
        for holding in held:
            replaced = address is None or (":" in holding.address) == (":" in address)
            if holding.until_ns is None and replaced:
                holding.until_ns = time_ns
        if address is not None:
            holding = Holding(address, node, interface, time_ns)
            held.append(holding)
            self._of_address.setdefault(address, []).append(holding)

    def set_static(self, addresses: Mapping[tuple[str, str], str | Iterable[str]]) -> None:
        """Addresses that are there from the start, by (node, interface)."""
        for (node, interface), given in addresses.items():
            for address in (given,) if isinstance(given, str) else given:
                holding = Holding(address, node, interface, ALWAYS_NS)
                self._of_interface.setdefault((node, interface), []).append(holding)
                self._of_address.setdefault(address, []).append(holding)

    def holders(self, address: str, time_ns: int) -> list[Holding]:
        """Who holds the address at that time."""
        return [each for each in self._of_address.get(address, ()) if each.covers(time_ns)]

    def holds(self, node: str, address: str, time_ns: int) -> bool:
        """Whether the node holds the address at that time, on any interface."""
        return any(each.node == node for each in self.holders(address, time_ns))

    def addresses_of(self, node: str, interface: str | None, time_ns: int) -> list[str]:
        """What a node, or one interface of it, holds at that time."""
        return [
            holding.address
            for (owner, name), held in self._of_interface.items()
            if owner == node and interface in (None, name)
            for holding in held
            if holding.covers(time_ns)
        ]

    def holdings_at_start(self) -> list[Holding]:
        """The static addresses."""
        return [
            holding
            for held in self._of_interface.values()
            for holding in held
            if holding.from_ns == ALWAYS_NS
        ]

    def history(self, address: str) -> list[Holding]:
        """Every holding of that address, the oldest first."""
        return list(self._of_address.get(address, ()))

    def bind(self, node: str, protocol: str, outside: str, time_ns: int) -> None:
        """From that time on a NAT passes on what comes to that endpoint of its own ("A:P")."""
        times = self._bound.setdefault((node, protocol, outside), [])
        if not times or times[-1][1] is not None:
            times.append((time_ns, None))

    def unbind(self, node: str, protocol: str, outside: str, time_ns: int) -> None:
        """From that time on it does so no more."""
        times = self._bound.get((node, protocol, outside))
        if times and times[-1][1] is None:
            times[-1] = (times[-1][0], time_ns)

    def is_bound(self, node: str, protocol: str, outside: str, time_ns: int) -> bool:
        """Whether a NAT passes on, at that time, what comes to that endpoint of its own."""
        return any(
            since <= time_ns and (until is None or time_ns < until)
            for since, until in self._bound.get((node, protocol, outside), ())
        )

    def set_peer(self, link: str, address: str, node: str) -> None:
        """What has that address on a tunnel's inside talks to that node there."""
        self._members.setdefault(link, {})[node] = None
        self._peers[link, address] = node

    def on_link(
        self, link: str, sender: str, source: str | None, address: str | None, time_ns: int
    ) -> str | None:
        """The receiver on a link without link-layer addresses, such as a tunnel's inside.

        The member that holds the address; where none does, the other end of the sender's tunnel, or
        the member that was the last to send from that address, or the only other member.
        """
        if source is not None and sender in self._members.get(link, ()):
            self._behind[link, source] = sender
        if address is not None:
            for holding in self.holders(address, time_ns):
                if self._links_of.get((holding.node, holding.interface)) == link:
                    return holding.node
        peer = self._peers.get((link, source or ""))
        if peer is not None and peer != sender:
            return peer
        behind = self._behind.get((link, address or ""))
        if behind is not None and behind != sender:
            return behind
        others = [node for node in self._members.get(link, ()) if node != sender]
        return others[0] if len(others) == 1 else None
