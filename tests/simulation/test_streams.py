"""TCP in virtual time: every octet once and in order, whatever the link does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.engines.simulation.clock import SimulationLoop, run
from testbed.engines.simulation.segments import ACK, FIN, RST, SYN
from testbed.host import Stream
from testbed.protocols.wire import Endpoint
from tests.simulation.ground import HMS, echo, in_virtual_time, pair


async def number_of(work: Awaitable[object]) -> int | None:
    """The errno with which it fails."""
    with pytest.raises(OSError) as raised:  # noqa: PT011 -- its number is looked at
        await work
    return raised.value.errno


@in_virtual_time
async def test_a_stream_carries_octets_both_ways_and_ends_in_order() -> None:
    ground, hnb, hms = pair()
    await hms.listen(HMS, echo)
    stream = await hnb.connect(HMS)
    await stream.send(b"Inform")

    assert await stream.receive() == b"Inform"
    assert (stream.local.address, stream.remote) == ("10.0.0.1", HMS)

    await stream.close()
    with pytest.raises(ConnectionError):
        await stream.receive()
    await asyncio.sleep(1)

    assert ground.world.crashes == []
    flags = [each.flags & (SYN | FIN | RST) for each in ground.segments("hnb")]
    assert flags[0] == SYN
    assert FIN in flags
    assert RST not in flags
    assert ground.segments("hms")[0].flags == SYN | ACK


@in_virtual_time
async def test_a_sender_waits_until_the_other_side_reads() -> None:
    _, hnb, hms = pair()
    may_read = asyncio.Event()
    whole = Random(1).randbytes(3 << 20)
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
    await asyncio.sleep(3600)  # the window is closed, and stays so

    assert not sending.done()

    may_read.set()
    await done.wait()

    assert whole == read


@in_virtual_time
async def test_octets_still_come_after_the_other_side_was_told_the_end() -> None:
    ground, hnb, hms = pair()

    async def answers_late(stream: Stream) -> None:
        assert await stream.receive() == b"question"
        assert await stream.receive() == b""
        await stream.send(b"answer")

    await hms.listen(HMS, answers_late)
    stream = await hnb.connect(HMS)
    await stream.send(b"question")
    await stream.finish()

    assert await stream.receive() == b"answer"
    assert await stream.receive() == b""
    with pytest.raises(ConnectionError):
        await stream.send(b"more")
    assert ground.world.crashes == []


@in_virtual_time
async def test_an_answer_survives_a_close_over_unread_octets() -> None:
    ground, hnb, hms = pair()

    async def answers_without_reading(stream: Stream) -> None:
        await asyncio.sleep(1)
        await stream.send(b"413 too long")

    await hms.listen(HMS, answers_without_reading)
    stream = await hnb.connect(HMS)
    await stream.send(bytes(1 << 16))
    got = b""
    while data := await stream.receive():
        got += data

    assert got == b"413 too long"
    assert not any(each.flags & RST for each in ground.segments("hms"))


@in_virtual_time
async def test_abort_is_a_reset() -> None:
    ground, hnb, hms = pair()
    ended: list[BaseException] = []

    async def reads(stream: Stream) -> None:
        try:
            await stream.receive()
        except ConnectionError as error:
            ended.append(error)
            raise

    await hms.listen(HMS, reads)
    stream = await hnb.connect(HMS)
    stream.abort()
    await asyncio.sleep(1)

    assert [type(each) for each in ended] == [ConnectionResetError]
    assert ground.world.crashes == []
    assert len(ground.told("STREAM_BROKEN")) == 1


@in_virtual_time
async def test_a_stream_handlers_crash_resets_its_stream_only() -> None:
    ground, hnb, hms = pair()

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
    assert [(node, str(error)) for node, error in ground.world.crashes] == [("hms", "a defect")]


@in_virtual_time
async def test_connecting_to_nobody_fails_as_in_a_kernel() -> None:
    _, hnb, hms = pair()

    assert await number_of(hnb.connect(HMS)) == errno.ECONNREFUSED
    assert await number_of(hnb.connect(Endpoint("198.51.100.1", 80))) == errno.ENETUNREACH
    assert await number_of(hnb.connect(Endpoint("10.0.0.9", 80))) == errno.EHOSTUNREACH
    begun = hnb.now()
    hms.stack.deliver.clear()
    hms.stack.reset = lambda packet: None

    assert await number_of(hnb.connect(HMS)) == errno.ETIMEDOUT
    assert hnb.now() - begun == pytest.approx(127, abs=0.1)


@in_virtual_time
async def test_a_port_can_be_listened_to_once() -> None:
    _, hnb, _ = pair()
    first = await hnb.listen(Endpoint("10.0.0.1", 80), echo)

    assert await number_of(hnb.listen(Endpoint("0.0.0.0", 80), echo)) == errno.EADDRINUSE
    assert await number_of(hnb.listen(Endpoint("10.9.9.9", 80), echo)) == errno.EADDRNOTAVAIL

    first.close()
    await hnb.listen(Endpoint("0.0.0.0", 80), echo)


@in_virtual_time
async def test_a_node_without_power_says_nothing_and_the_other_side_gives_up() -> None:
    ground, hnb, hms = pair()
    await hms.listen(HMS, echo)
    stream = await hnb.connect(HMS)
    ground.world.power("hms", False)
    before = len(ground.segments("hms"))
    await stream.send(b"Inform")
    with pytest.raises(ConnectionAbortedError) as raised:
        await stream.receive()

    assert raised.value.errno == errno.ETIMEDOUT
    assert hnb.now() > 600
    assert len(ground.segments("hms")) == before


@in_virtual_time
async def test_a_node_that_had_a_power_cut_resets_what_it_has_forgotten() -> None:
    ground, hnb, hms = pair()
    await hms.listen(HMS, echo)
    stream = await hnb.connect(HMS)
    ground.world.power("hms", False)
    ground.world.power("hms", True)
    await stream.send(b"Inform")

    with pytest.raises(ConnectionResetError):
        await stream.receive()


@in_virtual_time
async def test_segments_are_as_long_as_the_smaller_mtu_allows() -> None:
    ground, hnb, hms = pair(mtu=600)
    await hms.listen(HMS, echo)
    stream = await hnb.connect(HMS)
    await stream.send(bytes(5000))
    got = 0
    while got < 5000:
        got += len(await stream.receive())

    longest = max(len(each.payload) for each in ground.segments("hnb"))
    assert longest == 600 - 40


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(
        [
            {"loss": 0.1},
            {"loss": 0.25},
            {"duplication": 0.3},
            {"reordering": 0.3},
            {"loss": 0.1, "duplication": 0.1, "reordering": 0.1, "jitter_ms": 5},
            {"rate_kbps": 500, "loss": 0.05},
        ]
    ),
)
def test_every_octet_arrives_once_and_in_order(seed: int, quality: dict[str, float]) -> None:
    async def play(loop: SimulationLoop) -> bytes:
        _, hnb, hms = pair(str(seed), None, False, **quality)
        await hms.listen(HMS, echo)
        try:
            stream = await hnb.connect(HMS)
        except OSError:  # nobody answered ARP, or nobody heard
            return whole

        async def deliver() -> None:
            await stream.send(whole)
            await stream.finish()

        hnb.spawn(deliver(), "sends")
        got = bytearray()
        while data := await stream.receive():
            got += data
        return bytes(got)

    whole = Random(seed).randbytes(40_000)

    assert run(play) == whole
