"""A CPE's STUN client without clock and socket (TR-111 Part 2, 2.2.1).

It finds out whether and how its primary port is translated, keeps that binding alive, finds out how
long it lasts, and tells the STUN server when it has changed.  UDP Connection Requests, which come
to the same port, are handed on as events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from testbed.errors import DecodeError
from testbed.protocols.stun.attributes import (
    CONNECTION_REQUEST_BINDING_VALUE,
    Attribute,
    Kind,
    address_value,
    username,
)
from testbed.protocols.stun.client_policy import (
    NO_MAXIMUM,
    BindingDetermined,
    ClientEvent,
    ClientPolicy,
    ClientSettings,
    Discarded,
    LadderWanted,
    Malformed,
    NoAnswer,
    NotStun,
    PhaseChanged,
    Probed,
    Purpose,
    Rejected,
    Side,
)
from testbed.protocols.stun.integrity import sign, signed_by
from testbed.protocols.stun.lifetime import LifetimeTester, Outcome, Phase, Step
from testbed.protocols.stun.message import (
    BindingErrorResponse,
    BindingRequest,
    BindingResponse,
    Message,
    decode,
    is_stun,
)
from testbed.protocols.stun.transaction import Transaction, new_transaction_id, send_times
from testbed.protocols.wire import Endpoint, Outgoing

UNAUTHORIZED = 401
SHORTEST_INTERVAL_S = 1.0
"""Nobody sends keep-alives faster than this, whatever the ACS says: 0 would be a flood."""
ROUND_TRIP_S = 0.5
"""What a test that ends just before the latest time of a keep-alive allows for its way."""

_MARK = Attribute(Kind.CONNECTION_REQUEST_BINDING, CONNECTION_REQUEST_BINDING_VALUE)
_CHANGE = Attribute(Kind.BINDING_CHANGE, b"")


class BindingClient:
    """The machine; see `wire.SidedMachine` for the verbs.

    Args:
        random: for transaction IDs.
        policy: may be replaced at any time; holds from the next request on.

    Attributes:
        settings: what the ACS has decided.
        local: our own address and primary port; None: we have no address.
        mapped: what the last response from the primary port has shown; None: none has come.
        is_translated: whether that is another; None: not known.
    """

    def __init__(self, random: Random, policy: ClientPolicy | None = None) -> None:
        self.policy = policy or ClientPolicy()
        self.settings = ClientSettings()
        self.local: Endpoint | None = None
        self.mapped: Endpoint | None = None
        self.is_translated: bool | None = None
        self._random = random
        self._transactions: dict[bytes, Transaction[Purpose]] = {}
        self._tester: LifetimeTester | None = None
        self._phase: Phase | None = None
        self._climber: LifetimeTester | None = None
        self._last_keep_alive = -math.inf
        self._last_traffic = -math.inf
        self._last_change = -math.inf
        self._change_at = math.inf
        self._is_unanswered = False
        self._probe_repeats = 0
        self._told: BindingDetermined | None = None
        self._outgoing: list[Outgoing[Message]] = []
        self._events: list[ClientEvent] = []

    # Commands

    def configure(self, settings: ClientSettings, now: float) -> None:
        """The ACS has changed something, or the server's name has been resolved."""
        old, self.settings = self.settings, settings
        if (settings.enabled, settings.server) != (old.enabled, old.server):
            self._start_over(now)
        elif (settings.minimum_s, settings.maximum_s) != (old.minimum_s, old.maximum_s):
            self._tester = self._new_tester()
        self.tick(now)

    def set_local(self, local: Endpoint | None, now: float) -> None:
        """Our own address and primary port: a new one is a new binding (TR-111 2.2.1.1)."""
        if local != self.local:
            self.local = local
            self._start_over(now)
        self.tick(now)

    def ladder_ended(self, alive_s: float, dead_s: float, now: float) -> None:
        """What a `LadderWanted` came to; (0, infinite) where it could not be climbed."""
        if self._tester is not None and self._tester is self._climber:
            self._tester.climbed(alive_s, dead_s)
        self.tick(now)

    @property
    def is_active(self) -> bool:
        """Whether it may send at all."""
        settings = self.settings
        return settings.enabled and settings.server is not None and self.local is not None

    def _start_over(self, now: float) -> None:
        """Everything that is known of the binding is forgotten; it is discovered at once.

        "The minimum limit on the Binding Request period ... does not apply in this case."
        """
        self._transactions.clear()
        self._tester = self._phase = None
        self.mapped = self.is_translated = None
        self._last_keep_alive = self._last_change = -math.inf
        self._change_at = math.inf
        self._is_unanswered = False
        if self.local is not None and (not self.settings.enabled or self._told is None):
            # Table 6: without STUN, host and port are our own and NATDetected is false; AMB-P2-11:
            # likewise until something is known.
            self._tell(BindingDetermined(self.local, False))

    def _tell(self, binding: BindingDetermined) -> None:
        if binding != self._told:
            self._told = binding
            self._events.append(binding)

    # The verbs

    def receive(self, data: bytes, source: Endpoint, now: float, side: Side = Side.PRIMARY) -> None:
        """Take a datagram that came to one of the two ports."""
        if not is_stun(data):
            if side is Side.PRIMARY:
                self._events.append(NotStun(data, source))
            return
        try:
            message = decode(data)
        except DecodeError as error:
            self._events.append(Malformed(error, source))
            return
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None or not isinstance(message, BindingResponse | BindingErrorResponse):
            self._discard("answers nothing that we wait for", source)
        elif side is Side.SECONDARY and transaction.purpose is not Purpose.PROBE:
            self._discard("came to the secondary port", source)
        elif isinstance(message, BindingErrorResponse):
            self._take_error(transaction, message, now)
        elif self._is_believed(transaction, message, source):
            self._take_response(transaction, message, source, now, side)
        # No copies are due: an answer may have come to the other port, and is heard first.
        self._go_on(now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        for identifier, transaction in list(self._transactions.items()):
            if identifier not in self._transactions:
                continue
            if transaction.due(now):
                self._transmit(transaction, now)
            elif transaction.has_failed(now):
                self._fail(transaction, now)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Begin what is to be done by now."""
        if self._change_at <= now:
            self._request_change(now)
        planned = self._planned()
        if planned is not None and planned[1] <= now:
            if planned[0] is Step.PROBE:
                self._probe(now)
            else:
                self._keep_alive(now)
        self._note_phase()

    def deadline(self) -> float | None:
        """When something is to be done next."""
        times = [each.deadline() for each in self._transactions.values()]
        times.append(self._change_at)
        planned = self._planned()
        if planned is not None:
            times.append(planned[1])
        first = min(times)
        return None if first == math.inf else first

    def to_send(self) -> Sequence[Outgoing[Message]]:
        """Take the requests, each with its side."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> Sequence[ClientEvent]:
        """Take what has happened."""
        events, self._events = self._events, []
        return events

    # What is sent when

    @property
    def minimum_s(self) -> float:
        """Least time between keep-alives."""
        return float(self.settings.minimum_s)

    @property
    def maximum_s(self) -> float:
        """Most time between keep-alives; infinite where the ACS sets no limit."""
        maximum = self.settings.maximum_s
        return math.inf if maximum == NO_MAXIMUM else max(maximum, SHORTEST_INTERVAL_S)

    def _clamped(self, interval_s: float) -> float:
        return min(max(interval_s, self.minimum_s, SHORTEST_INTERVAL_S), self.maximum_s)

    def _new_tester(self) -> LifetimeTester | None:
        """TR-111 2.2.1.2: the lifetime is to be discovered unless both periods are equal."""
        settings = self.settings
        if not self.is_translated or settings.minimum_s == settings.maximum_s:
            return None
        longest_s = self.maximum_s - self._window_s() - ROUND_TRIP_S
        lifetime = self.policy.lifetime
        if longest_s == math.inf:
            longest_s = lifetime.longest_s
        cautious_s = self._clamped(self.policy.cautious_s)
        return LifetimeTester(self.minimum_s, longest_s, cautious_s, lifetime)

    def _window_s(self) -> float:
        """How long a test may take: a maximum leaves it half of what is above the minimum."""
        return min(self.policy.lifetime.window_s, (self.maximum_s - self.minimum_s) / 2)

    def _planned(self) -> tuple[Step, float] | None:
        """What is to be done next, and when; None: nothing."""
        if not self.is_active:
            return None
        last = self._last_keep_alive
        latest = last + self.maximum_s
        pending = {each.purpose for each in self._transactions.values()}
        if Purpose.KEEP_ALIVE in pending:
            return Step.KEEP_ALIVE, latest
        if self._is_unanswered or self.is_translated is None:
            return Step.KEEP_ALIVE, last + self._clamped(self.policy.initial_s)
        if self._tester is None:
            wanted = self.maximum_s
            if wanted == math.inf:
                wanted = self.policy.untranslated_s
            return Step.KEEP_ALIVE, last + self._clamped(wanted)
        step, when = self._tester.plan(last, self._last_traffic)
        if step is Step.KEEP_ALIVE:
            floor = last + max(self.minimum_s, 0.0)
            return step, min(max(when, floor), latest)
        if pending or self._change_at < math.inf or when > latest:
            return Step.KEEP_ALIVE, latest
        return step, when

    def _note_phase(self) -> None:
        tester = self._tester
        climber = tester if tester is not None and tester.wants_ladder else None
        if climber is not self._climber:
            self._climber = climber
            rungs_s = climber.rungs() if climber is not None else ()
            self._events.append(LadderWanted(rungs_s))
        if tester is not None and tester.phase is not self._phase:
            self._phase = tester.phase
            interval_s = self._clamped(tester.interval_s)
            self._events.append(PhaseChanged(tester.phase, tester.search.alive_s, interval_s))

    # Requests

    def _begin(
        self,
        attributes: Sequence[Attribute],
        purpose: Purpose,
        now: float,
        *,
        signed: bool = False,
    ) -> None:
        """Send a request, and drop what was on its way for the same purpose."""
        for each in [*self._transactions.values()]:
            if each.purpose is purpose:
                del self._transactions[each.request.transaction_id]
        identifier = new_transaction_id(self._random, self.policy.has_cookie)
        request = BindingRequest(identifier, tuple(attributes))
        if signed:
            key = self.settings.password.encode()
            request = sign(request, key, self.policy.computation)
        transaction = Transaction(request, purpose, now)
        if purpose is Purpose.PROBE:
            wait_s = transaction.fails_after_s = self._window_s() / 2
            times_s = send_times(self.policy.lifetime.probe_sends)
            transaction.times_s = tuple(each for each in times_s if each < wait_s)
        self._transactions[request.transaction_id] = transaction
        transaction.due(now)
        self._transmit(transaction, now)

    def _transmit(self, transaction: Transaction[Purpose], now: float) -> None:
        assert self.settings.server is not None
        side = Side.PRIMARY
        if transaction.purpose is Purpose.PROBE:
            side = Side.SECONDARY
        else:
            self._last_traffic = now
        self._outgoing.append(Outgoing(transaction.request, self.settings.server, side=side))

    def _marked(self, *more: Attribute) -> list[Attribute]:
        """TR-111 2.2.1.3: what every request from the primary port has."""
        name = self.settings.username
        padding = self.policy.username_padding
        return [_MARK, *more, *([username(name, padding)] if name else [])]

    def _keep_alive(self, now: float) -> None:
        for each in [*self._transactions.values()]:
            if each.purpose is Purpose.KEEP_ALIVE:
                self._events.append(NoAnswer(Purpose.KEEP_ALIVE))
            elif each.purpose is Purpose.PROBE:  # it would find what this request has refreshed
                del self._transactions[each.request.transaction_id]
        self._last_keep_alive = now
        self._begin(self._marked(), Purpose.KEEP_ALIVE, now)

    def _request_change(self, now: float) -> None:
        self._change_at = math.inf
        self._last_change = now
        self._begin(self._marked(_CHANGE), Purpose.CHANGE, now)

    def _probe(self, now: float) -> None:
        """From the secondary port, to be answered to the primary one's public endpoint."""
        self._probe_repeats = 0
        self._send_probe(now)

    def _send_probe(self, now: float) -> None:
        assert self.mapped is not None
        value = address_value(self.mapped)
        self._begin([Attribute(Kind.RESPONSE_ADDRESS, value)], Purpose.PROBE, now)

    # Responses

    def _discard(self, reason: str, source: Endpoint) -> None:
        self._events.append(Discarded(reason, source))

    def _is_believed(
        self, transaction: Transaction[Purpose], response: Message, source: Endpoint
    ) -> bool:
        """TR-111 2.2.1.1: a signed request's response is discarded where its signature "is either
        invalid ... or is not present"."""
        if not transaction.request.is_signed:
            return True
        key = self.settings.password.encode()
        if signed_by(response, key, self.policy.accepts) is not None:
            return True
        lacks = "is wrong" if response.is_signed else "is missing"
        self._discard(f"its MESSAGE-INTEGRITY {lacks}", source)
        return False

    def _take_response(
        self,
        transaction: Transaction[Purpose],
        response: Message,
        source: Endpoint,
        now: float,
        side: Side,
    ) -> None:
        mapped = response.mapped_address or response.xor_mapped_address
        if mapped is None:
            self._discard("it has no MAPPED-ADDRESS", source)
            return
        del self._transactions[transaction.request.transaction_id]
        if side is Side.PRIMARY:
            self._last_traffic = now
        if transaction.purpose is Purpose.PROBE:
            # AMB-P2-03: a probe's MAPPED-ADDRESS is that of the secondary port.
            self._probed(Outcome.ALIVE if side is Side.PRIMARY else Outcome.IMPOSSIBLE)
            return
        is_new = self._determined(mapped, now)
        if transaction.purpose is Purpose.KEEP_ALIVE:
            self._is_unanswered = False
            if self._tester is not None:
                self._tester.refreshed(is_new)

    def _determined(self, mapped: Endpoint, now: float) -> bool:
        """A response to the primary port says what it is seen as; whether that is another."""
        assert self.local is not None
        is_translated = mapped != self.local
        is_first = self.is_translated is None
        is_new = is_first or (mapped, is_translated) != (self.mapped, self.is_translated)
        was_translated, self.mapped, self.is_translated = self.is_translated, mapped, is_translated
        self._tell(BindingDetermined(mapped, is_translated))
        if is_new and (is_translated or not is_first):  # AMB-P2-09
            self._change_at = max(now, self._last_change + self.policy.change_pause_s)
        if was_translated != is_translated:
            self._tester = self._new_tester()
        return is_new and not is_first

    def _take_error(self, transaction: Transaction[Purpose], response: Message, now: float) -> None:
        settings = self.settings
        request = transaction.request
        asked = response.error_code == UNAUTHORIZED and not request.is_signed
        if asked and settings.username and settings.password:
            # AMB-P2-06: under a new transaction ID, for a copy of the old one might be ignored.
            name = username(settings.username, self.policy.username_padding)
            kept = request.without(Kind.USERNAME).attributes
            self._begin([*kept, name], transaction.purpose, now, signed=True)
            return
        del self._transactions[request.transaction_id]
        self._events.append(Rejected(transaction.purpose, response.error_code))
        if transaction.purpose is Purpose.PROBE:
            self._probed(Outcome.IMPOSSIBLE)
        elif transaction.purpose is Purpose.KEEP_ALIVE:
            self._is_unanswered = True

    def _fail(self, transaction: Transaction[Purpose], now: float) -> None:
        del self._transactions[transaction.request.transaction_id]
        if transaction.purpose is not Purpose.PROBE:
            self._events.append(NoAnswer(transaction.purpose))
            # TR-111 2.2.1.3: a failed BINDING-CHANGE is not tried again until the next change.
            if transaction.purpose is Purpose.KEEP_ALIVE:
                self._is_unanswered = True
        elif self._probe_repeats == 0:
            self._probe_repeats = 1
            self._send_probe(now)
        else:
            self._probed(Outcome.EXPIRED)

    def _probed(self, outcome: Outcome) -> None:
        if self._tester is None:
            return
        if outcome is not Outcome.IMPOSSIBLE:
            alive = outcome is Outcome.ALIVE
            self._events.append(Probed(self._tester.period_s, alive))
        self._tester.probed(outcome)
