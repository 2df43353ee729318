"""The HNB-GW, as far as a first contact goes: it answers an SCTP INIT (Iuh, TS 25.468, TS 25.469).

By a raw port, so that a kernel without SCTP does.  What follows in an association, HNBAP's HNB
REGISTER REQUEST first, is registration itself and out of scope (AMB-3G-11).
"""

from __future__ import annotations

import asyncio

from testbed.errors import DecodeError
from testbed.host import Host, Port
from testbed.protocols import sctp
from testbed.protocols.wire import Endpoint
from testbed.roles.role import Role
from testbed.topology import Node


class HnbGw(Role):
    """Answers on all its addresses.

    Settings of the node: `port` (29169), `is_silent` (it answers nothing).
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.port: int = node.settings.get("port", sctp.IUH_PORT)
        self.is_silent: bool = node.settings.get("is_silent", False)
        self._port: Port | None = None

    async def start(self) -> None:
        """Power is on: answer."""
        self._port = self.keep(await self.host.raw(sctp.PROTOCOL, self._received))

    def _received(self, data: bytes, source: Endpoint) -> None:
        try:
            packet = sctp.decode(data)
        except DecodeError as error:
            self.host.tell("MALFORMED", protocol="SCTP", source=str(source), error=str(error))
            return
        if not isinstance(packet, sctp.Init) or packet.destination_port != self.port:
            return
        # RFC 9260, 6.8 and 8.5.1: a wrong checksum is dropped, an INIT's verification tag is 0.
        if not packet.is_intact or packet.verification_tag != 0 or packet.opening is None:
            self.host.tell("MALFORMED", protocol="SCTP", source=str(source), error="an odd INIT")
            return
        self.host.tell("CONTACTED", source=source.address, port=packet.destination_port)
        if self.is_silent:
            return
        randomness = self.host.random
        answer = sctp.init_ack(
            packet,
            randomness.getrandbits(32) or 1,
            randomness.getrandbits(32),
            randomness.randbytes(16),
        )
        assert self._port is not None
        self._port.send(answer.encode(), source)


async def knock(
    host: Host, address: str, port: int, tries: int, wait_s: float
) -> sctp.Packet | None:
    """Turn to an HNB-GW: send INIT, and again (RFC 9260, 5.1.1), until something answers it.

    Args:
        host: who turns to it: the inside of a tunnel.
        address: the HNB-GW's.
        port: SCTP's.
        tries: how often INIT is sent at most.
        wait_s: for the answer to each; RFC 9260's T1-init is 1 s at first.

    Returns:
        INIT ACK, or ABORT; None: nothing came.
    """
    tag = host.random.getrandbits(32) or 1
    source_port = host.random.randrange(49152, 0x10000)
    begin = sctp.init(source_port, port, tag, host.random.getrandbits(32))
    answered: asyncio.Future[sctp.Packet] = asyncio.get_running_loop().create_future()

    def received(data: bytes, source: Endpoint) -> None:
        try:
            packet = sctp.decode(data)
        except DecodeError:
            return
        # RFC 9260, 8.5: an answer carries the tag that INIT has asked for.
        ours = packet.verification_tag == tag and packet.destination_port == source_port
        wanted = isinstance(packet, sctp.InitAck | sctp.Abort) and packet.is_intact
        if ours and wanted and source.address == address and not answered.done():
            answered.set_result(packet)

    opened = await host.raw(sctp.PROTOCOL, received)
    try:
        for _ in range(tries):
            opened.send(begin.encode(), Endpoint(address, 0))
            try:
                async with asyncio.timeout(wait_s):
                    return await asyncio.shield(answered)
            except TimeoutError:
                continue
        return None
    finally:
        opened.close()
