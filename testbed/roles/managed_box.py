"""What every box with a CWMP client is, whatever else it does: label, parameters, power, ACS.

HNB, LAN device and managed gateway share it; how it gets connected is each one's own.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.datamodel.tree import Tree
from testbed.errors import DecodeError
from testbed.host import Host, TlsProfile
from testbed.protocols import dns, stun
from testbed.protocols.udp_connection_request import Receiver, decode
from testbed.protocols.wire import Endpoint
from testbed.roles.connection_request import ConnectionRequestListener
from testbed.roles.cpe import Cpe, CpeOwner
from testbed.roles.cpe_http import Resolve, Trust
from testbed.roles.cpe_policy import CpePolicy, SessionReport
from testbed.roles.resolve import resolve
from testbed.roles.role import Role
from testbed.roles.stun_client import PORT as UDP_PORT
from testbed.roles.stun_client import StunClient
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


class ManagedBox(Role, CpeOwner):
    """A role with a CWMP client; put it before the role that gets the box connected.

    Settings of the node: `hms_url` (its ACS; without one it stays silent), `serial_number`,
    `roots`, `identity`, `moment` (the date at the run's start), `clock` ("1970": it has never
    learnt what the date is), `oui` and `product_class` (of its label), `is_known` (its ACS was told
    "0 BOOTSTRAP" before the run), `udp_connection_request_port`, `lifetime_search` (how it looks
    for its binding's lifetime: gallop, bisection, ladder).

    Attributes:
        label: who it is.
        tree: its parameters.
        cpe: its CWMP client.
        udp_requests: what it holds against UDP Connection Requests.
        stun: its STUN client, which keeps the way open for UDP Connection Requests.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.resolver_policy = dns.ResolverPolicy()
        settings = node.settings
        label = self.make_label(settings.get("serial_number") or node.name.upper())
        self.label = dataclasses.replace(
            label,
            oui=settings.get("oui", label.oui),
            product_class=settings.get("product_class", label.product_class),
        )
        self.tree = self.make_tree()
        self._moment: float | None = settings.get("moment")
        self._switched_on_at = host.now()
        self._is_in_1970 = settings.get("clock") == "1970"
        profile = TlsProfile(identity=settings.get("identity"), roots=settings.get("roots", ()))
        trust = Trust(profile, self.date if self._is_in_1970 else None)
        has_date = self._is_in_1970 or self._moment is not None
        self.cpe = Cpe(host, self.tree, self, trust, self.mend_of, self.date if has_date else None)
        if settings.get("is_known"):
            self.cpe.is_known()
        self.connection_requests = ConnectionRequestListener(
            host, self._credentials, self._allowed, self.cpe.requested
        )
        port = settings.get("udp_connection_request_port", UDP_PORT)
        mend = self.mend_of("stun")
        self.stun = StunClient(host, self.tree, mend, self.cpe.changed, port)
        self.stun.set_policy(search=stun.Search(settings.get("lifetime_search", "gallop")))
        self.udp_requests = Receiver()
        self.stun.on_datagram = self.asked_by_udp
        self._restarting: asyncio.Task[None] | None = None

    # What it is.

    def make_label(self, serial_number: str) -> Label:
        """Who it is; boxes of another kind have another."""
        return Label("Testbed", OUI, "Device", serial_number)

    def make_tree(self) -> Tree:
        """Its parameters as it leaves the factory."""
        raise NotImplementedError

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
        """Power is on: take connection requests, get connected."""
        self.cpe.booted()
        self.udp_requests.restarted()
        if self.listens_outside:
            await self.connection_requests.start()
            await self.stun.start()
        await super().start()

    def stop(self) -> None:
        """Power is about to go; parameters stay, as in a device with flash memory."""
        self.cpe.stop()
        self.stun.close()
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
        self.disconnect()
        await asyncio.sleep(self.cpe.policy.reboot_s)
        await self.start()

    def disconnect(self) -> None:
        """Give up what a reboot does not leave: addresses that were leased."""

    # Connectivity.

    def can_be_asked_at(self, address: str) -> None:
        """Tell the tree where connection requests are taken."""
        url = self.connection_requests.url(address)
        self.assign(f"{self.tree.model.root}ManagementServer.ConnectionRequestURL", url)

    def reaches(self, address: str, resolve: Resolve) -> None:
        """The box has this address, and a way to its ACS and STUN server."""
        self.stun.connected(address, resolve)
        self.cpe.connected(resolve)

    def loses_its_way(self) -> None:
        """It has none any more."""
        self.stun.disconnected()
        self.cpe.disconnected()

    def assign(self, path: str, text: str) -> None:
        """Set a parameter, if this model has it."""
        if path in self.tree:
            self.tree.assign(path, text)

    def resolver_at(self, servers: Iterable[str]) -> Resolve:
        """How names are resolved by these DNS servers: "A"."""
        known = tuple(servers)

        async def ask(name: str) -> dns.Resolution:
            policy, mend = self.resolver_policy, self.mend_of("dns")
            return await resolve(self.host, known, name, "A", policy, mend)

        return ask

    # CWMP.

    def inform_names(self, to_new_acs: bool) -> Iterable[str]:
        """More parameters for an Inform."""
        return ()

    def session_ended(self, report: SessionReport) -> str | None:
        """A session is over."""
        return None

    def parameters_set(self) -> None:
        """The ACS has set parameters: STUN's may be among them."""
        self.stun.reconsider()

    def changes_told(self, values: Mapping[str, str]) -> None:
        """The ACS knows of these changes."""
        self.stun.notified(values)

    def set_udp_receiver(self, **changes: Any) -> None:
        """Change what is held against UDP Connection Requests: `Receiver`'s fields.

        It is told what this CPE is set to: the text leaves it free (TR-111 2.2.1.4).
        """
        self.udp_requests = dataclasses.replace(self.udp_requests, **changes)
        self.host.tell("UDP_RECEIVER", **changes)

    def asked_by_udp(self, data: bytes, source: Endpoint) -> None:
        """A datagram that is no STUN has come to the binding: maybe a connection request.

        What is not valid or not authentic is ignored, without an answer (TR-111 2.2.1.4).
        """
        try:
            request = decode(data)
        except DecodeError as error:
            self.host.tell("UDP_REQUEST_IGNORED", source=str(source), reason=str(error))
            return
        reason = self.udp_requests.refusal(request, *self._credentials(), self.date())
        if reason is not None:
            self.host.tell("UDP_REQUEST_IGNORED", source=str(source), reason=reason)
            return
        self.host.tell("UDP_REQUEST_TAKEN", source=str(source), ts=request.value("ts"))
        self.cpe.requested()

    def _credentials(self) -> tuple[str, str]:
        setting = self.cpe.setting
        return setting("ConnectionRequestUsername"), setting("ConnectionRequestPassword")

    def _allowed(self) -> tuple[int, float]:
        policy = self.cpe.policy
        return policy.connection_requests, policy.connection_requests_within_s
