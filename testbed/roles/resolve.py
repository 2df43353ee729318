"""Resolves a name through a host: hosts file, then UDP, then TCP where an answer is truncated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from testbed.host import Drive, Host, Mend
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint

_FIRST_PORT = 49152  # RFC 6335 section 6: the dynamic ports
_PORT_TRIES = 16
_KIND_OF_VERSION = {4: "A", 6: "AAAA"}

T = TypeVar("T")


async def on_random_port(host: Host, bind: Callable[[Endpoint], Awaitable[T]]) -> T:
    """What `bind` gives for a local port that nobody can guess (RFC 5452 section 9.2).

    Args:
        host: whose randomness chooses.
        bind: binds that port of any address.

    Raises:
        OSError: none of 16 ports is free.
    """
    for _ in range(_PORT_TRIES - 1):
        try:
            return await bind(Endpoint("0.0.0.0", host.random.randrange(_FIRST_PORT, 0x10000)))
        except OSError:
            continue  # taken: the next one
    return await bind(Endpoint("0.0.0.0", host.random.randrange(_FIRST_PORT, 0x10000)))


async def ask_by_stream(host: Host, query: dns.Query, server: Endpoint, within_s: float) -> bytes:
    """Send a query by TCP and return the first message that comes back, undecoded.

    Args:
        host: for the stream.
        query: what to send.
        server: where to.
        within_s: seconds for it all, connection included.

    Raises:
        OSError: no connection, no time left, or closed before a whole message came.
    """
    async with asyncio.timeout(within_s):
        stream = await host.connect(server)
        try:
            await stream.send(dns.frame(query.encode()))
            frames = dns.Frames()
            while True:
                data = await stream.receive()
                if not data:
                    raise ConnectionError(
                        f"{server} closed with {frames.held_octets} octets of an answer sent"
                    )
                messages = frames.feed(data)
                if messages:
                    return messages[0]
        finally:
            stream.abort()


def _without_query(host: Host, name: str, kind: str) -> dns.Resolved | None:
    """What needs no server: an address, and a name of the hosts file."""
    try:
        address = str(ip_address(name))
    except ValueError:
        names = {key.lower().rstrip("."): value for key, value in host.names.items()}
        address = names.get(name.lower().rstrip("."), "")
        if not address or _KIND_OF_VERSION[ip_address(address).version] != kind:
            return None
    if kind not in _KIND_OF_VERSION.values():
        return None
    return dns.Resolved(name, kind, (address,), canonical_name=name)


async def resolve(
    host: Host,
    servers: Sequence[str],
    name: str,
    kind: str = "A",
    policy: dns.ResolverPolicy | None = None,
    mend: Mend[dns.Query] | None = None,
) -> dns.Resolution:
    """Resolve a name; an address and a name of the hosts file need no query.

    Malformed and foreign messages become events of the host (MALFORMED, UNEXPECTED).

    Args:
        host: who asks.
        servers: addresses of the name servers, in the order in which to ask.
        name: the name, with or without the last dot, or an address.
        kind: "A", "AAAA", "SRV", ...
        policy: how patient to be.
        mend: the faults at work on the queries by UDP.

    Returns:
        `Resolved`, or `Failed` with the cause.
    """
    kind = kind.upper()
    known = _without_query(host, name, kind)
    if known is not None:
        return known
    asking = _Asking(host, policy or dns.ResolverPolicy())
    return await asking.run([Endpoint(each, dns.PORT) for each in servers], name, kind, mend)


class _Asking:
    """One resolution on its way."""

    def __init__(self, host: Host, policy: dns.ResolverPolicy) -> None:
        self.host = host
        self.policy = policy
        self.done: asyncio.Future[dns.Resolution] = asyncio.get_running_loop().create_future()
        self.streams: list[asyncio.Task[None]] = []

    async def run(
        self, servers: list[Endpoint], name: str, kind: str, mend: Mend[dns.Query] | None
    ) -> dns.Resolution:
        host = self.host
        self.machine = dns.Resolver(name, kind, servers, host.random, host.now(), self.policy)
        try:
            self.drive = await on_random_port(
                host, lambda local: Drive.open(self.machine, host, local, self._happened, mend)
            )
        except OSError as error:
            return dns.Failed(name, kind, "NO_PORT", f"{name}: no local port: {error}")
        try:
            return await self.done
        finally:
            self.drive.close()
            for task in self.streams:
                task.cancel()

    def _happened(self, event: dns.ResolverEvent) -> None:
        match event:
            case dns.Resolved() | dns.Failed():
                if not self.done.done():
                    self.done.set_result(event)
            case dns.Truncated():
                work = self._by_stream(event)
                self.streams.append(self.host.spawn(work, f"{self.host.name} DNS by TCP"))
            case dns.Malformed():
                self.host.tell(
                    "MALFORMED", protocol="DNS", source=str(event.source), error=str(event.error)
                )
            case dns.Unexpected():
                self.host.tell("UNEXPECTED", source=str(event.source), reason=event.reason)

    async def _by_stream(self, event: dns.Truncated) -> None:
        """Ask the same again by TCP (RFC 7766 section 5)."""
        within_s = self.policy.stream_timeout_s
        try:
            data = await ask_by_stream(self.host, event.query, event.server, within_s)
        except OSError as error:
            self.machine.stream_failed(event.server, str(error), self.host.now())
        else:
            self.machine.receive_by_stream(data, event.server, self.host.now())
        self.drive.flush()
