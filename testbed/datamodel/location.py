"""Areas of an operator, and whether an HNB that reports its place lies in one (TS 32.583, 5.1).

A place is known by GPS, by the neighbour cells that the HNB hears, or by its broadband line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from testbed.datamodel.femto import ReportedLocation
from testbed.errors import BadInput

Point = tuple[float, float]
"""Latitude and longitude in degrees, north and east positive."""


@dataclass(frozen=True, slots=True)
class Area:
    """What a place must fulfil to lie in it: everything that is stated; nothing stated is anywhere.

    Attributes:
        polygon: its corners in order; narrower than half the globe.
        plmn: "26201": one of the neighbour cells is of this network; `lac` and `cell_id`, where
            they are stated, are that same cell's.
        lac: location area code.
        cell_id: cell identity.
        prefixes: "198.51.100.0/24": one of the addresses lies in one of these.
    """

    polygon: tuple[Point, ...] = ()
    plmn: str | None = None
    lac: int | None = None
    cell_id: int | None = None
    prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if 0 < len(self.polygon) < 3:
            raise BadInput(
                f"area: its polygon has {len(self.polygon)} corners, at least 3 make one"
            )
        for prefix in self.prefixes:
            try:
                ip_network(prefix)
            except ValueError as error:
                raise BadInput(f"area: {prefix!r} is no address prefix: {error}") from error

    def holds(self, place: ReportedLocation, line_address: str | None = None) -> bool:
        """Whether a place lies in the area.

        Args:
            place: what the HNB reports.
            line_address: where its session comes from, as the HMS sees it.
        """
        if self.polygon and not (
            place.latitude is not None
            and place.longitude is not None
            and inside(self.polygon, (place.latitude, place.longitude))
        ):
            return False
        wanted = (self.plmn, self.lac, self.cell_id)
        if wanted != (None, None, None) and not any(
            all(asked in (None, heard) for asked, heard in zip(wanted, found, strict=True))
            for found in ((each.plmn, each.lac, each.cell_id) for each in place.cells)
        ):
            return False
        addresses = (*place.addresses, *((line_address,) if line_address else ()))
        return not self.prefixes or any(_within(each, self.prefixes) for each in addresses)


def inside(polygon: tuple[Point, ...], point: Point) -> bool:
    """Whether a point lies in a polygon, by the crossings of a ray to the east.

    Longitudes are taken relative to the first corner's, so that polygons may cross the 180th
    meridian.
    """

    def turned(longitude: float) -> float:
        return (longitude - polygon[0][1] + 540) % 360 - 180

    latitude, longitude = point[0], turned(point[1])
    corners = [(y, turned(x)) for y, x in polygon]
    crossings = 0
    for (y1, x1), (y2, x2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > latitude) != (y2 > latitude):
            crossings += x1 + (latitude - y1) * (x2 - x1) / (y2 - y1) > longitude
    return crossings % 2 == 1


def _within(address: str, prefixes: Iterable[str]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in ip_network(prefix) for prefix in prefixes)
