"""UDP mappings and filters in the words of RFC 4787, with the outside ends that they are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from testbed.nat.expiries import Expiries
from testbed.nat.flows import CONFIRMED_AFTER_S
from testbed.nat.outcomes import BindingEvent, Happening, Reason, Tell
from testbed.nat.supply import Supply
from testbed.protocols.wire import Endpoint
from testbed.topology import Dependence, Nat

RECENT_S = 1.0
"""An answer within this time goes back the way its question came, although no mapping says so: the
memory of flows that a gateway has beside its mappings."""

Key = tuple[Endpoint, object]


def _part_of(dependence: Dependence) -> Callable[[Endpoint], object]:
    """What of a remote endpoint a mapping or a filter looks at."""
    if dependence is Dependence.ENDPOINT_INDEPENDENT:
        return lambda remote: None
    if dependence is Dependence.ADDRESS:
        return lambda remote: remote.address
    return lambda remote: remote


class _Mapping:
    """One outside endpoint, and what it is for."""

    __slots__ = ("answered", "expires", "gone", "inside", "keys", "outside", "permits", "sessions")

    def __init__(self, inside: Endpoint, outside: Endpoint) -> None:
        self.inside = inside
        self.outside = outside
        self.expires = 0.0
        self.gone = False
        self.answered = False
        self.keys: dict[Key, float] = {}
        self.permits: dict[object, float] = {}
        self.sessions: dict[Endpoint, _Session] = {}


class _Session:
    """What one mapping and one remote have said to each other."""

    __slots__ = ("answered", "confirmed", "created", "last")

    def __init__(self, now: float) -> None:
        self.created = now
        self.last = now
        self.answered = False
        self.confirmed = False


class Mappings:
    """The mappings of UDP.

    Args:
        nat: the behaviour.
        supply: gives outside endpoints.
        tell: called with what happens to bindings.
    """

    def __init__(self, nat: Nat, supply: Supply, tell: Tell) -> None:
        self._nat = nat
        self._supply = supply
        self._tell = tell
        self._lifetime_s = nat.lifetime_s
        self._longest_s = nat.long_lifetime_s or nat.lifetime_s
        self._by_key: dict[Key, _Mapping] = {}
        self._by_outside: dict[Endpoint, _Mapping] = {}
        self._by_session: dict[tuple[Endpoint, Endpoint], _Mapping] = {}
        self._expiries: Expiries[_Mapping] = Expiries()
        self._remembered: deque[tuple[float, _Mapping]] = deque()
        self._map = _part_of(nat.mapping)
        self._filter = _part_of(nat.filtering or Dependence.ENDPOINT_INDEPENDENT)

    def outward(
        self, inside: Endpoint, remote: Endpoint, now: float, asks_for_long: bool = False
    ) -> Endpoint | Reason:
        """The outside endpoint of a packet that leaves."""
        key = (inside, self._map(remote))
        mapping = self._by_key.get(key)
        if mapping is not None and mapping.keys[key] <= now:
            del self._by_key[key], mapping.keys[key]
            mapping = None
        mapping = self._recent(inside, remote, now) or mapping or self._make(inside, now)
        if mapping is None:
            return Reason.NO_PORT
        session = self._session(mapping, remote, now)
        lifetime_s = self._lifetime(mapping, session, remote, now, asks_for_long)
        refreshes = self._nat.refresh.by_outbound or asks_for_long
        owner = self._by_key.setdefault(key, mapping)
        own_key = key if owner is mapping else None
        self._put_off(mapping, own_key, remote, now + lifetime_s, now, refreshes)
        session.last = now
        return mapping.outside

    def inward(self, outside: Endpoint, remote: Endpoint, now: float) -> Endpoint | Reason:
        """The inside endpoint that a packet from outside is for."""
        mapping = self._by_outside.get(outside)
        if mapping is None:
            return Reason.NO_BINDING
        if not self.permits(mapping, remote, now):
            return Reason.FILTERED
        session = self._session(mapping, remote, now)
        session.last = now
        if self._nat.refresh.by_inbound:
            lifetime_s = self._lifetime(mapping, session, remote, now, False)
            key = (mapping.inside, self._map(remote))
            owner = self._by_key.setdefault(key, mapping)
            own_key = key if owner is mapping else None
            self._put_off(mapping, own_key, remote, now + lifetime_s, now, True)
        session.answered = True
        if not mapping.answered:
            mapping.answered = True
            if self._nat.confirmed_lifetime_s is None:
                self._happened(Happening.CONFIRMED, mapping, now, remote)
        return mapping.inside

    def admits(self, outside: Endpoint, remote: Endpoint, now: float) -> bool:
        """Whether a packet from outside would go on to an inside."""
        mapping = self._by_outside.get(outside)
        return mapping is not None and self.permits(mapping, remote, now)

    def hairpin(self, outside: Endpoint) -> Endpoint | None:
        """The inside endpoint of a mapping; its filter is for those outside."""
        mapping = self._by_outside.get(outside)
        return None if mapping is None else mapping.inside

    def permits(self, mapping: _Mapping, remote: Endpoint, now: float) -> bool:
        """Whether the filter lets that remote in."""
        return mapping.permits.get(self._filter(remote), 0.0) > now

    def expire(self, now: float) -> None:
        """Let go of what has ended."""
        while self._remembered and self._remembered[0][0] <= now:
            self._forget_sessions(self._remembered.popleft()[1])
        for mapping in self._expiries.ended(now):
            self._remove(mapping, mapping.expires)
            self._happened(Happening.EXPIRED, mapping, mapping.expires)

    def deadline(self) -> float | None:
        """When the next mapping ends, unless something refreshes it."""
        return self._expiries.next()

    def forget(self, now: float) -> None:
        """Let go of all, and give other outside ends from now on."""
        for mapping in list(self._by_outside.values()):
            self._remove(mapping, now)
            self._forget_sessions(mapping)
            self._happened(Happening.FORGOTTEN, mapping, now)
        self._supply.rebind()

    def __len__(self) -> int:
        return len(self._by_outside)

    def bindings(self) -> list[tuple[Endpoint, Endpoint]]:
        """(inside, outside) of each mapping."""
        return [(each.inside, each.outside) for each in self._by_outside.values()]

    def _recent(self, inside: Endpoint, remote: Endpoint, now: float) -> _Mapping | None:
        """The mapping by which these two have just spoken, if nobody else has it now."""
        old = self._by_session.get((inside, remote))
        if old is None or now - old.sessions[remote].last >= RECENT_S:
            return None
        if not old.gone:
            return old
        if not self._supply.take_again(inside, old.outside):
            return None
        return self._add(_Mapping(inside, old.outside), now)

    def _make(self, inside: Endpoint, now: float) -> _Mapping | None:
        outside = self._supply.take(inside)
        return None if outside is None else self._add(_Mapping(inside, outside), now)

    def _add(self, mapping: _Mapping, now: float) -> _Mapping:
        self._by_outside[mapping.outside] = mapping
        mapping.expires = now + self._lifetime_s
        self._expiries.add(mapping)
        self._happened(Happening.CREATED, mapping, now)
        return mapping

    def _session(self, mapping: _Mapping, remote: Endpoint, now: float) -> _Session:
        session = mapping.sessions.get(remote)
        if session is None or now - session.last >= self._longest_s:
            session = mapping.sessions[remote] = _Session(now)
        pair = (mapping.inside, remote)
        other = self._by_session.get(pair)
        if other is None or now - other.sessions[remote].last >= RECENT_S:
            self._by_session[pair] = mapping
        return session

    def _lifetime(
        self,
        mapping: _Mapping,
        session: _Session,
        remote: Endpoint,
        now: float,
        asks_for_long: bool,
    ) -> float:
        nat = self._nat
        if nat.binding_request_lifetime_s is not None and asks_for_long:
            return nat.binding_request_lifetime_s
        if nat.confirmed_lifetime_s is None or not session.answered:
            return self._lifetime_s
        if now <= session.created + CONFIRMED_AFTER_S:
            return self._lifetime_s
        if not session.confirmed:
            session.confirmed = True
            self._happened(Happening.CONFIRMED, mapping, now, remote)
        return nat.confirmed_lifetime_s

    def _put_off(
        self,
        mapping: _Mapping,
        key: Key | None,
        remote: Endpoint,
        until: float,
        now: float,
        refreshes: bool,
    ) -> None:
        """Let mapping, key and permission live until then; what is new or dead always does."""
        if refreshes:
            mapping.expires = max(mapping.expires, until)
        if key is not None:
            old = mapping.keys.get(key, 0.0)
            if refreshes or old <= now:
                mapping.keys[key] = max(old, until)
        permit = self._filter(remote)
        old = mapping.permits.get(permit, 0.0)
        if refreshes or old <= now:
            mapping.permits[permit] = max(old, until)

    def _remove(self, mapping: _Mapping, now: float) -> None:
        mapping.gone = True
        del self._by_outside[mapping.outside]
        self._supply.give_back(mapping.outside)
        for key in mapping.keys:
            if self._by_key.get(key) is mapping:
                del self._by_key[key]
        # In the order in which mappings end, which is that of these times too.
        self._remembered.append((now + RECENT_S, mapping))

    def _forget_sessions(self, mapping: _Mapping) -> None:
        for remote in mapping.sessions:
            if self._by_session.get((mapping.inside, remote)) is mapping:
                del self._by_session[mapping.inside, remote]

    def _happened(
        self, happening: Happening, mapping: _Mapping, now: float, remote: Endpoint | None = None
    ) -> None:
        self._tell(BindingEvent(happening, now, "udp", mapping.inside, mapping.outside, remote))
