"""TCP and TLS streams of emulated nodes, on real wires."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import replace

import pytest

from testbed.engines.tls import TlsStream
from testbed.host import Stream, TlsProfile, TlsRefused, TlsVersion
from testbed.protocols.pki import Authority
from testbed.protocols.wire import Endpoint
from tests.emulation.wires import (
    ANY,
    HMS,
    RST,
    Received,
    Wires,
    echo,
    into,
    on_wires,
    refused,
    serve_echo,
    tcp_flags,
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

    sent = asyncio.Event()

    async def answers_without_reading(stream: Stream) -> None:
        await sent.wait()
        await stream.send(b"413 too long")

    capture, frames = wires.capture()
    await hms.listen(HMS, answers_without_reading)
    stream = await hnb.connect(HMS)
    await stream.send(bytes(1 << 16))
    sent.set()
    got = b""
    while data := await stream.receive():
        got += data

    await capture.flush()

    assert got == b"413 too long"
    assert not any(flags & RST for flags in tcp_flags(frames, "hms"))


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


# TLS


MOMENT = 1_700_000_000.0
"""What both believe the date is: certificates made from a seed must not depend on today."""


@pytest.fixture(scope="module")
def tls() -> tuple[TlsProfile, TlsProfile]:
    """(client's, server's)."""
    root = Authority("operator", "seed", MOMENT)
    client = TlsProfile(roots=(root.certificate,), server_name="hms.example", moment=MOMENT)
    return client, TlsProfile(root.issue("hms.example"), roots=(root.certificate,), moment=MOMENT)


@on_wires
async def test_tls_carries_octets_both_ways_and_ends_in_order(
    wires: Wires, tls: tuple[TlsProfile, TlsProfile]
) -> None:
    hnb, hms = wires.pair()
    client, server = tls
    _, frames = wires.capture()
    whole = random.Random(1).randbytes(3 << 20)
    ends: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(stream: Stream) -> None:
        while data := await stream.receive():
            await stream.send(data)
        ends.put_nowait(data)

    async def deliver() -> None:
        await stream.send(whole)

    await hms.listen(HMS, serve, server)
    stream = await hnb.connect(HMS, client)
    hnb.spawn(deliver(), "sends")
    back = bytearray()
    while len(back) < len(whole):
        back += await stream.receive()
    await stream.close()

    assert back == whole
    assert await ends.get() == b""
    assert wires.crashes == []
    assert wires.told == []
    assert not any(whole[:32] in each.data for each in frames)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@on_wires
async def test_a_client_that_distrusts_the_server_says_so_before_it_goes(
    wires: Wires, tls: tuple[TlsProfile, TlsProfile], version: TlsVersion
) -> None:
    hnb, hms = wires.pair()
    distrusts = replace(tls[0], roots=(), maximum_version=version)
    await hms.listen(HMS, echo, tls[1])
    with pytest.raises(TlsRefused):
        await hnb.connect(HMS, distrusts)
    await wires.something_told.wait()
    ((node, event, fields),) = wires.told

    assert (node, event, fields["cause"]) == ("hms", "TLS_FAILED", "alert")
    assert "unknown_ca" in fields["reason"]
    assert wires.crashes == []


@on_wires
async def test_a_server_that_wants_a_certificate_breaks_the_stream_of_a_client_without(
    wires: Wires, tls: tuple[TlsProfile, TlsProfile]
) -> None:
    hnb, hms = wires.pair()
    client, server = tls
    await hms.listen(HMS, echo, replace(server, requires_client_certificate=True))
    stream = await hnb.connect(HMS, client)
    with pytest.raises(TlsRefused, match="certificate_required") as raised:
        await stream.receive()

    assert isinstance(raised.value, ConnectionError)
    assert raised.value.cause == "alert"


@on_wires
async def test_a_peer_that_speaks_no_tls_is_told_and_no_crash(
    wires: Wires, tls: tuple[TlsProfile, TlsProfile]
) -> None:
    hnb, hms = wires.pair()
    await hms.listen(HMS, echo, tls[1])
    stream = await hnb.connect(HMS)
    await stream.send(b"GET / HTTP/1.1\r\n\r\n")
    while await stream.receive():
        pass

    assert [(node, event) for node, event, _ in wires.told] == [("hms", "TLS_FAILED")]
    assert wires.crashes == []


@on_wires
async def test_a_stream_cut_without_close_notify_is_marked(
    wires: Wires, tls: tuple[TlsProfile, TlsProfile]
) -> None:
    hnb, hms = wires.pair()
    client, server = tls
    ended: asyncio.Queue[Stream] = asyncio.Queue()

    async def reads(stream: Stream) -> None:
        while await stream.receive():
            pass
        ended.put_nowait(stream)

    await hms.listen(HMS, reads, server)
    tcp = await hnb.connect(HMS)
    secured = await TlsStream.open(tcp, client, False, wires.contexts)
    await secured.send(b"half an Inf")
    await tcp.close()
    cut = await ended.get()

    assert isinstance(cut, TlsStream)
    assert cut.cut_short


@on_wires
async def test_a_silent_peer_cannot_hold_a_handshake_for_ever(
    wires: Wires, tls: tuple[TlsProfile, TlsProfile]
) -> None:
    hnb, hms = wires.pair()

    async def silent(stream: Stream) -> None:
        await asyncio.Event().wait()

    await hms.listen(HMS, silent)
    tcp = await hnb.connect(HMS)
    with pytest.raises(TimeoutError, match=r"did not end within 0\.001 s"):
        await TlsStream.open(tcp, tls[0], False, wires.contexts, within_s=0.001)
    with pytest.raises(ConnectionError):
        await tcp.receive()
