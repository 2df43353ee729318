"""An HNB whose IKE is crafted, for deviations that charon cannot be made to show.

It asks as an HNB does and takes the SeGW's answer; nothing goes through what may open.
"""

from __future__ import annotations

import asyncio

from testbed.host import Host, Port, Tunnel, TunnelRefused
from testbed.protocols.ike.crafted_initiator import NAT_PORT, PORT, Asking, CraftedInitiator
from testbed.protocols.wire import Endpoint
from testbed.roles.hnb import Hnb

TRIES, WAIT_S = 4, 0.5
"""How often a request is sent, and how long each time is waited for its answer."""


async def ask(host: Host, remote: str, initiator: CraftedInitiator) -> None:
    """Have an initiator ask the responder at `remote`, until it is done or nobody answers.

    Raises:
        TunnelRefused: nobody answers.
        OSError: a port is taken, or the node has no power.
    """
    address = host.address_of("eth0") or "0.0.0.0"
    wanted: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
    ports: dict[int, Port] = {}
    try:
        for number in (PORT, NAT_PORT):

            def receive(data: bytes, source: Endpoint, number: int = number) -> None:
                following = initiator.receive(data, number)
                if following is not None or initiator.is_done:
                    wanted.put_nowait(following)

            ports[number] = await host.datagrams(Endpoint(address, number), receive)
        request: tuple[int, bytes] | None
        request = initiator.start(Endpoint(address, PORT), Endpoint(remote, PORT))
        while request is not None:
            request = await _exchange(ports, remote, request, wanted)
    finally:
        for port in ports.values():
            port.close()


async def _exchange(
    ports: dict[int, Port],
    remote: str,
    request: tuple[int, bytes],
    wanted: asyncio.Queue[tuple[int, bytes] | None],
) -> tuple[int, bytes] | None:
    number, data = request
    for _ in range(TRIES):
        ports[number].send(data, Endpoint(remote, number))
        try:
            async with asyncio.timeout(WAIT_S):
                return await wanted.get()
        except TimeoutError:
            continue
    raise TunnelRefused("no answer", f"{remote} answers none of {TRIES} requests to port {number}")


def craft(hnb: Hnb, asking: Asking) -> None:
    """Have an HNB ask its SeGWs as told, and be refused in the end, whatever they answer."""

    async def open_at(address: str, name: str) -> Tunnel:
        identity = hnb.node.settings["identity"]
        initiator = CraftedInitiator(identity, name, asking, hnb.host.random)
        await ask(hnb.host, address, initiator)
        told = ", ".join(initiator.errors) or "nothing that it could use"
        raise TunnelRefused("peer", f"{name} at {address} answers {told}")

    hnb.secure._open_at = open_at  # type: ignore[method-assign]  # that is the deviation
