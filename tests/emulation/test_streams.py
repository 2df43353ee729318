"""TCP and TLS streams of emulated nodes, on real wires."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from testbed.host import Stream
from testbed.protocols.wire import Endpoint
from tests.emulation.wires import (
    ANY,
    HMS,
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
async def test_a_stream_carries_octets_both_ways_and_ends_in_order(wires: Wires) -> None:
    hnb, hms = wires.pair()
    await hms.listen(HMS, echo)
    stream = await hnb.connect(HMS)
    await stream.send(b"Inform")

    assert await stream.receive() == b"Inform"
    assert stream.remote == HMS
    assert stream.local.address == "10.0.0.1"

    await stream.close()
    with pytest.raises(ConnectionError):
        await stream.receive()
    assert wires.crashes == []
    assert wires.told == []


@on_wires
async def test_a_sender_waits_until_the_other_side_reads(wires: Wires) -> None:
    hnb, hms = wires.pair()
    may_read = asyncio.Event()
    whole = random.Random(1).randbytes(8 << 20)
    read = bytearray()
    done = asyncio.Event()

    async def slow(stream: Stream) -> None:
        await may_read.wait()
        while data := await stream.receive():
            read.extend(data)
        done.set()

    async def deliver() -> None:
        await stream.send(whole)
        await stream.close()

    await hms.listen(HMS, slow)
    stream = await hnb.connect(HMS)
    sending = hnb.spawn(deliver(), "sends")
    # A datagram there and back, twice the loop's turns that the sender would need without waiting.
    answers: Received = asyncio.Queue()
    await serve_echo(hms, HMS)
    port = await hnb.datagrams(ANY, into(answers))
    for _ in range(100):
        port.send(b"", HMS)
        await answers.get()

    assert not sending.done()

    may_read.set()
    await done.wait()

    assert whole == read


@on_wires
async def test_octets_still_come_after_the_other_side_was_told_the_end(wires: Wires) -> None:
    hnb, hms = wires.pair()
    heard_end = asyncio.Event()
    answer = asyncio.Queue[bytes]()

    async def answers_late(stream: Stream) -> None:
        assert await stream.receive() == b""
        heard_end.set()
        await stream.send(b"still here")

    async def hears(stream: Stream) -> None:
        answer.put_nowait(await stream.receive())

    await hms.listen(HMS, answers_late)
    await hnb.listen(Endpoint("10.0.0.1", 80), hears)
    stream = await hnb.connect(HMS)
    await stream.close()
    await heard_end.wait()
    other = await hms.connect(Endpoint("10.0.0.1", 80))
    await other.send(b"lives on")

    assert await answer.get() == b"lives on"
    assert wires.crashes == []
    assert wires.told == []


@on_wires
async def test_an_answer_survives_a_close_over_unread_octets(wires: Wires) -> None:
    hnb, hms = wires.pair()

    async def answers_without_reading(stream: Stream) -> None:
        await stream.send(b"413 too long")

    await hms.listen(HMS, answers_without_reading)
    stream = await hnb.connect(HMS)
    await stream.send(bytes(1 << 16))
    got = b""
    while data := await stream.receive():
        got += data

    assert got == b"413 too long"


@on_wires
async def test_abort_is_a_reset(wires: Wires) -> None:
    hnb, hms = wires.pair()
    ended: asyncio.Queue[BaseException] = asyncio.Queue()

    async def reads(stream: Stream) -> None:
        try:
            await stream.receive()
        except ConnectionError as error:
            ended.put_nowait(error)
            raise

    await hms.listen(HMS, reads)
    stream = await hnb.connect(HMS)
    stream.abort()

    assert isinstance(await ended.get(), ConnectionResetError)
    assert wires.crashes == []
    assert wires.told[0][1] == "STREAM_BROKEN"


@on_wires
async def test_a_stream_handlers_crash_resets_its_stream_only(wires: Wires) -> None:
    hnb, hms = wires.pair()

    async def handle(stream: Stream) -> None:
        if await stream.receive() == b"bad":
            raise ZeroDivisionError("a defect")
        await stream.send(b"fine")

    await hms.listen(HMS, handle)
    bad, good = await hnb.connect(HMS), await hnb.connect(HMS)
    await bad.send(b"bad")
    with pytest.raises(ConnectionResetError):
        await bad.receive()
    await good.send(b"good")

    assert await good.receive() == b"fine"
    assert [(node, str(error)) for node, error in wires.crashes] == [("hms", "a defect")]


@on_wires
async def test_connecting_to_nobody_is_refused(wires: Wires) -> None:
    hnb, _ = wires.pair()

    assert await refused(hnb.connect(HMS)) == errno.ECONNREFUSED
    assert await refused(hnb.connect(Endpoint("198.51.100.1", 80))) == errno.ENETUNREACH


@on_wires
async def test_a_stream_leaves_from_the_address_that_was_asked_for(wires: Wires) -> None:
    hnb, hms = wires.pair()
    wires.netlinks["hnb"].add_address("eth0", "10.0.0.11", 24)
    await hms.listen(HMS, echo)
    stream = await hnb.connect(HMS, local="10.0.0.11")

    assert stream.local.address == "10.0.0.11"
