import asyncio

import pytest

from testbed.errors import BadInput, DecodeError
from testbed.protocols import dns
from testbed.protocols.dns.build import query
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_server import DnsServer
from testbed.roles.dns_streams import StreamLimits
from tests.roles.dns_scene import SEGW, Asker, Scene
from tests.virtual_time import virtual_time

SERVER = Endpoint("203.0.113.53", 53)
LOOP = bytes.fromhex("0009010000010000 0000 0000 c00c 0001 0001".replace(" ", ""))


@virtual_time
async def test_server_answers_at_the_address_that_was_asked() -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW, "A", 5).encode())
    await asyncio.sleep(1)

    [(data, source)] = asker.received
    assert source == SERVER
    answer = dns.decode(data)
    assert isinstance(answer, dns.Answer)
    assert (answer.identifier, answer.address, answer.authoritative) == (5, ("203.0.113.50",), True)
    assert not answer.recursion_available


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        (SEGW, "A", "NOERROR"),
        (SEGW, "TXT", "NOERROR"),
        ("missing.operator.example", "A", "NXDOMAIN"),
        ("other.example", "A", "REFUSED"),
    ],
)
@virtual_time
async def test_codes_are_those_of_the_zone(name: str, kind: str, code: str) -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    asker.send(query(name, kind).encode())
    await asyncio.sleep(1)

    [answer] = asker.answers()
    assert answer.code == code
    assert [each.kind for each in answer.authorities] == (
        ["SOA"] if name.endswith("operator.example") and not answer.answers else []
    )


@pytest.mark.parametrize(
    ("how", "summary"),
    [
        ("servfail", f"DNS A {SEGW} SERVFAIL"),
        ("nxdomain", f"DNS A {SEGW} NXDOMAIN"),
        ("refused", f"DNS A {SEGW} REFUSED"),
        ("truncate", f"DNS A {SEGW} = nothing (truncated)"),
    ],
)
@virtual_time
async def test_server_misbehaves_as_told_and_behaves_again(
    how: dns.Misbehaviour, summary: str
) -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    scene.server.zone_for(SEGW).misbehave(SEGW, how)
    asker.send(query(SEGW).encode())
    await asyncio.sleep(1)
    scene.server.zone_for(SEGW).behave(SEGW)
    asker.send(query(SEGW).encode())
    await asyncio.sleep(1)

    assert [each.summary() for each in asker.answers()] == [
        summary,
        f"DNS A {SEGW} = 203.0.113.50",
    ]


@virtual_time
async def test_silent_name_gets_no_answer_and_others_do() -> None:
    scene = await Scene().start()
    scene.zone.add("hms.operator.example", "A", "203.0.113.20")
    scene.zone.misbehave(SEGW, "silent")
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW).encode())
    asker.send(query("hms.operator.example").encode())
    await asyncio.sleep(1)

    assert [each.name for each in asker.answers()] == ["hms.operator.example"]


@virtual_time
async def test_malformed_answer_has_the_right_head_and_cannot_be_cut() -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, "malformed")
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW, "A", 77).encode())
    await asyncio.sleep(1)

    [(data, _)] = asker.received
    assert data[:2] == (77).to_bytes(2, "big")
    with pytest.raises(DecodeError, match="has a pointer at offset 39 to offset 39"):
        dns.decode(data)


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (LOOP, ["FORMERR", "NOERROR"]),
        (query(SEGW).encode()[:20], ["FORMERR", "NOERROR"]),
        (b"\0\1\1\0" + b"\xff" * 65000, ["FORMERR", "NOERROR"]),
        (b"\0\1", ["NOERROR"]),
        (b"", ["NOERROR"]),
    ],
    ids=["loop", "short", "giant", "no-header", "empty"],
)
@virtual_time
async def test_malformed_query_is_told_and_the_next_one_is_served_at_once(
    data: bytes, codes: list[str]
) -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    asker.send(data)
    asker.send(query(SEGW).encode())
    await asyncio.sleep(0.01)

    assert [each.code for each in asker.answers()] == codes
    [told] = scene.outer.told
    assert told.name == "MALFORMED"
    assert told.fields["error"].startswith("DNS message")
    assert told.fields["source"].startswith("192.168.1.10:")


@virtual_time
async def test_answers_sent_to_the_server_are_told_and_not_answered() -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    asker.send(dns.answer(query(SEGW)).encode())
    await asyncio.sleep(1)

    assert asker.received == []
    assert scene.outer.told_names() == ["UNEXPECTED"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[:2] + b"\x28" + data[3:], "NOTIMP"),
        (lambda data: data[:5] + b"\0" + data[6:12], "FORMERR"),
        (lambda data: data[:-1] + b"\3", "REFUSED"),
        (
            lambda data: data[:11] + b"\1" + data[12:] + b"\0\0\x29\x10\0\0\1\0\0\0\0",
            "BADVERS",
        ),
    ],
    ids=["update", "no-question", "chaos-class", "edns-version-1"],
)
@virtual_time
async def test_queries_it_cannot_serve_get_their_code(change, code: str) -> None:  # type: ignore[no-untyped-def]  # a lambda
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    asker.send(change(query(SEGW).encode()))
    await asyncio.sleep(1)

    assert [each.code for each in asker.answers()] == [code]


def fill(scene: Scene, count: int) -> None:
    for number in range(count):
        scene.zone.add("big.operator.example", "A", f"10.0.{number // 250}.{number % 250}")


@pytest.mark.parametrize(
    ("udp_octets", "records", "truncated"),
    [(None, 29, False), (None, 30, True), (4096, 70, False), (4096, 100, True), (100, 30, True)],
)
@virtual_time
async def test_answers_that_do_not_fit_are_truncated(
    udp_octets: int | None, records: int, truncated: bool
) -> None:
    """512 octets without EDNS, then what the query says, but never more than 1232."""
    scene = await Scene().start()
    fill(scene, records)
    asker = await Asker(scene.hnb).open()
    asker.send(query("big.operator.example", udp_octets=udp_octets).encode())
    await asyncio.sleep(1)

    [answer] = asker.answers()
    assert answer.truncated == truncated
    assert len(answer.addresses) == (0 if truncated else records)


@virtual_time
async def test_stream_carries_what_does_not_fit_a_datagram() -> None:
    scene = await Scene().start()
    fill(scene, 3000)
    scene.zone.misbehave("big.operator.example", "truncate")
    stream = await scene.hnb.connect(SERVER)
    await stream.send(dns.frame(query("big.operator.example").encode()))
    frames = dns.Frames()
    messages: list[bytes] = []
    while not messages:
        messages = frames.feed(await stream.receive())
    answer = dns.decode(messages[0])

    assert isinstance(answer, dns.Answer)
    assert len(answer.addresses) == 3000
    assert not answer.truncated


async def ask_by_stream(scene: Scene, data: bytes, answers: int) -> list[str]:
    """Send octets by TCP; the summaries of so many answers."""
    stream = await scene.hnb.connect(SERVER)
    await stream.send(data)
    frames = dns.Frames()
    found: list[str] = []
    while len(found) < answers:
        octets = await stream.receive()
        assert octets, f"closed after {found}"
        found += [dns.decode(each).summary() for each in frames.feed(octets)]
    await stream.close()
    return found


@virtual_time
async def test_several_queries_on_one_stream_are_answered_in_order() -> None:
    scene = await Scene().start()
    scene.zone.misbehave("silent.operator.example", "silent")
    names = [SEGW, "silent.operator.example", "missing.operator.example"]
    data = b"".join(dns.frame(query(name).encode()) for name in names)

    assert await ask_by_stream(scene, data, 2) == [
        f"DNS A {SEGW} = 203.0.113.50",
        "DNS A missing.operator.example NXDOMAIN",
    ]


@virtual_time
async def test_malformed_message_on_a_stream_is_told_and_the_next_one_is_served() -> None:
    scene = await Scene().start()
    data = dns.frame(LOOP) + dns.frame(b"") + dns.frame(query(SEGW).encode())

    assert await ask_by_stream(scene, data, 2) == [
        "DNS message without question FORMERR",
        f"DNS A {SEGW} = 203.0.113.50",
    ]
    assert scene.outer.told_names() == ["MALFORMED", "MALFORMED"]


LIMITS = StreamLimits(message_s=10.0, send_s=10.0, connections=5)


@pytest.mark.parametrize("sends", [b"", b"\0", b"\xff\xff" + bytes(100)])
@virtual_time
async def test_a_peer_that_stays_silent_is_cut_off_and_holds_up_nobody(sends: bytes) -> None:
    scene = await Scene(LIMITS).start()
    silent = await scene.hnb.connect(SERVER)
    await silent.send(sends)
    started = scene.hnb.now()
    await ask_by_stream(scene, dns.frame(query(SEGW).encode()), 1)
    assert scene.hnb.now() - started < 0.1

    with pytest.raises(ConnectionError):
        await silent.receive()
    assert 9.9 < scene.hnb.now() - started < 10.1


@virtual_time
async def test_a_peer_that_sends_octet_by_octet_is_cut_off_as_well() -> None:
    scene = await Scene(LIMITS).start()
    slow = await scene.hnb.connect(SERVER)
    started = scene.hnb.now()

    async def trickle() -> None:
        for octet in dns.frame(query(SEGW).encode()):
            await slow.send(bytes([octet]))
            await asyncio.sleep(1)

    with pytest.raises(ConnectionError):
        await trickle()
    assert scene.hnb.now() - started < 12


@virtual_time
async def test_a_peer_that_does_not_read_is_cut_off() -> None:
    scene = await Scene(LIMITS).start()
    fill(scene, 3500)
    greedy = await scene.hnb.connect(SERVER)
    started = scene.hnb.now()
    await greedy.send(dns.frame(query("big.operator.example").encode()) * 10)
    await asyncio.sleep(9)
    assert await ask_by_stream(scene, dns.frame(query(SEGW).encode()), 1)
    await asyncio.sleep(20)

    with pytest.raises(ConnectionError):
        await greedy.receive()
    assert scene.server._streams.connections == 0
    assert scene.hnb.now() - started < 40


@virtual_time
async def test_a_thousand_silent_peers_hold_up_nobody() -> None:
    scene = await Scene(LIMITS).start()
    peers = [await scene.hnb.connect(SERVER) for _ in range(1000)]
    started = scene.hnb.now()
    assert scene.server._streams.connections == 5

    assert await ask_by_stream(scene, dns.frame(query(SEGW).encode()), 1)
    assert scene.hnb.now() - started < 0.1
    assert len(peers) == 1000


@virtual_time
async def test_reset_by_a_peer_is_nothing_to_the_server() -> None:
    scene = await Scene().start()
    peer = await scene.hnb.connect(SERVER)
    await peer.send(b"\0")
    peer.abort()
    await asyncio.sleep(1)

    assert scene.server._streams.connections == 0
    assert await ask_by_stream(scene, dns.frame(query(SEGW).encode()), 1)


@virtual_time
async def test_names_outside_the_zones_go_to_the_forwarder() -> None:
    scene = await Scene().start()
    other = DnsServer(scene.stranger, scene.stranger.node, forwarders=[SERVER])
    other.publish("ours.core.example", "10.10.0.20")
    await other.start()
    asker = await Asker(scene.hnb).open()
    for name in (SEGW, "ours.core.example"):
        asker.send(query(name, "A", 3).encode(), "203.0.113.66")
    asker.send(query(SEGW, recursion_desired=False).encode(), "203.0.113.66")
    await asyncio.sleep(1)
    told = {(each.name, each.code, each.address) for each in asker.answers()}

    assert told == {
        (SEGW, "NOERROR", ("203.0.113.50",)),
        (SEGW, "REFUSED", ()),
        ("ours.core.example", "NOERROR", ("10.10.0.20",)),
    }


@virtual_time
async def test_published_names_get_a_zone_of_their_own() -> None:
    scene = Scene()
    scene.server.publish("HMS.core.example.", "10.10.0.20")
    scene.server.publish("hms.core.example", "2001:db8::20")

    assert [zone.origin for zone in scene.server.zones] == ["operator.example", "core.example"]
    found = scene.server.zone_for("hms.core.example").find("hms.core.example", "ANY")
    assert [each.kind for each in found.answers] == ["A", "AAAA"]
    with pytest.raises(BadInput, match="is in none of its zones"):
        scene.server.zone_for("other.example")


@virtual_time
async def test_faults_change_what_the_server_sends() -> None:
    scene = await Scene().start()
    scene.server.mend.message.append(lambda answer, to: [answer.with_identifier(1)])
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW, "A", 2).encode())
    await asyncio.sleep(1)

    assert [each.identifier for each in asker.answers()] == [1]


@virtual_time
async def test_stopped_server_answers_no_more_and_may_start_again() -> None:
    scene = await Scene().start()
    peer = await scene.hnb.connect(SERVER)
    scene.server.stop()
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW).encode())
    await asyncio.sleep(1)
    assert asker.received == []
    with pytest.raises(ConnectionRefusedError):
        await scene.hnb.connect(SERVER)
    with pytest.raises(ConnectionError):
        await peer.receive()

    await scene.server.start()
    asker.send(query(SEGW).encode())
    await asyncio.sleep(1)
    assert len(asker.received) == 1
