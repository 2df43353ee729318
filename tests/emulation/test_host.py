"""A node's tasks, addresses, links and power."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from testbed.engines.emulation.host import EmulatedHost
from testbed.host import Stream
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat
from tests.emulation.wires import (
    ANY,
    HMS,
    RST,
    SERVER,
    SYN_ACK,
    Received,
    Wires,
    into,
    on_wires,
    refused,
    serve_echo,
    tcp_flags,
)

pytestmark = pytest.mark.emulation


@on_wires
async def test_a_tasks_crash_is_told_and_a_cancellation_is_not(wires: Wires) -> None:
    hnb, _ = wires.pair()

    async def fails() -> None:
        raise ZeroDivisionError("a defect")

    async def waits() -> None:
        await asyncio.Event().wait()

    waiting = hnb.spawn(waits(), "waits")
    failing = hnb.spawn(fails(), "fails")
    await asyncio.wait([failing])
    waiting.cancel()
    await asyncio.wait([waiting])

    assert [(node, str(error)) for node, error in wires.crashes] == [("hnb", "a defect")]


@on_wires
async def test_a_call_comes_at_its_time_unless_cancelled(wires: Wires) -> None:
    hnb, _ = wires.pair()
    called: asyncio.Queue[str] = asyncio.Queue()

    def fails() -> None:
        raise ZeroDivisionError("a defect")

    hnb.call_at(hnb.now() + 0.002, lambda: called.put_nowait("later"))
    hnb.call_at(hnb.now() + 0.001, lambda: called.put_nowait("never")).cancel()
    hnb.call_at(hnb.now(), fails)

    assert await called.get() == "later"
    assert called.empty()
    assert [node for node, _ in wires.crashes] == ["hnb"]


@on_wires
async def test_randomness_is_the_nodes_own_and_the_seeds(wires: Wires) -> None:
    hnb, hms = wires.pair()

    assert random.Random("seed/hnb").random() == hnb.random.random()
    assert random.Random("seed/hms").random() == hms.random.random()


@on_wires
async def test_a_link_that_goes_down_and_up_is_told(wires: Wires) -> None:
    hnb, _ = wires.pair()
    changes: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
    hnb.on_carrier(lambda interface, up: changes.put_nowait((interface, up)))

    assert hnb.carrier("eth0")

    wires.netlinks["hms"].set_up("eth0", False)

    assert hnb.carrier("eth0"), "a change is seen once: when it is told"
    assert await changes.get() == ("eth0", False)
    assert not hnb.carrier("eth0")

    wires.netlinks["hms"].set_up("eth0")

    assert await changes.get() == ("eth0", True)
    assert hnb.carrier("eth0")


@on_wires
async def test_a_new_address_is_announced_to_the_link(wires: Wires) -> None:
    hnb, _ = wires.pair()
    capture, frames = wires.capture()
    hnb.set_address("eth0", "10.0.0.99", 24)
    await capture.flush()
    (announcement,) = [each.data for each in frames if each.node == "hnb"]

    assert hnb.address_of("eth0") == "10.0.0.99"
    assert announcement[:6] == b"\xff" * 6
    assert bytes.fromhex("0806 0001 0800 06 04 0001 020000000000 0a000063") == announcement[12:32]
    assert bytes.fromhex("000000000000 0a000063") == announcement[32:42]


@on_wires
async def test_an_address_taken_away_takes_its_routes_along(wires: Wires) -> None:
    hnb, *_ = wires.home()
    hnb.clear_address("eth0")

    assert hnb.address_of("eth0") is None
    assert await refused(hnb.connect(SERVER)) == errno.ENETUNREACH

    hnb.set_address("eth0", "192.168.1.20", 24)
    hnb.set_default_route("192.168.1.1")

    assert hnb.address_of("eth0") == "192.168.1.20"


def tcp_sockets(wires: Wires, node: str) -> list[str]:
    """What the node's kernel still knows of TCP."""
    with wires.namespaces[node], open("/proc/thread-self/net/tcp") as table:
        return table.read().splitlines()[1:]


async def connect_in_vain(host: EmulatedHost) -> None:
    await host.connect(Endpoint("10.0.0.1", 80))


@on_wires
async def test_a_host_that_loses_power_sends_nothing_more(wires: Wires) -> None:
    hnb, hms = wires.pair()
    ended: list[str] = []
    held: asyncio.Queue[Stream] = asyncio.Queue()

    async def holds(stream: Stream) -> None:
        held.put_nowait(stream)
        await asyncio.Event().wait()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            port.send(b"last words", HMS)
            ended.append("waits")

    await hms.listen(HMS, holds)
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    await hnb.listen(Endpoint("10.0.0.1", 80), holds)
    task = hnb.spawn(waits(), "waits")
    hnb.call_at(hnb.now(), lambda: ended.append("timer"))
    idle, unread = await hnb.connect(HMS), await hnb.connect(HMS)
    their_ends = [await held.get(), await held.get()]
    closing = await hnb.connect(HMS)
    their_ends.append(await held.get())
    await closing.close()
    accepted = await hms.connect(Endpoint("10.0.0.1", 80))
    await held.get()
    for each in their_ends:
        await each.send(b"unread")
    assert await idle.receive() == b"unread"
    ended.clear()
    capture, frames = wires.capture()
    hnb.call_at(hnb.now(), lambda: ended.append("timer"))

    unaccepted = hms.spawn(connect_in_vain(hms), "connects")
    await asyncio.sleep(0)  # connected by both kernels; hnb has not looked yet
    hnb.power_off()
    await asyncio.wait([task, unaccepted])
    assert tcp_sockets(wires, "hnb") == []
    assert ended == ["waits"]
    with pytest.raises(ConnectionError):
        await unread.receive()
    hnb.power_on()
    hnb.set_address("eth0", "10.0.0.1", 24)  # announced: proof that the wire is captured again
    await accepted.send(b"anybody?")
    with pytest.raises(ConnectionResetError):  # its kernel knows the connection no longer
        await accepted.receive()
    await capture.flush()

    # It accepted before; the reset is its kernel's answer to the last segment.
    assert tcp_flags(frames, "hnb") == [SYN_ACK, RST]
    assert wires.crashes == []


@on_wires
async def test_power_off_undoes_what_the_role_configured_and_no_more(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    answers: Received = asyncio.Queue()
    await serve_echo(server, SERVER)
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    hnb.set_address("eth0", "192.168.1.77", 24)
    hnb.set_default_route("192.168.1.99")
    gateway.power_off()
    hnb.power_off()
    assert not hnb.carrier("eth0")
    gateway.power_on()
    hnb.power_on()

    assert hnb.address_of("eth0") == "192.168.1.10"
    assert [router for router, _ in wires.netlinks["hnb"].default_routes()] == ["192.168.1.1"]
    assert gateway.address_of("eth0") == "192.168.1.1"

    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"?", SERVER)

    assert f"203.0.113.7:{port.local.port}".encode() == (await answers.get())[0]


@on_wires
async def test_a_gateway_forgets_its_bindings_when_it_loses_power(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    received: Received = asyncio.Queue()
    inside = await hnb.datagrams(Endpoint("192.168.1.10", 5000), into(received))
    outside_received: Received = asyncio.Queue()
    outside = await server.datagrams(SERVER, into(outside_received))
    inside.send(b"opens a binding", SERVER)
    _, binding = await outside_received.get()
    outside.send(b"before", binding)
    assert (await received.get())[0] == b"before"

    gateway.power_off()
    gateway.power_on()
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    outside.send(b"lost", binding)
    inside.send(b"opens it again", SERVER)
    _, binding = await outside_received.get()
    outside.send(b"after", binding)

    assert (await received.get())[0] == b"after"


@on_wires
async def test_without_power_nothing_begins(wires: Wires) -> None:
    hnb, _ = wires.pair()
    begun: list[str] = []

    async def begins() -> None:
        begun.append("task")

    hnb.power_off()
    task = hnb.spawn(begins(), "begins")
    hnb.call_at(hnb.now(), lambda: begun.append("timer"))
    await asyncio.wait([task])

    assert begun == []
    with pytest.raises(ConnectionAbortedError, match="hnb has no power"):
        await hnb.datagrams(ANY, into(asyncio.Queue()))


@on_wires
async def test_who_is_near_answers_arp_and_who_is_unplugged_does_not(wires: Wires) -> None:
    hnb, hms = wires.pair()
    near = hms.address_of("eth0")
    assert near is not None

    assert await hnb.reaches("eth0", near, within_s=5)
    assert not await hnb.reaches("eth0", "192.0.2.200", within_s=0.05)
    hnb.clear_address("eth0")
    assert await hnb.reaches("eth0", near, within_s=5), "who has no address may ask too"
    hms.power_off()
    assert not await hnb.reaches("eth0", near, within_s=0.05)
