"""The DNS proxy of a home gateway: queries from the inside go on, answers back (RFC 5625)."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.host import Host, Port
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_forwarder import Forwarder, ForwardLimits
from testbed.roles.dns_queries import read_query
from testbed.roles.dns_streams import DnsStreams, StreamLimits
from testbed.roles.role import Role
from testbed.topology import Node


class DnsProxy(Role):
    """Listens on the inside by UDP and TCP; what it relays it leaves as it is, but the identifier.

    Args:
        host: all it may ask of the world.
        node: the gateway.
        inside: the address to listen on.
        upstreams: addresses of the name servers to ask; set them again with `use`.
        forward_limits: what clients may use up.
        stream_limits: what TCP peers may use up.
    """

    def __init__(
        self,
        host: Host,
        node: Node,
        inside: str,
        upstreams: Sequence[str] = (),
        forward_limits: ForwardLimits | None = None,
        stream_limits: StreamLimits | None = None,
    ) -> None:
        super().__init__(host, node)
        self.inside = inside
        self.forwarder = Forwarder(host, (), forward_limits)
        self.use(upstreams)
        self._streams = DnsStreams(self._by_stream, stream_limits)
        self._port: Port | None = None

    def use(self, upstreams: Sequence[str]) -> None:
        """Ask these servers from now on (a lease brought them)."""
        self.forwarder.upstreams = tuple(Endpoint(each, dns.PORT) for each in upstreams)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: port 53 is taken, or the address is not this node's.
        """
        local = Endpoint(self.inside, dns.PORT)
        self._port = self.keep(await self.host.datagrams(local, self._by_datagram))
        self.keep(self._streams)
        self.keep(await self.host.listen(local, self._streams.serve))

    def stop(self) -> None:
        """Power off."""
        super().stop()
        self._port = None

    def _by_datagram(self, data: bytes, source: Endpoint) -> None:
        query = read_query(self.host, data, source)
        if isinstance(query, dns.Query):
            self.host.spawn(self._relay(query, source), f"{self.name} DNS proxy")
        elif query is not None:
            self._send(query.encode(), source)

    async def _relay(self, query: dns.Query, client: Endpoint) -> None:
        answer = await self.forwarder.by_datagram(query, client)
        if answer is not None:
            self._send(answer, client)

    def _send(self, data: bytes, destination: Endpoint) -> None:
        if self._port is not None:
            self._port.send(data, destination)

    async def _by_stream(self, data: bytes, source: Endpoint) -> list[bytes]:
        query = read_query(self.host, data, source)
        if isinstance(query, dns.Query):
            answer = await self.forwarder.by_stream(query)
            return [] if answer is None else [answer]
        return [] if query is None else [query.encode()]
