"""A home gateway that its operator manages itself: it serves its home, and is a CPE of an ACS."""

from __future__ import annotations

from testbed.datamodel.definitions import device_summary, gateway_model
from testbed.datamodel.tree import Tree
from testbed.roles.gateway import OUTSIDE, Gateway
from testbed.roles.managed_box import OUI, Label, ManagedBox

CONNECTION = "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1."


class ManagedGateway(ManagedBox, Gateway):
    """A gateway with a CWMP client, under `InternetGatewayDevice.`; it asks its own upstream DNS.

    Settings of the node: those of `Gateway`, and those of `ManagedBox`.  Its outside address is a
    fixed one of its node.
    """

    def make_label(self, serial_number: str) -> Label:
        """Who it is."""
        return Label("Testbed", OUI, "Gateway", serial_number)

    def make_tree(self) -> Tree:
        """Its parameters as it leaves the factory."""
        model = gateway_model()
        return Tree(model, self.factory_values(model.root, device_summary(model)))

    async def start(self) -> None:
        """Power is on: serve the home, then turn to the ACS."""
        await super().start()
        address = self.host.address_of(OUTSIDE) or ""
        connection = f"{self.tree.model.root}{CONNECTION}"
        self.assign(f"{connection}ExternalIPAddress", address)
        self.assign(f"{connection}MACAddress", self.host.interfaces[OUTSIDE].hardware_address)
        self.can_be_asked_at(address)
        self.reaches(address, self.resolver_at(self.upstream))
