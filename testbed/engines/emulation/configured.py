"""A node's addresses and routers as the network configured them, for after a power cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from testbed.engines.emulation.netlink import Netlink


@dataclass(frozen=True, slots=True)
class Configured:
    """What the network configured of one node.

    Attributes:
        addresses: (address, prefix length) of each, by interface.
        routers: of its default routes.
    """

    addresses: Mapping[str, list[tuple[str, int]]]
    routers: Sequence[str]

    @classmethod
    def read(cls, netlink: Netlink, interfaces: Iterable[str]) -> Configured:
        """What the node has now."""
        return cls(
            {each: netlink.addresses(each) for each in interfaces},
            [router for router, _ in netlink.default_routes() if router is not None],
        )

    def restore_addresses(
        self, netlink: Netlink, changed: Callable[[str, str | None], None]
    ) -> None:
        """Give each interface back what it had; `changed` hears interface and address, None: none
        is left of those before."""
        for interface, addresses in self.addresses.items():
            if netlink.addresses(interface) != addresses:
                netlink.flush_addresses(interface)
                changed(interface, None)
                for address, prefix_length in addresses:
                    netlink.add_address(interface, address, prefix_length)
                    changed(interface, address)

    def restore_routes(self, netlink: Netlink) -> None:
        """The default routes that it had, and no other."""
        netlink.set_default_route(None)
        for router in self.routers:
            netlink.set_default_route(router)
