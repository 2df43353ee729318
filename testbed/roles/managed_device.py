"""A LAN device that its operator manages: connectivity, then CWMP sessions with its ACS.

The HNB is one with a discovery of its own on top.
"""

from __future__ import annotations

from testbed.datamodel.definitions import device_model, device_summary
from testbed.datamodel.tree import Tree
from testbed.protocols import dhcp
from testbed.roles.cpe_http import Resolve
from testbed.roles.device import INTERFACE, Device
from testbed.roles.managed_box import ManagedBox


class ManagedDevice(ManagedBox, Device):
    """A device with a CWMP client.  It stays silent where its node's settings name no ACS."""

    def make_tree(self) -> Tree:
        """Its parameters as it leaves the factory; boxes of another kind have others."""
        model = device_model()
        return Tree(model, self.factory_values(model.root, device_summary(model)))

    def disconnect(self) -> None:
        """The lease is forgotten, and with it address and route."""
        self.host.set_default_route(None)
        self.host.clear_address(INTERFACE)

    def _lease_changed(self, lease: dhcp.Lease | None) -> None:
        super()._lease_changed(lease)
        if lease is None:
            self.loses_its_way()

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """What the box does as soon as it is connected."""
        await super().first_contact(lease)
        self.note_address(lease)
        self.reaches(lease.address, self.resolver_for(lease))

    def note_address(self, lease: dhcp.Lease, reached_at: str | None = None) -> None:
        """Bring what the tree says of the LAN interface up to date.

        Args:
            lease: of that interface.
            reached_at: the address at which it takes connection requests; None: the lease's.
        """
        root = self.tree.model.root
        self.assign(f"{root}LAN.IPAddress", lease.address)
        self.assign(f"{root}LAN.DefaultGateway", next(iter(lease.routers), ""))
        self.assign(f"{root}LAN.DNSServers", ",".join(lease.dns_servers))
        self.can_be_asked_at(reached_at or lease.address)
        self.cpe.changed()

    def resolver_for(self, lease: dhcp.Lease) -> Resolve:
        """How names are resolved under this lease: "A" at its DNS servers."""
        return self.resolver_at(lease.dns_servers)
