"""A SeGW whose IKE is crafted, for deviations that charon cannot be made to show.

It answers on the same ports and has the same certificate, pool and DNS servers; nothing goes
through its tunnels.
"""

from __future__ import annotations

from testbed.host import Port
from testbed.protocols.ike.crafted import NAT_PORT, PORT, Conduct, CraftedResponder
from testbed.protocols.wire import Endpoint
from testbed.roles.segw import Segw
from testbed.roles.shown import tell_certificate


class CraftedSegw:
    """Stands in for the tunnels of a SeGW.

    Args:
        segw: whose ports, policy and power it shares.
        conduct: how it deviates.

    Attributes:
        responder: what answers; None before the first start.
    """

    def __init__(self, segw: Segw, conduct: Conduct) -> None:
        self.responder: CraftedResponder | None = None
        self._segw = segw
        self._conduct = conduct

    async def start(self) -> None:
        """Power is on: answer on ports 500 and 4500."""
        segw = self._segw
        policy = segw.policy
        responder = CraftedResponder(
            policy.identity, self._conduct, segw.host.random, policy.pool, policy.dns_servers
        )
        self.responder = responder
        address = segw.host.address_of("eth0") or "0.0.0.0"
        ports: dict[int, Port] = {}
        for number in (PORT, NAT_PORT):
            local = Endpoint(address, number)

            def receive(data: bytes, source: Endpoint, local: Endpoint = local) -> None:
                responder.receive(data, source, local)
                for reply in responder.to_send():
                    ports[reply.local_port].send(reply.data, reply.destination)

            ports[number] = await segw.host.datagrams(local, receive)
        tell_certificate(segw.host, segw.node, policy.identity)


def craft(segw: Segw, conduct: Conduct) -> CraftedSegw:
    """Have a SeGW answer as the conduct says, from its next start on."""
    crafted = CraftedSegw(segw, conduct)
    segw.start = crafted.start  # type: ignore[method-assign]  # whoever starts it starts this
    return crafted
