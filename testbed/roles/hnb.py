"""The Home NodeB, from power-up to its registration's first contact (TS 32.583, 5.1).

It knows its factory data and nothing else; which of the two discoveries it runs follows from them.
On the public Internet (5.1.2): the name of its HMS (initial), TLS, an Inform with its place, and
the serving set by SetParameterValues.  What it got survives power cuts; a factory reset forgets it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from testbed.datamodel.definitions import DEVICE, device_summary, hnb_model
from testbed.datamodel.femto import FemtoPaths
from testbed.datamodel.tree import Tree
from testbed.host import Host
from testbed.protocols import dhcp
from testbed.protocols.cwmp import rpc
from testbed.roles.cpe_policy import SessionReport, Stage
from testbed.roles.managed_box import OUI, Label
from testbed.roles.managed_device import ManagedDevice
from testbed.topology import Node

REGISTRATION_EVENT = f"X {OUI} REGISTRATION"
"""What brings an HNB to a serving HMS whose URL is the initial one's: no event of TR-069 does."""

STEPS = {
    Stage.RESOLVE: "2",
    Stage.CONNECT: "3",
    Stage.SECURE: "3",
    Stage.INFORM: "5",
    Stage.SERVE: "6",
    Stage.OVER: "8",
}
"""At which step of 5.1.2 a session failed: the first one that did not come about."""


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
    `root` ("Device." or "InternetGatewayDevice.").

    Attributes:
        factory: what it left the factory with.
        place: where it stands; may be changed before power is given.
        paths: where its tree has what discovery needs.
        is_discovered: whether it holds a serving set.
    """

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

    # What it holds.

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

    def factory_reset(self) -> None:
        """Forget the serving set too; discovery begins again."""
        self.is_discovered = False
        super().factory_reset()

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """What discovery begins with: the name of the SeGW, or the HMS itself."""
        if not self.is_public:
            await self.ask_first_name(lease.dns_servers)
            return
        if self.is_discovered:
            self._tell_registration()
        await super().first_contact(lease)

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
        )

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

    def inform_names(self) -> Iterable[str]:
        """Every Inform tells where the HNB is."""
        return self.paths.location_names(self.tree)

    def session_ended(self, report: SessionReport) -> str | None:
        """Discovery goes on where a session brought it, or fails at the step that did not come."""
        if self.is_discovered:
            return self._registration_contacted(report)
        if report.failure is not None:
            step, cause = STEPS[report.failure.stage], str(report.failure)
            if report.failure.stage is Stage.SERVE and self._has_set(report, self.paths.segw):
                step = "8"
        elif report.refused_sets:
            refused = report.refused_sets[0]
            step, cause = "7", f"{refused.call.method} refused: {refused.answer.summary()}"
        elif not (self._has_set(report, self.paths.segw) and self.serving_segw):
            step, cause = "6", "HMS (initial) has set no serving SeGW"
        elif not self._has_set(report, self.paths.hms_url):
            step, cause = "6", "HMS (initial) has set no serving HMS"
        else:
            self._discovered(report)
            return None
        self._failed(step, cause)
        return cause

    def _has_set(self, report: SessionReport, path: str) -> bool:
        """Whether the ACS has set that parameter in this session."""
        return any(
            isinstance(each.call, rpc.SetParameterValues)
            and not isinstance(each.answer, rpc.Fault)
            and any(value.name == path for value in each.call.parameters)
            for each in report.served
        )

    def _discovered(self, report: SessionReport) -> None:
        self.is_discovered = True
        self.host.tell(
            "DISCOVERED", segw=self.serving_segw, hms_url=self.hms_url, hnb_gw=self.hnb_gw
        )
        self._tell_registration()
        if self.hms_url == report.url:
            self.cpe.happened(REGISTRATION_EVENT)

    def _failed(self, step: str, cause: str) -> None:
        """AMB-3G-10: stop at the failing step, and begin anew after the back-off.

        Half a serving set is none: the next session is with HMS (initial) again.
        """
        self.host.tell("FAILED", step=step, cause=cause)
        for path, text in (
            (self.paths.hms_url, self.factory.hms_url or ""),
            (self.paths.segw, ""),
            (self.paths.hnb_gw, ""),
            (f"{self.paths.root}ManagementServer.ParameterKey", ""),
        ):
            self.tree.assign(path, text)
        self.cpe.start_over()

    # Registration, of which only the first contact is here.

    def _tell_registration(self) -> None:
        self.host.tell(
            "REGISTRATION_START", segw=self.serving_segw, hms_url=self.hms_url, hnb_gw=self.hnb_gw
        )

    def _registration_contacted(self, report: SessionReport) -> str | None:
        if report.failure is not None:
            self.host.tell("FAILED", step="9", cause=str(report.failure))
            return str(report.failure)
        if not self.hnb_gw:
            cause = "neither HMS (initial) nor HMS (serving) has set an HNB-GW"
            self.host.tell("FAILED", step="9", cause=cause)
            self.cpe.start_over()
            return cause
        self.host.tell("SERVED", hms_url=report.url, hnb_gw=self.hnb_gw)
        return None
