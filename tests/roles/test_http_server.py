"""What an HMS's port bears: every peer is bounded, and the next one is served."""

from __future__ import annotations

import asyncio

import pytest

from testbed.protocols.http import Response
from testbed.roles.hms import LIMITS
from tests.roles.cwmp_scene import HMS, Peer, Scene, inform, is_served
from tests.virtual_time import virtual_time

HEAD = b"POST /acs HTTP/1.1\r\nHost: hms\r\n"


def posting(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def send_until_refused(peer: Peer, octets: bytes) -> int:
    """Send these octets again and again; how many went before the stream broke."""
    sent = 0
    try:
        while True:
            await peer.stream.send(octets)
            sent += len(octets)
    except ConnectionError:
        return sent


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (posting(b"this is not XML"), 400),
        (posting(b"<a><b></a>"), 400),
        (posting(b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'), 400),
        (posting(b"\xff\xfe<Envelope/>"), 400),
        (posting(b"<Envelope>\x01</Envelope>"), 400),
        (HEAD + b"Content-Length: 1000000000\r\n\r\n", 413),
        (HEAD + b"X: " + b"y" * 20_000, 431),
        (b"NONSENSE\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
    ids=[
        *("not-xml", "not-well-formed", "entities", "not-utf-8", "control-character"),
        *("giant-length", "endless-header", "no-request-line", "bad-chunk"),
    ],
)
@virtual_time
async def test_malformed_request_is_refused_with_a_record(octets: bytes, status: int) -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(octets)
    response = await peer.response()

    assert isinstance(response, Response)
    assert response.status == status
    assert await peer.response() is None
    assert len(scene.told("hms", "MALFORMED")) == 1
    assert await is_served(scene)


@virtual_time
async def test_endless_chunks_are_refused_at_the_bound() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"<" * 0x10000 + b"\r\n"
    sent = await send_until_refused(peer, chunk)

    assert sent < 2 * LIMITS.body_octets
    assert len(scene.told("hms", "MALFORMED")) == 1
    assert await is_served(scene)


@virtual_time
async def test_one_octet_a_second_holds_up_nobody_and_is_given_up() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    for octet in HEAD[:5]:
        await peer.stream.send(bytes([octet]))
        assert await is_served(scene)
        await asyncio.sleep(1)
    await asyncio.sleep(LIMITS.message_within_s)
    response = await peer.response()

    assert isinstance(response, Response)
    assert response.status == 408
    assert "did not send a whole request" in scene.told("hms", "REFUSED")[-1]["cause"]


@virtual_time
async def test_silent_peer_is_given_up() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)

    assert await peer.response(LIMITS.idle_within_s + 1) is None
    assert "did not send any request" in scene.told("hms", "REFUSED")[-1]["cause"]


@virtual_time
async def test_a_thousand_silent_connections_do_not_keep_the_next_one_out() -> None:
    scene = await Scene().start()
    silent = [await Peer.at(scene.stranger) for _ in range(1000)]
    served = await is_served(scene)

    assert served
    causes = [each["cause"] for each in scene.told("hms", "REFUSED")]
    assert causes.count("more than 512 connections are open") == 1001 - LIMITS.connections
    with pytest.raises(ConnectionError):
        await silent[0].stream.receive()


@virtual_time
async def test_peer_that_does_not_read_is_given_up() -> None:
    scene = await Scene().start()
    deaf = await Peer.at(scene.stranger)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    await send_until_refused(deaf, request * 1000)

    assert "did not read a response" in scene.told("hms", "REFUSED")[-1]["cause"]
    assert await is_served(scene)


@virtual_time
async def test_requests_behind_one_another_are_answered_in_order() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    first = b"GET /acs HTTP/1.1\r\nHost: x\r\n\r\n"
    second = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    await peer.stream.send(first + second)

    assert [(await peer.response()).status, (await peer.response()).status] == [405, 404]


@virtual_time
async def test_continue_is_sent_to_who_waits_for_it() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    body = inform().encode()
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    await peer.stream.send(head)
    interim = await peer.response()
    await peer.stream.send(body)

    assert interim.status == 100
    assert (await peer.response()).status == 200


@virtual_time
async def test_old_http_ends_with_the_connection() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(b"GET /acs HTTP/1.0\r\n\r\n")

    assert (await peer.response()).status == 405
    assert await peer.response() is None


@virtual_time
async def test_power_off_resets_what_is_open() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await asyncio.sleep(1)
    scene.hms.stop()
    with pytest.raises(ConnectionError):
        await peer.stream.receive()
    with pytest.raises(ConnectionRefusedError):
        await Peer.at(scene.stranger)

    assert scene.network.owner(HMS) is not None
