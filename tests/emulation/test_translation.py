"""What a gateway does to packets that it forwards."""

from __future__ import annotations

import asyncio
import errno

import pytest

from testbed.engines.emulation.forwarding import forget_bindings
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat
from tests.emulation.wires import (
    ANY,
    SERVER,
    Received,
    Wires,
    echo,
    into,
    on_wires,
    refused,
    serve_echo,
)

pytestmark = pytest.mark.emulation


@on_wires
async def test_behind_masquerade_a_server_sees_the_outside_address(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    answers: Received = asyncio.Queue()
    await serve_echo(server, SERVER)
    await server.listen(SERVER, echo)
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"?", SERVER)

    assert f"203.0.113.7:{port.local.port}".encode() == (await answers.get())[0]

    stream = await hnb.connect(SERVER)
    await stream.send(b"through")

    assert await stream.receive() == b"through"


@on_wires
async def test_without_translation_a_server_sees_the_inside_address(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    wires.netlinks["server"].set_default_route("203.0.113.7")
    gateway.translate(Nat.NONE, ["eth0"], "eth1")
    answers: Received = asyncio.Queue()
    await serve_echo(server, SERVER)
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"?", SERVER)

    assert f"192.168.1.10:{port.local.port}".encode() == (await answers.get())[0]


@on_wires
async def test_an_icmp_error_from_outside_reaches_the_inside(wires: Wires) -> None:
    hnb, gateway, _ = wires.home()
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")

    assert await refused(hnb.connect(SERVER)) == errno.ECONNREFUSED

    capture, frames = wires.capture()
    answered = asyncio.Event()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    port.send(b"nobody listens", SERVER)
    while not answered.is_set():
        await asyncio.sleep(0)
        await capture.flush()
        for each in frames:
            if each.node == "gateway" and each.link == "home" and each.data[23] == 1:
                answered.set()
    error = next(f.data for f in frames if f.link == "home" and f.node == "gateway")

    assert (error[34], error[35]) == (3, 3)
    assert bytes([192, 168, 1, 10]) == error[54:58], "the quoted source is the inside's again"


@on_wires
async def test_masquerade_has_no_hairpin_and_no_way_in(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    wires.netlinks["server"].set_default_route("203.0.113.7")
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    received: Received = asyncio.Queue()
    answers: Received = asyncio.Queue()
    await serve_echo(server, SERVER)
    inside = await hnb.datagrams(Endpoint("192.168.1.10", 5000), into(received))
    inside.send(b"opens a binding", SERVER)
    binding, _ = await received.get()

    assert binding == b"203.0.113.7:5000"

    neighbour = await hnb.datagrams(Endpoint("192.168.1.10", 5001), into(answers))
    neighbour.send(b"hairpin", Endpoint("203.0.113.7", 5000))
    stranger = await server.datagrams(Endpoint("203.0.113.50", 9999), into(asyncio.Queue()))
    stranger.send(b"past the filter", Endpoint("203.0.113.7", 5000))
    stranger.send(b"past the NAT", Endpoint("192.168.1.10", 5000))
    neighbour.send(b"to the server", SERVER)
    await answers.get()
    inside.send(b"once more", SERVER)

    assert await received.get() == (b"203.0.113.7:5000", SERVER)
    assert received.empty()


@on_wires
async def test_bindings_can_be_forgotten_at_once(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    answers: Received = asyncio.Queue()
    await serve_echo(server, SERVER)
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"?", SERVER)
    await answers.get()

    def bindings() -> int:
        with gateway.namespace, open("/proc/sys/net/netfilter/nf_conntrack_count") as count:
            return int(count.read())

    assert bindings() == 1

    forget_bindings(gateway.namespace)

    assert bindings() == 0
