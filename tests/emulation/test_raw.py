"""Raw ports of emulated nodes: SCTP between two of them, whatever the kernel has of it."""

from __future__ import annotations

import asyncio
import errno

import pytest

from testbed.protocols import sctp
from testbed.protocols.wire import Endpoint
from testbed.roles.hnb_gw import HnbGw, knock
from testbed.topology import Node
from tests.emulation.wires import HMS, Received, Wires, into, on_wires, refused

pytestmark = pytest.mark.emulation

PEER = Endpoint(HMS.address, 0)


@on_wires
async def test_a_packet_arrives_without_its_ip_header(wires: Wires) -> None:
    hnb, hms = wires.pair()
    received: Received = asyncio.Queue()
    await hms.raw(sctp.PROTOCOL, into(received))
    port = await hnb.raw(sctp.PROTOCOL, into(asyncio.Queue()))
    begin = sctp.init(49152, 29169, 1, 2).encode()

    port.send(begin, PEER)

    assert await received.get() == (begin, Endpoint("10.0.0.1", 0))


@on_wires
async def test_an_hnb_gw_answers_whoever_knocks(wires: Wires) -> None:
    hnb, gateway = wires.pair()
    await HnbGw(gateway, Node("hnb_gw", "hnb_gw", ())).start()

    answer = await knock(hnb, HMS.address, sctp.IUH_PORT, tries=3, wait_s=5.0)

    assert isinstance(answer, sctp.InitAck)


@on_wires
async def test_nobody_answers_where_nobody_is(wires: Wires) -> None:
    hnb, _ = wires.pair()

    assert await knock(hnb, HMS.address, sctp.IUH_PORT, tries=2, wait_s=0.01) is None


@on_wires
async def test_a_closed_port_sends_and_receives_nothing(wires: Wires) -> None:
    hnb, hms = wires.pair()
    received: Received = asyncio.Queue()
    closed = await hms.raw(sctp.PROTOCOL, into(received))
    still = await hms.raw(sctp.PROTOCOL, into(heard := asyncio.Queue()))
    port = await hnb.raw(sctp.PROTOCOL, into(asyncio.Queue()))
    closed.close()
    closed.send(b"unheard", Endpoint("10.0.0.1", 0))

    port.send(b"heard", PEER)

    assert (await heard.get())[0] == b"heard"
    assert received.empty()
    still.close()


@on_wires
async def test_an_address_of_somebody_else_is_refused(wires: Wires) -> None:
    hnb, _ = wires.pair()

    number = await refused(hnb.raw(sctp.PROTOCOL, into(asyncio.Queue()), HMS.address))

    assert number == errno.EADDRNOTAVAIL


@on_wires
async def test_a_node_without_power_has_no_raw_port(wires: Wires) -> None:
    hnb, _ = wires.pair()
    hnb.power_off()

    with pytest.raises(ConnectionAbortedError, match="has no power"):
        await hnb.raw(sctp.PROTOCOL, into(asyncio.Queue()))
