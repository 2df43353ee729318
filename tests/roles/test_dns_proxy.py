import asyncio

import pytest

from testbed.protocols import dns
from testbed.protocols.dns.build import query
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_forwarder import ForwardLimits
from testbed.roles.resolve import resolve
from tests.fake_host import Datagram
from tests.roles.dns_scene import POLICY, SEGW, Asker, Scene
from tests.virtual_time import virtual_time

PROXY = "192.168.1.1"
SERVER = Endpoint("203.0.113.53", 53)


def upstream(scene: Scene) -> list[Datagram]:
    return [each for each in scene.network.sent if each.destination == SERVER]


@virtual_time
async def test_name_is_resolved_through_the_proxy() -> None:
    scene = await Scene().start()
    resolution = await resolve(scene.hnb, [PROXY], SEGW)

    assert isinstance(resolution, dns.Resolved)
    assert resolution.addresses == ("203.0.113.50",)
    assert scene.proxy.forwarder.pending == 0
    assert len(scene.gateway.ports) == 1


@virtual_time
async def test_proxy_asks_with_its_own_identifier_and_port_and_changes_nothing_else() -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    data = query("SeGW.operator.example", "A", 7, udp_octets=4096).encode()
    for _ in range(10):
        asker.send(data, PROXY)
        await asyncio.sleep(1)
    sent = upstream(scene)

    assert {each.data[2:] for each in sent} == {data[2:]}
    assert len({each.source.port for each in sent}) == 10
    assert len({each.data[:2] for each in sent}) == 10
    assert {each.source.address for each in sent} == {"203.0.113.2"}
    assert [each.identifier for each in asker.answers()] == [7] * 10
    assert {source for _, source in asker.received} == {Endpoint(PROXY, 53)}


@virtual_time
async def test_clients_with_the_same_identifier_and_question_get_their_own_answers() -> None:
    scene = await Scene().start()
    askers = [await Asker(scene.hnb).open() for _ in range(50)]
    for asker in askers:
        asker.send(query(SEGW, "A", 7).encode(), PROXY)
    await asyncio.sleep(1)

    assert [[each.address for each in asker.answers()] for asker in askers] == [
        [("203.0.113.50",)]
    ] * 50


@virtual_time
async def test_repetition_is_sent_again_from_the_same_port_and_answered_once() -> None:
    scene = await Scene().start()

    def is_first(datagram: Datagram) -> bool:
        return datagram.destination == SERVER and len(upstream(scene)) == 1

    scene.network.lose = is_first
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW, "A", 7).encode(), PROXY)
    await asyncio.sleep(1)
    asker.send(query(SEGW, "A", 7).encode(), PROXY)
    await asyncio.sleep(1)

    first, second = upstream(scene)
    assert (first.source, first.data) == (second.source, second.data)
    assert len(asker.received) == 1


@virtual_time
async def test_repetition_goes_to_the_next_server() -> None:
    scene = await Scene().start()
    scene.proxy.use(["203.0.113.99", "203.0.113.53"])
    resolution = await resolve(scene.hnb, [PROXY], SEGW, policy=POLICY)

    assert isinstance(resolution, dns.Resolved)


@virtual_time
async def test_unanswered_query_is_forgotten() -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, "silent")
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW).encode(), PROXY)
    await asyncio.sleep(1)
    assert scene.proxy.forwarder.pending == 1
    await asyncio.sleep(5)

    assert scene.proxy.forwarder.pending == 0
    assert len(scene.gateway.ports) == 1
    assert scene.gateway.told[-1].summary() == (
        f"NO_ANSWER query=DNS A {SEGW} ? servers=203.0.113.53:53"
    )


@virtual_time
async def test_table_is_bounded_and_serves_again_when_it_has_room() -> None:
    scene = Scene()
    scene.proxy.forwarder.limits = ForwardLimits(timeout_s=5.0, pending=10)
    await scene.start()
    scene.zone.misbehave("silent.operator.example", "silent")
    asker = await Asker(scene.hnb).open()
    for number in range(100):
        asker.send(query("silent.operator.example", "A", number).encode(), PROXY)
    await asyncio.sleep(1)
    assert (scene.proxy.forwarder.pending, len(upstream(scene))) == (10, 10)
    assert scene.gateway.told_names() == ["DROPPED"] * 90

    await asyncio.sleep(5)
    asker.send(query(SEGW).encode(), PROXY)
    await asyncio.sleep(1)
    assert [each.name for each in asker.answers()] == [SEGW]


@pytest.mark.parametrize("how", ["identifier", "source", "question", "query", "malformed"])
@virtual_time
async def test_forged_answers_are_dropped_and_the_right_one_is_relayed(how: str) -> None:
    scene = await Scene().start()

    def forge(datagram: Datagram) -> bool:
        if datagram.destination == SERVER:
            asked = dns.decode(datagram.data)
            assert isinstance(asked, dns.Query)
            bad = dns.answer(asked, [dns.record(SEGW, "A", "6.6.6.6")])
            source = SERVER
            match how:
                case "identifier":
                    bad = bad.with_identifier(asked.identifier ^ 1)
                case "source":
                    source = Endpoint("203.0.113.66", 53)
                case "question":
                    other = dns.query("other.example", "A", asked.identifier)
                    bad = dns.answer(other, [dns.record("other.example", "A", "6.6.6.6")])
            octets = {"query": asked.encode(), "malformed": bad.encode()[:-1]}
            scene.network.inject(octets.get(how, bad.encode()), source, datagram.source)
        return False

    scene.network.lose = forge
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW).encode(), PROXY)
    await asyncio.sleep(1)

    assert [each.address for each in asker.answers()] == [("203.0.113.50",)]
    assert scene.gateway.told_names() == ["MALFORMED" if how == "malformed" else "UNEXPECTED"]


@virtual_time
async def test_unsolicited_answer_to_the_listening_port_is_dropped() -> None:
    scene = await Scene().start()
    asker = await Asker(scene.stranger).open()
    asker.send(dns.answer(query(SEGW)).encode(), PROXY)
    await asyncio.sleep(1)

    assert asker.received == []
    assert scene.gateway.told_names() == ["UNEXPECTED"]


@virtual_time
async def test_malformed_query_is_refused_and_goes_no_further() -> None:
    scene = await Scene().start()
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW).encode()[:20], PROXY)
    asker.send(b"\0", PROXY)
    asker.send(query(SEGW).encode(), PROXY)
    await asyncio.sleep(0.01)

    assert [each.code for each in asker.answers()] == ["FORMERR", "NOERROR"]
    assert len(upstream(scene)) == 1


@virtual_time
async def test_truncated_answer_is_relayed_and_fetched_by_tcp_through_the_proxy() -> None:
    scene = await Scene().start()
    for number in range(100):
        scene.zone.add("big.operator.example", "A", f"10.0.0.{number}")
    resolution = await resolve(scene.hnb, [PROXY], "big.operator.example")

    assert isinstance(resolution, dns.Resolved)
    assert len(resolution.addresses) == 100
    assert resolution.server == Endpoint(PROXY, 53)


@virtual_time
async def test_tcp_client_waits_no_longer_than_the_server_is_given() -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, "silent")
    stream = await scene.hnb.connect(Endpoint(PROXY, 53))
    await stream.send(dns.frame(query(SEGW).encode()))
    await asyncio.sleep(6)
    assert scene.gateway.told_names() == ["NO_ANSWER"]

    scene.zone.behave()
    await stream.send(dns.frame(query(SEGW).encode()))
    [data] = dns.Frames().feed(await stream.receive())
    assert dns.decode(data).summary() == f"DNS A {SEGW} = 203.0.113.50"


@virtual_time
async def test_proxy_without_upstream_drops_and_tells() -> None:
    scene = await Scene().start()
    scene.proxy.use([])
    resolution = await resolve(scene.hnb, [PROXY], SEGW, policy=POLICY)

    assert isinstance(resolution, dns.Failed)
    assert resolution.cause == "TIMEOUT"
    assert set(scene.gateway.told_names()) == {"DROPPED"}


@virtual_time
async def test_power_cut_in_mid_query_leaves_nothing_running() -> None:
    scene = await Scene().start()
    scene.zone.misbehave(SEGW, "silent")
    asker = await Asker(scene.hnb).open()
    asker.send(query(SEGW).encode(), PROXY)
    await asyncio.sleep(1)
    scene.proxy.stop()
    scene.gateway.power_off()
    await asyncio.sleep(10)

    assert scene.gateway.tasks == []
    assert scene.gateway.ports == []
    assert scene.proxy.forwarder.pending == 0
