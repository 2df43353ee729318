"""One file per box of the ladder; roles drive machines and know no engine."""

from __future__ import annotations

import importlib

from testbed.errors import unknown
from testbed.host import Host
from testbed.roles.role import Role
from testbed.topology import Node

ROLES = {
    "hnb": "testbed.roles.hnb:Hnb",
    "device": "testbed.roles.managed_device:ManagedDevice",
    "dm_device": "testbed.roles.dm_device:DmDevice",
    "gateway": "testbed.roles.gateway:Gateway",
    "segw": "testbed.roles.segw:Segw",
    "hnb_gw": "testbed.roles.hnb_gw:HnbGw",
    "hms": "testbed.roles.hms:Hms",
    "dns_server": "testbed.roles.dns_server:DnsServer",
    "carrier": "testbed.roles.carrier:Carrier",
    "bootstrap_server": "testbed.roles.bootstrap_server:BootstrapServer",
    "dm_server": "testbed.roles.dm_server:DmServer",
    "stun_server": "testbed.roles.stun_server:StunServer",
    "stun_tester": "testbed.roles.stun_tester:StunTester",
    "bystander": "testbed.roles.bystander:Bystander",
}

OTHERWISE = {
    ("gateway", "hms_url"): "testbed.roles.managed_gateway:ManagedGateway",
    ("hms", "serves_stun"): "testbed.roles.acs_with_stun:AcsWithStun",
}
"""What plays a node of a role where its settings have this one: an ACS that manages the gateway, or
a STUN server that the ACS itself is."""


def make_role(node: Node, host: Host) -> Role:
    """The role object that plays a node.

    Raises:
        BadInput: the topology names a role that nobody has written.
    """
    if node.role not in ROLES:
        raise unknown("role", node.role, ROLES)
    found = ROLES[node.role]
    for (role, setting), other in OTHERWISE.items():
        if node.role == role and node.settings.get(setting):
            found = other
    module, _, name = found.partition(":")
    made: Role = getattr(importlib.import_module(module), name)(host, node)
    return made
