"""What DHCP clients of others have in common where TR-111 Part 1 is concerned."""

from __future__ import annotations

from testbed.protocols.association import Identity, device_option
from testbed.topology import Node

OUI = "00005E"
"""Of a device whose settings name none, as of our own."""
NO_CPE = {
    "identity": "it is a DHCP client and no CPE: it has no DeviceInfo",
    "tell_identity": "its option 125 is fixed when it starts",
    "set_dhcp": "its timers are fixed when it starts",
    "lan": "its state is its own; its events tell the lease",
    **dict.fromkeys(
        (
            *("TR111-1.2-S2", "TR111-1.2.2-D2", "TR111-1.2.2-D2a", "TR111-1.2.2-D2b"),
            *("TR111-1.2.2-D2c", "TR111-1.2.2-D2d", "TR111-1.2.2-D3", "TR111-1.2.2-D4"),
            *("TR111-1.2.2-D5", "TR111-1.2.2-D6", "TR111-1.2.2-D7"),
        ),
        "it is a DHCP client and no CPE: it has no GatewayInfo and tells no ACS",
    ),
}
"""Abilities and requirements that a DHCP client alone cannot have."""


def identity_option(node: Node) -> bytes | None:
    """Option 125 by hand: a managed node's Device Identity; None: nobody manages it."""
    settings = node.settings
    if not settings.get("hms_url"):
        return None
    serial = settings.get("serial_number") or node.name.upper()
    identity = Identity(settings.get("oui", OUI), serial, settings.get("product_class", "Device"))
    return device_option(identity).value
