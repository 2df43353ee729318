"""What is wired to what: links, nodes, attachments, NAT kinds; plain data, no behaviour.

Every engine reads the same data.  Knows no engine, no role and no socket.
"""

from testbed.topology.carriers import furnish
from testbed.topology.kinds import KINDS, find_nat
from testbed.topology.nat import (
    KNOBS,
    Dependence,
    Hairpinning,
    Nat,
    Pooling,
    Ports,
    Rebinding,
    Refresh,
    Udp,
)
from testbed.topology.quality import (
    QUALITIES,
    Links,
    Passage,
    Quality,
    link_settings,
    measure,
)
from testbed.topology.wiring import (
    LOOPBACK,
    LOOPBACK_ADDRESSES,
    Algorithms,
    Attachment,
    By,
    Certificate,
    Esp,
    Link,
    Node,
    Topology,
    TopologyFunction,
    hardware_address,
    hardware_addresses,
    interface_name,
    ladder_order,
    places,
    static_addresses,
)

__all__ = [
    "KINDS",
    "KNOBS",
    "LOOPBACK",
    "LOOPBACK_ADDRESSES",
    "QUALITIES",
    "Algorithms",
    "Attachment",
    "By",
    "Certificate",
    "Dependence",
    "Esp",
    "Hairpinning",
    "Link",
    "Links",
    "Nat",
    "Node",
    "Passage",
    "Pooling",
    "Ports",
    "Quality",
    "Rebinding",
    "Refresh",
    "Topology",
    "TopologyFunction",
    "Udp",
    "find_nat",
    "furnish",
    "hardware_address",
    "hardware_addresses",
    "interface_name",
    "ladder_order",
    "link_settings",
    "measure",
    "places",
    "static_addresses",
]
