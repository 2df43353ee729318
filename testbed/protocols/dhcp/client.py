"""A DHCP client without clock and socket (RFC 2131 sections 3 and 4.4).

It sends from port 68 to the broadcast address, or to its server once it holds an address.  Whoever
drives it configures the interface at `Bound`, and clears it at `Refused` and `Expired`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from testbed.errors import DecodeError
from testbed.protocols.dhcp.client_events import (
    Bound,
    ClientEvent,
    Expired,
    Informed,
    NoAnswer,
    NoOffer,
    PassedOver,
    Refused,
    Renewed,
)
from testbed.protocols.dhcp.client_messages import compose, wanting, why_not, why_not_offer
from testbed.protocols.dhcp.client_policy import ClientPolicy
from testbed.protocols.dhcp.client_states import TRANSITIONS, Cause, State
from testbed.protocols.dhcp.client_timers import (
    rebinding_at,
    renewal_at,
    retransmission_s,
    timeout_s,
)
from testbed.protocols.dhcp.kinds import (
    Ack,
    Decline,
    Discover,
    Inform,
    Nak,
    Offer,
    Release,
    Request,
)
from testbed.protocols.dhcp.lease import Lease, lease_of
from testbed.protocols.dhcp.message import REPLY, Malformed, Message, decode, hardware_octets
from testbed.protocols.dhcp.options import Code, Option, addresses
from testbed.protocols.wire import BROADCAST, Endpoint, Outgoing

SERVER_PORT, CLIENT_PORT = 67, 68


class DhcpClient:
    """The machine; see `wire.Machine` for the verbs.  Each command takes effect at once.

    Args:
        hardware_address: of its interface, "02:00:00:00:00:01".
        random: for transaction identifiers and waits.
        policy: may be replaced at any time; holds from the next message on.
        remembered_address: from before the power was off: it is verified first.
    """

    def __init__(
        self,
        hardware_address: str,
        random: Random,
        policy: ClientPolicy | None = None,
        remembered_address: str | None = None,
    ) -> None:
        self.hardware_address = hardware_octets(hardware_address).hex(":")
        self.policy = policy or ClientPolicy()
        self.state = State.OFF
        self.lease: Lease | None = None
        """The lease that we hold; None: none, and no address of a server's is ours."""
        self._random = random
        self._last_address = remembered_address
        self._verify_until = -math.inf if remembered_address is None else math.inf
        self._static_address: str | None = None  # what we inform with
        self._inform_server: str | None = None
        self._transaction = 0
        self._attempts = 0
        self._naks = 0
        self._began = 0.0
        self._sent_at = 0.0
        self._secs = 0
        self._wake_at: float | None = None
        self._offers: list[Message] = []
        self._outgoing: list[Outgoing[Message]] = []
        self._events: list[ClientEvent] = []

    # Commands

    def start(self, now: float) -> None:
        """Get an address: the remembered one if it still may be, else any."""
        self.lease = None
        self._static_address = None
        self._begin(now)

    def restart(self, now: float) -> None:
        """The link is up again: verify the address that we hold, inform again, or start."""
        if self._static_address is not None:
            self.inform(now, self._static_address, self._inform_server)
        else:
            self._begin(now)

    def stop(self, now: float) -> None:
        """Fall silent, as without power; the address is remembered while its lease lasts."""
        self.lease = None
        self._go(Cause.STOP)
        self._wake_at = None

    def release(self, now: float) -> None:
        """Give the address back, and fall silent.  Send before the interface loses its address."""
        if self.lease is not None:
            self._last_word(Release, [], self.lease)
        self._last_address = None
        self.stop(now)

    def decline(self, now: float) -> None:
        """The address that we were given is in use: say so, and begin anew after a pause.

        Without a lease there is nothing to decline, and nothing happens.
        """
        if self.lease is None:
            return
        declined = addresses(Code.REQUESTED_ADDRESS, self.lease.address)
        self._last_word(Decline, [declined], self.lease)
        self._initialise(Cause.DECLINE, now)
        self._wake_at = now + self.policy.decline_pause_s

    def inform(self, now: float, address: str, server: str | None = None) -> None:
        """Ask for parameters for an address that we hold by other means.

        Args:
            now: the time.
            address: that address.
            server: whom to ask; None: everybody on the link.
        """
        self.lease = None
        self._static_address = address
        self._inform_server = server
        self._initialise(Cause.INFORM, now)
        self._exchange()
        self._transmit(now)

    # The five verbs

    def receive(self, data: bytes, source: Endpoint, now: float) -> None:
        """Take a datagram from a server or relay."""
        try:
            message = decode(data)
        except DecodeError as error:
            self._events.append(Malformed(error, source))
            return
        if (
            message.op != REPLY
            or message.xid != self._transaction
            or message.hardware_address != self.hardware_address
        ):
            return  # RFC 2131 section 4.4.1: "silently discarded"; broadcasts reach everybody
        allowed = TRANSITIONS[self.state]
        if isinstance(message, Offer) and self.state is State.SELECTING:
            self._take_offer(message, now)
        elif not self._from_our_server(message):
            return
        elif isinstance(message, Ack) and Cause.ACK in allowed:
            self._take_ack(message, now)
        elif isinstance(message, Nak) and Cause.NAK in allowed:
            self._take_nak(message, now)

    def tick(self, now: float) -> None:
        """Let time pass: retransmissions, T1, T2, expiry."""
        while (due := self.deadline()) is not None and due <= now:
            lease = self.lease
            if lease is not None and lease.expires_at <= now:
                self._expire(lease, now)
            elif lease is not None and rebinding_at(self.state, lease) <= now:
                self._extend(Cause.REBINDING, now)
            elif lease is not None and renewal_at(self.state, lease) <= now:
                self._extend(Cause.RENEWAL, now)
            else:
                self._wake(now)

    def deadline(self) -> float | None:
        """When something is to be done next."""
        times = [renewal_at(self.state, self.lease), rebinding_at(self.state, self.lease)]
        if self._wake_at is not None:
            times.append(self._wake_at)
        if self.lease is not None:
            times.append(self.lease.expires_at)
        first = min(times)
        return None if first == math.inf else first

    def to_send(self) -> Sequence[Outgoing[Message]]:
        """Take the messages to be sent from port 68."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> Sequence[ClientEvent]:
        """Take what has happened."""
        events, self._events = self._events, []
        return events

    # Time

    def _wake(self, now: float) -> None:
        """The wait of this state is over."""
        policy = self.policy
        match self.state:
            case State.INIT | State.INIT_REBOOT:
                self._go(Cause.WAITED)
                self._exchange()
                self._transmit(now)
            case State.SELECTING if self._offers:
                self._choose(now)
            case State.SELECTING if self._attempts >= policy.attempts:
                self._events.append(NoOffer(self._attempts))
                self._give_up(now)
            case State.INFORMING if self._attempts >= policy.attempts:
                self._events.append(NoAnswer(self.state, self._attempts))
                self._give_up(now)
            case State.REQUESTING if self._attempts >= policy.request_attempts:
                # RFC 2131 section 3.1.5: "the client reverts to INIT state and restarts the
                # initialization process".
                self._events.append(NoAnswer(self.state, self._attempts))
                self._initialise(Cause.ANEW, now)
            case State.REBOOTING if self._attempts >= policy.reboot_attempts:
                self._events.append(NoAnswer(self.state, self._attempts))
                self._do_without_answer(now)
            case _:
                self._transmit(now)

    def _give_up(self, now: float) -> None:
        if self.policy.keeps_trying:
            self._go(Cause.ANEW)
            self._exchange()
            self._wake_at = now + self.policy.pause_s
        else:
            self._go(Cause.GAVE_UP)
            self._wake_at = None

    def _do_without_answer(self, now: float) -> None:
        """RFC 2131 section 3.2: the client "MAY choose to use the previously allocated network
        address and configuration parameters for the remainder of the unexpired lease".
        """
        if self.lease is None:
            self._initialise(Cause.ANEW, now)
        else:
            self._go(Cause.KEPT)
            self._wake_at = None
            self._events.append(Bound(self.lease))

    def _expire(self, lease: Lease, now: float) -> None:
        self._events.append(Expired(lease))
        self.lease = None
        self._initialise(Cause.EXPIRY, now)

    def _extend(self, cause: Cause, now: float) -> None:
        self._go(cause)
        if cause is Cause.RENEWAL or self._attempts == 0:
            self._began = now
        self._exchange()
        self._transmit(now)

    # Answers

    def _from_our_server(self, message: Message) -> bool:
        server = message.server_identifier
        if self.state not in (State.REQUESTING, State.RENEWING):
            return True
        return server in (None, self._server_asked())

    def _take_offer(self, offer: Message, now: float) -> None:
        reason = why_not_offer(self.policy, offer)
        if reason is not None:
            self._events.append(PassedOver(offer, reason))
            return
        self._offers.append(offer)
        if self.policy.collect_offers_s <= 0:
            self._choose(now)
        elif len(self._offers) == 1:
            self._wake_at = now + self.policy.collect_offers_s

    def _choose(self, now: float) -> None:
        chosen = self._offers[0]
        if self.policy.prefers_longest_lease:
            chosen = max(self._offers, key=lambda offer: offer.lease_s or 0)
        self._offers = [chosen]
        self._go(Cause.CHOSEN)
        self._attempts = 0
        self._transmit(now)

    def _take_ack(self, ack: Message, now: float) -> None:
        if self.state is State.INFORMING:
            assert self._static_address is not None
            server = ack.server_identifier or BROADCAST
            lease = lease_of(ack, self._static_address, math.inf, server, self._sent_at)
            self._events.append(Informed(lease))
            self._go(Cause.ACK)
            self._wake_at = None
            return
        reason = why_not(self.policy, ack)
        if reason is not None:
            self._events.append(PassedOver(ack, reason))
            return
        assert ack.address is not None
        assert ack.lease_s is not None
        server = ack.server_identifier or self._server_asked()
        lease = lease_of(ack, ack.address, ack.lease_s, server, self._sent_at)
        extends = self.state in (State.RENEWING, State.REBINDING)
        same = self.lease is not None and self.lease.address == lease.address
        self._events.append(Renewed(lease) if extends and same else Bound(lease))
        self.lease = lease
        self._last_address = lease.address
        self._verify_until = lease.expires_at
        self._naks = 0
        self._attempts = 0
        self._go(Cause.ACK)
        self._wake_at = None

    def _server_asked(self) -> str:
        if self.state is State.REQUESTING:
            server = self._offers[0].server_identifier
            assert server is not None  # else the offer had been passed over
            return server
        return self.lease.server if self.lease is not None else BROADCAST

    def _take_nak(self, nak: Message, now: float) -> None:
        self._events.append(Refused(nak))
        self.lease = None
        self._last_address = None
        self._initialise(Cause.NAK, now)
        # The first NAK is worth an immediate DISCOVER; a server that refuses all must not be
        # asked as fast as it answers.
        if self._naks:
            self._wake_at = now + timeout_s(self.policy, self._naks, self._random)
        self._naks += 1

    # Moves

    def _go(self, cause: Cause) -> None:
        self.state = TRANSITIONS[self.state][cause]

    def _begin(self, now: float) -> None:
        verify = self._last_address is not None and now < self._verify_until
        self._naks = 0
        self._initialise(Cause.REBOOT if verify else Cause.START, now)
        self._wake_at = now + self._random.uniform(0, self.policy.start_delay_s)
        self.tick(now)

    def _initialise(self, cause: Cause, now: float) -> None:
        """Go to INIT or INIT-REBOOT; the next tick sends."""
        self._go(cause)
        self._began = now
        self._wake_at = now

    def _exchange(self) -> None:
        """A new transaction begins."""
        self._transaction = self._random.getrandbits(32)
        self._attempts = 0
        self._offers = []

    def _transmit(self, now: float) -> None:
        """Send what this state sends, and wait for the answer."""
        self._attempts += 1
        if self.state is not State.REQUESTING:
            # RFC 2131 section 4.4.1: the REQUEST's secs is that of the DISCOVER.
            self._secs = min(max(int(now - self._began), 0), 0xFFFF)
        self._sent_at = now
        message, server = self._next_message()
        self._send(message, server)
        self._wake_at = now + retransmission_s(
            self.policy, self.state, self._attempts, self.lease, now, self._random
        )

    # Messages

    def _next_message(self) -> tuple[Message, str]:
        """What this state sends, and to whom."""
        policy = self.policy
        match self.state:
            case State.SELECTING:
                return self._message(Discover, wanting(policy, self._last_address)), BROADCAST
            case State.REQUESTING:
                offer = self._offers[0]
                server = addresses(Code.SERVER_IDENTIFIER, self._server_asked())
                options = [*wanting(policy, offer.address), server]
                return self._message(Request, options), BROADCAST
            case State.REBOOTING:
                return self._message(Request, wanting(policy, self._last_address)), BROADCAST
            case State.INFORMING:
                message = self._message(Inform, [], self._static_address)
                return message, self._inform_server or BROADCAST
        # RFC 2131 section 4.3.2: ciaddr is the address; 'server identifier' and 'requested IP
        # address' MUST NOT be filled in.
        assert self.lease is not None
        message = self._message(Request, wanting(policy, None), self.lease.address)
        return message, self.lease.server if self.state is State.RENEWING else BROADCAST

    def _message(
        self, kind: type[Message], options: Sequence[Option], held: str | None = None
    ) -> Message:
        return compose(
            kind,
            self.policy,
            options,
            hardware_address=self.hardware_address,
            transaction=self._transaction,
            secs=self._secs,
            held=held,
        )

    def _last_word(self, kind: type[Message], options: Sequence[Option], lease: Lease) -> None:
        """Send a message that nobody answers, and forget the lease."""
        self._transaction = self._random.getrandbits(32)
        self._secs = 0
        all_options = [*options, addresses(Code.SERVER_IDENTIFIER, lease.server)]
        if kind is Release:
            self._send(self._message(kind, all_options, lease.address), lease.server)
        else:
            self._send(self._message(kind, all_options), BROADCAST)
        self.lease = None
        self._last_address = None

    def _send(self, message: Message, address: str) -> None:
        self._outgoing.append(Outgoing(message, Endpoint(address, SERVER_PORT)))
