"""Whoever tries a STUN server: two ports on the Internet, and any request that a scenario wants."""

from __future__ import annotations

from testbed.errors import BadInput
from testbed.host import Host, Port
from testbed.protocols import stun
from testbed.protocols.wire import Endpoint
from testbed.roles.role import Role
from testbed.topology import Node

PORT, OTHER_PORT = 40000, 40001


class StunTester(Role):
    """Sends what it is told to; whatever comes back is on the wire, where checks read it.

    Attributes:
        endpoint: whence it sends.
        other: its other port, for answers that it wants there.
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        assert node.address is not None, f"{node.name} needs a fixed address"
        self.endpoint = Endpoint(node.address, PORT)
        self.other = Endpoint(node.address, OTHER_PORT)
        self._ports: dict[Endpoint, Port] = {}

    async def start(self) -> None:
        """Bind both ports.

        Raises:
            OSError: one is taken.
        """
        for local in (self.endpoint, self.other):
            self._ports[local] = self.keep(await self.host.datagrams(local, self._came))

    def _came(self, data: bytes, source: Endpoint) -> None:
        """Nothing is made of it here."""

    def new_id(self) -> bytes:
        """A transaction ID of its own."""
        return self.host.random.randbytes(16)

    def knows(self, username: str, password: str) -> None:
        """Tell the trace by what secret it signs under a name: one that the server was given."""
        self.host.tell("STUN_CREDENTIALS", username=username, password=password)

    def send(self, message: stun.Message, to: Endpoint) -> None:
        """Send a message from its first port.

        Raises:
            BadInput: it has no power.
        """
        if self.endpoint not in self._ports:
            raise BadInput(f"{self.name} has no power: it can send nothing")
        self._ports[self.endpoint].send(message.encode(), to)
