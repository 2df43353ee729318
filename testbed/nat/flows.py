"""Flows as Linux' connection tracking translates them: one entry for each pair of ends.

A flow keeps its inside's port where no other flow to the same remote has it, so that insides share
ports.  All flows of one inside endpoint get the same outside endpoint while that works: this is
endpoint-independent mapping until there is a conflict, and address-and-port-dependent filtering.
"""

from __future__ import annotations

from random import Random

from testbed.nat.expiries import Expiries
from testbed.nat.outcomes import BindingEvent, Happening, Reason, Tell
from testbed.protocols.wire import Endpoint

CONFIRMED_AFTER_S = 2.0
"""A flow is confirmed by a packet later than this after its first (nf_conntrack_proto_udp.c)."""
_FIRST_PORT, _LAST_PORT = 1024, 65535
_TRIES = 128


class _Flow:
    __slots__ = ("answered", "confirmed", "created", "expires", "gone", "inside", "outside", "peer")

    def __init__(self, inside: Endpoint, outside: Endpoint, peer: Endpoint, now: float) -> None:
        self.inside = inside
        self.outside = outside
        self.peer = peer
        self.created = now
        self.expires = now
        self.answered = False
        self.confirmed = False
        self.gone = False


class Flows:
    """The flows of one protocol.

    Args:
        protocol: "udp", "tcp", "icmp".
        random: of the ports given where the inside's own is taken.
        tell: called with what happens to bindings.
        lifetime_s: of a flow that is not confirmed.
        confirmed_lifetime_s: of one that is; None: the same.
    """

    def __init__(
        self,
        protocol: str,
        random: Random,
        tell: Tell,
        lifetime_s: float,
        confirmed_lifetime_s: float | None = None,
    ) -> None:
        self._protocol = protocol
        self._random = random
        self._tell = tell
        self._lifetime_s = lifetime_s
        self._confirmed_lifetime_s = confirmed_lifetime_s
        self._by_inside: dict[tuple[Endpoint, Endpoint], _Flow] = {}
        self._by_outside: dict[tuple[Endpoint, Endpoint], _Flow] = {}
        # Of each inside endpoint its flows, the newest last.
        self._of: dict[Endpoint, dict[_Flow, None]] = {}
        self._expiries: Expiries[_Flow] = Expiries()

    def outward(
        self, inside: Endpoint, remote: Endpoint, address: str, now: float
    ) -> Endpoint | Reason:
        """The outside endpoint of a packet that leaves by the outside address `address`."""
        flow = self._by_inside.get((inside, remote))
        if flow is None:
            outside = self._choose(inside, remote, address)
            if outside is None:
                return Reason.NO_PORT
            flow = _Flow(inside, outside, remote, now)
            self._by_inside[inside, remote] = flow
            self._by_outside[outside, remote] = flow
            self._of.setdefault(inside, {})[flow] = None
            self._refresh(flow, now)
            self._expiries.add(flow)
            self._happened(Happening.CREATED, flow, now)
        else:
            self._refresh(flow, now)
        return flow.outside

    def inward(self, outside: Endpoint, remote: Endpoint, now: float) -> Endpoint | Reason:
        """The inside endpoint that a packet from outside is for."""
        flow = self._by_outside.get((outside, remote))
        if flow is None:
            return Reason.NO_BINDING
        self._refresh(flow, now)
        flow.answered = True
        if not flow.confirmed and self._confirmed_lifetime_s is None:
            flow.confirmed = True
            self._happened(Happening.CONFIRMED, flow, now)
        return flow.inside

    def admits(self, outside: Endpoint, remote: Endpoint) -> bool:
        """Whether a packet from outside would go on to an inside."""
        return (outside, remote) in self._by_outside

    def expire(self, now: float) -> None:
        """Let go of what has ended."""
        for flow in self._expiries.ended(now):
            self._remove(flow)
            self._happened(Happening.EXPIRED, flow, flow.expires)

    def deadline(self) -> float | None:
        """When the next flow ends, unless something refreshes it."""
        return self._expiries.next()

    def forget(self, now: float) -> None:
        """Let go of all."""
        for flow in list(self._by_inside.values()):
            self._remove(flow)
            self._happened(Happening.FORGOTTEN, flow, now)

    def __len__(self) -> int:
        return len(self._by_inside)

    def bindings(self) -> list[tuple[Endpoint, Endpoint]]:
        """(inside, outside) of each flow."""
        return [(flow.inside, flow.outside) for flow in self._by_inside.values()]

    def _choose(self, inside: Endpoint, remote: Endpoint, address: str) -> Endpoint | None:
        for flow in reversed(self._of.get(inside, {})):
            if flow.outside.address == address and self._is_free(flow.outside, remote):
                return flow.outside
        own = Endpoint(address, inside.port)
        if self._is_free(own, remote):
            return own
        if inside.port == 0:
            return None  # a protocol without ports
        for _ in range(_TRIES):
            other = Endpoint(address, self._random.randint(_FIRST_PORT, _LAST_PORT))
            if self._is_free(other, remote):
                return other
        return None

    def _is_free(self, outside: Endpoint, remote: Endpoint) -> bool:
        return (outside, remote) not in self._by_outside

    def _refresh(self, flow: _Flow, now: float) -> None:
        lifetime_s = self._lifetime_s
        longer = self._confirmed_lifetime_s
        if longer is not None and flow.answered and now > flow.created + CONFIRMED_AFTER_S:
            lifetime_s = longer
            if not flow.confirmed:
                flow.confirmed = True
                self._happened(Happening.CONFIRMED, flow, now)
        flow.expires = max(flow.expires, now + lifetime_s)

    def _remove(self, flow: _Flow) -> None:
        flow.gone = True
        del self._by_inside[flow.inside, flow.peer]
        del self._by_outside[flow.outside, flow.peer]
        of = self._of[flow.inside]
        del of[flow]
        if not of:
            del self._of[flow.inside]

    def _happened(self, happening: Happening, flow: _Flow, now: float) -> None:
        self._tell(
            BindingEvent(happening, now, self._protocol, flow.inside, flow.outside, flow.peer)
        )
