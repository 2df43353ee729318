"""Two insides, a gateway and a server of two addresses, for what a kernel's NAT does to packets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from testbed.engines.emulation.host import EmulatedHost
from testbed.host import Port
from testbed.nat import Forwarded, NatTable
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Ports
from tests.emulation.wires import Wires

OUTSIDE = ("203.0.113.7", "203.0.113.8")
HNB, DEVICE = "192.168.1.10", "192.168.2.10"
INSIDES = [Endpoint(HNB, 5000), Endpoint(HNB, 5001), Endpoint(DEVICE, 5000)]
REMOTES = [Endpoint(f"203.0.113.{host}", port) for host in (50, 51) for port in (3478, 3479)]
KEEPER = 9000
ALWAYS_OPEN = 53
"""DNS passes where UDP is blocked."""


@dataclass
class Street:
    """Everything that is wired, and the datagrams that have arrived."""

    gateway: EmulatedHost
    hosts: dict[str, EmulatedHost]
    ports: dict[Endpoint, Port] = field(default_factory=dict)
    arrived: dict[Endpoint, list[tuple[bytes, Endpoint]]] = field(default_factory=dict)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0

    @classmethod
    async def build(cls, wires: Wires, nat: Nat, watches: bool = False) -> Street:
        """Wire it, translate, and bind every port."""
        wires.nodes("hnb", "device", "gateway", "server")
        wires.wire("home", ("hnb", f"{HNB}/24"), ("gateway", "192.168.1.1/24"))
        wires.wire("internet", ("gateway", f"{OUTSIDE[0]}/24"), ("server", "203.0.113.50/24"))
        wires.wire("attic", ("device", f"{DEVICE}/24"), ("gateway", "192.168.2.1/24"))
        wires.netlinks["server"].add_address("eth0", "203.0.113.51", 24)
        wires.netlinks["hnb"].set_default_route("192.168.1.1")
        wires.netlinks["device"].set_default_route("192.168.2.1")
        wires.netlinks["server"].set_default_route(OUTSIDE[0])  # for what is not translated
        hosts = {name: wires.host(name) for name in ("hnb", "device", "gateway", "server")}
        street = cls(hosts["gateway"], hosts)
        street.gateway.watches_bindings = watches
        street.gateway.translate(nat, ["eth0", "eth2"], "eth1", OUTSIDE[1 : nat.addresses])
        for endpoint in (*INSIDES, *REMOTES):
            await street.bind(endpoint)
        for address in (HNB, DEVICE):
            await street.bind(Endpoint(address, KEEPER))
        for address in ("203.0.113.50", "203.0.113.51"):
            await street.bind(Endpoint(address, ALWAYS_OPEN))
        return street

    async def bind(self, endpoint: Endpoint) -> None:
        """Hear what comes there."""
        names = {HNB: "hnb", DEVICE: "device"}
        heard: list[tuple[bytes, Endpoint]] = []

        def hear(data: bytes, source: Endpoint) -> None:
            heard.append((data, source))
            self.something.set()

        host = self.hosts[names.get(endpoint.address, "server")]
        self.arrived[endpoint] = heard
        self.ports[endpoint] = await host.datagrams(endpoint, hear)

    def send(self, source: Endpoint, destination: Endpoint, payload: bytes = b"") -> bytes:
        """Send a datagram of its own kind; gives what it holds."""
        self.number += 1
        data = payload + b"%06d" % self.number
        self.ports[source].send(data, destination)
        return data

    def now(self) -> float:
        return self.gateway.now()

    async def until(self, when: float) -> None:
        """Let time pass: lifetimes are made of it."""
        passed = asyncio.get_running_loop().create_future()
        self.gateway.call_at(when, lambda: passed.set_result(None))
        await passed

    async def came(self, data: bytes, at: Endpoint) -> Endpoint:
        """Wait for that datagram; gives the source that it came with."""
        while True:
            for found, source in self.arrived[at]:
                if found == data:
                    return source
            self.something.clear()
            await self.something.wait()

    async def drained(self, inside: str, remote: str) -> None:
        """What was sent between these two before has arrived by now, or never will: a datagram to
        and fro on a binding of its own has overtaken nothing."""
        here, there = Endpoint(inside, KEEPER), Endpoint(remote, ALWAYS_OPEN)
        source = await self.came(self.send(here, there), there)
        await self.came(self.send(there, source), here)

    def has(self, data: bytes, at: Endpoint) -> Endpoint | None:
        """The source that the datagram came with; None: it did not come."""
        return next((source for found, source in self.arrived[at] if found == data), None)


class Twin:
    """The kernel's NAT and a NatTable under the same packets.

    Attributes:
        nat: what both do.
        differences: where the two did not do the same, and what was before.
        history: what has happened since.
        began: when.
    """

    def __init__(self, street: Street, nat: Nat) -> None:
        self.street = street
        self.nat = nat
        self.table = NatTable(nat, OUTSIDE[: nat.addresses], Random(1), street.now())
        self.differences: list[str] = []
        self.history: list[str] = []
        self.began = street.now()
        self._chooses = nat.ports in (Ports.RANDOM, Ports.OVERLOADING)
        # Ports chosen at random agree where the same ones stay the same: the table's by ours.
        self._in_table: dict[Endpoint, Endpoint] = {}

    async def outbound(
        self, inside: Endpoint, remote: Endpoint, payload: bytes = b""
    ) -> Endpoint | None:
        """What source the remote sees; None: it sees nothing."""
        data = self.street.send(inside, remote, payload)
        passed = self.table.outbound(inside, remote, "udp", self.street.now(), data)
        wanted = passed.source if isinstance(passed, Forwarded) else None
        await self._drain(inside, remote)
        found = self.street.has(data, remote)
        if self._chooses and found is not None and wanted is not None:
            wanted = found if self._in_table.setdefault(found, wanted) == wanted else wanted
        self._compare(f"{inside} to {remote}", wanted, found)
        return found

    async def inbound(self, remote: Endpoint, outside: Endpoint) -> Endpoint | None:
        """Which inside a packet reaches; None: it reaches nobody."""
        data = self.street.send(remote, outside)
        in_table = self._in_table.get(outside, outside)
        passed = self.table.inbound(remote, in_table, "udp", self.street.now())
        wanted = passed.destination if isinstance(passed, Forwarded) else None
        for inside in (HNB, DEVICE):
            await self._drain(Endpoint(inside, 0), remote)
        reached = [each for each in INSIDES if self.street.has(data, each) is not None]
        assert len(reached) <= 1
        self._compare(f"{remote} to {outside}", wanted, reached[0] if reached else None)
        return reached[0] if reached else None

    def _compare(self, what: str, wanted: Endpoint | None, found: Endpoint | None) -> None:
        told = f"{self.street.now() - self.began:.3f} {what}: {wanted}"
        if wanted == found:
            self.history.append(told)
        else:
            self.differences += [*self.history, f"{told} says the table, {found} the kernel"]
            self.history.clear()

    async def _drain(self, inside: Endpoint, remote: Endpoint) -> None:
        """Also for the table: the keepers' bindings take ports as well."""
        here, there = Endpoint(inside.address, KEEPER), Endpoint(remote.address, ALWAYS_OPEN)
        passed = self.table.outbound(here, there, "udp", self.street.now())
        assert isinstance(passed, Forwarded)
        await self.street.drained(inside.address, remote.address)
        self.table.inbound(there, passed.source, "udp", self.street.now())
