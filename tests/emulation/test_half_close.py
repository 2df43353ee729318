"""Half-closed connections on real wires: a side that sends no more still receives."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from testbed.engines.tls import TlsStream
from testbed.host import Stream, TlsProfile, TlsVersion
from testbed.protocols.pki import Authority
from tests.emulation.wires import HMS, RST, Wires, on_wires, tcp_flags

pytestmark = pytest.mark.emulation

MOMENT = 1_700_000_000.0
FIN = 1
ROOT = Authority("operator", "seed", MOMENT)
CLIENT = TlsProfile(roots=(ROOT.certificate,), server_name="hms.example", moment=MOMENT)
SERVER = TlsProfile(ROOT.issue("hms.example"), roots=(ROOT.certificate,), moment=MOMENT)
WAYS = {
    "TCP": (None, None),
    "TLS 1.2": (replace(CLIENT, maximum_version="1.2"), SERVER),
    "TLS 1.3": (CLIENT, SERVER),
}


async def all_of(stream: Stream) -> bytes:
    whole = b""
    while data := await stream.receive():
        whole += data
    return whole


@pytest.mark.parametrize("way", WAYS)
@on_wires
async def test_who_has_finished_still_receives_what_the_other_side_sends(
    wires: Wires, way: str
) -> None:
    hnb, hms = wires.pair()
    client, server = WAYS[way]
    capture, frames = wires.capture()

    async def answers_after_the_end(stream: Stream) -> None:
        request = await all_of(stream)
        await stream.send(b"you said " + request)

    await hms.listen(HMS, answers_after_the_end, server)
    stream = await hnb.connect(HMS, client)
    await stream.send(b"Inform")
    await stream.finish()

    assert await all_of(stream) == b"you said Inform"

    with pytest.raises(ConnectionError):
        await stream.send(b"more")
    await stream.close()
    await capture.flush()

    flags = tcp_flags(frames, "hnb")
    assert sum(bool(each & FIN) for each in flags) == 1
    assert not any(each & RST for each in flags)
    assert wires.crashes == []
    assert wires.told == []


@on_wires
async def test_what_came_before_the_finish_is_not_lost(wires: Wires) -> None:
    """OpenSSL refuses to send close_notify over data that has come and was not read."""
    hnb, hms = wires.pair()
    heard = asyncio.Event()

    async def sends_first(stream: Stream) -> None:
        await stream.send(b"before ")
        await stream.receive()
        heard.set()
        await stream.send(b"after")

    await hms.listen(HMS, sends_first, SERVER)
    stream = await hnb.connect(HMS, CLIENT)
    first = await stream.receive(1)
    await stream.finish()
    await heard.wait()

    assert first + await all_of(stream) == b"before after"


@pytest.mark.parametrize(("version", "cut_short"), [("1.2", True), ("1.3", False)])
@on_wires
async def test_close_notify_goes_before_the_fin_where_tls_has_a_half_close(
    wires: Wires, version: TlsVersion, cut_short: bool
) -> None:
    hnb, hms = wires.pair()
    ended: asyncio.Queue[Stream] = asyncio.Queue()

    async def reads(stream: Stream) -> None:
        await all_of(stream)
        ended.put_nowait(stream)

    await hms.listen(HMS, reads, SERVER)
    stream = await hnb.connect(HMS, replace(CLIENT, maximum_version=version))
    await stream.finish()
    other = await ended.get()

    assert isinstance(other, TlsStream)
    assert other.cut_short is cut_short
