"""UDP ports of emulated nodes, on real wires."""

from __future__ import annotations

import asyncio
import errno

import pytest

from testbed.engines.emulation.packets import checksum
from testbed.protocols.wire import BROADCAST, Endpoint
from testbed.topology import Nat
from tests.emulation.wires import (
    ANY,
    HMS,
    SERVER,
    Received,
    Wires,
    into,
    on_wires,
    refused,
    serve_echo,
)

pytestmark = pytest.mark.emulation


@on_wires
async def test_a_datagram_goes_there_and_back(wires: Wires) -> None:
    hnb, hms = wires.pair()
    answers: Received = asyncio.Queue()
    await serve_echo(hms, HMS)
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"hello", HMS)

    data, source = await answers.get()

    assert source == HMS
    assert f"10.0.0.1:{port.local.port}".encode() == data


@on_wires
async def test_a_burst_larger_than_a_turn_arrives_whole_and_in_order(wires: Wires) -> None:
    hnb, hms = wires.pair()
    received: Received = asyncio.Queue()
    await hms.datagrams(HMS, into(received))
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    port.send(b"ARP first", HMS)
    await received.get()
    for number in range(200):
        port.send(number.to_bytes(2, "big"), HMS)

    arrived = [int.from_bytes((await received.get())[0], "big") for _ in range(200)]

    assert list(range(200)) == arrived


@on_wires
async def test_a_bare_interface_asks_by_broadcast_and_is_answered_past_arp(wires: Wires) -> None:
    wires.nodes("gateway", "hnb")
    wires.wire("home", ("gateway", "192.168.1.1/24"), ("hnb", ""))
    gateway, hnb = wires.host("gateway"), wires.host("hnb")
    asked: Received = asyncio.Queue()
    answered: Received = asyncio.Queue()
    server = await gateway.datagrams(Endpoint("0.0.0.0", 67), into(asked), "eth0", True)
    client = await hnb.datagrams(Endpoint("0.0.0.0", 68), into(answered), "eth0", True)

    client.send(b"DISCOVER", Endpoint(BROADCAST, 67))

    assert (b"DISCOVER", Endpoint("0.0.0.0", 68)) == await asked.get()

    server.send(b"OFFER", Endpoint("192.168.1.100", 68), wires.hardware("hnb", "eth0"))

    assert (b"OFFER", Endpoint("192.168.1.1", 67)) == await answered.get()

    server.send(b"NAK", Endpoint(BROADCAST, 68))

    assert (b"NAK", Endpoint("192.168.1.1", 67)) == await answered.get()

    hnb.set_address("eth0", "192.168.1.100", 24)
    server.send(b"ACK", Endpoint("192.168.1.100", 68), wires.hardware("hnb", "eth0"))
    server.send(b"last", Endpoint("192.168.1.100", 68))
    after = [(await answered.get())[0], (await answered.get())[0]]

    assert after == [b"ACK", b"last"]
    assert answered.empty()


@on_wires
async def test_a_bare_interface_lends_no_address_of_another_one(wires: Wires) -> None:
    """As a tunnel's inner address, which a kernel would take for the source."""
    wires.nodes("gateway", "hnb", "hms")
    wires.wire("home", ("gateway", "192.168.1.1/24"), ("hnb", ""))
    wires.wire("other", ("hnb", "10.0.0.1/24"), ("hms", "10.0.0.2/24"))
    gateway, hnb = wires.host("gateway"), wires.host("hnb")
    asked: Received = asyncio.Queue()
    await gateway.datagrams(Endpoint("0.0.0.0", 67), into(asked), "eth0", True)
    client = await hnb.datagrams(
        Endpoint("0.0.0.0", 68), into(asyncio.Queue()), "eth0", broadcast=True
    )

    client.send(b"DISCOVER", Endpoint(BROADCAST, 67))

    assert (b"DISCOVER", Endpoint("0.0.0.0", 68)) == await asked.get()

    hnb.set_address("eth0", "192.168.1.100", 24)
    client.send(b"REQUEST", Endpoint(BROADCAST, 67))

    assert (b"REQUEST", Endpoint("192.168.1.100", 68)) == await asked.get()


@on_wires
async def test_a_node_of_two_addresses_answers_from_the_one_that_was_asked(wires: Wires) -> None:
    hnb, _, server = wires.home()
    wires.netlinks["server"].add_address("eth0", "203.0.113.51", 24)
    wires.wire("core", ("server", "10.10.0.1/24"), ("gateway", "10.10.0.2/24"))
    wires.hosts["gateway"].translate(Nat.MASQUERADE, ["eth0"], "eth1")
    answers: Received = asyncio.Queue()
    server = wires.host("server")
    await serve_echo(server, Endpoint("0.0.0.0", 3478))
    port = await hnb.datagrams(ANY, into(answers))
    second = Endpoint("203.0.113.51", 3478)

    port.send(b"?", second)

    assert second == (await answers.get())[1]

    port.send(b"?", SERVER)

    assert (await answers.get())[1] == SERVER


@on_wires
async def test_what_the_network_refuses_is_lost_and_the_port_lives_on(wires: Wires) -> None:
    hnb, hms = wires.pair()
    answers: Received = asyncio.Queue()
    port = await hnb.datagrams(ANY, into(answers))

    port.send(b"no route", Endpoint("198.51.100.1", 9))
    port.send(b"nobody listens", HMS)
    port.send(b"nobody is there", Endpoint("10.0.0.77", 9))
    await serve_echo(hms, HMS)
    port.send(b"somebody listens", HMS)
    await answers.get()

    assert wires.crashes == []
    assert wires.told == []


@on_wires
async def test_what_cannot_be_a_datagram_is_lost_and_told(wires: Wires) -> None:
    hnb, _ = wires.pair()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))

    port.send(bytes(70000), HMS)
    port.send(b"", Endpoint("10.0.0.2", 0))
    port.send(bytes(3000), HMS, wires.hardware("hms", "eth0"))

    assert [(node, event, fields["reason"]) for node, event, fields in wires.told] == [
        ("hnb", "DATAGRAM_REFUSED", "EMSGSIZE"),
        ("hnb", "DATAGRAM_REFUSED", "EINVAL"),
        ("hnb", "DATAGRAM_REFUSED", "EMSGSIZE"),
    ]


@on_wires
async def test_a_handlers_crash_is_told_by_node_and_the_host_lives_on(wires: Wires) -> None:
    hnb, hms = wires.pair()
    received: Received = asyncio.Queue()

    def handle(data: bytes, source: Endpoint) -> None:
        if data == b"bad":
            raise ZeroDivisionError("a defect")
        received.put_nowait((data, source))

    await hms.datagrams(HMS, handle)
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    port.send(b"bad", HMS)
    port.send(b"good", HMS)

    assert (await received.get())[0] == b"good"
    assert [(node, str(error)) for node, error in wires.crashes] == [("hms", "a defect")]


@on_wires
async def test_a_port_is_taken_once(wires: Wires) -> None:
    hnb, _ = wires.pair()
    first = await hnb.datagrams(Endpoint("10.0.0.1", 7), into(asyncio.Queue()))

    again = hnb.datagrams(Endpoint("10.0.0.1", 7), into(asyncio.Queue()))
    foreign = hnb.datagrams(Endpoint("10.0.0.9", 7), into(asyncio.Queue()))

    assert await refused(again) == errno.EADDRINUSE
    assert await refused(foreign) == errno.EADDRNOTAVAIL

    first.close()
    await hnb.datagrams(Endpoint("10.0.0.1", 7), into(asyncio.Queue()))


@on_wires
async def test_datagrams_that_came_too_fast_are_told_when_the_port_closes(wires: Wires) -> None:
    hnb, hms = wires.pair()
    receiver = await hms.datagrams(HMS, into(asyncio.Queue()))
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    answers: Received = asyncio.Queue()
    await serve_echo(hms, Endpoint("10.0.0.2", 9))
    probe = await hnb.datagrams(ANY, into(answers))
    probe.send(b"ARP first", Endpoint("10.0.0.2", 9))
    await answers.get()
    # All in one turn of the loop, and more than any receive buffer holds.
    for _ in range(20000):
        port.send(bytes(1400), HMS)
    receiver.close()

    (told,) = [fields for node, event, fields in wires.told if event == "DATAGRAMS_DROPPED"]

    assert 0 < told["count"] < 20000


@on_wires
async def test_a_hardware_addressed_datagram_has_right_checksums(wires: Wires) -> None:
    hnb, hms = wires.pair()
    received: Received = asyncio.Queue()
    await hms.datagrams(HMS, into(received))
    capture, frames = wires.capture()
    port = await hnb.datagrams(Endpoint("10.0.0.1", 67), into(asyncio.Queue()), "eth0")
    port.send(b"odd", HMS, wires.hardware("hms", "eth0"))

    assert (b"odd", Endpoint("10.0.0.1", 67)) == await received.get()

    await capture.flush()
    packet = frames[0].data[14:]

    assert checksum(packet[:20]) == 0
    assert checksum(packet[12:20] + b"\x00\x11" + packet[24:26] + packet[20:]) == 0
