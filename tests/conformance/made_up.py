"""Traces that nobody captured: an HNB behind a gateway says what a test wants it to say."""

from __future__ import annotations

from random import Random
from typing import Any

from testbed.protocols import dhcp, dns
from testbed.protocols.dhcp.options import addresses, seconds, subnet_mask
from testbed.protocols.wire import BROADCAST
from testbed.trace.record import Frame
from testbed.trace.trace import Trace
from tests.trace.trace_frames import MAC, NODES, START_NS, STATIC, ethernet, ipv4, udp

HNB = "02:00:00:00:00:00"
ANOTHER = "02:00:00:00:09:00"
LEASED, ROUTER, DNS_SERVER = "192.168.1.100", "192.168.1.1", "203.0.113.53"
SEGW = "segw.operator.example"


class MadeUp:
    """A trace that grows by whole messages, a millisecond each."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.trace.set_nodes(NODES, STATIC)
        self.trace.set_roles({"hnb": "hnb", "gateway": "gateway", "outer_dns": "dns_server"})
        self.now_ns = START_NS

    def put(self, node: str, link: str, to: str | None, ends: Any, payload: bytes) -> int:
        """One datagram; gives its record's number."""
        self.now_ns += 1_000_000
        mac = MAC[node, link]
        target = MAC[to, link] if to else "ff:ff:ff:ff:ff:ff"
        source, destination = ends
        packet = ipv4(source[0], destination[0], 17, udp(source, destination, payload))
        frame = Frame(self.now_ns, link, node, NODES[mac][1], ethernet(mac, target, packet))
        return self.trace.add_frame(frame)[0].number

    def ack(
        self,
        hardware_address: str = HNB,
        to: str | None = "hnb",
        routers: tuple[str, ...] = (ROUTER,),
        dns_servers: tuple[str, ...] = (DNS_SERVER,),
        leased: str = LEASED,
    ) -> int:
        """A DHCP ACK of the gateway; that to an INFORM leases 0.0.0.0."""
        options = [seconds(dhcp.Code.LEASE_TIME, 600), subnet_mask(24)]
        options += [addresses(dhcp.Code.ROUTER, *routers)] if routers else []
        options += [addresses(dhcp.Code.DNS_SERVER, *dns_servers)] if dns_servers else []
        message = dhcp.Ack.build(
            hardware_address=hardware_address, xid=7, options=options, yiaddr=leased
        )
        ends = ((ROUTER, 67), (LEASED if to else BROADCAST, 68))
        return self.put("gateway", "home", to, ends, message.encode())

    def query(self, source: str = LEASED, server: str = DNS_SERVER, name: str = SEGW) -> int:
        """A DNS query of the HNB."""
        message = dns.query(name, "A", Random(1).randrange(65536))
        return self.put("hnb", "home", "gateway", ((source, 50000), (server, 53)), message.encode())
