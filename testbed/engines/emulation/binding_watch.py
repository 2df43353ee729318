"""What happens to the bindings of a kernel's NAT, told as events of its gateway.

Connection tracking tells of new flows and of answers; but the kernel tells nobody when an element
of a map ends, nor that a rule refused a packet, and tracking notices an end long after.  So the
watch looks when it is told to, ten times a second, and at the very moment at which a binding that
it knows is due to end: if nothing has refreshed it, it has died then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from testbed.engines.emulation.netfilter import Element, NetfilterSocket, Tracked
from testbed.nat import BindingEvent, Happening, Reason
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Ports, Udp

PERIOD_S = 0.1
_AFTER_S = 0.002
"""The kernel's clock ticks every 4 ms at worst; an end is looked for a little after its time."""
_JITTER_S = 0.05
_TABLE = "testbed_nat"

Key = tuple[str, Endpoint, Endpoint, Endpoint | None]
"""Protocol, inside, outside, and the remote where a binding is of one flow."""


@dataclass(slots=True)
class _Known:
    expires: float | None
    confirmed: bool = False


class BindingWatch:
    """Looks at one gateway's bindings.

    Args:
        nat: its kind.
        netfilter: a socket in its namespace.
        addresses: its outside addresses.
        tell: called with what has happened.
    """

    def __init__(
        self,
        nat: Nat,
        netfilter: NetfilterSocket,
        addresses: tuple[str, ...],
        tell: Callable[[BindingEvent], None],
    ) -> None:
        self._nat = nat
        self._netfilter = netfilter
        self._own = frozenset(addresses)
        self._tell = tell
        self._known: dict[Key, _Known] = {}
        self._refused: dict[tuple[Endpoint, ...], float] = {}

    def look(self, now: float) -> float:
        """Tell what has happened; gives when to look again."""
        flows = self._netfilter.tracked()
        if self._nat.ports is Ports.OVERLOADING:
            present = self._of_flows(flows)
        else:
            present = self._of_maps(flows, now)
        for key, found in present.items():
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = _Known(found.expires)
                self._happened(Happening.CREATED, key, now)
            known.expires = found.expires
            if found.confirmed and not known.confirmed:
                known.confirmed = True
                self._happened(Happening.CONFIRMED, key, now)
        for key in [each for each in self._known if each not in present]:
            expires = self._known.pop(key).expires
            self._happened(Happening.EXPIRED, key, now if expires is None else min(now, expires))
        self._look_at_refused(now)
        ends = [known.expires for known in self._known.values() if known.expires is not None]
        return min(now + PERIOD_S, max(now + _AFTER_S, min(ends, default=now + 1) + _AFTER_S))

    def forgotten(self, now: float) -> None:
        """The gateway has forgotten all of them."""
        for key in self._known:
            self._happened(Happening.FORGOTTEN, key, now)
        self._known.clear()

    def close(self) -> None:
        """Look no more."""
        self._netfilter.close()

    def _of_flows(self, flows: list[Tracked]) -> dict[Key, _Known]:
        """The kernel's own NAT: a binding for each flow of an inside."""
        two_stages = self._nat.confirmed_lifetime_s is not None
        found: dict[Key, _Known] = {}
        for flow in flows:
            if self._nat.translates and (
                flow.answer_destination.address not in self._own or flow.source.address in self._own
            ):
                continue  # the gateway's own
            key = (flow.protocol, flow.source, flow.answer_destination, flow.destination)
            udp_in_two = two_stages and flow.protocol == "udp"
            found[key] = _Known(None, flow.assured if udp_in_two else flow.answered)
        return found

    def _of_maps(self, flows: list[Tracked], now: float) -> dict[Key, _Known]:
        """UDP's bindings are elements of maps; a flow that was answered confirms its binding."""
        # A flow that began outside is an answer to what a map remembers.
        answered = {flow.answer_destination for flow in flows if flow.answered}
        answered |= {flow.destination for flow in flows if flow.destination.address in self._own}
        two_stages = self._nat.confirmed_lifetime_s is not None
        found: dict[Key, _Known] = {}
        base = "in" if self._nat.translates else "permitted"
        suffixes = ("", "_long") if self._nat.long_lifetime_s is not None else ("",)
        for suffix in suffixes:
            for element in self._netfilter.elements(_TABLE, base + suffix):
                key = _key_of(element)
                known = found.setdefault(key, _Known(now))
                known.expires = max(known.expires or now, now + (element.expires_s or 0.0))
                is_long = two_stages and suffix != ""
                known.confirmed |= is_long or (not two_stages and key[2] in answered)
        others = [flow for flow in flows if flow.protocol != "udp"]
        return found | self._of_flows(others)

    def _look_at_refused(self, now: float) -> None:
        seen: dict[tuple[Endpoint, ...], float] = {}
        for element in self._netfilter.elements(_TABLE, "refused"):
            until = now + (element.expires_s or 0.0)
            seen[element.key] = until
            if until <= self._refused.get(element.key, 0.0) + _JITTER_S:
                continue
            source, destination = element.key
            blocked = self._nat.udp is not Udp.PASSED and destination.address not in self._own
            if blocked and self._nat.translates:
                inside, outside, remote, reason = source, None, destination, Reason.UDP_BLOCKED
            else:
                is_bound = any(key[2] == destination for key in self._known)
                reason = Reason.FILTERED if is_bound else Reason.NO_BINDING
                inside, outside, remote = None, destination, source
            self._tell(BindingEvent(Happening.REFUSED, now, "udp", inside, outside, remote, reason))
        self._refused = seen

    def _happened(self, happening: Happening, key: Key, when: float) -> None:
        protocol, inside, outside, remote = key
        self._tell(BindingEvent(happening, when, protocol, inside, outside, remote))


def _key_of(element: Element) -> Key:
    """Without translation there is no value: an inside endpoint is its own outside endpoint."""
    return ("udp", element.value or element.key[0], element.key[0], None)
