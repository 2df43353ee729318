"""A LAN device that its operator manages: connectivity, then CWMP sessions with its ACS.

The HNB is one with a discovery of its own on top.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from testbed.datamodel.definitions import device_model, device_summary
from testbed.datamodel.tree import Tree
from testbed.errors import BadInput
from testbed.host import Host
from testbed.protocols import dhcp
from testbed.protocols.association import NOBODY, Identity, device_option, gateway_in
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_http import Resolve
from testbed.roles.device import INTERFACE, Device
from testbed.roles.managed_box import ManagedBox
from testbed.topology import Node


class ManagedDevice(ManagedBox, Device):
    """A device with a CWMP client.  It stays silent where its node's settings name no ACS.

    With an ACS it tells who it is in its DHCP requests (TR-111 Part 1), and keeps in GatewayInfo
    who its gateway is.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        if self.cpe.setting("URL"):
            told = device_option(self.identity)
            self.lan.policy = self.dhcp_policy = dataclasses.replace(
                self.dhcp_policy, vendor_identity=told.value
            )

    @property
    def identity(self) -> Identity:
        """Who it is, as TR-111 knows it."""
        label = self.label
        return Identity(label.oui, label.serial_number, label.product_class)

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
            self.note_gateway(NOBODY)
            self.loses_its_way()

    def acknowledged(self, ack: dhcp.Message) -> None:
        """An ACK says who the gateway is; one that does not clears what was known (AMB-P1-05)."""
        self.note_gateway(gateway_in(ack.vendor_identity) or NOBODY)

    def tell_identity(self, value: bytes | None, *options: dhcp.Option) -> None:
        """Tell something else in option 125, or nothing there, and these options besides."""
        self.set_dhcp(vendor_identity=value, options=options)
        # Told, so that a judge does not blame it for what the scenario makes it do.
        self.host.tell("STAGED", vendor_identity=None if value is None else value.hex())

    def tell_identity_in(self, kind: type[dhcp.Message]) -> None:
        """Tell who it is in DHCP messages of that kind alone."""

        def leave_out(message: dhcp.Message, _to: Endpoint) -> list[dhcp.Message]:
            if isinstance(message, kind):
                return [message]
            kept = [each for each in message.options if each.code != dhcp.Code.VENDOR_IDENTITY]
            return [dataclasses.replace(message, options=tuple(kept))]

        self.mend_of("dhcp").message.append(leave_out)
        self.host.tell("STAGED", vendor_identity=None, only_in=kind.WORD)

    def note_gateway(self, gateway: Identity) -> None:
        """Record the gateway's identity; the ACS is told of a change (1.2.2)."""
        oui, serial_number, product_class = self._info_paths
        if serial_number not in self.tree:
            return  # an HNB under the other root
        before = self._gateway_info()
        if not gateway.fits_xml:
            reason = "it holds a character that CWMP cannot carry"
            self.host.tell("NOT_RECORDED", identity=str(gateway), reason=reason)
            gateway = NOBODY
        for path, text in (
            (oui, gateway.oui),
            (serial_number, gateway.serial_number),
            (product_class, gateway.product_class),
        ):
            try:
                self.tree.assign(path, text)
            except BadInput as error:  # longer than the parameter: what it was is not true either
                self.tree.assign(path, "")
                name = path.rpartition(".")[2]
                self.host.tell("NOT_RECORDED", parameter=name, reason=str(error))
        after = self._gateway_info()
        if after != before:
            self.host.tell("GATEWAY", identity=str(after) if after else None)
        self.cpe.changed()

    def inform_names(self, to_new_acs: bool) -> Iterable[str]:
        """An ACS that is new to the device has heard nothing of its gateway (1.2.3: the device
        hands the identity over), though another one may have: the initial HMS of an HNB."""
        paths = self._info_paths
        knows = all(each in self.tree for each in paths) and bool(self._gateway_info())
        return (*super().inform_names(to_new_acs), *(paths if to_new_acs and knows else ()))

    @property
    def _info_paths(self) -> tuple[str, str, str]:
        """GatewayInfo's parameters, in the order of `Identity`."""
        info = f"{self.tree.model.root}GatewayInfo."
        return f"{info}ManufacturerOUI", f"{info}SerialNumber", f"{info}ProductClass"

    def _gateway_info(self) -> Identity:
        return Identity(*map(self.tree.value, self._info_paths))

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """What the box does as soon as it is connected."""
        await super().first_contact(lease)
        self.note_address(lease)
        self.reaches(lease.address, self.resolver_for(lease))

    def unanswered(self) -> None:
        """Turn to the ACS from a static address: no DHCP server tells of a gateway.

        Names are resolved where the node's setting `dns_servers` says: DHCP has told nothing.
        """
        address = self.host.address_of(INTERFACE) or ""
        self.can_be_asked_at(address)
        self.reaches(address, self.resolver_at(self.node.settings.get("dns_servers", ())))

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
