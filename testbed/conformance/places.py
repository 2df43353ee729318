"""Where an HNB says that it is, for checks: what counts as a place, and when two are the same."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from testbed.datamodel.femto import Cell, reported_location
from testbed.protocols.cwmp import rpc

# Documentation addresses are public in a testbed, so Python's own is_private would not do.
_NOT_PUBLIC = tuple(
    ip_network(each)
    for each in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        *("100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128", "::/128"),
    )
)


FAR_DEGREES = 0.5
"""From here on, some fifty kilometres, two places are expected to be served by others."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place as an Inform tells it; of two HNBs in one place these are equal.

    Attributes:
        position: latitude and longitude in degrees.
        cells: neighbour cells.
        lines: public addresses of the broadband line.
    """

    position: tuple[float, float] | None
    cells: tuple[Cell, ...]
    lines: tuple[str, ...]

    def is_far_from(self, other: Place) -> bool:
        """Whether somebody else is to serve there, as far as that can be told: by position, else by
        cells of other location areas.  A line's address tells no distance."""
        if self.position is not None and other.position is not None:
            pairs = zip(self.position, other.position, strict=True)
            return any(abs(one - another) >= FAR_DEGREES for one, another in pairs)
        areas, others = (
            {(cell.plmn, cell.lac) for cell in each.cells if cell.lac is not None}
            for each in (self, other)
        )
        return bool(areas and others) and not areas & others

    def __str__(self) -> str:
        if self.position is not None:
            return f"{self.position[0]:.6f}, {self.position[1]:.6f}"
        if self.cells:
            first = self.cells[0]
            return f"PLMN {first.plmn}, LAC {first.lac}, cell {first.cell_id}"
        return ", ".join(self.lines)


def place_in(inform: rpc.Inform) -> Place | None:
    """The place that an Inform tells; None: none (AMB-3G-05)."""
    told = reported_location({each.name: each.value.strip() for each in inform.parameters})
    position = None
    if told.latitude is not None and told.longitude is not None:
        position = (told.latitude, told.longitude)
    cells = tuple(each for each in told.cells if each != Cell())
    lines = tuple(each for each in told.addresses if is_public(each))
    if position is None and not cells and not lines:
        return None
    return Place(position, cells, lines)


def is_public(address: str) -> bool:
    """Whether an address can be reached from the public Internet."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return not any(parsed in network for network in _NOT_PUBLIC) and not parsed.is_multicast
