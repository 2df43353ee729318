"""An ACS's ways to its CPEs: what it knows of them, and where it asks."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from testbed.errors import BadInput, PeerError
from testbed.protocols import dns, stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.udp_connection_request import UdpConnectionRequest, decode
from testbed.protocols.wire import Endpoint
from testbed.roles.reach import Approach, Reach
from testbed.roles.udp_requests import UdpRequests

SERIAL = "DEVICE"
SERVER = "Device.ManagementServer."
URL = "http://192.168.1.100:7547/abc"


class Host:
    """What a reach asks of its host."""

    def __init__(self) -> None:
        self.random = Random(1)
        self.told: list[tuple[str, dict[str, Any]]] = []

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))


class Server:
    """A STUN server that keeps what it is given."""

    def __init__(self) -> None:
        self.on_binding: list[Any] = []
        self.secrets: dict[str, str] = {}
        self.sent: list[tuple[Endpoint, UdpConnectionRequest]] = []

    def provision(self, username: str, password: str) -> None:
        self.secrets[username] = password

    def send_connection_request(
        self, destination: Endpoint, datagram: bytes, copies: int = 3
    ) -> None:
        self.sent.append((destination, decode(datagram)))


class Scene:
    """A reach with all that it hangs on."""

    def __init__(self) -> None:
        self.host, self.server = Host(), Server()
        self.calls: list[rpc.Rpc] = []
        self.by_tcp: list[tuple[str, str, str]] = []
        self.names = {"home.example": "203.0.113.7"}
        requests = UdpRequests(Random(2), lambda: 1_700_000_000.0)
        self.reach = Reach(
            self.host,  # type: ignore[arg-type]  # as much of a host as it needs
            requests,
            lambda serial, call: self.calls.append(call),
            self._tcp,
            self._resolve,
        )
        self.reach.uses(self.server)

    async def _tcp(self, serial: str, username: str, password: str) -> int:
        self.by_tcp.append((serial, username, password))
        return 200

    async def _resolve(self, name: str) -> dns.Resolution:
        if name not in self.names:
            return dns.Failed(name, "A", "NXDOMAIN", "there is no such name")
        return dns.Resolved(name, "A", (self.names[name],))

    def informs(self, **values: str) -> None:
        parameters = tuple(
            rpc.ParameterValue(f"{SERVER}{name}", value, "string") for name, value in values.items()
        )
        self.reach.informed(SERIAL, rpc.Inform(rpc.DeviceId(), (), parameters=parameters))

    def is_set(self, **values: str) -> None:
        parameters = tuple(
            rpc.ParameterValue(f"{SERVER}{name}", value, "string") for name, value in values.items()
        )
        request = rpc.SetParameterValues(parameters)
        self.reach.answered(SERIAL, request, rpc.SetParameterValuesResponse())

    def asks(self) -> None:
        asyncio.run(self.reach.ask(SERIAL))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def notified(scene: Scene, address: str, nat_detected: str = "1") -> None:
    scene.reach.manage(SERIAL, Approach.NOTIFICATION_BASED)
    scene.is_set(ConnectionRequestUsername="acs", ConnectionRequestPassword="key")
    scene.informs(UDPConnectionRequestAddress=address, NATDetected=nat_detected)


@pytest.mark.parametrize(
    ("address", "to", "authority"),
    [
        ("203.0.113.9:4000", Endpoint("203.0.113.9", 4000), "203.0.113.9:4000"),
        ("203.0.113.9", Endpoint("203.0.113.9", 80), "203.0.113.9"),
        ("home.example:4000", Endpoint("203.0.113.7", 4000), "home.example:4000"),
    ],
    ids=["address and port", "no port is 80", "a name is resolved"],
)
def test_requests_go_where_the_last_notification_says(
    scene: Scene, address: str, to: Endpoint, authority: str
) -> None:
    notified(scene, "203.0.113.1:1")
    scene.informs(UDPConnectionRequestAddress=address)

    scene.asks()

    ((destination, request),) = scene.server.sent
    assert destination == to
    assert request.authority == authority
    assert request.value("un") == "acs"


def test_a_name_is_resolved_anew_each_time(scene: Scene) -> None:
    notified(scene, "home.example:4000")

    scene.asks()
    scene.names["home.example"] = "203.0.113.8"
    scene.asks()

    assert [to.address for to, _ in scene.server.sent] == ["203.0.113.7", "203.0.113.8"]


def test_a_name_that_is_nobodys_is_told(scene: Scene) -> None:
    notified(scene, "nobody.example:4000")

    with pytest.raises(PeerError, match=r"nobody\.example"):
        scene.asks()


def test_where_nothing_is_translated_it_asks_by_tcp(scene: Scene) -> None:
    notified(scene, "192.168.1.100:7547", nat_detected="0")

    scene.asks()

    assert scene.by_tcp == [(SERIAL, "acs", "key")]
    assert scene.server.sent == []


def test_a_new_address_has_nat_detected_read_where_that_is_not_told(scene: Scene) -> None:
    notified(scene, "203.0.113.1:1")
    before = len(scene.calls)

    scene.informs(UDPConnectionRequestAddress="203.0.113.2:1")
    scene.informs(UDPConnectionRequestAddress="203.0.113.2:1")

    assert scene.calls[before:] == [rpc.GetParameterValues((f"{SERVER}NATDetected",))]


def test_notification_is_asked_for_as_soon_as_the_approach_is_chosen(scene: Scene) -> None:
    scene.reach.manage(SERIAL, Approach.NOTIFICATION_BASED)

    (call,) = scene.calls
    assert isinstance(call, rpc.SetParameterAttributes)
    assert call.parameters[0].name == f"{SERVER}UDPConnectionRequestAddress"
    assert call.parameters[0].notification == 2


def bound(scene: Scene, username: str, endpoint: Endpoint) -> None:
    for call in scene.server.on_binding:
        call(stun.BindingStored(username, endpoint, b"\0" * 16, is_change=True))


def test_what_the_stun_server_has_verified_is_where_it_asks(scene: Scene) -> None:
    scene.reach.manage(SERIAL, Approach.STUN_BASED)
    scene.reach.manage("OTHER", Approach.STUN_BASED)
    scene.is_set(STUNUsername="one", ConnectionRequestUsername="acs")
    scene.informs(ConnectionRequestURL=URL)

    bound(scene, "one", Endpoint("203.0.113.9", 4000))
    bound(scene, "nobody", Endpoint("203.0.113.66", 4000))
    scene.asks()

    assert [to for to, _ in scene.server.sent] == [Endpoint("203.0.113.9", 4000)]
    recorded = [fields["serial_number"] for name, fields in scene.host.told if "RECORDED" in name]
    assert recorded == [SERIAL]


def test_who_is_seen_at_home_is_asked_by_tcp(scene: Scene) -> None:
    scene.reach.manage(SERIAL, Approach.STUN_BASED)
    scene.is_set(STUNUsername="one", ConnectionRequestUsername="acs")
    scene.informs(ConnectionRequestURL=URL)
    bound(scene, "one", Endpoint("192.168.1.100", 7547))

    scene.asks()

    assert len(scene.by_tcp) == 1


def test_who_has_no_binding_cannot_be_asked(scene: Scene) -> None:
    scene.reach.manage(SERIAL, Approach.STUN_BASED)

    with pytest.raises(PeerError, match="no binding of DEVICE is known"):
        scene.asks()


def test_who_is_not_managed_cannot_be_asked(scene: Scene) -> None:
    with pytest.raises(BadInput, match="does not manage DEVICE"):
        scene.asks()


def test_stun_usernames_and_passwords_differ(scene: Scene) -> None:
    made = [scene.reach.credentials() for _ in range(50)]

    assert len({name for name, _ in made}) == len({password for _, password in made}) == 50
    assert all(len(name) % 4 == 0 for name, _ in made)
    assert scene.server.secrets == dict(made)
