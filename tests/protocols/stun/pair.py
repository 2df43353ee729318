"""A CPE's STUN client and a server, wired back to back through a NAT, in a time of their own."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from testbed.protocols import stun
from testbed.protocols.wire import Endpoint

INSIDE = Endpoint("192.168.1.100", 7547)
INSIDE_SECONDARY = Endpoint("192.168.1.100", 40000)
OUTSIDE = "203.0.113.100"
SERVER = Endpoint("203.0.113.30", 3478)
DELAY_S = 0.01
RESOLUTION_S = 1e-9

SIDES = {stun.ClientSide.PRIMARY: INSIDE, stun.ClientSide.SECONDARY: INSIDE_SECONDARY}


@dataclass
class Mapping:
    """One binding of the NAT."""

    outside: Endpoint
    expires: float
    began: float
    has_reply: bool = False


@dataclass
class Nat:
    """A NAT of endpoint-independent mapping; filtering lets the server in as long as a binding is.

    Attributes:
        lifetime_s: of a binding that has been used in both directions.
        unreplied_s: of one that has carried no packet outwards more than 2 s after its first,
            with an answer seen; None: the same.
        inbound_refreshes: whether what comes in keeps a binding alive too.
        preserves: whether the outside port is the inside one; else each binding has a new one.
    """

    lifetime_s: float = 60.0
    unreplied_s: float | None = None
    inbound_refreshes: bool = False
    preserves: bool = False
    bindings: dict[Endpoint, Mapping] = field(default_factory=dict)
    next_port: int = 50000

    def outwards(self, source: Endpoint, now: float) -> Endpoint:
        mapping = self.bindings.get(source)
        if mapping is None or mapping.expires <= now:
            port = source.port
            if not self.preserves:
                self.next_port += 1
                port = self.next_port
            mapping = self.bindings[source] = Mapping(Endpoint(OUTSIDE, port), 0.0, now)
        self._refresh(mapping, now)
        return mapping.outside

    def _refresh(self, mapping: Mapping, now: float) -> None:
        lifetime_s = self.lifetime_s
        if self.unreplied_s is not None and not (mapping.has_reply and now > mapping.began + 2):
            lifetime_s = self.unreplied_s
        mapping.expires = max(mapping.expires, now + lifetime_s)

    def inwards(self, destination: Endpoint, now: float) -> Endpoint | None:
        for inside, mapping in self.bindings.items():
            if mapping.outside == destination and mapping.expires > now:
                mapping.has_reply = True
                if self.inbound_refreshes:
                    self._refresh(mapping, now)
                return inside
        return None

    def forget(self) -> None:
        """A reboot."""
        self.bindings.clear()


class Pair:
    """Both machines, and what went over the wire."""

    def __init__(
        self,
        nat: Nat | None = None,
        policy: stun.ClientPolicy | None = None,
        server_policy: stun.ServerPolicy | None = None,
        secrets: dict[str, str] | None = None,
        sides: dict[stun.ServerSide, Endpoint] | None = None,
    ) -> None:
        self.now = 0.0
        self.nat = nat
        self.client = stun.BindingClient(Random(1), policy)
        self.server = stun.StunServer(
            sides or {stun.ServerSide.MAIN: SERVER}, (secrets or {}).get, server_policy
        )
        self.local = dict(SIDES)
        self.sent: list[tuple[float, stun.ClientSide, stun.Message]] = []
        self.answered: list[tuple[float, stun.Message]] = []
        self.told: list[tuple[float, Any]] = []
        self.stored: list[stun.BindingStored] = []
        self.lose: Callable[[bytes], bool] = lambda data: False
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def enable(self, **settings: Any) -> Pair:
        """Address and settings are there."""
        self.client.set_local(self.local[stun.ClientSide.PRIMARY], self.now)
        self.configure(**settings)
        return self

    def configure(self, **settings: Any) -> None:
        told = {"enabled": True, "server": SERVER, **settings}
        self.client.configure(stun.ClientSettings(**told), self.now)
        self._flush()

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._number, call))

    def _flush(self) -> None:
        for each in self.client.to_send():
            assert isinstance(each.side, stun.ClientSide)
            self.sent.append((self.now, each.side, each.message))
            data, source = each.message.encode(), self.local[each.side]
            self.later(DELAY_S, lambda data=data, source=source: self._at_nat(data, source))
        self.told += [(self.now, each) for each in self.client.events()]

    def _at_nat(self, data: bytes, source: Endpoint) -> None:
        outside = self.nat.outwards(source, self.now) if self.nat else source
        if self.lose(data):
            return
        self.server.receive(data, outside, self.now, stun.ServerSide.MAIN)
        for each in self.server.to_send():
            self.answered.append((self.now, each.message))
            octets, to = each.message.encode(), each.destination
            if not self.lose(octets):
                self.later(DELAY_S, lambda octets=octets, to=to: self._inwards(octets, to))
        self.stored += [e for e in self.server.events() if isinstance(e, stun.BindingStored)]

    def _inwards(self, data: bytes, destination: Endpoint) -> None:
        inside = self.nat.inwards(destination, self.now) if self.nat else destination
        for side, endpoint in self.local.items():
            if endpoint == inside:
                self.client.receive(data, SERVER, self.now, side)
        self._flush()

    def run(self, until: float) -> Pair:
        """Let time pass."""
        for _ in range(200_000):
            deadline = self.client.deadline()
            times = [until] + ([deadline] if deadline is not None else [])
            if self._queue:
                times.append(self._queue[0][0])
            when = max(min(times), self.now)
            if when >= until:
                self.now = until
                return self
            self.now = when
            while self._queue and self._queue[0][0] <= self.now + RESOLUTION_S:
                heapq.heappop(self._queue)[2]()
            if deadline is not None and deadline <= self.now:
                self.client.tick(self.now)
            self._flush()
        raise AssertionError(f"the client does not come to rest at {self.now} s")

    # What was seen

    def requests(self, side: stun.ClientSide | None = None) -> list[tuple[float, stun.Message]]:
        """Each transaction's first copy."""
        seen: set[bytes] = set()
        found = []
        for when, came_from, message in self.sent:
            if side in (None, came_from) and message.transaction_id not in seen:
                seen.add(message.transaction_id)
                found.append((when, message))
        return found

    def keep_alives(self) -> list[float]:
        """Times of plain requests from the primary port."""
        found = self.requests(stun.ClientSide.PRIMARY)
        return [when for when, each in found if not each.is_change and not each.is_signed]

    def changes(self) -> list[tuple[float, stun.Message]]:
        """BINDING-CHANGE requests, those signed after a challenge left out."""
        return [
            (when, each) for when, each in self.requests() if each.is_change and not each.is_signed
        ]

    def events(self, kind: type) -> list[Any]:
        return [each for _, each in self.told if isinstance(each, kind)]
