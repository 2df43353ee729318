"""What is done with one interface when its address or its power changes: announced, awaited."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress

from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.packets import (
    ETHERTYPE_ARP,
    answers_arp,
    arp_announcement,
    arp_request,
)
from testbed.engines.emulation.ports import close_aside

_READY_WITHIN_S = 5.0
"""The kernel's own worker does it, in less than a millisecond where it gets a processor."""
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
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        state = netlink.link(interface)
        if state.ready or not state.carrier:
            return
        os.sched_yield()


class Neighbours:
    """What of a host has to do with who is near."""

    namespace: Namespace
    loop: asyncio.AbstractEventLoop
    _netlink: Netlink

    async def reaches(self, interface: str, address: str, within_s: float) -> bool:
        """Whether somebody on the interface's link answers an ARP request for that address.

        The kernel's own table is not asked: it believes for half a minute what it once learnt.
        """
        # RFC 5227: who has no address yet asks without one, and is answered.
        own = next((each for each, _ in self._netlink.addresses(interface)), "0.0.0.0")
        request = arp_request(self._netlink.link(interface).hardware_address, own, address)
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        asking = self.namespace.socket(socket.AF_PACKET, kind)
        try:
            asking.bind((interface, ETHERTYPE_ARP))
            asking.sendto(request, (interface, ETHERTYPE_ARP, 0, 0, _ETHERNET_BROADCAST))
            async with asyncio.timeout(within_s):
                while True:
                    if answers_arp(await self.loop.sock_recv(asking, 64), address):
                        return True
        except OSError:  # no answer in time (TimeoutError is one), or the interface is down
            return False
        finally:
            close_aside(asking)
