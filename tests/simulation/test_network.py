"""Links, addresses, routes and translation in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from testbed.engines.simulation.clock import SimulationLoop, run
from testbed.engines.simulation.links import Fate
from testbed.errors import BadInput, LocalError
from testbed.host import Stream
from testbed.protocols.wire import BROADCAST, Endpoint
from testbed.topology import Nat, Passage, Quality, Topology
from testbed.trace.packets import Arp, Icmp
from tests.simulation.ground import ANY, Ground, in_virtual_time, pair, two_hosts

Received = list[tuple[bytes, Endpoint]]
STUN = Endpoint("203.0.113.50", 3478)


def into(received: Received):  # type: ignore[no-untyped-def]  # a handler
    return lambda data, source: received.append((data, source))


def home(nat: Nat = Nat.MASQUERADE) -> Topology:
    """hnb and device behind a gateway; server on the other side."""
    net = Topology("home")
    internet = net.link("internet", "203.0.113.0/24")
    lan = net.link("home", "192.168.1.0/24")
    net.node("gateway", lan.at(1), internet.at(100), nat=nat)
    net.node("hnb", lan.at(10), router="192.168.1.1")
    net.node("device", lan.at(11), router="192.168.1.1")
    net.node("server", internet.at(50))
    return net


def translated(nat: Nat = Nat.MASQUERADE) -> Ground:
    ground = Ground(home(nat))
    ground.host("gateway").translate(nat, ["eth0"], "eth1")
    return ground


@in_virtual_time
async def test_a_datagram_arrives_after_the_links_delay() -> None:
    _, hnb, hms = pair(delay_ms=20, jitter_ms=0)
    received: Received = []
    await hms.datagrams(Endpoint("0.0.0.0", 5000), into(received))
    port = await hnb.datagrams(ANY, into([]))
    port.send(b"question", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(0.0599)

    assert received == []

    await asyncio.sleep(0.0002)  # ARP there and back, then the datagram

    assert received == [(b"question", Endpoint("10.0.0.1", port.local.port))]


@in_virtual_time
async def test_a_datagram_to_a_closed_port_is_answered_by_icmp() -> None:
    ground, hnb, _ = pair()
    port = await hnb.datagrams(ANY, into([]))
    port.send(b"question", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(1)
    (error,) = (each.message for each in ground.trace.records if isinstance(each.message, Icmp))

    assert (error.type, error.code) == (3, 3)
    assert error.embedded is not None
    assert error.embedded.destination == Endpoint("10.0.0.2", 5000)


@in_virtual_time
async def test_the_holder_of_an_address_is_asked_for_once() -> None:
    ground, hnb, hms = pair()
    await hms.datagrams(Endpoint("0.0.0.0", 5000), into([]))
    port = await hnb.datagrams(ANY, into([]))
    for _ in range(10):
        port.send(b"question", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(1)
    asked = [each for each in ground.trace.records if isinstance(each.message, Arp)]
    sent = [each for each in ground.trace.records if each.transport == "udp"]

    assert [each.message.operation for each in asked] == [1, 2]
    assert len(sent) == 10


@in_virtual_time
async def test_a_broadcast_reaches_everybody_on_its_link_and_nobody_else() -> None:
    ground = Ground(home())
    heard: dict[str, Received] = {name: [] for name in ("gateway", "device", "server")}
    for name, received in heard.items():
        await ground.host(name).datagrams(Endpoint("0.0.0.0", 67), into(received))
    port = await ground.host("hnb").datagrams(
        Endpoint("0.0.0.0", 68), into([]), "eth0", broadcast=True
    )
    port.send(b"discover", Endpoint(BROADCAST, 67))
    await asyncio.sleep(1)

    assert {name: len(received) for name, received in heard.items()} == {
        "gateway": 1,
        "device": 1,
        "server": 0,
    }


@in_virtual_time
async def test_a_bare_interface_takes_what_is_for_an_address_that_it_does_not_hold() -> None:
    _, hnb, hms = pair()
    hnb.clear_address("eth0")
    received: Received = []
    await hnb.datagrams(Endpoint("0.0.0.0", 68), into(received), "eth0", broadcast=True)
    server = await hms.datagrams(Endpoint("0.0.0.0", 67), into([]), "eth0", broadcast=True)
    hardware = hnb.interfaces["eth0"].hardware_address
    server.send(b"offer", Endpoint("10.0.0.77", 68), hardware)
    await asyncio.sleep(1)

    assert received == [(b"offer", Endpoint("10.0.0.2", 67))]


@in_virtual_time
async def test_what_cannot_be_a_datagram_is_told() -> None:
    ground, hnb, _ = pair()
    port = await hnb.datagrams(ANY, into([]))
    port.send(bytes(70_000), Endpoint("10.0.0.2", 5000))
    port.send(b"", Endpoint("10.0.0.2", 0))
    port.send(b"", Endpoint(BROADCAST, 67))
    with pytest.raises(LocalError, match="no IPv4 address"):
        port.send(b"", Endpoint("hms.example", 80))

    told = [each.fields["reason"] for each in ground.told("DATAGRAM_REFUSED")]
    assert told == ["EMSGSIZE", "EINVAL", "EACCES"]


@in_virtual_time
async def test_a_long_datagram_crosses_in_fragments_and_arrives_whole() -> None:
    ground, hnb, hms = pair(mtu=1000)
    received: Received = []
    await hms.datagrams(Endpoint("0.0.0.0", 5000), into(received))
    port = await hnb.datagrams(ANY, into([]))
    whole = Random(1).randbytes(5000)
    port.send(whole, Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(1)
    marks = [each.marks for each in ground.trace.records if each.transport == "udp"]

    assert [data for data, _ in received] == [whole]
    assert sum("fragment" in each for each in marks) == 5
    assert any("reassembled" in each for each in marks)


@pytest.mark.parametrize(
    ("quality", "least", "most"),
    [
        ({"loss": 1.0}, 0, 0),
        ({"loss": 0.2}, 700, 900),
        ({"duplication": 0.2}, 1100, 1300),
        ({"reordering": 0.5}, 1000, 1000),
    ],
    ids=["all lost", "some lost", "some doubled", "some overtaken"],
)
def test_a_link_is_as_bad_as_its_quality_says(
    quality: dict[str, float], least: int, most: int
) -> None:
    async def play(loop: SimulationLoop) -> Received:
        ground, hnb, hms = pair()
        received: Received = []
        await hms.datagrams(Endpoint("0.0.0.0", 5000), into(received))
        port = await hnb.datagrams(ANY, into([]))
        port.send(b"", Endpoint("10.0.0.2", 5000))
        await asyncio.sleep(1)
        received.clear()
        wire = ground.world.links["wire"]
        wire.set_quality(wire.quality.changed(quality))
        for number in range(1000):
            port.send(number.to_bytes(2, "big"), Endpoint("10.0.0.2", 5000))
            await asyncio.sleep(0.0001)
        await asyncio.sleep(1)
        return received

    came = [int.from_bytes(data, "big") for data, _ in run(play)]

    assert least <= len(came) <= most
    assert (came == sorted(came)) == ("reordering" not in quality)


@in_virtual_time
async def test_a_bounded_rate_makes_frames_wait() -> None:
    _, hnb, hms = pair(rate_kbps=80, delay_ms=0, jitter_ms=0)
    received: list[float] = []
    await hms.datagrams(Endpoint("0.0.0.0", 5000), lambda data, source: received.append(hms.now()))
    port = await hnb.datagrams(ANY, into([]))
    for _ in range(5):
        port.send(bytes(958), Endpoint("10.0.0.2", 5000))  # a frame of 1000 octets: 0.1 s
    await asyncio.sleep(5)
    gaps = [later - one for one, later in pairwise(received)]

    assert gaps == [pytest.approx(0.1, abs=1e-5)] * 4


@in_virtual_time
async def test_a_pulled_cable_is_told_and_carries_nothing() -> None:
    ground, hnb, hms = pair()
    changes: list[tuple[str, bool]] = []
    received: Received = []
    hnb.on_carrier(lambda interface, up: changes.append((interface, up)))
    await hms.datagrams(Endpoint("0.0.0.0", 5000), into(received))
    port = await hnb.datagrams(ANY, into([]))
    ground.world.set_link("hnb", "eth0", False)
    port.send(b"lost", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(5)

    assert not hnb.carrier("eth0")
    assert hnb.address_of("eth0") == "10.0.0.1"

    ground.world.set_link("hnb", "eth0", True)
    port.send(b"heard", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(1)

    assert changes == [("eth0", False), ("eth0", True)]
    assert [data for data, _ in received] == [b"heard"]


@in_virtual_time
async def test_a_power_cut_ends_tasks_timers_and_ports_and_restores_addresses() -> None:
    ground, hnb, _ = pair()
    came: list[str] = []

    async def works() -> None:
        await asyncio.sleep(1)
        came.append("task")

    hnb.spawn(works(), "works")
    hnb.call_at(hnb.now() + 1, lambda: came.append("timer"))
    port = await hnb.datagrams(Endpoint("0.0.0.0", 68), into([]))
    hnb.set_address("eth0", "10.0.0.99", 24)
    ground.world.power("hnb", False)
    port.send(b"", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(5)

    assert came == []
    with pytest.raises(ConnectionAbortedError):
        await hnb.datagrams(Endpoint("0.0.0.0", 68), into([]))

    ground.world.power("hnb", True)
    await hnb.datagrams(Endpoint("0.0.0.0", 68), into([]))

    assert hnb.address_of("eth0") == "10.0.0.1"


@in_virtual_time
async def test_a_crash_of_a_handler_is_its_nodes_and_the_node_lives_on() -> None:
    ground, hnb, hms = pair()

    def fails(data: bytes, source: Endpoint) -> None:
        raise ZeroDivisionError("a defect")

    await hms.datagrams(Endpoint("0.0.0.0", 5000), fails)
    port = await hnb.datagrams(ANY, into([]))
    port.send(b"", Endpoint("10.0.0.2", 5000))
    port.send(b"", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(1)

    assert [node for node, _ in ground.world.crashes] == ["hms", "hms"]


# Gateways


@in_virtual_time
async def test_a_gateway_translates_and_lets_answers_in() -> None:
    ground = translated()
    asked: Received = []
    answered: Received = []
    server = await ground.host("server").datagrams(STUN, into(asked))
    port = await ground.host("hnb").datagrams(Endpoint("0.0.0.0", 4500), into(answered))
    port.send(b"who am I?", STUN)
    await asyncio.sleep(1)

    assert asked == [(b"who am I?", Endpoint("203.0.113.100", 4500))]

    server.send(b"you", asked[0][1])
    await asyncio.sleep(1)

    assert answered == [(b"you", STUN)]
    (created,) = ground.told("BINDING_CREATED")
    assert created.fields["inside"] == "192.168.1.10:4500"


@in_virtual_time
@pytest.mark.parametrize("nat", [Nat.MASQUERADE, Nat(name="other")], ids=str)
async def test_a_binding_goes_before_a_port_on_which_the_gateway_listens(nat: Nat) -> None:
    ground = translated(nat)
    own: Received = []
    answered: Received = []
    gateway = await ground.host("gateway").datagrams(Endpoint("0.0.0.0", 7547), into(own))
    server = await ground.host("server").datagrams(STUN, into([]))
    port = await ground.host("hnb").datagrams(Endpoint("0.0.0.0", 7547), into(answered))
    server.send(b"nobody is bound", Endpoint("203.0.113.100", 7547))
    port.send(b"who am I?", STUN)
    await asyncio.sleep(1)
    server.send(b"you", Endpoint("203.0.113.100", 7547))
    await asyncio.sleep(1)

    assert (own, answered) == ([(b"nobody is bound", STUN)], [(b"you", STUN)])

    gateway.send(b"and who am I?", STUN)
    await asyncio.sleep(1)
    server.send(b"the gateway", Endpoint("203.0.113.100", 7547))
    await asyncio.sleep(1)

    assert own[1:] == [(b"the gateway", STUN)]


@in_virtual_time
async def test_a_strangers_datagram_is_refused_and_told() -> None:
    ground = translated()
    received: Received = []
    await ground.host("hnb").datagrams(Endpoint("0.0.0.0", 4500), into(received))
    stranger = await ground.host("server").datagrams(STUN, into([]))
    stranger.send(b"", Endpoint("203.0.113.100", 4500))
    await asyncio.sleep(1)

    assert received == []
    assert ground.told("PACKET_REFUSED")[0].fields["reason"] == "no binding"


@in_virtual_time
async def test_a_binding_that_nobody_refreshes_ends_in_its_time() -> None:
    ground = translated()
    port = await ground.host("hnb").datagrams(Endpoint("0.0.0.0", 4500), into([]))
    await ground.host("server").datagrams(STUN, into([]))
    port.send(b"", STUN)
    await asyncio.sleep(29)

    assert ground.told("BINDING_EXPIRED") == []

    await asyncio.sleep(2)

    assert len(ground.told("BINDING_EXPIRED")) == 1


@in_virtual_time
async def test_an_icmp_error_finds_its_way_back_through_the_nat() -> None:
    ground = translated()
    port = await ground.host("hnb").datagrams(Endpoint("0.0.0.0", 4500), into([]))
    port.send(b"", Endpoint("203.0.113.50", 9))
    await asyncio.sleep(1)
    errors = [each for each in ground.trace.records if isinstance(each.message, Icmp)]

    assert [each.link for each in errors] == ["internet", "home"]
    inner = errors[1].message.embedded
    assert inner.source == Endpoint("192.168.1.10", 4500)
    assert inner.destination == Endpoint("203.0.113.50", 9)


@in_virtual_time
async def test_without_translation_a_gateway_routes() -> None:
    ground = translated(Nat.NONE)
    asked: Received = []
    ground.host("server").set_default_route("203.0.113.100")
    server = await ground.host("server").datagrams(STUN, into(asked))
    answered: Received = []
    port = await ground.host("hnb").datagrams(Endpoint("0.0.0.0", 4500), into(answered))
    port.send(b"", STUN)
    await asyncio.sleep(1)
    server.send(b"", asked[0][1])
    await asyncio.sleep(1)

    assert asked == [(b"", Endpoint("192.168.1.10", 4500))]
    assert len(answered) == 1


@in_virtual_time
async def test_translation_needs_an_inside() -> None:
    ground = Ground(home())

    with pytest.raises(BadInput, match="inside interfaces other than the outside one"):
        ground.host("gateway").translate(Nat.MASQUERADE, [], "eth1")


@in_virtual_time
async def test_tcp_learns_of_a_link_on_its_way_that_takes_shorter_packets_only() -> None:
    came = await over_a_narrow_link(Passage.PASSED)

    assert came == 5000


@in_virtual_time
async def test_without_icmp_a_narrow_link_is_a_black_hole() -> None:
    came = await over_a_narrow_link(Passage.DROPPED)

    assert came == 0


@in_virtual_time
async def test_what_a_link_drops_is_dropped_though_it_was_to_be_overtaken() -> None:
    net = Topology("a link that drops fragments")
    wire = net.link("wire", "10.0.0.0/24", fragments=Passage.DROPPED)
    net.node("hnb", wire.at(1))
    net.node("hms", wire.at(2))
    ground = Ground(net, judge=lambda link, content: Fate((0,), overtaken=True))
    hnb, hms = ground.host("hnb"), ground.host("hms")
    received: Received = []
    await hms.datagrams(Endpoint("0.0.0.0", 5000), into(received))
    port = await hnb.datagrams(ANY, into([]))
    port.send(bytes(3000), Endpoint("10.0.0.2", 5000))
    port.send(b"whole", Endpoint("10.0.0.2", 5000))
    await asyncio.sleep(1)

    assert [data for data, _ in received] == [b"whole"]


async def over_a_narrow_link(icmp: Passage) -> int:
    """So many octets of 5000 get through a link in the middle whose MTU nobody else has."""
    net = Topology("a narrow link between two translators")
    lan = net.link("lan", "10.0.0.0/24", icmp=icmp)
    narrow = net.link("narrow", "10.0.1.0/24", mtu=800)
    outside = net.link("outside", "203.0.113.0/24")
    net.node("hnb", lan.at(2), router="10.0.0.1")
    net.node("gateway", lan.at(1), narrow.at(2), router="10.0.1.1")
    net.node("carrier", narrow.at(1), outside.at(100))
    net.node("server", outside.at(20))
    ground = Ground(net)
    for each in ("gateway", "carrier"):
        ground.host(each).translate(Nat.MASQUERADE, ["eth0"], "eth1")
    came = bytearray()

    async def take(stream: Stream) -> None:
        while data := await stream.receive():
            came.extend(data)

    await ground.host("server").listen(Endpoint("0.0.0.0", 7547), take)
    stream = await ground.host("hnb").connect(Endpoint("203.0.113.20", 7547))
    await stream.send(bytes(5000))
    await asyncio.sleep(10)
    return len(came)


def test_a_quality_out_of_its_range_is_told() -> None:
    with pytest.raises(BadInput, match=r"link: loss is 2; it may be 0 to 1"):
        two_hosts(loss=2)

    assert Quality().is_plain
