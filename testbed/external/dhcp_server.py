"""What DHCP servers of others have in common when they play a home gateway."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from testbed.external.program import ExternalProgram
from testbed.protocols.association import Identity
from testbed.topology import Nat, Node

INSIDE, OUTSIDE = "eth0", "eth1"
FIRST_NUMBER, LAST_NUMBER = 100, 199
"""Host numbers of the addresses that a gateway leases."""
OUI = "00005E"
"""Of a gateway whose settings name none, as of our own."""
_NO_TABLE = "it is no CPE: it keeps no ManageableDevice table and has no ACS"
NO_CPE = {
    "devices": _NO_TABLE,
    "set_dhcp": "its DHCP policy is fixed when it starts, and it does not misbehave",
    **dict.fromkeys(
        (
            *("TR111-1.2-S1", "TR111-1.2.1-G3", "TR111-1.2.1-G4", "TR111-1.2.1-G5"),
            *("TR111-1.2.1-G5a", "TR111-1.2.1-G5b", "TR111-1.2.1-G6", "TR111-1.2.1-G7"),
            *("TR111-1.2.1-G8", "TR111-1.2.3-A2", "TR111-1.2.3-A3", "TR111-1.2.3-A4"),
            *("TR111-1.2.6-T2-4", "TR111-1.2.6-T2-5", "TR111-1.2.6-T2-6", "TR111-1.2.6-T2-7"),
        ),
        _NO_TABLE,
    ),
}
"""Abilities and requirements that a DHCP server alone cannot have."""


class ForeignGateway(ExternalProgram):
    """A program that plays a home gateway; the translation to the outside stays ours."""

    def prepare(self) -> None:
        """Forward and translate."""
        self.host.translate(self.node.nat or Nat.NONE, [INSIDE], OUTSIDE, self.node.pool)


def home_of(node: Node) -> IPv4Network:
    """The subnet inside."""
    inside = node.attachments[0]
    return IPv4Interface(f"{inside.address}/{inside.prefix_length}").network


def leased_by(node: Node) -> tuple[str, str]:
    """The first and the last address that it leases."""
    home = home_of(node)
    return str(home[FIRST_NUMBER]), str(home[min(home.num_addresses - 2, LAST_NUMBER)])


def identity_of(node: Node) -> Identity | None:
    """A managed node's Gateway Identity (TR-111 Part 1, 1.2.5); None: nobody manages it."""
    settings = node.settings
    if not settings.get("hms_url"):
        return None
    serial_number = settings.get("serial_number") or node.name.upper()
    return Identity(settings.get("oui", OUI), serial_number, settings.get("product_class", ""))
