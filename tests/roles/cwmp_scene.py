"""An HMS and an HNB on fake hosts, in clear: the stage of the CWMP roles' tests."""

from __future__ import annotations

import asyncio
from typing import Any

from testbed.protocols import dns
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import envelope_in, post
from testbed.protocols.http import Decoder, Response, Url
from testbed.protocols.wire import Endpoint
from testbed.roles.hms import Hms
from testbed.roles.hms_policy import Area, Assignment
from testbed.roles.hnb import Hnb, Place
from testbed.roles.resolve import resolve
from testbed.topology import Link, Node
from tests.fake_host import FakeHost, FakeNetwork
from tests.fake_streams import FakeStream

HMS, HNB, OTHER_HMS, STRANGER = "203.0.113.20", "192.168.1.10", "203.0.113.21", "203.0.113.66"
HMS_URL, OTHER_URL = f"http://{HMS}/acs", f"http://{OTHER_HMS}/acs"
PORT = Endpoint(HMS, 80)
SOUTH = Area(polygon=((47.0, 5.0), (47.0, 15.0), (51.0, 15.0), (51.0, 5.0)))
MUNICH = Place(48.137, 11.575, (("26201", 4711, 815),))
GIVEN = Assignment("south", SOUTH, "segw.example", OTHER_URL, "hnbgw.example")
SERIAL = "HNB"
SERVER = "Device.ManagementServer."


class Scene:
    """Hosts `hms`, `other`, `home` and `stranger`; roles of the first three."""

    def __init__(self, **settings: Any) -> None:
        self.network = FakeNetwork()
        internet, home = Link("internet", "203.0.113.0/24"), Link("home", "192.168.1.0/24")
        self.hms = Hms(*self._node("hms", internet.at(20), url=HMS_URL, assignments=(GIVEN,)))
        self.other = Hms(*self._node("other", internet.at(21), url=OTHER_URL))
        told = {"hms_url": HMS_URL, "place": MUNICH, "moment": 1_700_000_000.0, **settings}
        self.hnb = Hnb(*self._node("hnb", home.at(10), **told))
        self.stranger = self.network.host(Node("stranger", "stranger", (internet.at(66),)))
        self.hnb.set_policy(requires_tls=False)

    def _node(self, name: str, *attachments: Any, **settings: Any) -> tuple[FakeHost, Node]:
        node = Node(name, name, attachments, settings=settings)
        return self.network.host(node), node

    async def start(self) -> Scene:
        """Power for the servers."""
        await self.hms.start()
        await self.other.start()
        return self

    async def boot(self) -> None:
        """Power for the HNB, which has a fixed address here."""

        async def literal(name: str) -> dns.Resolution:
            return await resolve(self.home, [], name)

        self.hnb._scan()
        self.hnb.cpe.booted()
        await self.hnb.connection_requests.start()
        url = self.hnb.connection_requests.url(HNB)
        self.hnb.assign(f"{self.hnb.paths.root}ManagementServer.ConnectionRequestURL", url)
        self.hnb.cpe.connected(literal)

    @property
    def home(self) -> FakeHost:
        """The HNB's host."""
        return self.network.hosts["hnb"]

    def told(self, node: str, event: str) -> list[dict[str, Any]]:
        """The fields of each event of that name."""
        return [dict(e.fields) for e in self.network.hosts[node].told if e.name == event]

    async def until(self, node: str, event: str, times: int = 1, within_s: float = 1000) -> Any:
        """Wait until a node has told an event so often; the fields of the last one."""
        async with asyncio.timeout(within_s):
            while len(found := self.told(node, event)) < times:  # noqa: ASYNC110 - no one tells us
                await asyncio.sleep(0.01)
        return found[times - 1]

    async def discovered(self) -> None:
        """The HNB from power to its serving HMS."""
        await self.start()
        await self.boot()
        await self.until("hnb", "SERVED")


class Peer:
    """Somebody at the HMS's port, octet by octet."""

    def __init__(self, stream: FakeStream) -> None:
        self.stream = stream
        self.decoder = Decoder(False)
        self.responses: list[Any] = []

    @classmethod
    async def at(cls, host: FakeHost, remote: Endpoint = PORT) -> Peer:
        return cls(await host.connect(remote))

    async def response(self, within_s: float = 1.0) -> Any:
        """The next response, an error, or None at the end."""
        async with asyncio.timeout(within_s):
            while not self.responses:
                data = await self.stream.receive()
                self.responses += self.decoder.feed(data) if data else self.decoder.end()
                if not data:
                    break
        return self.responses.pop(0) if self.responses else None

    async def ask(self, envelope: Envelope | None, *headers: tuple[str, str]) -> Response:
        """POST an envelope; the response."""
        request = post(Url.parse(HMS_URL), envelope)
        await self.stream.send(
            type(request)(
                (*request.headers, *headers), request.body, target=request.target
            ).encode()
        )
        response = await self.response()
        assert isinstance(response, Response)
        return response


def inform(serial: str = "7", **values: str) -> Envelope:
    """A small Inform."""
    parameters = tuple(rpc.ParameterValue(name, value) for name, value in values.items())
    who = rpc.DeviceId("Hill", "00005E", "HNB", serial)
    return Envelope(rpc.Inform(who, (rpc.Event("1 BOOT"),), parameters=parameters), "1")


async def is_served(scene: Scene) -> bool:
    """Whether somebody else's Inform is answered within a second."""
    peer = await Peer.at(scene.stranger)
    response = await peer.ask(inform("well"))
    await peer.stream.close()
    envelope = envelope_in(response)
    return envelope is not None and isinstance(envelope.message, rpc.InformResponse | rpc.Fault)
