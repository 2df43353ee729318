"""Areas: which place lies in which, by position, neighbours and line."""

from __future__ import annotations

import pytest

from testbed.datamodel.femto import Cell, ReportedLocation
from testbed.datamodel.location import Area, inside
from testbed.errors import BadInput

BAVARIA = ((47.3, 9.0), (47.3, 13.8), (50.5, 13.8), (50.5, 9.0))
HOOK = ((0.0, 0.0), (0.0, 4.0), (4.0, 4.0), (4.0, 3.0), (1.0, 3.0), (1.0, 0.0))
FIJI = ((-20.0, 177.0), (-20.0, -178.0), (-15.0, -178.0), (-15.0, 177.0))
MUNICH = ReportedLocation(48.137, 11.576)
HEARD = ReportedLocation(cells=(Cell("26201", 7, 5), Cell("26202", 8, 6)))


@pytest.mark.parametrize(
    ("polygon", "point", "expected"),
    [
        (BAVARIA, (48.137, 11.576), True),
        (BAVARIA, (52.5, 13.4), False),
        (BAVARIA, (48.137, -168.4), False),
        (HOOK, (0.5, 2.0), True),
        (HOOK, (2.0, 2.0), False),
        (HOOK, (2.0, 3.5), True),
        (FIJI, (-17.0, 178.5), True),
        (FIJI, (-17.0, -179.0), True),
        (FIJI, (-17.0, 170.0), False),
    ],
)
def test_points_and_polygons(
    polygon: tuple[tuple[float, float], ...], point: tuple[float, float], expected: bool
) -> None:
    assert inside(polygon, point) == expected
    assert inside(polygon[::-1], point) == expected


@pytest.mark.parametrize(
    ("area", "place", "expected"),
    [
        (Area(), ReportedLocation(), True),
        (Area(BAVARIA), MUNICH, True),
        (Area(BAVARIA), ReportedLocation(52.5, 13.4), False),
        (Area(BAVARIA), ReportedLocation(), False),
        (Area(BAVARIA), ReportedLocation(latitude=48.0), False),
        (Area(plmn="26201"), HEARD, True),
        (Area(plmn="26203"), HEARD, False),
        (Area(plmn="26201", lac=7, cell_id=5), HEARD, True),
        (Area(plmn="26201", lac=8), HEARD, False),
        (Area(cell_id=6), HEARD, True),
        (Area(BAVARIA, plmn="26201"), MUNICH, False),
    ],
)
def test_everything_that_is_stated_must_be_so(
    area: Area, place: ReportedLocation, expected: bool
) -> None:
    assert area.holds(place) == expected


@pytest.mark.parametrize(
    ("place", "line", "expected"),
    [
        (ReportedLocation(addresses=("198.51.100.7",)), None, True),
        (ReportedLocation(addresses=("192.168.1.100",)), "198.51.100.9", True),
        (ReportedLocation(addresses=("192.168.1.100",)), "203.0.113.9", False),
        (ReportedLocation(addresses=("nowhere",)), "2001:db8::1", False),
        (ReportedLocation(), None, False),
    ],
)
def test_the_line_is_known_by_report_or_by_sight(
    place: ReportedLocation, line: str | None, expected: bool
) -> None:
    assert Area(prefixes=("198.51.100.0/24",)).holds(place, line) == expected


def test_an_area_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="has 2 corners"):
        Area(BAVARIA[:2])
    with pytest.raises(BadInput, match=r"'198\.51\.100\.0/33' is no address prefix"):
        Area(prefixes=("198.51.100.0/33",))
