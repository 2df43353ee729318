"""The Home NodeB, from power-up to its registration's first contact (TS 32.583, 5.1).

It knows its factory data and nothing else; which of the two discoveries it runs follows from them.
On the public Internet (5.1.2): the name of its HMS (initial), TLS, an Inform with its place, and
the serving set by SetParameterValues.  On the operator's intranet (5.1.1) a tunnel to the SeGW
(initial) comes before all that, and the session goes through it.  What it got survives power cuts;
a factory reset forgets it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from testbed.datamodel.definitions import DEVICE, device_summary, hnb_model
from testbed.datamodel.femto import FemtoPaths
from testbed.datamodel.tree import Tree
from testbed.errors import BadInput
from testbed.host import Host, Tunnel, TunnelChange
from testbed.protocols import dhcp, dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Url
from testbed.protocols.wire import Endpoint
from testbed.roles.cpe_http import Resolve
from testbed.roles.cpe_policy import Served, SessionReport, Stage
from testbed.roles.managed_box import OUI, Label
from testbed.roles.managed_device import ManagedDevice
from testbed.roles.registration import Registration
from testbed.roles.resolve import resolve
from testbed.roles.secure_connection import NotSecured, SecureConnection
from testbed.topology import Node

REGISTRATION_EVENT = f"X {OUI} REGISTRATION"
"""What brings an HNB to a serving HMS whose URL is the initial one's: no event of TR-069 does."""

PUBLIC_STEPS = {
    Stage.RESOLVE: "2",
    Stage.CONNECT: "3",
    Stage.SECURE: "3",
    Stage.INFORM: "5",
    Stage.SERVE: "6",
    Stage.OVER: "8",
}
"""At which step of 5.1.2 a session failed: the first one that did not come about."""
INTRANET_STEPS = {**PUBLIC_STEPS, Stage.RESOLVE: "2.5"}
"""Likewise of 5.1.1; what comes before a session has failed at 2.2 or 2.3."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an HNB stands, as its scans find out.

    Attributes:
        latitude: degrees, north positive; None: its GPS sees no sky.
        longitude: degrees, east positive.
        cells: the neighbours that it hears: PLMN, LAC and cell identity each.
    """

    latitude: float | None = None
    longitude: float | None = None
    cells: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Factory:
    """What an HNB holds before its first network contact.

    Attributes:
        segw: name of the Security Gateway (initial); None where the HMS is on the public Internet.
        hms_url: of HMS (initial); None where nothing but the SeGW is known.
        serial_number: identifies it, with its maker's OUI.
        roots: the operator's certificates that it trusts, PEM.
    """

    segw: str | None
    hms_url: str | None = None
    serial_number: str = ""
    roots: tuple[bytes, ...] = ()


class Hnb(ManagedDevice):
    """The HNB: a managed device whose first sessions discover who serves it.

    Settings of the node, beside those of `ManagedDevice`: `segw`, `place`, `tr196_issue` (1 or 2),
    `root` ("Device." or "InternetGatewayDevice."), `life` (of its tunnels), `registers_by_tunnel`
    (whether the serving HMS is behind the serving SeGW; TR-196 calls it UseForCWMP),
    `leaves_tunnel` (whether step 9 of 5.1.1 takes the tunnel down).

    Attributes:
        factory: what it left the factory with.
        place: where it stands; may be changed before power is given.
        paths: where its tree has what discovery needs.
        is_discovered: whether it holds a serving set.
        is_shared: whether HMS (initial) serves it too, as AMB-3G-03 tells it.
        hnb_gw_of_discovery: the HNB-GW that HMS (initial) has set; "": none.
        secure: its tunnels.
        registration: how it turns to the serving side.
    """

    facts: ClassVar[tuple[str, ...]] = (
        "factory",
        "first_name",
        "is_public",
        "label",
        "paths",
        "place",
    )

    def __init__(self, host: Host, node: Node) -> None:
        settings = node.settings
        self.paths = FemtoPaths(settings.get("root", DEVICE), settings.get("tr196_issue", 1))
        self.place: Place = settings.get("place", Place())
        super().__init__(host, node)
        self.factory = Factory(
            segw=settings.get("segw"),
            hms_url=settings.get("hms_url"),
            serial_number=self.label.serial_number,
            roots=settings.get("roots", ()),
        )
        self.first_name = self.factory.segw
        self.is_discovered = False
        self.is_shared = False
        self.hnb_gw_of_discovery = ""
        in_intranet = not self.is_public and self.factory.hms_url is not None
        self.registers_by_tunnel: bool = settings.get("registers_by_tunnel", in_intranet)
        self.leaves_tunnel: bool = settings.get("leaves_tunnel", True)
        self.secure = SecureConnection(self, self._tunnel_changed)
        self.registration = Registration(self)
        if self.is_public:
            self.set_policy(requires_tls=True)

    @property
    def is_public(self) -> bool:
        """Whether its HMS (initial) is on the public Internet: it has no SeGW (initial)."""
        return self.factory.segw is None

    def make_label(self, serial_number: str) -> Label:
        """Who it is."""
        return Label("Testbed", OUI, "HNB", serial_number)

    def make_tree(self) -> Tree:
        """Its parameters as it leaves the factory."""
        model = hnb_model(self.paths.root, self.paths.issue)
        summary = device_summary(model, self.paths.issue)
        return Tree(model, self.factory_values(model.root, summary))

    @property
    def listens_outside(self) -> bool:
        """Whoever is reached through a tunnel takes connection requests there and nowhere else."""
        return not self.registers_by_tunnel

    @property
    def tunnel_moment(self) -> float | None:
        """What it believes the date is when it checks a SeGW; None: the engine's clock."""
        moment = self.cpe.trust.moment
        return None if moment is None else moment()

    def set_security(self, **changes: Any) -> None:
        """Change what it asks of Security Gateways; holds from the next tunnel."""
        self.secure.policy = dataclasses.replace(self.secure.policy, **changes)

    def set_registration(self, **changes: Any) -> None:
        """Change its patience with the serving side, now."""
        self.registration.policy = dataclasses.replace(self.registration.policy, **changes)

    # What it holds.

    def values_of(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The values of these parameters, without empty ones."""
        return tuple(value for value in map(self.tree.value, paths) if value)

    @property
    def serving_segw(self) -> str:
        """The serving SeGW that it was told; "" before."""
        return self.tree.value(self.paths.segw)

    @property
    def hms_url(self) -> str:
        """Its HMS: the initial one, later the serving one."""
        return self.tree.value(self.paths.hms_url)

    @property
    def hnb_gw(self) -> str:
        """The HNB-GW that it was told; "" before."""
        return self.tree.value(self.paths.hnb_gw)

    # Power and connectivity.

    async def start(self) -> None:
        """Power is on: scan the surroundings, get connected."""
        self._tell_factory()
        self._scan()
        await super().start()

    def stop(self) -> None:
        """Power is about to go."""
        if self._contact is not None and self._contact is not asyncio.current_task():
            self._contact.cancel()
        self.secure.forget()
        self.registration.reset()
        super().stop()

    async def leave(self) -> None:
        """Before a restart tunnels are taken down in order."""
        self.cpe.disconnected()
        await self.secure.close_all()

    def factory_reset(self) -> None:
        """Forget the serving set too; discovery begins again."""
        self.is_discovered = self.is_shared = False
        super().factory_reset()

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """What discovery begins with: the SeGW, or the HMS itself; or what registration does."""
        if self.secure.tunnel is not None and self.secure.is_up:
            await self.go_through(self.secure.tunnel, lease)  # it has moved with the HNB
        elif self.is_discovered:
            await self.registration.begin(lease)
        elif self.is_public:
            await self.go_without_tunnel(lease)
        elif self.factory.hms_url is None:
            await self.ask_first_name(lease.dns_servers)
        else:
            await self._discover_by_tunnel(lease)

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the CWMP client; it ends with the lease, or with the power."""
        self._contact = self.host.spawn(work, f"{self.name} contacts")

    # Ways to the HMS.

    async def go_without_tunnel(self, lease: dhcp.Lease) -> None:
        """Have sessions go over the Internet."""
        await super().first_contact(lease)

    async def go_through(self, tunnel: Tunnel, lease: dhcp.Lease) -> None:
        """Have sessions, and connection requests, go through a tunnel."""
        try:
            await self.connection_requests.move(tunnel.inside)
            await self.stun.move(tunnel.inside)
        except OSError as error:
            self.host.tell("TUNNEL_LOST", cause=str(error))
            return  # its end is told, and what to do about it is done there
        self.note_address(lease, tunnel.address)
        resolver = self.resolver_inside(tunnel)
        self.stun.connected(tunnel.address, resolver)
        self.cpe.connected(resolver, tunnel.inside)

    def resolver_inside(self, tunnel: Tunnel) -> Resolve:
        """How names are resolved through a tunnel: "A" at the DNS servers that its SeGW told."""

        async def by_tunnel(name: str) -> dns.Resolution:
            return await resolve(
                *(tunnel.inside, tunnel.dns_servers, name, "A"),
                *(self.resolver_policy, self.mend_of("dns")),
            )

        return by_tunnel

    def _tunnel_changed(self, tunnel: Tunnel, change: TunnelChange) -> None:
        lease = self.lan.lease
        if change.kind == "readdressed" and lease is not None:
            self.go_on(self.go_through(tunnel, lease))
        elif change.kind == "down" and change.cause != "closed":
            self.cpe.disconnected()
            self.connection_requests.close()
            self.stun.close()
            if lease is not None:
                self.go_on(self.first_contact(lease))

    def _tell_factory(self) -> None:
        """What it holds before its first network contact; judges compare it with what it does."""
        from testbed.protocols.certificates import describe  # costs an import of cryptography

        factory = self.factory
        self.host.tell(
            "FACTORY",
            hms_url=factory.hms_url,
            segw=factory.segw,
            root_keys=[describe(root).key for root in factory.roots],
            is_strict=self.policy.verifies_name and not self.policy.accepts_common_name,
            checks_segw_name=self.secure.policy.verifies_name,
        )
        if self._is_in_1970:
            self.host.tell("STAGED", clock="1970")

    def _scan(self) -> None:
        """What GPS receiver and radio find at power-up."""
        tree, paths, place = self.tree, self.paths, self.place
        if place.latitude is not None and place.longitude is not None:
            tree.assign(paths.latitude, str(round(place.latitude * 1_000_000)))
            tree.assign(paths.longitude, str(round(place.longitude * 1_000_000)))
            tree.assign(paths.gps_status, "Success")
        else:
            tree.assign(paths.gps_status, "Error")
        for number in tree.rows(paths.cells):
            tree.remove_row(paths.cells, number)
        for plmn, lac, cell_id in place.cells:
            values = {"BCCH.PLMNID": plmn, "BCCH.LAC": str(lac), "BCCH.CellID": str(cell_id)}
            tree.add_row(paths.cells, values)
        tree.assign(paths.cells_status, "Success")

    # Discovery.

    async def _discover_by_tunnel(self, lease: dhcp.Lease) -> None:
        """Steps 2.1 to 2.3 of 5.1.1, until they succeed; the rest is the CWMP client's."""
        assert self.factory.segw is not None
        for failures in itertools.count(1):
            try:
                tunnel = await self.secure.open((self.factory.segw,), lease.dns_servers)
            except NotSecured as failed:
                self._failed(failed.step, str(failed))
                await asyncio.sleep(self.cpe.back_off_s(failures))
            else:
                await self.go_through(tunnel, lease)
                return

    def inform_names(self, to_new_acs: bool) -> Iterable[str]:
        """Every Inform tells where the HNB is."""
        return (*super().inform_names(to_new_acs), *self.paths.location_names(self.tree))

    async def answering(self, acs: Endpoint, served: Sequence[Served]) -> None:
        """Before step 7 of 5.1.1: does HMS (initial) serve too?"""
        if not (self.is_discovered or self.is_public) and self._is_complete(served):
            self.is_shared = await self.is_same_entity(self.hms_url, acs)

    async def is_same_entity(self, url: str, acs: Endpoint) -> bool:
        """Whether a URL leads to that address and port, by what its host resolves to (AMB-3G-03).

        The text of a URL tells nothing: a host has several names, and a session may have been
        redirected.  The path is no entity's.
        """
        tunnel = self.secure.tunnel
        try:
            wanted = Url.parse(url)
        except BadInput:
            return False
        if tunnel is None or wanted.port != acs.port:
            return False
        found = await self.resolver_inside(tunnel)(wanted.host)
        return isinstance(found, dns.Resolved) and acs.address in found.addresses

    def answer_sent(self, served: Sequence[Served]) -> None:
        """Step 7 of 5.1.1: where HMS (initial) serves too, registration begins in its session."""
        if self.is_shared and not self.is_discovered and self._is_complete(served):
            self._note_discovered()
            self.registration.tell_start()

    def session_ended(self, report: SessionReport) -> str | None:
        """Discovery goes on where a session brought it, or fails at the step that did not come."""
        if self.is_discovered:
            return self._registration_contacted(report)
        steps = PUBLIC_STEPS if self.is_public else INTRANET_STEPS
        if report.failure is not None:
            step, cause = steps[report.failure.stage], str(report.failure)
            if report.failure.stage is Stage.SERVE and self._has_set(
                report.served, self.paths.segw
            ):
                step = "8"
        elif report.refused_sets:
            refused = report.refused_sets[0]
            step, cause = "7", f"{refused.call.method} refused: {refused.answer.summary()}"
        elif not (self._has_set(report.served, self.paths.segw) and self.serving_segw):
            step, cause = "6", "HMS (initial) has set no serving SeGW"
        elif not self._has_set(report.served, self.paths.hms_url):
            step, cause = "6", "HMS (initial) has set no serving HMS"
        else:
            self._discovered(report)
            return None
        self._failed(step, cause)
        return cause

    def _is_complete(self, served: Sequence[Served]) -> bool:
        """Whether a session has set serving SeGW and serving HMS, and nothing was refused."""
        sets = [each for each in served if isinstance(each.call, rpc.SetParameterValues)]
        refused = any(isinstance(each.answer, rpc.Fault) for each in sets)
        has = all(self._has_set(served, each) for each in (self.paths.segw, self.paths.hms_url))
        return has and not refused and bool(self.serving_segw)

    def _has_set(self, served: Sequence[Served], path: str) -> bool:
        """Whether the ACS has set that parameter in a session."""
        return any(
            isinstance(each.call, rpc.SetParameterValues)
            and not isinstance(each.answer, rpc.Fault)
            and any(value.name == path for value in each.call.parameters)
            for each in served
        )

    def _note_discovered(self) -> None:
        self.is_discovered = True
        self.registration.reset()
        self.hnb_gw_of_discovery = self.hnb_gw
        self.host.tell(
            "DISCOVERED", segw=self.serving_segw, hms_url=self.hms_url, hnb_gw=self.hnb_gw
        )

    def _discovered(self, report: SessionReport) -> None:
        self._note_discovered()
        if self.hms_url == report.url:
            self.cpe.happened(REGISTRATION_EVENT)
        lease = self.lan.lease
        if self.registers_by_tunnel and lease is not None:
            self.cpe.hold()
            self.go_on(self.registration.begin(lease))
        else:
            self.registration.tell_start()

    def _registration_contacted(self, report: SessionReport) -> str | None:
        is_first = any(isinstance(each.call, rpc.SetParameterValues) for each in report.served)
        if report.failure is None and self.is_shared and is_first and not self.hnb_gw:
            self.cpe.happened(REGISTRATION_EVENT)  # HMS (serving) is to set it in a session of its
            return None
        return self.registration.contacted(report)

    def discover_again(self, cause: str) -> None:
        """The serving side is dead: forget it, and begin with the factory data again."""
        self.host.tell("DISCOVERY_AGAIN", cause=cause)
        self.is_discovered = False
        self.registration.reset()
        self._forget_serving()
        self.cpe.hold()
        self.go_on(self._discover_anew())

    async def _discover_anew(self) -> None:
        await self.secure.close_all()
        if self.lan.lease is not None:
            await self.first_contact(self.lan.lease)

    def _failed(self, step: str, cause: str) -> None:
        """AMB-3G-10: stop at the failing step, and begin anew after the back-off.

        Half a serving set is none: the next session is with HMS (initial) again.
        """
        self.host.tell("FAILED", step=step, cause=cause)
        self._forget_serving()

    def _forget_serving(self) -> None:
        others = (*self.paths.segws, *self.paths.hnb_gws)
        self.is_shared = False
        self.tree.assign(self.paths.hms_url, self.factory.hms_url or "")
        for path in (*others, f"{self.paths.root}ManagementServer.ParameterKey"):
            self.tree.assign(path, "")
        self.cpe.start_over()
