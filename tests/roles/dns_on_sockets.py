"""Our name server and proxy on real sockets, asked by dig.  Runs in a network namespace of its own.

Prints, as JSON, what dig said to each list of arguments that it gets on its command line.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Coroutine
from random import Random
from typing import Any, cast

from testbed.host import DatagramHandler, Host, StreamHandler, TlsProfile
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_proxy import DnsProxy
from testbed.roles.dns_server import DnsServer
from testbed.topology import Attachment, By, Node


class SocketPort(asyncio.DatagramProtocol):
    def __init__(self, handler: DatagramHandler) -> None:
        self.handler = handler

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.local = Endpoint(*transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.handler(data, Endpoint(addr[0], addr[1]))

    def send(self, data: bytes, destination: Endpoint, hardware_address: str | None = None) -> None:
        self.transport.sendto(data, (destination.address, destination.port))

    def close(self) -> None:
        self.transport.close()


class SocketStream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.local = Endpoint(*writer.get_extra_info("sockname")[:2])
        self.remote = Endpoint(*writer.get_extra_info("peername")[:2])

    async def receive(self, most_octets: int = 65536) -> bytes:
        return await self._reader.read(most_octets)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


class SocketHost:
    """As much of a host as DNS roles need."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.random = Random(name)
        self.names: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def tell(self, event: str, **fields: Any) -> None:
        sys.stderr.write(f"{self.name}: {event} {fields}\n")

    async def datagrams(self, local: Endpoint, handler: DatagramHandler) -> SocketPort:
        _, port = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: SocketPort(handler), local_addr=(local.address, local.port)
        )
        return port

    async def connect(self, remote: Endpoint, tls: TlsProfile | None = None) -> SocketStream:
        return SocketStream(*await asyncio.open_connection(remote.address, remote.port))

    async def listen(self, local: Endpoint, handler: StreamHandler) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await handler(SocketStream(reader, writer))

        return await asyncio.start_server(serve, local.address, local.port)


def node(name: str, address: str) -> Node:
    return Node(name, name, (Attachment("lo", By.STATIC, address, 8),))


async def main(zone_file: str, asked: list[list[str]]) -> None:
    with open(zone_file) as text:  # noqa: ASYNC230  # before anything runs
        zone = dns.Zone.from_text(text.read())
    for number in range(100):
        zone.add("big.operator.example", "A", f"10.0.0.{number}")
    for how in dns.MISBEHAVIOURS:
        zone.misbehave(f"{how}.operator.example", how)
    server = DnsServer(cast(Host, SocketHost("outer_dns")), node("outer_dns", "127.0.0.53"), [zone])
    gateway = cast(Host, SocketHost("gateway"))
    proxy = DnsProxy(gateway, node("gateway", "127.0.0.1"), "127.0.0.1", ["127.0.0.53"])
    await server.start()
    await proxy.start()
    told = []
    for arguments in asked:
        process = await asyncio.create_subprocess_exec(
            "dig", "+tries=1", "+time=20", *arguments, stdout=asyncio.subprocess.PIPE
        )
        octets, _ = await process.communicate()
        told.append(octets.decode())
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
