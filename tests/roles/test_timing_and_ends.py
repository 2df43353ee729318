"""Faults of timing and of half-closed connections: what they do, and that HNB and HMS bear it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from testbed.faults import load_faults, put_on
from testbed.protocols import dns
from testbed.roles.dns_server import DnsServer
from testbed.roles.resolve import resolve
from testbed.roles.role import Role
from testbed.topology import Link, Node
from tests.fake_host import FakeNetwork
from tests.fake_streams import FakeStream
from tests.roles.cwmp_scene import PORT, Scene
from tests.virtual_time import virtual_time


def spoil(role: Role, name: str) -> None:
    put_on(load_faults()[name], role)


class Watched:
    """Notes what the HNB does with its streams to the HMS."""

    def __init__(self, scene: Scene) -> None:
        self.streams: list[FakeStream] = []
        self.finished = 0
        self.sent: list[tuple[float, bytes]] = []
        connect, home = scene.home.connect, scene.home

        async def connected(*arguments: Any, **options: Any) -> FakeStream:
            stream = await connect(*arguments, **options)
            self.streams.append(stream)
            send, finish = stream.send, stream.finish

            async def noted(data: bytes) -> None:
                self.sent.append((home.now(), data))
                await send(data)

            async def ended() -> None:
                self.finished += 1
                await finish()

            stream.send, stream.finish = noted, ended  # type: ignore[method-assign]
            return stream

        home.connect = connected  # type: ignore[method-assign]


@virtual_time
async def test_a_slow_body_comes_in_three_parts_and_is_served() -> None:
    scene = Scene()
    spoil(scene.hnb, "http.slow-body")
    watched = Watched(scene)
    await scene.discovered()

    (at, head), (later, half), (latest, rest) = watched.sent[:3]
    assert head.endswith(b"\r\n\r\n")
    assert (half + rest).endswith(b"Envelope>\n")
    assert later - at == pytest.approx(0.1)
    assert latest - later == pytest.approx(0.1)


@virtual_time
async def test_a_half_closed_connection_is_answered_and_each_request_takes_another() -> None:
    scene = Scene()
    spoil(scene.hnb, "http.half-close-after-request")
    watched = Watched(scene)
    await scene.discovered()

    requests = sum(data.startswith(b"POST") for _, data in watched.sent)
    assert requests == watched.finished == len(watched.streams) > 4
    assert scene.told("hnb", "SESSION_FAILED") == []
    assert scene.told("hms", "STREAM_BROKEN") == []


@virtual_time
async def test_a_server_that_sends_no_more_is_left_for_another_connection() -> None:
    scene = Scene()
    spoil(scene.hms, "http.half-close-after-response")
    watched = Watched(scene)
    await scene.discovered()

    sessions = 2
    assert len(watched.streams) > sessions
    assert scene.told("hnb", "SESSION_FAILED") == []


@virtual_time
async def test_a_half_closed_connection_that_the_client_leaves_alone_is_closed_in_time() -> None:
    scene = Scene()
    spoil(scene.hms, "http.half-close-after-response")
    await scene.start()
    stream = await scene.stranger.connect(PORT)
    await stream.send(b"GET / HTTP/1.1\r\nHost: hms\r\n\r\n")
    while await stream.receive():
        pass
    still_open = len(scene.hms._server._open)
    await asyncio.sleep(scene.hms._server.limits.idle_within_s + 1)

    assert (still_open, len(scene.hms._server._open)) == (1, 0)


@virtual_time
async def test_a_late_response_is_waited_for() -> None:
    scene = Scene()
    spoil(scene.hms, "cwmp.late-response")
    await scene.start()
    begun = scene.home.now()
    await scene.boot()
    await scene.until("hnb", "DISCOVERED")

    assert 1.0 < scene.home.now() - begun < 1.5
    assert scene.told("hnb", "SESSION_FAILED") == []


@virtual_time
async def test_an_impatient_hnb_gives_up_what_comes_late() -> None:
    scene = Scene()
    spoil(scene.hms, "cwmp.late-response")
    scene.hnb.set_policy(answer_within_s=0.5)
    await scene.start()
    await scene.boot()
    failed = await scene.until("hnb", "SESSION_FAILED")

    assert "did not answer within 0.5 s" in failed["cause"]


@virtual_time
async def test_answers_out_of_order_are_refused_with_the_reason() -> None:
    scene = Scene()
    spoil(scene.hnb, "cwmp.answers-out-of-order")
    await scene.start()
    await scene.boot()
    refused = await scene.until("hms", "REFUSED")

    assert "was answered by GetParameterValuesResponse, not SetParameter" in refused["cause"]


@virtual_time
async def test_a_late_answer_is_taken_for_the_question_that_was_asked_again() -> None:
    network = FakeNetwork()
    net = Link("net", "203.0.113.0/24")
    node = Node(
        *("outer_dns", "dns_server", (net.at(53),)),
        settings={"zone": "hms.example. 60 IN A 203.0.113.20\n", "origin": "example"},
    )
    server = DnsServer(network.host(node), node)
    spoil(server, "dns.late-answer")
    await server.start()
    asking = network.host(Node("hnb", "hnb", (net.at(10),)))
    found = await resolve(asking, ["203.0.113.53"], "hms.example")

    questions = [each for each in network.sent if each.destination.port == dns.PORT]
    assert isinstance(found, dns.Resolved)
    assert found.addresses == ("203.0.113.20",)
    assert len(questions) == 2
