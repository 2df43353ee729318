"""A gateway between an HNB and a name server, on fake hosts: the stage of the DNS roles' tests."""

from __future__ import annotations

from testbed.protocols import dns
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_proxy import DnsProxy
from testbed.roles.dns_server import DnsServer
from testbed.roles.dns_streams import StreamLimits
from testbed.topology import Link, Node
from tests.fake_host import FakeHost, FakeNetwork

SEGW = "segw.operator.example"
POLICY = dns.ResolverPolicy(timeout_s=2.0, attempts=2, stream_timeout_s=5.0)


class Scene:
    """Hosts `hnb`, `gateway`, `outer` and `stranger`; roles `server` and `proxy`."""

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self.network = FakeNetwork()
        home = Link("home", "192.168.1.0/24")
        internet = Link("internet", "203.0.113.0/24")
        self.hnb = self._host("hnb", home.at(10))
        self.gateway = self._host("gateway", home.at(1), internet.at(2))
        self.outer = self._host("outer_dns", internet.at(53))
        self.stranger = self._host("stranger", internet.at(66))
        self.zone = dns.Zone("operator.example")
        self.zone.add(SEGW, "A", "203.0.113.50")
        self.server = DnsServer(self.outer, self.outer.node, [self.zone], limits=limits)
        self.proxy = DnsProxy(
            self.gateway, self.gateway.node, "192.168.1.1", ["203.0.113.53"], stream_limits=limits
        )

    def _host(self, name: str, *attachments: object) -> FakeHost:
        return self.network.host(Node(name, name, attachments))  # type: ignore[arg-type]  # spelt short

    async def start(self) -> Scene:
        await self.server.start()
        await self.proxy.start()
        return self


class Asker:
    """A UDP port that keeps what comes back."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.received: list[tuple[bytes, Endpoint]] = []

    async def open(self) -> Asker:
        self.port = await self.host.datagrams(
            Endpoint("0.0.0.0", 0), lambda data, source: self.received.append((data, source))
        )
        return self

    def send(self, data: bytes, to: str = "203.0.113.53") -> None:
        self.port.send(data, Endpoint(to, dns.PORT))

    def answers(self) -> list[dns.Answer]:
        found = [dns.decode(data) for data, _ in self.received]
        assert all(isinstance(each, dns.Answer) for each in found)
        return found  # type: ignore[return-value]  # checked above
