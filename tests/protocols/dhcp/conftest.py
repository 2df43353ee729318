"""A link in virtual time, with DHCP clients and servers on it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from testbed.protocols import dhcp
from testbed.protocols.wire import BROADCAST, Endpoint, Outgoing

POLICY = dhcp.ServerPolicy(
    address="192.168.1.1",
    prefix_length=24,
    pool=dhcp.address_range("192.168.1.100", "192.168.1.103"),
    lease_s=3600,
    routers=("192.168.1.1",),
    dns_servers=("192.168.1.1", "9.9.9.9"),
    domain_name="home.example",
)


class Lan:
    """Carries what its machines send, at once; time passes only in `run`.

    `lost` decides which messages vanish: it gets each one's number (from 0) and the message.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.clients: list[dhcp.DhcpClient] = []
        self.servers: list[dhcp.DhcpServer] = []
        self.lost: Callable[[int, dhcp.Message], bool] = lambda number, message: False
        self.log: list[tuple[float, dhcp.Message, Endpoint]] = []
        self.client_events: list[dhcp.ClientEvent] = []
        self.server_events: list[dhcp.ServerEvent] = []

    def client(self, number: int = 1, remembered: str | None = None, **policy: object):
        made = dhcp.DhcpClient(
            f"02:00:00:00:00:{number:02x}",
            Random(number),
            dhcp.ClientPolicy(**policy),
            remembered_address=remembered,
        )
        self.clients.append(made)
        return made

    def server(self, policy: dhcp.ServerPolicy = POLICY, **more):
        made = dhcp.DhcpServer(policy, **more)
        self.servers.append(made)
        return made

    @property
    def words(self) -> list[str]:
        """What went over the link: DISCOVER, OFFER, ..."""
        return [message.WORD for _, message, _ in self.log]

    def flush(self) -> None:
        """Carry everything that is ready, and what that causes."""
        while True:
            quiet = True
            for client in self.clients:
                for outgoing in client.to_send():
                    quiet = False
                    self._carry(outgoing, self._servers_at(outgoing), Endpoint("0.0.0.0", 68))
            for server in self.servers:
                source = Endpoint(server.policy.address, 67)
                for outgoing in server.to_send():
                    quiet = False
                    self._carry(outgoing, self._clients_at(outgoing), source)
            for client in self.clients:
                self.client_events += client.events()
            for server in self.servers:
                self.server_events += server.events()
            if quiet:
                return

    def _carry(self, outgoing: Outgoing[dhcp.Message], receivers, source: Endpoint) -> None:
        number = len(self.log)
        self.log.append((self.now, outgoing.message, outgoing.destination))
        if not self.lost(number, outgoing.message):
            for receiver in receivers:
                receiver.receive(outgoing.message.encode(), source, self.now)

    def _servers_at(self, outgoing: Outgoing[dhcp.Message]) -> list[dhcp.DhcpServer]:
        assert outgoing.destination.port == 67
        to = outgoing.destination.address
        return [server for server in self.servers if to in (BROADCAST, server.policy.address)]

    def _clients_at(self, outgoing: Outgoing[dhcp.Message]) -> list[dhcp.DhcpClient]:
        assert outgoing.destination.port == 68
        to, hardware = outgoing.destination.address, outgoing.hardware_address

        def reached(client: dhcp.DhcpClient) -> bool:
            if to == BROADCAST:
                return True
            if hardware is not None:
                return hardware == client.hardware_address
            held = client.lease.address if client.lease else outgoing.message.ciaddr
            return held == to

        return [client for client in self.clients if reached(client)]

    def run(self, seconds: float = 0) -> None:
        """Let time pass."""
        end = self.now + seconds
        self.flush()
        while True:
            machines = [*self.clients, *self.servers]
            deadlines = [each.deadline() for each in machines]
            due = min((d for d in deadlines if d is not None and d <= end), default=None)
            if due is None:
                break
            self.now = max(self.now, due)
            for each in machines:
                each.tick(self.now)
            self.flush()
        self.now = end


@pytest.fixture
def lan() -> Lan:
    return Lan()


@pytest.fixture
def policy() -> dhcp.ServerPolicy:
    return POLICY
