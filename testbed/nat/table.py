"""`NatTable`: every packet of a gateway, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from testbed.errors import BadInput
from testbed.nat.flows import Flows
from testbed.nat.mappings import Mappings
from testbed.nat.outcomes import BindingEvent, Forwarded, Happening, Reason, Refused
from testbed.nat.supply import Pool, Untranslated
from testbed.protocols.wire import Endpoint
from testbed.topology import Hairpinning, Nat, Ports, Rebinding, Udp

DNS_PORT = 53
TCP_LIFETIME_S = 7440.0
"""RFC 5382, REQ-5: two hours and four minutes."""
ICMP_LIFETIME_S = 60.0
"""RFC 5508, REQ-2."""
OTHER_LIFETIME_S = 600.0

_BINDING_REQUEST = b"\x00\x01"
_CONNECTION_REQUEST_BINDING = b"\xc0\x01\x00\x14dslf"
_STUN_HEADER_OCTETS = 20
_SEARCHED_OCTETS = 256


def asks_for_long_binding(payload: bytes) -> bool:
    """Whether a UDP payload is a STUN Binding Request with TR-111's CONNECTION-REQUEST-BINDING.

    A gateway looks at its first octets, at every fourth one, and decodes nothing.
    """
    if payload[:2] != _BINDING_REQUEST:
        return False
    found = payload.find(_CONNECTION_REQUEST_BINDING, _STUN_HEADER_OCTETS, _SEARCHED_OCTETS)
    while found >= 0 and found % 4:
        found = payload.find(_CONNECTION_REQUEST_BINDING, found + 1, _SEARCHED_OCTETS)
    return found >= 0


class NatTable:
    """A gateway's bindings: a pure function of (flow, now).

    Ports of ICMP echo are its identifiers; of a protocol without ports, 0.  Times are seconds of
    one clock that never goes back.  Packets for the gateway itself are not its business: whoever
    asks knows what ports the gateway listens on.

    Args:
        nat: the behaviour.
        addresses: the outside addresses, as many as the behaviour says.
        random: of random ports.
        now: when the gateway begins to translate.

    Raises:
        BadInput: there are too few addresses.
    """

    def __init__(
        self, nat: Nat, addresses: Sequence[str], random: Random, now: float = 0.0
    ) -> None:
        if len(addresses) < nat.addresses:
            raise BadInput(
                f"NAT {nat.name} needs {nat.addresses} outside addresses, and has "
                f"{len(addresses)}: {', '.join(addresses) or 'none'}"
            )
        self.nat = nat
        self._own = frozenset(addresses) if nat.translates else frozenset[str]()
        self._pool = Pool(nat, addresses[: nat.addresses], random) if nat.translates else None
        self._mappings = Mappings(nat, self._pool or Untranslated(), self._happened)
        self._random = random
        self._flows: dict[str, Flows] = {}
        self._events: list[BindingEvent] = []
        self._rebinds_at: float | None = None
        if nat.rebinding is not Rebinding.NEVER:
            self._rebinds_at = now + nat.rebinds_after_s

    # Packets

    def outbound(
        self,
        source: Endpoint,
        destination: Endpoint,
        protocol: str,
        now: float,
        payload: bytes = b"",
    ) -> Forwarded | Refused:
        """What becomes of a packet that comes from inside.

        Args:
            source: its sender.
            destination: whom it is for.
            protocol: "udp", "tcp", "icmp", or another's name.
            now: the time.
            payload: a UDP datagram's; looked at only by a gateway that knows TR-111.
        """
        self.tick(now)
        nat = self.nat
        if nat.filtering is None:
            return Forwarded(source, destination, to_inside=False)
        if protocol == "udp" and nat.udp is not Udp.PASSED and destination.port != DNS_PORT:
            self._refused(protocol, destination, source, Reason.UDP_BLOCKED, now, is_outbound=True)
            return Refused(Reason.UDP_BLOCKED, told=nat.udp is Udp.REJECTED)
        if destination.address in self._own:
            return self._hairpin(source, destination, protocol, now)
        outside = self._outward(source, destination, protocol, now, payload)
        if isinstance(outside, Reason):
            self._refused(protocol, destination, source, outside, now, is_outbound=True)
            return Refused(outside)
        return Forwarded(outside, destination, to_inside=False)

    def inbound(
        self, source: Endpoint, destination: Endpoint, protocol: str, now: float
    ) -> Forwarded | Refused:
        """What becomes of a packet that comes from outside."""
        self.tick(now)
        if self.nat.filtering is None:
            return Forwarded(source, destination, to_inside=True)
        if self._is_mapped(protocol):
            inside = self._mappings.inward(destination, source, now)
        else:
            inside = self._flows_of(protocol).inward(destination, source, now)
        if isinstance(inside, Reason):
            self._refused(protocol, source, destination, inside, now, is_outbound=False)
            return Refused(inside)
        return Forwarded(source, inside, to_inside=True)

    def admits(self, source: Endpoint, destination: Endpoint, protocol: str, now: float) -> bool:
        """Whether `inbound` would forward a packet.  Nothing comes of asking."""
        self.tick(now)
        if self._is_mapped(protocol):
            return self._mappings.admits(destination, source, now)
        return self._flows_of(protocol).admits(destination, source)

    def _hairpin(
        self, source: Endpoint, destination: Endpoint, protocol: str, now: float
    ) -> Forwarded | Refused:
        """A packet from inside to one of the outside addresses."""
        if self.nat.hairpinning is Hairpinning.OFF or protocol != "udp":
            return Refused(Reason.NO_HAIRPINNING)
        inside = self._mappings.hairpin(destination)
        if inside is None:
            return Refused(Reason.NO_BINDING)
        if self.nat.hairpinning is Hairpinning.INTERNAL:
            return Forwarded(source, inside, to_inside=True)
        outside = self._mappings.outward(source, destination, now)
        if isinstance(outside, Reason):
            return Refused(outside)
        return Forwarded(outside, inside, to_inside=True)

    def _outward(
        self, source: Endpoint, destination: Endpoint, protocol: str, now: float, payload: bytes
    ) -> Endpoint | Reason:
        if self._is_mapped(protocol):
            asks = self.nat.binding_request_lifetime_s is not None and asks_for_long_binding(
                payload
            )
            return self._mappings.outward(source, destination, now, asks)
        address = self._pool.addresses[0] if self._pool is not None else source.address
        return self._flows_of(protocol).outward(source, destination, address, now)

    def _is_mapped(self, protocol: str) -> bool:
        return protocol == "udp" and self.nat.ports is not Ports.OVERLOADING

    def _flows_of(self, protocol: str) -> Flows:
        if protocol not in self._flows:
            lifetime_s = {"tcp": TCP_LIFETIME_S, "icmp": ICMP_LIFETIME_S}.get(
                protocol, OTHER_LIFETIME_S
            )
            confirmed_s = None
            if protocol == "udp":
                lifetime_s, confirmed_s = self.nat.lifetime_s, self.nat.confirmed_lifetime_s
            self._flows[protocol] = Flows(
                protocol, self._random, self._happened, lifetime_s, confirmed_s
            )
        return self._flows[protocol]

    # Time

    def deadline(self) -> float | None:
        """When `tick` is wanted next, so that what ends is told at its time; None: never."""
        wanted = [self._mappings.deadline(), self._rebinds_at]
        wanted += [flows.deadline() for flows in self._flows.values()]
        return min((each for each in wanted if each is not None), default=None)

    def tick(self, now: float) -> None:
        """Let time pass up to `now`."""
        while self._rebinds_at is not None and self._rebinds_at <= now:
            self._expire(self._rebinds_at)
            self.rebind(self._rebinds_at)
            self._rebinds_at += self.nat.rebinds_after_s
        self._expire(now)

    def rebind(self, now: float) -> None:
        """Forget every binding, as a gateway that has restarted, and give others from now on."""
        self._mappings.forget(now)
        for flows in self._flows.values():
            flows.forget(now)

    def _expire(self, now: float) -> None:
        self._mappings.expire(now)
        for flows in self._flows.values():
            flows.expire(now)

    # What is known of it

    def events(self) -> Sequence[BindingEvent]:
        """Take what has happened; a second call gives nothing until something new has."""
        told, self._events = self._events, []
        return told

    def bindings(self, protocol: str = "udp") -> list[tuple[Endpoint, Endpoint]]:
        """(inside, outside) of every binding there is; some may have ended since the last tick."""
        if self._is_mapped(protocol):
            return self._mappings.bindings()
        return self._flows_of(protocol).bindings()

    def _happened(self, event: BindingEvent) -> None:
        self._events.append(event)

    def _refused(
        self,
        protocol: str,
        remote: Endpoint,
        ours: Endpoint,
        reason: Reason,
        now: float,
        is_outbound: bool,
    ) -> None:
        inside, outside = (ours, None) if is_outbound else (None, ours)
        self._events.append(
            BindingEvent(Happening.REFUSED, now, protocol, inside, outside, remote, reason)
        )
