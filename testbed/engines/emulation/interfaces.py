"""What is done with one interface when its address or its power changes: announced, awaited."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.packets import ETHERTYPE_ARP, arp_announcement
from testbed.engines.emulation.ports import close_aside

_READY_TRIES = 1000
_ETHERNET_BROADCAST = bytes([255] * 6)


def announce(namespace: Namespace, netlink: Netlink, interface: str, address: str) -> None:
    """Tell the link by ARP who has the address now: others may hold another's hardware address for
    it (RFC 5227)."""
    hardware_address = netlink.link(interface).hardware_address
    packet = arp_announcement(hardware_address, address)
    to = (interface, ETHERTYPE_ARP, 0, 0, _ETHERNET_BROADCAST)
    announcing = namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with suppress(OSError):  # the interface may be down: nobody to tell
        announcing.sendto(packet, to)
    close_aside(announcing)


def await_ready(netlink: Netlink, interface: str) -> None:
    """Return when frames pass, or when the interface has no carrier.

    The kernel opens an interface's queue a moment after its carrier; what is sent before is lost,
    and a role's first question would be repeated only seconds later.
    """
    for _ in range(_READY_TRIES):
        state = netlink.link(interface)
        if state.ready or not state.carrier:
            return
        os.sched_yield()
