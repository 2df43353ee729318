"""UDP Connection Requests from elsewhere than the STUN server's socket: what NATs let through.

What must get through is RFC 4787's word for the kind's filtering (clause 5); so every kind has its
own right answer, and a grid of these variants shows it.
"""

from __future__ import annotations

from scenarios.udp_connection_request import udp_connection_request
from scenarios.udp_request_steps import CONNECTION_REQUEST, asks_for, reachable, request_for
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage
from testbed.topology import Dependence, Nat

OTHER_PORT = 40_000
"""Which nobody behind a NAT has ever sent to."""


@udp_connection_request.variant("from_other_port")
async def from_other_port(at: Stage) -> None:
    """Sent from another port of the STUN server's address."""
    await sent_from(at, Endpoint(at.stun_server.node.address or "", OTHER_PORT))


@udp_connection_request.variant("from_other_address", two_addresses=True)
async def from_other_address(at: Stage) -> None:
    """Sent from the STUN server's second address, which the CPE has not spoken to."""
    await sent_from(at, Endpoint(at.stun_server.node.attachments[1].address, OTHER_PORT))


async def sent_from(at: Stage, sender: Endpoint) -> None:
    """The request comes from that endpoint, and gets through where the NAT's kind says so."""
    binding = await reachable(at)
    to, request = request_for(at, binding)
    cpe, acs, server = at.device, at.initial_hms, at.stun_server
    asked = Endpoint(server.node.address or "", stun.PORT)
    nats = [node.nat for node in at.topology.nodes.values() if node.nat is not None]
    passes = all(lets_in(nat, sender, asked) for nat in nats)
    port = await server.host.datagrams(sender, lambda data, source: None)
    server.host.tell("STAGED", source_port=sender.port)
    start = at.cursor = len(at.trace.records)
    if not passes:
        at.never(server, "->", cpe, UdpConnectionRequest)
    port.send(request.encode(), to)
    if passes:
        await at.sees(server, "->", cpe, UdpConnectionRequest)
        await at.tells(cpe, "UDP_REQUEST_TAKEN")
        await at.sees(cpe, "->", acs, rpc.Inform, events=asks_for(CONNECTION_REQUEST))
    else:
        # What was sent before has come by then, or never will.
        await at.sees(cpe, "->", server, stun.BindingRequest)
        await at.sees(cpe, "<-", server, stun.BindingResponse)
    port.close()
    arrows = [
        at.trace.arrow_of(record)
        for record in at.trace.records[start:]
        if isinstance(record.message, UdpConnectionRequest)
    ]
    came = any(each.origin == server.name and each.is_for(cpe.name) for each in arrows)
    server.host.tell("REMARK", text="gets through" if came else "does not get through")


def lets_in(nat: Nat, sender: Endpoint, asked: Endpoint) -> bool:
    """Whether that kind lets a packet of `sender` in to a binding that was made to ask `asked`."""
    if nat.filtering is Dependence.ADDRESS_AND_PORT:
        return sender == asked
    if nat.filtering is Dependence.ADDRESS:
        return sender.address == asked.address
    return True
