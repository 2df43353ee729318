"""A device that bootstraps, its bootstrap server and its DM server, on fake hosts and in clear."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from testbed.protocols.dm.account import PROVISIONING_XML, Account, Credentials, encode_package
from testbed.protocols.dm.client import DmClient, ValueNodes
from testbed.protocols.dm.session import Proving
from testbed.protocols.dm.syncml import Command, Item, Meta
from testbed.protocols.http import MOST_HEAD_OCTETS, Request, Response
from testbed.protocols.wire import Endpoint
from testbed.roles import dm_server
from testbed.roles.bootstrap_server import BootstrapServer
from testbed.roles.dm_device import DmDevice
from testbed.roles.dm_policy import BOOTSTRAP_PATH, BootstrapPolicy, Enrolment
from testbed.roles.dm_server import DmServer
from testbed.roles.dns_server import DnsServer
from testbed.roles.gateway import Gateway
from testbed.topology import Link, Nat, Node
from tests.fake_host import FakeHost, FakeNetwork
from tests.fake_streams import FakeStream
from tests.virtual_time import virtual_time

BOOT_URL = f"http://192.168.1.60:4443{BOOTSTRAP_PATH}"
DM_URL = "http://192.168.1.62:8443/dm"
MAC, DEVICE = "02000000C0DE", "IMEI:356938035643809"
CLIENT = Credentials("DIGEST", "device-1", "between-us", "Zmlyc3Q=")
ACCOUNT = Account("operator", "The Operator", DM_URL, client=CLIENT)
ENROLMENT = Enrolment(MAC, DEVICE, ACCOUNT, asks=(Command("Get", "", (Item("./DevDetail/SwV"),)),))
ASKER = Endpoint("192.168.1.100", 40000)


class DmScene:
    """`device` behind `gateway`; `boot` and `dm` in its home; `dns` outside."""

    def __init__(self, enrolment: Enrolment = ENROLMENT, **bootstrap: Any) -> None:
        self.network = FakeNetwork()
        home, internet = Link("home", "192.168.1.0/24"), Link("internet", "203.0.113.0/24")
        zone = {"zone": "", "origin": "operator.example"}
        dns_node = Node("dns", "dns_server", (internet.at(53),), settings=zone)
        self.dns = DnsServer(self.network.host(dns_node), dns_node)
        told = {"dns_servers": ("203.0.113.53",), "domain_name": bootstrap.pop("option_15", None)}
        attachments = (home.at(1), internet.at(100))
        node = Node("gateway", "gateway", attachments, Nat.MASQUERADE, settings=told)
        self.gateway = Gateway(self.network.host(node), node)
        settings: dict[str, Any] = {"enrolments": (enrolment,), "url": BOOT_URL}
        self.boot = BootstrapServer(*self._node("boot", home.at(60), settings))
        self.dm = DmServer(*self._node("dm", home.at(62), {**settings, "url": DM_URL}))
        policy = BootstrapPolicy(MAC, DEVICE, **{"url": BOOT_URL, **bootstrap})
        self.device = DmDevice(*self._node("device", home.by_dhcp(), {"bootstrap": policy}))

    def _node(self, name: str, at: Any, settings: dict[str, Any]) -> tuple[FakeHost, Node]:
        node = Node(name, name, (at,), settings=settings)
        return self.network.host(node), node

    async def start(self) -> DmScene:
        for role in (self.dns, self.gateway, self.boot, self.dm, self.device):
            await role.start()
        return self

    async def tells(self, event: str, node: str = "device") -> dict[str, Any]:
        """The fields of the first event of that name."""
        async with asyncio.timeout(1000):
            while not (found := self.told(event, node)):  # noqa: ASYNC110 - no one tells us
                await asyncio.sleep(0.1)
        return found[0]

    def told(self, event: str, node: str = "device") -> list[dict[str, Any]]:
        return [dict(each.fields) for each in self.network.hosts[node].told if each.name == event]


def asks_for(package: str) -> Request:
    """The request of a device."""
    return Request((("Host", "192.168.1.60"),), method="GET", target=package)


@virtual_time
async def test_a_device_installs_its_account_and_is_managed() -> None:
    scene = await DmScene().start()

    done = await scene.tells("DM_SESSION_COMPLETE")
    over = await scene.tells("DM_SESSION_OVER", "dm")

    assert done == {"server_id": "operator", "url": DM_URL}
    assert over == {"device": DEVICE, "accepted": True, "values": {"./DevDetail/SwV": "1"}}


@pytest.mark.parametrize(
    ("account", "cause"),
    [
        (replace(ACCOUNT, url="dm.operator.example"), "dm.operator.example"),
        (replace(ACCOUNT, client=replace(CLIENT, kind="X509")), "kind 'X509' are not spoken"),
        (replace(ACCOUNT, client=replace(CLIENT, nonce="?")), "nonce '?' is not base 64"),
    ],
    ids=["no-url", "unknown-proof", "nonce-not-base-64"],
)
@virtual_time
async def test_an_account_that_opens_no_session_is_never_installed(
    account: Account, cause: str
) -> None:
    scene = DmScene()
    scene.boot.stage_package(encode_package(account, ENROLMENT.media_type))
    await scene.start()

    failed = await scene.tells("FAILED")

    assert failed["step"] == "8"
    assert cause in failed["cause"]
    assert scene.told("INSTALLED") == []


@pytest.mark.parametrize("name", ["operator.example\0junk", "\0", ".", " "])
@virtual_time
async def test_an_option_15_that_is_no_domain_ends_the_bootstrap_without_a_query(
    name: str,
) -> None:
    scene = await DmScene(url=None, option_15=name).start()

    failed = await scene.tells("FAILED")

    assert failed["step"] == "2"
    assert [each for each in scene.network.sent if each.destination.port == 53] == []


@virtual_time
async def test_a_server_that_was_asked_and_says_nothing_is_not_taken_for_a_dead_one() -> None:
    scene = DmScene(answer_within_s=3.0)
    asked: list[bytes] = []

    async def mute(stream: FakeStream) -> None:
        asked.append(await stream.receive())
        await asyncio.Event().wait()

    host = scene.network.hosts["boot"]
    await host.listen(Endpoint("0.0.0.0", 4443), mute)  # type: ignore[arg-type]
    for role in (scene.dns, scene.gateway, scene.device):
        await role.start()

    failed = await scene.tells("FAILED")

    assert failed["step"] == "7"
    assert "did not answer within 3 s" in failed["cause"]
    assert len(asked) == 1


@virtual_time
async def test_a_staged_package_is_for_devices_that_are_known() -> None:
    scene = DmScene()
    scene.boot.stage_package(b"any octets")
    await scene.start()

    known = await scene.boot.packages.answer(asks_for(f"{BOOTSTRAP_PATH}?msid={MAC}"), ASKER)
    nobody = await scene.boot.packages.answer(asks_for(f"{BOOTSTRAP_PATH}?msid={12 * '0'}"), ASKER)

    assert (known.status, known.body) == (200, b"any octets")
    assert nobody.status == 404


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: boot\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: boot\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + MOST_HEAD_OCTETS * b"x" + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: bo",
    ],
    ids=["no-http", "another-version", "bad-length", "too-large", "never-whole"],
)
@virtual_time
async def test_whatever_is_not_understood_gets_400_and_no_other_status(octets: bytes) -> None:
    scene = DmScene()
    await scene.boot.start()
    stream = await scene.network.hosts["dm"].connect(Endpoint("192.168.1.60", 4443))

    await stream.send(octets)
    said = await stream.receive()

    assert said.startswith(b"HTTP/1.1 400 ")


def client(number: int, name: str = DEVICE, credentials: Credentials = CLIENT) -> DmClient:
    proving = Proving.of(credentials)
    nodes = ValueNodes({"./DevDetail/SwV": "1"})
    return DmClient(str(number), name, DM_URL, {}, nodes, proving, None, Random(1))


async def posted(scene: DmScene, packed: Any) -> Response:
    headers = (("Content-Type", packed.message.media_type), *packed.headers)
    return await scene.dm._answer(Request(headers, packed.body, method="POST", target="/dm"), ASKER)


@virtual_time
async def test_who_proves_nothing_does_not_push_out_who_has_proved_himself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dm_server, "MOST_SESSIONS", 3)
    scene = DmScene()
    await scene.dm.start()
    good = client(1)
    first = await posted(scene, good.begin())

    for number in range(2, 9):
        await posted(scene, client(number, credentials=replace(CLIENT, secret="guessed")).begin())
    second = good.receive(first.body, ENROLMENT_MEDIA)
    assert second is not None
    last = await posted(scene, second)

    assert good.receive(last.body, ENROLMENT_MEDIA) is None
    assert good.outcome == "complete"
    assert [each["accepted"] for each in scene.told("DM_SESSION_OVER", "dm")] == [True]


ENROLMENT_MEDIA = client(1).begin().message.media_type


@virtual_time
async def test_a_session_is_accepted_for_itself_whatever_the_one_before_was() -> None:
    scene = await DmScene().start()
    await scene.tells("DM_SESSION_OVER", "dm")

    await posted(scene, client(1, name="IMEI:0").begin())

    assert [each["accepted"] for each in scene.told("DM_SESSION_OVER", "dm")] == [True, False]


def test_a_nonce_that_is_not_base_64_does_not_spoil_the_next_proofs() -> None:
    proving = Proving.of(CLIENT)

    taken = proving.heard(Meta("b64", "syncml:auth-md5", "not base 64!"))

    assert not taken
    assert proving.nonce == CLIENT.nonce


def test_a_package_in_xml_holds_the_account_as_operators_write_it() -> None:
    package = encode_package(ACCOUNT, PROVISIONING_XML).decode()

    assert f'<parm name="ADDR" value="{DM_URL}"/>' in package
    assert f'<parm name="AAUTHDATA" value="{base64.b64encode(b"first").decode()}"/>' in package
