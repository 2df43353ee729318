"""A home gateway that its operator manages itself: it serves its home, and is a CPE of an ACS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.datamodel.definitions import device_summary, gateway_model
from testbed.datamodel.tree import Tree
from testbed.host import Host
from testbed.protocols import dhcp
from testbed.protocols.association import Identity
from testbed.roles.gateway import INSIDE, OUTSIDE, Gateway
from testbed.roles.manageable import CountNotification, ManageableDevices, ProbePolicy
from testbed.roles.managed_box import OUI, Label, ManagedBox
from testbed.topology import Node

CONNECTION = "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1."


class ManagedGateway(ManagedBox, Gateway):
    """A gateway with a CWMP client, under `InternetGatewayDevice.`; it asks its own upstream DNS.

    Settings of the node: those of `Gateway` and of `ManagedBox`, `probes` (how it finds that a
    device has left its LAN), and `starts_off` (a scenario gives it power).  Its outside address is
    a fixed one of its node.

    Attributes:
        devices: which devices of its LAN it knows (TR-111 Part 1).
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.starts_off = bool(node.settings.get("starts_off", False))
        label = self.label
        self.count = CountNotification(host, self.tree, self.cpe.changed)
        self.devices = ManageableDevices(
            *(host, INSIDE, self.tree),
            Identity(label.oui, label.serial_number, label.product_class),
            node.settings.get("probes", ProbePolicy()),
            self.cpe.changed,
        )

    def make_label(self, serial_number: str) -> Label:
        """Who it is."""
        return Label("Testbed", OUI, "Gateway", serial_number)

    def make_tree(self) -> Tree:
        """Its parameters as it leaves the factory."""
        model = gateway_model()
        return Tree(model, self.factory_values(model.root, device_summary(model)))

    async def start(self) -> None:
        """Power is on: serve the home, then turn to the ACS."""
        self.devices.start()
        await super().start()
        address = self.host.address_of(OUTSIDE) or ""
        connection = f"{self.tree.model.root}{CONNECTION}"
        self.assign(f"{connection}ExternalIPAddress", address)
        self.assign(f"{connection}MACAddress", self.host.interfaces[OUTSIDE].hardware_address)
        self.can_be_asked_at(address)
        self.reaches(address, self.resolver_at(self.upstream))

    def stop(self) -> None:
        """Power is about to go."""
        self.count.stop()
        self.devices.stop()
        super().stop()

    # What scenarios ask of it.

    def admit(self, *identities: Identity) -> None:
        """The owner's filter: only these devices get onto the list from now on."""
        self.devices.admitted = identities
        self.host.tell("STAGED", admitted=[str(each) for each in identities])

    def call_itself(self, identity: Identity) -> None:
        """Tell devices another identity than its own from now on."""
        self.devices.gateway = identity
        self.host.tell("STAGED", gateway_identity=str(identity))

    # What DHCP and the ACS bring.

    def answer_options(self, request: dhcp.Message) -> Sequence[dhcp.Option]:
        """The gateway's identity, for devices that have told theirs."""
        return self.devices.answer_options(request)

    def happened(self, event: dhcp.ServerEvent) -> None:
        """The DHCP server reports."""
        super().happened(event)
        self.devices.happened(event)

    def parameters_set(self) -> None:
        """The ACS has set parameters: the limit of notifications may be among them."""
        super().parameters_set()
        self.count.reconsider()

    def changes_told(self, values: Mapping[str, str]) -> None:
        """The ACS knows of these changes."""
        super().changes_told(values)
        self.count.told(values)
