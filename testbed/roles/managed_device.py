"""A device that its operator manages: connectivity, then CWMP sessions with its ACS.

A LAN device is one where its node's settings name an ACS; the HNB is one with a discovery of its
own on top.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from testbed.datamodel.definitions import device_model, device_summary
from testbed.datamodel.tree import Tree
from testbed.host import Host, TlsProfile
from testbed.protocols import dhcp, dns
from testbed.roles.connection_request import ConnectionRequestListener
from testbed.roles.cpe import Cpe, CpeOwner
from testbed.roles.cpe_http import Trust
from testbed.roles.cpe_policy import CpePolicy, SessionReport
from testbed.roles.device import INTERFACE, Device
from testbed.roles.resolve import resolve
from testbed.topology import Node

OUI = "00005E"
"""IANA's own: RFC 7042 keeps a part of it for documentation."""


@dataclass(frozen=True, slots=True)
class Label:
    """What is printed on the box: who it is for ever."""

    manufacturer: str
    oui: str
    product_class: str
    serial_number: str


class ManagedDevice(Device, CpeOwner):
    """A device with a CWMP client.  It stays silent where it knows no ACS.

    Settings of the node, beside those of `Device`: `hms_url` (its ACS), `serial_number`, `roots`,
    `identity`, `moment` (the date at the run's start), `clock` ("1970": it has never learnt what
    the date is).

    Attributes:
        label: who it is.
        tree: its parameters.
        cpe: its CWMP client.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        settings = node.settings
        self.label = self.make_label(settings.get("serial_number") or node.name.upper())
        self.tree = self.make_tree()
        self._moment: float | None = settings.get("moment")
        self._switched_on_at = host.now()
        self._is_in_1970 = settings.get("clock") == "1970"
        profile = TlsProfile(identity=settings.get("identity"), roots=settings.get("roots", ()))
        trust = Trust(profile, self.date if self._is_in_1970 else None)
        has_date = self._is_in_1970 or self._moment is not None
        self.cpe = Cpe(host, self.tree, self, trust, self.mend_of, self.date if has_date else None)
        self.connection_requests = ConnectionRequestListener(
            host, self._credentials, self._allowed, self.cpe.requested
        )
        self._restarting: asyncio.Task[None] | None = None

    # What it is.

    def make_label(self, serial_number: str) -> Label:
        """Who it is; boxes of another kind have another."""
        return Label("Testbed", OUI, "Device", serial_number)

    def make_tree(self) -> Tree:
        """Its parameters as it leaves the factory; boxes of another kind have others."""
        model = device_model()
        return Tree(model, self.factory_values(model.root, device_summary(model)))

    def factory_values(self, root: str, summary: str) -> dict[str, str]:
        """What every managed device knows before its first network contact."""
        label, server = self.label, f"{root}ManagementServer."
        return {
            f"{root}DeviceSummary": summary,
            f"{root}DeviceInfo.Manufacturer": label.manufacturer,
            f"{root}DeviceInfo.ManufacturerOUI": label.oui,
            f"{root}DeviceInfo.ModelName": label.product_class,
            f"{root}DeviceInfo.ProductClass": label.product_class,
            f"{root}DeviceInfo.SerialNumber": label.serial_number,
            f"{root}DeviceInfo.HardwareVersion": "1",
            f"{root}DeviceInfo.SoftwareVersion": "1",
            f"{server}URL": self.node.settings.get("hms_url") or "",
            f"{server}ConnectionRequestUsername": f"{label.oui}-{label.serial_number}",
            f"{server}ConnectionRequestPassword": f"{self.host.random.getrandbits(64):016x}",
        }

    def date(self) -> float:
        """What it believes the date is, seconds since 1970 (UTC)."""
        passed_s = self.host.now() - self._switched_on_at
        start = 0.0 if self._is_in_1970 or self._moment is None else self._moment
        return start + passed_s

    @property
    def policy(self) -> CpePolicy:
        """Of its CWMP client."""
        return self.cpe.policy

    def set_policy(self, **changes: Any) -> None:
        """Change the CWMP client's policy; holds from the next session."""
        self.cpe.set_policy(**changes)

    @property
    def listens_outside(self) -> bool:
        """Whether it takes connection requests on its own address."""
        return True

    # Power.

    async def start(self) -> None:
        """Power is on: get connected, and to the ACS."""
        self.cpe.booted()
        if self.listens_outside:
            await self.connection_requests.start()
        await super().start()

    def stop(self) -> None:
        """Power is about to go; parameters stay, as in a device with flash memory."""
        self.cpe.stop()
        self.connection_requests.close()
        super().stop()

    def reboot(self) -> None:
        """Start anew, without a word on the wire."""
        self.host.tell("REBOOT")
        self._restarting = self.host.spawn(self._restart(), f"{self.name} reboots")

    def factory_reset(self) -> None:
        """Forget all but the factory's data, and start anew."""
        self._restarting = self.host.spawn(self._reset(), f"{self.name} is reset")

    async def leave(self) -> None:
        """What is said to others before a restart: nothing, unless a box knows better."""

    async def _reset(self) -> None:
        await self.leave()
        self.host.tell("FACTORY_RESET")
        self.cpe.reset()
        await self._restart()

    async def _restart(self) -> None:
        await self.leave()
        self.stop()
        self.host.set_default_route(None)
        self.host.clear_address(INTERFACE)
        await asyncio.sleep(self.cpe.policy.reboot_s)
        await self.start()

    # Connectivity.

    def _lease_changed(self, lease: dhcp.Lease | None) -> None:
        super()._lease_changed(lease)
        if lease is None:
            self.cpe.disconnected()

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """What the box does as soon as it is connected."""
        await super().first_contact(lease)
        self.note_address(lease)
        self.cpe.connected(self.resolver_for(lease))

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
        url = self.connection_requests.url(reached_at or lease.address)
        self.assign(f"{root}ManagementServer.ConnectionRequestURL", url)
        self.cpe.changed()

    def assign(self, path: str, text: str) -> None:
        """Set a parameter, if this model has it."""
        if path in self.tree:
            self.tree.assign(path, text)

    def resolver_for(self, lease: dhcp.Lease) -> Any:
        """How names are resolved under this lease: "A" at its DNS servers."""

        async def by_lease(name: str) -> dns.Resolution:
            servers, policy = lease.dns_servers, self.resolver_policy
            return await resolve(self.host, servers, name, "A", policy, self.mend_of("dns"))

        return by_lease

    # CWMP.

    def inform_names(self) -> Iterable[str]:
        """More parameters for every Inform."""
        return ()

    def session_ended(self, report: SessionReport) -> str | None:
        """A session is over."""
        return None

    def _credentials(self) -> tuple[str, str]:
        setting = self.cpe.setting
        return setting("ConnectionRequestUsername"), setting("ConnectionRequestPassword")

    def _allowed(self) -> tuple[int, float]:
        policy = self.cpe.policy
        return policy.connection_requests, policy.connection_requests_within_s
