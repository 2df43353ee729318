"""The STUN server's role, and the CPE's STUN client in its box, on fake hosts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from testbed.errors import BadInput
from testbed.protocols import dns, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.stun import attributes as field
from testbed.protocols.stun.attributes import Attribute, Kind
from testbed.protocols.wire import Endpoint
from testbed.roles.resolve import resolve
from testbed.roles.stun_client import authority
from testbed.roles.stun_server import StunServer
from testbed.topology import Link, Node
from tests.fake_host import FakeHost, FakeNetwork
from tests.roles.cwmp_scene import HMS, HNB, SERIAL, SERVER, Scene
from tests.virtual_time import virtual_time

STUN = "203.0.113.30"
OUTSIDE = "203.0.113.100"
NAME, PASSWORD = "cpe-1", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
ADDRESS = f"{SERVER}UDPConnectionRequestAddress"
NAT_DETECTED = f"{SERVER}NATDetected"
LIMIT = f"{SERVER}UDPConnectionRequestAddressNotificationLimit"


class StunScene(Scene):
    """A Scene whose HNB's STUN server is `server`; `outside_port` is what that says it sees."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        internet = Link("internet", "203.0.113.0/24")
        self.server = StunServer(*self._node("stun_server", internet.at(30), internet.at(31)))
        self.server.set_policy(challenge="none")
        self.outside_port: int | None = None
        self.server.mend_of("stun").message.append(self._translated)

    def _translated(self, message: stun.Message, destination: Endpoint) -> list[stun.Message]:
        """There is no NAT here: the server is made to see one."""
        if self.outside_port is None or not isinstance(message, stun.BindingResponse):
            return [message]
        value = field.address_value(Endpoint(OUTSIDE, self.outside_port))
        rest = message.without(Kind.MAPPED_ADDRESS).attributes
        return [message.replacing([Attribute(Kind.MAPPED_ADDRESS, value), *rest])]

    async def ready(self, **values: str) -> StunScene:
        """The HNB is served and has an address; its ACS has set these."""
        await self.server.start()
        await self.hnb.stun.start()
        await self.discovered()

        async def literal(name: str) -> dns.Resolution:
            return await resolve(self.home, [], name)

        self.hnb.stun.connected(HNB, literal)
        self.hnb.cpe.owner = self.hnb
        await self.set(**values)
        return self

    async def set(self, **values: str) -> rpc.Rpc:
        """The serving ACS sets parameters of ManagementServer in a session."""
        types = self.hnb.tree.model.parameters
        parameters = tuple(
            rpc.ParameterValue(f"{SERVER}{name}", value, types[f"{SERVER}{name}"].type.name)
            for name, value in values.items()
        )
        answer = self.other.call(SERIAL, rpc.SetParameterValues(parameters))
        self.hnb.cpe.requested()
        return await answer

    def value(self, path: str) -> str:
        return self.hnb.tree.value(path)

    def requests(self) -> list[tuple[str, stun.Message]]:
        """What the HNB has sent by STUN, and to whom."""
        return [
            (str(each.destination), stun.decode(each.data))
            for each in self.network.sent
            if each.source.address == HNB and stun.is_stun(each.data)
        ]


def enabled(**more: str) -> dict[str, str]:
    return {"STUNEnable": "1", "STUNServerAddress": STUN, **more}


# The client in its box


@virtual_time
async def test_stun_begins_when_the_acs_switches_it_on() -> None:
    scene = StunScene()
    await scene.ready()
    assert scene.requests() == []
    assert scene.value(ADDRESS) == f"{HNB}:7547"

    scene.outside_port = 50001
    await scene.set(**enabled())
    await scene.until("hnb", "STUN_BINDING", 2)

    assert scene.requests()[0][0] == f"{STUN}:3478"
    assert scene.value(ADDRESS) == f"{OUTSIDE}:50001"
    assert scene.value(NAT_DETECTED) == "1"


@virtual_time
async def test_without_translation_the_address_is_its_own() -> None:
    scene = StunScene()
    await scene.ready(**enabled())
    await asyncio.sleep(10)

    assert scene.value(ADDRESS) == f"{HNB}:7547"
    assert scene.value(NAT_DETECTED) == "0"


@virtual_time
async def test_stun_switched_off_leaves_nothing_of_it() -> None:
    scene = StunScene()
    scene.outside_port = 50001
    await scene.ready(**enabled(STUNMaximumKeepAlivePeriod="30"))
    await asyncio.sleep(5)
    await scene.set(STUNEnable="0")
    count = len(scene.requests())
    await asyncio.sleep(100)

    assert scene.value(ADDRESS) == f"{HNB}:7547"
    assert scene.value(NAT_DETECTED) == "0"
    assert len(scene.requests()) == count


@virtual_time
async def test_an_empty_server_address_means_the_acs() -> None:
    scene = StunScene()
    await scene.ready(STUNEnable="1")
    await asyncio.sleep(1)
    assert {to for to, _ in scene.requests()} == {"203.0.113.21:3478"}

    await scene.set(URL=f"http://{HMS}/acs")
    await asyncio.sleep(30)
    assert f"{HMS}:3478" in {to for to, _ in scene.requests()}


@virtual_time
async def test_server_and_port_are_those_that_the_acs_has_set_last() -> None:
    scene = StunScene()
    await scene.ready(**enabled())
    await asyncio.sleep(1)
    await scene.set(STUNServerPort="3479", STUNServerAddress="203.0.113.31")
    await asyncio.sleep(1)

    assert scene.requests()[-1][0] == "203.0.113.31:3479"


@virtual_time
async def test_port_0_is_the_default_one() -> None:
    scene = StunScene()
    await scene.ready(**enabled(STUNServerPort="0"))
    await asyncio.sleep(1)

    assert {to for to, _ in scene.requests()} == {f"{STUN}:3478"}


@virtual_time
async def test_a_server_that_cannot_be_resolved_is_tried_again() -> None:
    scene = StunScene()
    await scene.ready(STUNEnable="1", STUNServerAddress="stun.example")
    await scene.until("hnb", "STUN_SERVER_UNKNOWN", 2)
    assert scene.requests() == []

    scene.home.names["stun.example"] = STUN
    await asyncio.sleep(40)
    assert scene.requests()[0][0] == f"{STUN}:3478"


@virtual_time
async def test_credentials_reach_the_wire_and_the_binding_the_acs() -> None:
    scene = StunScene()
    heard: list[stun.BindingStored] = []
    scene.server.set_policy(challenge="binding-change")
    scene.server.provision(NAME, PASSWORD)
    scene.server.on_binding.append(heard.append)
    await scene.ready(**enabled(STUNUsername=NAME, STUNPassword=PASSWORD))
    # Without translation nothing is to be told: a NAT that comes to be is.
    scene.hnb.stun.machine.is_translated = True
    scene.hnb.stun.machine.mapped = Endpoint(OUTSIDE, 1)
    await scene.until("stun_server", "BINDING_STORED")

    assert scene.server.bindings == {NAME: Endpoint(HNB, 7547)}
    assert [each.username for each in heard] == [NAME]
    assert scene.value(f"{SERVER}STUNPassword") == PASSWORD


@virtual_time
async def test_a_minimum_above_the_maximum_is_refused() -> None:
    scene = StunScene()
    await scene.ready()
    answer = await scene.set(STUNMinimumKeepAlivePeriod="60", STUNMaximumKeepAlivePeriod="30")
    assert isinstance(answer, rpc.Fault)
    assert [each.code for each in answer.parameters] == [9007]

    good = await scene.set(STUNMinimumKeepAlivePeriod="60", STUNMaximumKeepAlivePeriod="60")
    assert isinstance(good, rpc.SetParameterValuesResponse)
    worse = await scene.set(STUNMaximumKeepAlivePeriod="59")
    assert isinstance(worse, rpc.Fault)
    fine = await scene.set(STUNMaximumKeepAlivePeriod="-1")
    assert isinstance(fine, rpc.SetParameterValuesResponse)


@virtual_time
async def test_no_address_means_no_stun_and_a_new_one_a_new_discovery() -> None:
    scene = StunScene()
    await scene.ready(**enabled())
    await asyncio.sleep(1)
    resolver = scene.hnb.stun._resolve
    assert resolver is not None
    scene.hnb.stun.disconnected()
    count = len(scene.requests())
    await asyncio.sleep(200)
    assert len(scene.requests()) == count

    scene.hnb.stun.connected(HNB, resolver)
    await asyncio.sleep(1)
    assert len(scene.requests()) == count + 1


@virtual_time
async def test_datagrams_that_are_no_stun_are_handed_on_with_stun_on_and_off() -> None:
    scene = StunScene()
    came: list[bytes] = []
    await scene.ready()
    scene.hnb.stun.on_datagram = lambda data, source: came.append(data)
    scene.server.send_connection_request(Endpoint(HNB, 7547), b"GET http://x HTTP/1.1", 2)
    await asyncio.sleep(1)
    await scene.set(**enabled())
    scene.server.send_connection_request(Endpoint(HNB, 7547), b"GET http://y HTTP/1.1", 1)
    await asyncio.sleep(1)

    assert came == [b"GET http://x HTTP/1.1"] * 2 + [b"GET http://y HTTP/1.1"]


@virtual_time
async def test_after_a_power_cut_it_discovers_again() -> None:
    scene = StunScene()
    scene.outside_port = 50001
    await scene.ready(**enabled())
    await asyncio.sleep(1)
    resolver = scene.hnb.stun._resolve
    assert resolver is not None
    scene.hnb.stop()
    scene.home.power_off()
    count = len(scene.requests())
    await asyncio.sleep(100)
    assert len(scene.requests()) == count

    await scene.hnb.stun.start()
    scene.hnb.stun.connected(HNB, resolver)
    await asyncio.sleep(1)
    assert scene.requests()[count][0] == f"{STUN}:3478"
    assert scene.value(ADDRESS) == f"{OUTSIDE}:50001"


def test_port_80_is_left_out_of_the_address() -> None:
    assert authority(Endpoint("203.0.113.1", 80)) == "203.0.113.1"
    assert authority(Endpoint("203.0.113.1", 81)) == "203.0.113.1:81"


# Notification (2.2.1.3)


def informs(scene: StunScene) -> list[tuple[float, str]]:
    """When the ACS was told UDPConnectionRequestAddress, and as what; from now on."""
    heard: list[tuple[float, str]] = []
    decide: Callable[..., Any] = scene.other._decide

    def noted(device: Any) -> Any:
        now = scene.home.now()
        heard.extend((now, each.value) for each in device.inform.parameters if each.name == ADDRESS)
        return decide(device)

    scene.other._decide = noted  # type: ignore[method-assign]  # a spy
    return heard


async def flaps(scene: StunScene, ports: range, every_s: float) -> None:
    """The NAT gives another port so often."""
    for port in ports:
        scene.outside_port = port
        await asyncio.sleep(every_s)


async def notified(limit_s: int) -> tuple[StunScene, list[tuple[float, str]]]:
    scene = StunScene()
    scene.outside_port = 50000
    change = rpc.SetParameterAttributes((_active(ADDRESS),))
    scene.other.call(SERIAL, change)
    period = {"STUNMinimumKeepAlivePeriod": "2", "STUNMaximumKeepAlivePeriod": "2"}
    limit = {"UDPConnectionRequestAddressNotificationLimit": str(limit_s)}
    heard = informs(scene)
    await scene.ready(**enabled(**period, **limit))
    return scene, heard


def _active(path: str) -> Any:
    from testbed.protocols.cwmp.structs import AttributeChange

    return AttributeChange(path, True, 2)


@virtual_time
async def test_every_change_is_notified_where_there_is_no_limit() -> None:
    scene, heard = await notified(0)
    await asyncio.sleep(10)
    heard.clear()
    await flaps(scene, range(50001, 50006), 10)

    assert [value for _, value in heard] == [f"{OUTSIDE}:{port}" for port in range(50001, 50006)]


@virtual_time
async def test_the_limit_delays_a_notification_and_the_latest_value_is_told() -> None:
    scene, heard = await notified(60)
    await asyncio.sleep(100)
    heard.clear()
    await flaps(scene, range(50001, 50021), 10)
    await asyncio.sleep(100)
    times = [when for when, _ in heard]

    assert all(b - a >= 60 for a, b in itertools.pairwise(times))
    assert len(times) == 4
    assert heard[-1][1] == scene.value(ADDRESS) == f"{OUTSIDE}:50020"


@virtual_time
async def test_a_held_change_is_in_no_inform_though_it_can_be_read() -> None:
    scene, heard = await notified(600)
    await asyncio.sleep(1)
    scene.outside_port = 50001
    await asyncio.sleep(5)
    heard.clear()
    await scene.set(PeriodicInformEnable="0")  # a session for another reason

    assert scene.value(ADDRESS) == f"{OUTSIDE}:50001"
    assert heard == []
    await asyncio.sleep(700)
    assert [value for _, value in heard] == [f"{OUTSIDE}:50001"]


# The server's role


def alone(**settings: Any) -> tuple[StunServer, FakeHost, FakeHost]:
    """A server and a stranger."""
    network = FakeNetwork()
    internet = Link("internet", "203.0.113.0/24")
    node = Node("stun_server", "stun_server", (internet.at(30), internet.at(31)), settings=settings)
    return (
        StunServer(network.host(node), node),
        network.host(Node("stranger", "stranger", (internet.at(66),))),
        network.hosts["stun_server"],
    )


async def asks(stranger: FakeHost, server: Endpoint, *attributes: Attribute) -> list[Endpoint]:
    """From where a request is answered."""
    came: list[Endpoint] = []
    local = Endpoint("203.0.113.66", 0)
    port = await stranger.datagrams(local, lambda data, source: came.append(source))
    port.send(stun.BindingRequest(bytes(16), attributes).encode(), server)
    await asyncio.sleep(1)
    port.close()
    return came


@pytest.mark.parametrize("address", ["203.0.113.30", "203.0.113.31"])
@pytest.mark.parametrize("port", [3478, 3479])
def test_it_answers_at_two_addresses_and_two_ports(address: str, port: int) -> None:
    @virtual_time
    async def run() -> None:
        server, stranger, _ = alone()
        await server.start()

        assert await asks(stranger, Endpoint(address, port)) == [Endpoint(address, port)]
        changed = await asks(stranger, Endpoint(address, port), field.change_request(True, True))
        assert changed == [
            Endpoint({"203.0.113.30": "203.0.113.31"}.get(address, "203.0.113.30"), 6957 - port)
        ]

    run()


@virtual_time
async def test_its_ports_are_what_the_topology_says() -> None:
    server, stranger, _ = alone(port=5000, other_port=None)
    await server.start()

    assert server.endpoint == Endpoint("203.0.113.30", 5000)
    assert await asks(stranger, Endpoint("203.0.113.31", 5000)) == [Endpoint("203.0.113.31", 5000)]
    assert await asks(stranger, Endpoint("203.0.113.30", 3479)) == []


@virtual_time
async def test_without_power_it_is_silent_and_comes_back() -> None:
    server, stranger, host = alone()
    await server.start()
    server.stop()
    assert host.ports == []
    with pytest.raises(BadInput, match="no power"):
        server.send_connection_request(Endpoint("203.0.113.66", 1), b"x")

    await server.start()
    assert await asks(stranger, Endpoint(STUN, 3478))


@virtual_time
async def test_a_port_that_is_taken_leaves_none_bound() -> None:
    server, _, host = alone()
    await host.datagrams(Endpoint("203.0.113.31", 3478), lambda data, source: None)
    with pytest.raises(OSError, match="taken"):
        await server.start()

    assert len(host.ports) == 1


@virtual_time
async def test_a_username_is_one_cpe_s() -> None:
    server, _, _ = alone(secrets={NAME: PASSWORD})
    server.provision(NAME, PASSWORD)
    with pytest.raises(BadInput, match="taken by another"):
        server.provision(NAME, "another")
    with pytest.raises(BadInput, match="may not be empty"):
        server.provision("cpe-2", "")


@virtual_time
async def test_a_connection_request_comes_from_the_server_s_own_socket() -> None:
    server, stranger, _ = alone()
    await server.start()
    came: list[tuple[bytes, Endpoint]] = []
    here = Endpoint("203.0.113.66", 7547)
    await stranger.datagrams(here, lambda data, source: came.append((data, source)))
    server.send_connection_request(here, b"GET ...", copies=3)
    await asyncio.sleep(1)

    assert came == [(b"GET ...", Endpoint(STUN, 3478))] * 3
    with pytest.raises(BadInput, match="does not fit"):
        server.send_connection_request(here, bytes(1473))


@virtual_time
async def test_what_it_refuses_and_cannot_read_it_tells() -> None:
    server, stranger, host = alone()
    server.set_policy(challenge="all")
    await server.start()
    await asks(stranger, Endpoint(STUN, 3478))
    port = await stranger.datagrams(Endpoint("203.0.113.66", 9), lambda data, source: None)
    port.send(b"hello", Endpoint(STUN, 3478))
    await asyncio.sleep(1)

    assert host.told_names() == ["STUN_POLICY", "STUN_REFUSED", "MALFORMED"]


@virtual_time
async def test_who_is_challenged_is_told_in_words() -> None:
    server, _, host = alone()
    server.set_policy(computations=(stun.Computation.RFC3489, stun.Computation.ZERO))
    server.set_policy(challenge="marked")

    assert [dict(each.fields) for each in host.told] == [
        {"computations": "rfc3489 zero"},
        {"challenge": "marked"},
    ]
