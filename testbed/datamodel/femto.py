"""Where an HNB's discovery data is in its tree, for either root and either issue of TR-196.

An HNB reports where it is; an HMS reads that from the parameters of an Inform, whatever their root,
and writes back the addresses that serve the place (TS 32.583, 5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from testbed.datamodel.definitions import DEVICE, GATEWAY, PLACES
from testbed.datamodel.tree import Tree
from testbed.datamodel.values import Value

_ISSUE_2 = re.compile(
    r"\.FAPControl\.UMTS\.(OpState|AdminState|RFTxStatus)$|^\w+\.FAP\.|\.REM\.UMTS\."
)
_SERVICE = re.compile(r"\.Services\.FAPService\.(\d{1,6})\.")
_CELL = re.compile(r"\.REM\.(?:WCDMAFDD|UMTS\.WCDMA)\.Cell\.(\d{1,6})\.BCCH\.(PLMNID|LAC|CellID)$")
_ADDRESS = re.compile(r"\.(ExternalIPAddress|LAN\.IPAddress)$")


@dataclass(frozen=True, slots=True)
class Cell:
    """A neighbour cell that an HNB has heard; what it did not read is None."""

    plmn: str | None = None
    lac: int | None = None
    cell_id: int | None = None


@dataclass(frozen=True, slots=True)
class ReportedLocation:
    """What an HNB says of its place.

    Attributes:
        latitude: degrees, north positive; None: not reported.
        longitude: degrees, east positive.
        cells: neighbours, in the order of their instances.
        addresses: of its broadband line, or of its LAN interface.
    """

    latitude: float | None = None
    longitude: float | None = None
    cells: tuple[Cell, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FemtoPaths:
    """Full names of the parameters that matter, in one HNB's tree.

    Attributes:
        root: "Device." or "InternetGatewayDevice.".
        issue: of TR-196: 1 or 2.
        instance: of the FAPService.
    """

    root: str = DEVICE
    issue: int = 1
    instance: int = 1

    @classmethod
    def of_names(cls, names: Iterable[str]) -> FemtoPaths:
        """The layout that an HNB uses, by the names in its Inform; unclear ones mean issue 1."""
        known = tuple(names)
        root = GATEWAY if any(name.startswith(GATEWAY) for name in known) else DEVICE
        issue = 2 if any(_ISSUE_2.search(name) for name in known) else 1
        service = next(filter(None, (_SERVICE.search(name) for name in known)), None)
        return cls(root, issue, int(service.group(1)) if service else 1)

    def _place(self, name: str) -> str:
        return self.root + PLACES[self.issue][name].replace("{i}", str(self.instance))

    @property
    def hms_url(self) -> str:
        """The serving HMS."""
        return f"{self.root}ManagementServer.URL"

    @property
    def _gateway(self) -> str:
        return f"{self.root}Services.FAPService.{self.instance}.FAPControl.UMTS.Gateway."

    @property
    def segw(self) -> str:
        """The first serving security gateway."""
        return f"{self._gateway}SecGWServer1"

    @property
    def segws(self) -> tuple[str, ...]:
        """The serving security gateways, in the order in which they are tried."""
        return tuple(f"{self._gateway}SecGWServer{number}" for number in (1, 2, 3))

    @property
    def hnb_gws(self) -> tuple[str, ...]:
        """The HNB-GWs, in the order in which they are tried."""
        return tuple(f"{self._gateway}FAPGWServer{number}" for number in (1, 2, 3))

    @property
    def hnb_gw(self) -> str:
        """The first HNB-GW."""
        return f"{self._gateway}FAPGWServer1"

    @property
    def hnb_gw_port(self) -> str:
        """The HNB-GW's SCTP port."""
        return f"{self._gateway}FAPGWPort"

    @property
    def op_state(self) -> str:
        """Whether the HNB serves."""
        return f"{self._place('control')}OpState"

    @property
    def admin_state(self) -> str:
        """Whether the HNB may serve."""
        return f"{self._place('control')}AdminState"

    @property
    def latitude(self) -> str:
        """Millionths of a degree, north positive."""
        return f"{self._place('gps')}LockedLatitude"

    @property
    def longitude(self) -> str:
        """Millionths of a degree, east positive."""
        return f"{self._place('gps')}LockedLongitude"

    @property
    def gps_status(self) -> str:
        """ "Success" once the position is known."""
        return f"{self._place('gps')}ScanStatus"

    @property
    def cells(self) -> str:
        """The table of neighbour cells."""
        return f"{self._place('rem')}Cell."

    @property
    def cells_status(self) -> str:
        """ "Success" once the neighbours are known."""
        return f"{self._place('rem')}ScanStatus"

    def location_names(self, tree: Tree) -> tuple[str, ...]:
        """What the discovery Inform carries of an HNB's location beside the forced parameters.

        A position or a list of cells is there only once its scan has succeeded.
        """
        names: list[str] = []
        if tree.value(self.gps_status) == "Success":
            names += [self.latitude, self.longitude]
        for number in tree.rows(self.cells):
            names += [f"{self.cells}{number}.BCCH.{leaf}" for leaf in ("PLMNID", "LAC", "CellID")]
        return tuple(names)

    def serving_set(self, segw: str, hms_url: str, hnb_gw: str | None = None) -> tuple[Value, ...]:
        """What an HMS sets once it knows the place: serving SeGW and HMS, optionally the HNB-GW."""
        values = [Value(self.segw, segw, "string"), Value(self.hms_url, hms_url, "string")]
        if hnb_gw is not None:
            values.append(Value(self.hnb_gw, hnb_gw, "string"))
        return tuple(values)


def reported_location(parameters: Mapping[str, str]) -> ReportedLocation:
    """Read the place from an Inform's parameters, by name; what is no number counts as missing."""
    degrees: dict[str, float] = {}
    cells: dict[int, dict[str, str]] = {}
    addresses: list[str] = []
    for path, text in parameters.items():
        cell = _CELL.search(path)
        if path.endswith((".GPS.LockedLatitude", ".GPS.LockedLongitude")):
            value = _whole(text)
            if value is not None:
                degrees[path.rpartition(".")[2]] = value / 1_000_000
        elif cell:
            cells.setdefault(int(cell.group(1)), {})[cell.group(2)] = text
        elif _ADDRESS.search(path) and text:
            addresses.append(text)
    return ReportedLocation(
        degrees.get("LockedLatitude"),
        degrees.get("LockedLongitude"),
        tuple(
            Cell(each.get("PLMNID") or None, _whole(each.get("LAC")), _whole(each.get("CellID")))
            for _, each in sorted(cells.items())
        ),
        tuple(addresses),
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[+-]?[0-9]{1,12}", text) else None
