"""What an HMS bears while others misbehave at its port: each is bounded, the next one is served."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.over_http import envelope_in
from testbed.protocols.http import Response
from testbed.roles.hms import LIMITS, MOST_INFORM_OCTETS
from testbed.roles.http_server import AT_A_TIME_OCTETS, HttpLimits, HttpServer
from tests.roles.cwmp_scene import PORT, Peer, Scene, inform, is_served
from tests.virtual_time import virtual_time

HEAD = b"POST /acs HTTP/1.1\r\nHost: hms\r\n"
GIGABYTE = 1_000_000_000
QUICK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def posting(body: bytes, *more: bytes) -> bytes:
    lines = b"".join(each + b"\r\n" for each in more)
    return HEAD + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


INFORM = inform("good").encode()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


async def open_to_all() -> Scene:
    """A scene whose HMS welcomes every Inform."""
    scene = await Scene().start()
    scene.hms.assignments.clear()
    return scene


async def flood(peer: Peer, octets: bytes) -> int:
    """Send these octets again and again, until nobody takes them; how many were taken."""
    sent = 0
    try:
        while True:
            await peer.stream.send(octets)
            sent += len(octets)
    except ConnectionError:
        return sent


async def all_responses(peer: Peer) -> list[int]:
    """The status of everything that comes before the connection ends, however that is."""
    statuses = []
    try:
        while (response := await peer.response(within_s=200)) is not None:
            assert isinstance(response, Response)
            statuses.append(response.status)
    except ConnectionError:
        pass
    return statuses


REFUSED = {
    "two-lengths": (
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SMUGGLED,
        "Content-Length",
    ),
    "lengths-in-one-line": (
        HEAD + b"Content-Length: 5, 6\r\n\r\nhello" + SMUGGLED,
        "Content-Length",
    ),
    "negative-length": (HEAD + b"Content-Length: -1\r\n\r\n" + SMUGGLED, "Content-Length"),
    "length-with-a-sign": (HEAD + b"Content-Length: +5\r\n\r\nhello", "Content-Length"),
    "length-beyond-any-number": (HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", ""),
    "chunk-longer-than-it-says": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
        "",
    ),
    "chunk-of-negative-length": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        "",
    ),
    "chunk-of-a-gigabyte-of-digits": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
        "",
    ),
    "unknown-transfer-coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
    "chunked-twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ""),
    "bare-cr-in-a-header": (HEAD + b"X: a\rSmuggled: b\r\n\r\n", ""),
    "bare-cr-as-line-end": (b"POST /acs HTTP/1.1\rHost: hms\r\r", None),
    "nul-in-a-header": (HEAD + b"X: a\0b\r\n\r\n", ""),
    "blank-before-the-colon": (HEAD + b"Content-Length : 5\r\n\r\nhello", ""),
    "no-host": (b"POST /acs HTTP/1.1\r\n\r\n", "Host"),
    "two-hosts": (HEAD + b"Host: other\r\n\r\n", "Host"),
    "blank-in-the-target": (b"POST /acs /other HTTP/1.1\r\nHost: hms\r\n\r\n", ""),
    "octet-beyond-ascii-in-the-method": (b"P\xd6ST /acs HTTP/1.1\r\nHost: hms\r\n\r\n", ""),
    "tls-at-a-clear-port": (bytes.fromhex("160301020001000303") + bytes(500) + b"\r\n\r\n", ""),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version 2.0"),
}


@pytest.mark.parametrize(("octets", "says"), REFUSED.values(), ids=REFUSED)
@virtual_time
async def test_what_two_readers_could_cut_differently_is_not_cut_at_all(
    octets: bytes, says: str | None
) -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(octets)
    statuses = await all_responses(peer)
    told = [*scene.told("hms", "MALFORMED"), *scene.told("hms", "REFUSED")]

    assert len(statuses) == 1
    assert statuses[0] in ((408,) if says is None else (400, 413, 431, 501, 505))
    assert len(told) == 1
    assert told[0]["source"] == str(peer.stream.local)
    assert (says or "") in str(told[0])
    assert await is_served(scene)


BODIES = {
    "invalid-utf-8-in-a-value": INFORM.replace(b">good<", b">g\xc3\x28d<"),
    "overlong-utf-8": INFORM.replace(b">good<", b">g\xc0\xafd<"),
    "lone-surrogate": INFORM.replace(b">good<", b">g\xed\xa0\x80d<"),
    "control-character-0x02": INFORM.replace(b">good<", b">g\x02d<"),
    "control-character-as-reference": INFORM.replace(b">good<", b">g&#2;d<"),
    "nul-in-a-value": INFORM.replace(b">good<", b">g\0d<"),
    "unknown-encoding": b'<?xml version="1.0" encoding="EBCDIC-X"?><a/>',
    "cut-off-in-the-middle": INFORM[: len(INFORM) // 2],
    "two-documents": INFORM + INFORM,
    "entity-bomb": b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;&b;&b;</l>',
    "external-entity": b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l>&a;</l>',
    "deep-nesting": b"<a>" * 50_000,
    "web-page": b"<!DOCTYPE html><html><body>login</body></html>",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@virtual_time
async def test_body_that_is_no_envelope_is_refused_and_named(body: bytes) -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(posting(body))
    statuses = await all_responses(peer)
    (told,) = scene.told("hms", "MALFORMED")

    assert statuses == [400]
    assert told["protocol"] == "CWMP"
    assert told["source"] == str(peer.stream.local)
    assert scene.hms.devices == {}
    assert await is_served(scene)


@virtual_time
async def test_gzip_unasked_is_415() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(posting(b"\x1f\x8b\x08", b"Content-Encoding: gzip"))

    assert await all_responses(peer) == [415]
    assert "Content-Encoding 'gzip' is not read" in scene.told("hms", "MALFORMED")[0]["error"]


@virtual_time
async def test_gigabyte_that_is_announced_and_sent_is_not_taken() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(HEAD + b"Content-Length: %d\r\n\r\n" % GIGABYTE)
    reading = asyncio.ensure_future(all_responses(peer))
    taken = await flood(peer, bytes(AT_A_TIME_OCTETS))

    assert await reading == [413]
    assert taken < 10 * AT_A_TIME_OCTETS
    assert "Content-Length says 1000000000" in scene.told("hms", "MALFORMED")[0]["error"]
    assert await is_served(scene)


@virtual_time
async def test_headers_without_end_are_refused_at_the_bound() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(HEAD)
    reading = asyncio.ensure_future(all_responses(peer))
    taken = await flood(peer, b"X-Header: value\r\n" * 100)

    assert await reading == [431]
    assert taken < 10 * LIMITS.head_octets
    assert await is_served(scene)


async def drip(peer: Peer, octets: bytes) -> None:
    try:
        for octet in octets:
            await peer.stream.send(bytes([octet]))
            await asyncio.sleep(1)
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    "beginning", [b"", HEAD, HEAD + b"Content-Length: 500\r\n\r\n"], ids=["line", "head", "body"]
)
@virtual_time
async def test_one_octet_a_second_ends_at_the_bound_wherever_it_begins(beginning: bytes) -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    before = scene.stranger.now()
    await peer.stream.send(beginning or b"P")
    dripping = asyncio.ensure_future(drip(peer, b"OST /acs HTTP/1.1 and on and on and on"))
    statuses = await all_responses(peer)
    took = scene.stranger.now() - before
    await dripping

    assert statuses == [408]
    assert took == pytest.approx(LIMITS.message_within_s, abs=0.1)
    assert scene.told("hms", "REFUSED")[0]["source"] == str(peer.stream.local)


Hostile = Callable[[Peer], Awaitable[object]]


async def stays_silent(peer: Peer) -> None:
    """Connects and says nothing."""


async def stops_in_the_head(peer: Peer) -> None:
    await peer.stream.send(HEAD + b"X: ")


async def stops_in_the_body(peer: Peer) -> None:
    await peer.stream.send(HEAD + b"Content-Length: 60000\r\n\r\n" + b"<" * 15_000)


async def reads_nothing(peer: Peer) -> None:
    for _ in range(30):
        await peer.stream.send(QUICK * 50)


async def closes_its_half(peer: Peer) -> None:
    await peer.stream.send(HEAD)
    await peer.stream.close()


@pytest.mark.parametrize(
    ("misbehave", "others", "connections"),
    [
        (stays_silent, 1000, LIMITS.connections),
        (stops_in_the_head, 1000, LIMITS.connections),
        (stops_in_the_body, 1000, LIMITS.connections),
        (closes_its_half, 1000, LIMITS.connections),
        (reads_nothing, 8, 4),
    ],
    ids=["silent", "stop-in-head", "stop-in-body", "close-their-half", "read-nothing"],
)
@virtual_time
async def test_a_session_comes_to_its_end_while_many_others_misbehave(
    misbehave: Hostile, others: int, connections: int
) -> None:
    scene = await open_to_all()
    scene.hms._server.limits = dataclasses.replace(LIMITS, connections=connections)
    patience = min(LIMITS.message_within_s, LIMITS.send_within_s, LIMITS.idle_within_s)
    before = scene.stranger.now()
    for number in range(others):
        await misbehave(await Peer.at(scene.stranger))
        if number % (others // 4) == 0:
            assert await is_served(scene)
    peer = await Peer.at(scene.home)
    first = await peer.ask(inform())
    cookie = (first.header("Set-Cookie") or "").partition(";")[0]
    last = await peer.ask(None, ("Cookie", cookie))

    assert first.status == 200
    assert last.status == 204
    assert scene.stranger.now() - before < patience, "the others were still there"
    assert len(scene.hms._server._open) <= connections
    assert scene.hms._server._held <= LIMITS.held_octets


@virtual_time
async def test_an_open_session_outlives_a_flood_of_silent_connections() -> None:
    scene = await open_to_all()
    call = scene.hms.call("7", rpc.GetRPCMethods())
    peer = await Peer.at(scene.home)
    first = await peer.ask(inform())
    for _ in range(LIMITS.connections - 1):
        await Peer.at(scene.stranger)
    cookie = (first.header("Set-Cookie") or "").partition(";")[0]
    second = await peer.ask(None, ("Cookie", cookie))
    for _ in range(LIMITS.connections - 1):
        await Peer.at(scene.stranger)
    await asyncio.sleep(1)

    assert second.status == 200
    assert not call.done()
    assert peer.stream.remote in {each.stream.local for each in scene.hms._server._open}
    assert str(peer.stream.local) not in {e["source"] for e in scene.told("hms", "REFUSED")}


@virtual_time
async def test_bodies_under_way_are_bounded_together() -> None:
    scene = await Scene().start()
    half = bytes(LIMITS.body_octets // 2)
    greedy = await Peer.at(scene.stranger)
    await greedy.stream.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + half + half[:10_000])
    for _ in range(2 * LIMITS.held_octets // LIMITS.body_octets):
        peer = await Peer.at(scene.stranger)
        await peer.stream.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + half)
    await asyncio.sleep(1)
    refusals = scene.told("hms", "REFUSED")

    assert refusals[0]["cause"] == "requests under way hold more than 8388608 octets"
    assert refusals[0]["source"] == str(greedy.stream.local)
    assert scene.hms._server._held <= LIMITS.held_octets
    assert await is_served(scene)


@virtual_time
async def test_what_is_held_is_forgotten_with_its_connection() -> None:
    scene = await Scene().start()
    for ends in (True, False):
        peer = await Peer.at(scene.stranger)
        await peer.stream.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(100_000))
        await asyncio.sleep(1)
        assert scene.hms._server._held > 100_000
        if ends:
            await peer.stream.close()
        else:
            peer.stream.abort()
        await asyncio.sleep(1)

    assert scene.hms._server._held == 0
    assert scene.hms._server._open == {}


@virtual_time
async def test_who_sends_a_thousand_requests_at_once_takes_turns_with_others() -> None:
    scene = Scene()
    order: list[str] = []

    async def noted(request: object, source: object) -> Response:
        order.append(str(source))
        return Response(status=405)

    server = HttpServer(scene.hms.host, noted, HttpLimits())
    await scene.hms.host.listen(PORT, server.serve)
    fast, slow = await Peer.at(scene.stranger), await Peer.at(scene.home)
    await asyncio.gather(fast.stream.send(QUICK * 1000), slow.stream.send(QUICK))
    await asyncio.sleep(1)

    assert len(order) == 1001
    assert order.index(str(slow.stream.local)) < 10


@virtual_time
async def test_a_request_behind_a_malformed_one_is_never_seen() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(posting(b"<broken") + posting(INFORM))

    assert await all_responses(peer) == [400]
    assert scene.hms.devices == {}


@virtual_time
async def test_a_whole_session_in_one_packet_is_answered_in_order() -> None:
    scene = await open_to_all()
    peer = await Peer.at(scene.stranger)
    await peer.stream.send(posting(INFORM) + posting(b""))
    first, second = await peer.response(), await peer.response()

    assert first.status == 200
    assert second.status == 400, "it has no cookie: it could not know one yet"
    assert "no session is open under this cookie" in scene.told("hms", "REFUSED")[0]["cause"]


@pytest.mark.parametrize(
    "cookie",
    ["", "session", "session=", "session=0000000000000000", "session=" + "x" * 4000, "a=\x80;;=;"],
    ids=["empty", "no-value", "empty-value", "unknown", "long", "odd-octets"],
)
@virtual_time
async def test_a_cookie_of_nobody_opens_nothing(cookie: str) -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    response = await peer.ask(None, ("Cookie", cookie))

    assert response.status == 400
    assert await is_served(scene)


@virtual_time
async def test_an_inform_under_the_cookie_of_a_session_that_is_over_begins_anew() -> None:
    scene = await open_to_all()
    peer = await Peer.at(scene.stranger)
    response = await peer.ask(inform(), ("Cookie", "session=0123456789abcdef"))

    assert response.status == 200
    assert "session=" in (response.header("Set-Cookie") or "")


@virtual_time
async def test_an_inform_that_is_too_large_to_keep_is_fault_8004() -> None:
    scene = await open_to_all()
    peer = await Peer.at(scene.stranger)
    response = await peer.ask(inform("large", **{"Device.X": "x" * MOST_INFORM_OCTETS}))
    answer = envelope_in(response)

    assert answer is not None
    assert isinstance(answer.message, rpc.Fault)
    assert answer.message.code == 8004
    assert "at most 131072 fit" in scene.told("hms", "REFUSED")[0]["cause"]
    assert scene.hms.devices == {}
    assert await is_served(scene)


@virtual_time
async def test_any_cut_and_any_change_of_an_inform_leaves_the_hms_well() -> None:
    scene = await Scene().start()
    whole = posting(INFORM)
    for place in range(0, len(whole), 23):
        for octet in (b"\0", b"<", b"\xff", b"\r\n", b""):
            peer = await Peer.at(scene.stranger)
            await peer.stream.send(whole[:place] + octet + whole[place + 1 :])
            await peer.stream.close()
    await asyncio.sleep(LIMITS.idle_within_s + LIMITS.message_within_s)

    assert await is_served(scene)
    assert scene.network.failures == []
    assert scene.hms._server._held == 0
