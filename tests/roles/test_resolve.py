import asyncio

import pytest

from testbed.host import Mend
from testbed.protocols import dns
from testbed.protocols.wire import Endpoint
from testbed.roles.resolve import resolve
from tests.fake_host import Datagram
from tests.roles.dns_scene import POLICY, SEGW, Scene
from tests.virtual_time import virtual_time

SERVER = "203.0.113.53"


def queries(scene: Scene) -> list[Datagram]:
    return [each for each in scene.network.sent if each.destination.port == dns.PORT]


@virtual_time
async def test_name_is_resolved_at_the_server() -> None:
    scene = await Scene().start()
    resolution = await resolve(scene.hnb, [SERVER], SEGW)

    assert isinstance(resolution, dns.Resolved)
    assert resolution.addresses == ("203.0.113.50",)
    assert scene.hnb.ports == []


@virtual_time
async def test_each_query_has_a_port_of_its_own() -> None:
    scene = await Scene().start()
    for _ in range(20):
        await resolve(scene.hnb, [SERVER], SEGW)
    ports = [each.source.port for each in queries(scene)]

    assert len(set(ports)) == 20
    assert min(ports) >= 49152


@pytest.mark.parametrize(
    ("name", "kind", "address"),
    [
        ("203.0.113.9", "A", "203.0.113.9"),
        ("2001:DB8::1", "AAAA", "2001:db8::1"),
        ("Known.example.", "A", "10.0.0.1"),
    ],
    ids=["ipv4", "ipv6", "hosts-file"],
)
@virtual_time
async def test_what_is_known_needs_no_query(name: str, kind: str, address: str) -> None:
    scene = Scene()
    scene.hnb.names["known.example"] = "10.0.0.1"
    resolution = await resolve(scene.hnb, [SERVER], name, kind)

    assert isinstance(resolution, dns.Resolved)
    assert resolution.addresses == (address,)
    assert scene.network.sent == []


@virtual_time
async def test_hosts_file_says_nothing_of_another_kind() -> None:
    scene = await Scene().start()
    scene.hnb.names[SEGW] = "10.0.0.1"
    resolution = await resolve(scene.hnb, [SERVER], SEGW, "AAAA")

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == "NO_DATA"


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("silent", "TIMEOUT"),
        ("malformed", "TIMEOUT"),
        ("servfail", "SERVFAIL"),
        ("refused", "REFUSED"),
        ("nxdomain", "NXDOMAIN"),
    ],
)
@virtual_time
async def test_failures_have_causes_of_their_own(how: dns.Misbehaviour, cause: str) -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, how)
    resolution = await resolve(scene.hnb, [SERVER], SEGW, policy=POLICY)

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == cause
    assert scene.hnb.told_names() == (["MALFORMED"] * 2 if how == "malformed" else [])


@virtual_time
async def test_lost_query_is_repeated() -> None:
    scene = await Scene().start()
    scene.network.lose = lambda datagram: len(scene.network.sent) == 1
    started = scene.hnb.now()
    resolution = await resolve(scene.hnb, [SERVER], SEGW, policy=POLICY)

    assert isinstance(resolution, dns.Resolved)
    assert 2.0 <= scene.hnb.now() - started < 2.1


@virtual_time
async def test_truncated_answer_is_fetched_by_tcp() -> None:
    scene = await Scene().start()
    for number in range(100):
        scene.zone.add("big.operator.example", "A", f"10.0.0.{number}")
    resolution = await resolve(scene.hnb, [SERVER], "big.operator.example")

    assert isinstance(resolution, dns.Resolved)
    assert len(resolution.addresses) == 100
    assert len(queries(scene)) == 1


@virtual_time
async def test_truncated_answer_without_a_tcp_server_fails() -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, "truncate")
    for listener in list(scene.outer.listeners):
        listener.close()
    resolution = await resolve(scene.hnb, [SERVER], SEGW)

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == "STREAM"


@pytest.mark.parametrize("how", ["silent", "closes", "half"])
@virtual_time
async def test_tcp_server_that_gives_no_answer_is_given_up_in_time(how: str) -> None:
    scene = Scene()
    scene.zone.misbehave(SEGW, "truncate")
    local = Endpoint(SERVER, 53)
    await scene.outer.datagrams(local, scene.server._by_datagram)
    scene.server._port = scene.outer.ports[0]

    async def serve(stream) -> None:  # type: ignore[no-untyped-def]  # a fake stream
        await stream.receive()
        if how == "half":
            await stream.send(b"\0\x50half")
        if how == "closes":
            await stream.close()
        await asyncio.sleep(60)

    await scene.outer.listen(local, serve)
    started = scene.hnb.now()
    resolution = await resolve(scene.hnb, [SERVER], SEGW, policy=POLICY)

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == "STREAM"
    assert scene.hnb.now() - started < (0.1 if how == "closes" else 5.1)


@virtual_time
async def test_next_server_is_asked_when_the_first_is_silent() -> None:
    scene = await Scene().start()
    resolution = await resolve(scene.hnb, ["203.0.113.99", SERVER], SEGW, policy=POLICY)

    assert isinstance(resolution, dns.Resolved)
    assert resolution.server == Endpoint(SERVER, 53)


@virtual_time
async def test_forged_answer_is_told_and_not_taken() -> None:
    scene = await Scene().start()

    def forge(datagram: Datagram) -> bool:
        if datagram.destination.port == dns.PORT:
            asked = dns.decode(datagram.data)
            assert isinstance(asked, dns.Query)
            bad = dns.answer(asked, [dns.record(SEGW, "A", "6.6.6.6")])
            forged = bad.with_identifier(asked.identifier ^ 1).encode()
            scene.network.inject(forged, datagram.destination, datagram.source)
            scene.network.inject(bad.encode(), Endpoint("203.0.113.66", 53), datagram.source)
        return False

    scene.network.lose = forge
    resolution = await resolve(scene.hnb, [SERVER], SEGW)

    assert isinstance(resolution, dns.Resolved)
    assert resolution.addresses == ("203.0.113.50",)
    assert scene.hnb.told_names() == ["UNEXPECTED", "UNEXPECTED"]


@virtual_time
async def test_faults_change_what_the_resolver_sends() -> None:
    scene = await Scene().start()
    mend: Mend[dns.Query] = Mend(octets=[lambda data, to: [data[:20]]])
    resolution = await resolve(scene.hnb, [SERVER], SEGW, mend=mend)

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == "FORMERR"
    assert scene.outer.told_names() == ["MALFORMED"]


@virtual_time
async def test_cancelled_resolution_leaves_no_port_behind() -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, "silent")
    task = asyncio.create_task(resolve(scene.hnb, [SERVER], SEGW))
    await asyncio.sleep(1)
    assert len(scene.hnb.ports) == 1
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert task.cancelled()
    assert scene.hnb.ports == []


@virtual_time
async def test_name_that_is_none_fails_without_a_query() -> None:
    scene = Scene()
    resolution = await resolve(scene.hnb, [SERVER], "no..name")

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == "BAD_NAME"
    assert scene.network.sent == []
