"""Nodes on wires for tests: each test's body runs in a process and namespaces of its own."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import inspect
import os
import signal
import tempfile
import traceback
import warnings
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from testbed.engines.emulation.capture import Capture
from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.namespace import Namespace
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.tunnel_ends import TunnelGround
from testbed.engines.tls import Tap
from testbed.engines.tls_policy import TlsContexts
from testbed.host import Interface, Stream
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.wire import Endpoint
from testbed.topology import Esp
from testbed.trace.record import Frame

WITHIN_S = 120.0
"""A body that hangs fails after this time."""

HMS = Endpoint("10.0.0.2", 7547)
SERVER = Endpoint("203.0.113.50", 3478)
ANY = Endpoint("0.0.0.0", 0)

RST, SYN_ACK = 4, 18

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_DIE_WITH_PARENT = 1


Received = asyncio.Queue[tuple[bytes, Endpoint]]


class Wires:
    """Nodes, and the wires between them."""

    def __init__(self) -> None:
        self.hosts: dict[str, EmulatedHost] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.netlinks: dict[str, Netlink] = {}
        self.links: dict[tuple[str, str], str] = {}
        self.told: list[tuple[str, str, Mapping[str, Any]]] = []
        self.something_told = asyncio.Event()
        self.crashes: list[tuple[str, BaseException]] = []
        self.captures: list[Capture] = []
        self.esp = Esp.USER
        self.tapped: list[tuple[str, bool, bytes]] = []
        self.tunnel_keys: list[IkeKeys | EspKeys] = []
        self.keys = tempfile.TemporaryDirectory()
        self.others: list[Wires] = []
        self.contexts = TlsContexts(Path(self.keys.name, "tls.log"))

    def nodes(self, *names: str) -> None:
        for name in names:
            self.namespaces[name] = Namespace.create(name)
            self.netlinks[name] = Netlink(self.namespaces[name])
            self._quieten(name)

    def _quieten(self, name: str) -> None:
        """No IPv6: its neighbour discovery would be on every wire."""
        with self.namespaces[name]:
            for kind in ("all", "default"):
                with open(f"/proc/sys/net/ipv6/conf/{kind}/disable_ipv6", "w") as setting:
                    setting.write("1")

    def wire(self, link: str, *ends: tuple[str, str]) -> None:
        """A link between two (node, address with prefix length or "")."""
        made = []
        for node, address in ends:
            number = sum(1 for each, _ in self.links if each == node)
            made.append((node, f"eth{number}", address))
            self.links[node, f"eth{number}"] = link
        (here, name, _), (there, peer_name, _) = made
        self.netlinks[here].add_veth(
            name,
            peer_name,
            self.namespaces[there],
            self.hardware(here, name),
            self.hardware(there, peer_name),
        )
        for node, interface, address in made:
            self.netlinks[node].turn_offloads_off(interface)
            if address:
                self.netlinks[node].set_address(interface, *_cut(address))
            self.netlinks[node].set_up(interface)
        for node, interface, _ in made:
            while not self.netlinks[node].link(interface).ready:
                os.sched_yield()

    def hardware(self, node: str, interface: str) -> str:
        number = list(self.namespaces).index(node)
        return f"02:00:00:00:{number:02x}:{int(interface[3:]):02x}"

    def host(self, name: str) -> EmulatedHost:
        """The node's host; its interfaces are those that have been wired."""
        interfaces = {
            interface: Interface(interface, link, self.hardware(name, interface))
            for (node, interface), link in self.links.items()
            if node == name
        }

        def tell(node: str, event: str, fields: Mapping[str, Any]) -> None:
            self.told.append((node, event, fields))
            self.something_told.set()

        def crashed(node: str, error: BaseException) -> None:
            self.crashes.append((node, error))
            self.something_told.set()

        self.hosts[name] = EmulatedHost(
            name,
            self.namespaces[name],
            interfaces,
            "seed",
            tell,
            crashed,
            self.contexts,
            self.tap,
            TunnelGround(esp=self.esp, on_keys=self.tunnel_keys.append),
        )
        return self.hosts[name]

    def tap(self, node: str, local: Endpoint, remote: Endpoint, connected: bool) -> Tap:
        return lambda outgoing, octets: self.tapped.append((node, outgoing, octets))

    def pair(self) -> tuple[EmulatedHost, EmulatedHost]:
        """hnb (10.0.0.1) and hms (10.0.0.2) on the wire "core"."""
        self.nodes("hnb", "hms")
        self.wire("core", ("hnb", "10.0.0.1/24"), ("hms", "10.0.0.2/24"))
        return self.host("hnb"), self.host("hms")

    def home(self) -> tuple[EmulatedHost, EmulatedHost, EmulatedHost]:
        """hnb (192.168.1.10), gateway (.1 and 203.0.113.7), server (203.0.113.50)."""
        self.nodes("hnb", "gateway", "server")
        self.wire("home", ("hnb", "192.168.1.10/24"), ("gateway", "192.168.1.1/24"))
        self.wire("internet", ("gateway", "203.0.113.7/24"), ("server", "203.0.113.50/24"))
        self.netlinks["hnb"].set_default_route("192.168.1.1")
        return self.host("hnb"), self.host("gateway"), self.host("server")

    def capture(
        self, arrivals: list[Frame] | None = None, **options: int
    ) -> tuple[Capture, list[Frame]]:
        """A running capture of every wire, and the frames as they come."""
        frames: list[Frame] = []
        capture = Capture(
            self.namespaces,
            lambda node, interface: self.links.get((node, interface)),
            frames.append,
            None if arrivals is None else arrivals.append,
            **options,
        )
        capture.start()
        self.captures.append(capture)
        return capture, frames

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until what has been told, or has crashed, makes this true."""
        while not holds():
            self.something_told.clear()
            await self.something_told.wait()

    def beside(self) -> Wires:
        """Other nodes and wires, which nothing connects to these."""
        self.others.append(Wires())
        return self.others[-1]

    def close(self) -> None:
        for other in self.others:
            other.close()
        for capture in self.captures:
            capture.stop()
        for host in self.hosts.values():
            host.close()
        self.keys.cleanup()


def _cut(address: str) -> tuple[str, int]:
    text, length = address.split("/")
    return text, int(length)


def on_wires(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of `async def body(wires, ...)`; what else it asks for are fixtures."""

    def test(**parameters: Any) -> None:
        _in_child(functools.partial(_run, body, parameters))

    signature = inspect.signature(body)
    rest = [each for name, each in signature.parameters.items() if name != "wires"]
    functools.update_wrapper(test, body)
    del test.__dict__["__wrapped__"]  # pytest would ask for its `wires`
    test.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return test


def _run(body: Callable[..., Awaitable[None]], parameters: Mapping[str, Any]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            wires = Wires()
            try:
                await body(wires=wires, **parameters)
            finally:
                wires.close()

    asyncio.run(bounded())


def _in_child(work: Callable[[], None]) -> None:
    """Run `work` in a child in namespaces of its own.  The one place for another way into a lab."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no thread of ours
        child = os.fork()
    if child == 0:
        _be_child(work, writing)
    os.close(writing)
    with os.fdopen(reading) as complaint:
        text = complaint.read()
    _, status = os.waitpid(child, 0)
    if status or text:
        pytest.fail(f"in its namespaces (wait status {status}):\n{text}", pytrace=False)


def _be_child(work: Callable[[], None], writing: int) -> NoReturn:
    status = 1
    try:
        _enter_namespaces()
        work()
        status = 0
    except BaseException:
        os.write(writing, traceback.format_exc().encode()[-60000:])
    finally:
        os._exit(status)


def _enter_namespaces() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_NET if user == 0 else _NEW_NET | _NEW_USER):
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as setting:
                setting.write(text)


def into(queue: Received) -> Callable[[bytes, Endpoint], None]:
    return lambda data, source: queue.put_nowait((data, source))


async def echo(stream: Stream) -> None:
    while data := await stream.receive():
        await stream.send(data)


async def serve_echo(host: EmulatedHost, local: Endpoint) -> None:
    """A UDP port that answers each datagram with its source."""

    def answer(data: bytes, source: Endpoint) -> None:
        port.send(str(source).encode(), source)

    port = await host.datagrams(local, answer)


async def refused(attempt: Awaitable[object]) -> int | None:
    with pytest.raises(OSError, match=r"\[Errno") as raised:
        await attempt
    return raised.value.errno


def tcp_flags(frames: list[Frame], node: str) -> list[int]:
    """The flags of each TCP segment that the node sent."""
    sent = (each.data for each in frames if each.node == node)
    return [data[47] for data in sent if data[12:14] == b"\x08\x00" and data[23] == 6]
