"""A DHCP server without clock and socket (RFC 2131 section 4.3), for one subnet.

It receives on port 67 and answers as section 4.1 says: to the relay, to the client's address, by
broadcast, or to the new address at the client's hardware address.  It does not probe an address
before it offers it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address

from testbed.errors import DecodeError
from testbed.protocols.dhcp.bindings import Bindings
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
from testbed.protocols.dhcp.message import REQUEST, Malformed, Message, decode
from testbed.protocols.dhcp.options import Code, Option, addresses, seconds, subnet_mask, text
from testbed.protocols.dhcp.readings import BROADCAST_FLAG
from testbed.protocols.dhcp.server_events import (
    Binding,
    Declined,
    Expired,
    InformAnswered,
    Leased,
    PoolEmpty,
    Refused,
    Released,
    Renewed,
    ServerEvent,
)
from testbed.protocols.dhcp.server_policy import ServerPolicy
from testbed.protocols.wire import BROADCAST, Endpoint, Outgoing

SERVER_PORT, CLIENT_PORT = 67, 68
SMALLEST_MAXIMUM = 576
"""RFC 2132 section 9.10: what every client takes, octets of an IP datagram."""
IP_AND_UDP = 28

LONGEST_REPEATED = 255
"""Octets of a client's words that are kept and repeated; giants would make answers too long."""

# RFC 6842 section 3: the client identifier is returned; RFC 3046 section 2.2: so is the relay's
# information, as the last option.
_REPEATED = (Code.CLIENT_IDENTIFIER, Code.RELAY_AGENT_INFORMATION)

AnswerOptions = Callable[[Message], Sequence[Option]]
"""Gets a DISCOVER, REQUEST or INFORM and gives options to add to its OFFER or ACK."""


class DhcpServer:
    """The machine; see `wire.Machine` for the verbs.

    Args:
        policy: may be replaced at any time; holds from the next message on.
        answer_options: adds options to answers.
        bindings: what is held already, from before a restart.
    """

    def __init__(
        self,
        policy: ServerPolicy,
        answer_options: AnswerOptions | None = None,
        bindings: Iterable[Binding] = (),
    ) -> None:
        self.policy = policy
        self.answer_options = answer_options
        self._book = Bindings(bindings)
        self._naks = 0
        self._outgoing: list[Outgoing[Message]] = []
        self._events: list[ServerEvent] = []

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What is held now, in the order of the leases."""
        return tuple(self._book)

    # The five verbs

    def receive(self, data: bytes, source: Endpoint, now: float) -> None:
        """Take a datagram from a client or relay."""
        self.tick(now)
        try:
            message = decode(data)
        except DecodeError as error:
            self._events.append(Malformed(error, source))
            return
        if message.op != REQUEST or self.policy.silent:
            return
        reason = self._unanswerable(message)
        if reason is not None:
            self._events.append(Refused(message, reason))
            return
        match message:
            case Discover():
                self._discover(message, now)
            case Request():
                self._request(message, now)
            case Decline():
                self._decline(message, now)
            case Release():
                self._release(message)
            case Inform():
                self._inform(message)
            case _:
                self._events.append(Refused(message, "is no message that a DHCP server answers"))

    def tick(self, now: float) -> None:
        """Let time pass: bindings expire."""
        self._events += [Expired(binding) for binding in self._book.expire(now)]

    def deadline(self) -> float | None:
        """When the next binding expires."""
        expiry = self._book.next_expiry()
        return None if expiry == math.inf else expiry

    def to_send(self) -> Sequence[Outgoing[Message]]:
        """Take the messages to be sent from port 67."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> Sequence[ServerEvent]:
        """Take what has happened."""
        events, self._events = self._events, []
        return events

    # Requests

    def _unanswerable(self, message: Message) -> str | None:
        if not 0 < message.hlen <= 16:
            return f"says {message.hlen} octets of hardware address, 1 to 16 are possible"
        for code in _REPEATED:
            octets = len(message.option(code) or b"")
            if octets > LONGEST_REPEATED:
                return f"has {octets} octets of option {code}, {LONGEST_REPEATED} are taken"
        if message.relay is not None and not self._is_ours(message.relay):
            return f"is relayed by {message.relay}, which is outside {self.policy.subnet}"
        return None

    def _is_ours(self, address: str) -> bool:
        return IPv4Address(address) in self.policy.subnet

    def _may_have(self, message: Message, address: str, now: float) -> bool:
        client, hardware = client_key(message), message.hardware_address
        return self._book.may_have(self.policy, client, hardware, address, now)

    def _discover(self, message: Message, now: float) -> None:
        client = client_key(message)
        address = self._book.choose(
            self.policy, client, message.hardware_address, message.requested_address, now
        )
        if address is None:
            self._events.append(PoolEmpty(message))
            return
        self._book.offer(client, address, now + self.policy.offer_hold_s)
        lease_s = self._lease_s(message)
        self._answer(Offer, message, self._with_lease(message, lease_s), yiaddr=address)

    def _request(self, message: Message, now: float) -> None:
        policy = self.policy
        server = message.server_identifier
        if server is not None and server != policy.address:
            # RFC 2131 section 3.1.4: servers not selected "use the DHCPREQUEST message as
            # notification that the client has declined that server's offer".
            self._book.forget_offer(client_key(message))
            return
        if policy.withholds_ack:
            return
        wanted = message.requested_address or message.client_address
        if wanted is None:
            self._events.append(Refused(message, "asks for no address (option 50, ciaddr)"))
        elif self._naks < policy.nak_requests:
            self._naks += 1
            self._refuse(message, "refused by policy")
        elif server is not None:
            if self._may_have(message, wanted, now):
                self._lease(message, wanted, now)
            else:
                self._refuse(message, f"{wanted} is not available")
        else:
            self._verify(message, wanted, now)

    def _verify(self, message: Message, wanted: str, now: float) -> None:
        """A REQUEST of INIT-REBOOT, RENEWING or REBINDING (RFC 2131 section 4.3.2)."""
        client = client_key(message)
        binding = self._book.of(client)
        known = binding.address if binding is not None else self._book.former_of(client)
        if not self._is_ours(wanted):
            self._refuse_as_authority(message, f"{wanted} is of another network")
        elif known is None:
            # "If the DHCP server has no record of this client, then it MUST remain silent": unless
            # its owner says that there is no other server whose client this could be.
            self._refuse_as_authority(message, f"{wanted} is not leased to this client")
        elif wanted != known:
            self._refuse(message, f"this client's address is {known}, not {wanted}")
        elif self._may_have(message, wanted, now):
            self._lease(message, wanted, now)
        else:
            self._refuse(message, f"{wanted} is not available any more")

    def _lease(self, message: Message, address: str, now: float) -> None:
        client = client_key(message)
        lease_s = self._lease_s(message)
        before = self._book.of(client)
        binding = Binding(
            client, message.hardware_address, address, now + lease_s, message.host_name
        )
        self._book.hold(binding)
        options = self._with_lease(message, lease_s)
        answer = self._answer(Ack, message, options, yiaddr=address, ciaddr=message.ciaddr)
        if before is not None and before.address != address:
            self._events.append(Released(before, message))
            before = None
        extends = before is not None and message.client_address is not None
        self._events.append((Renewed if extends else Leased)(binding, message, answer))

    def _decline(self, message: Message, now: float) -> None:
        client, address = client_key(message), message.requested_address
        binding = self._book.of(client)
        if message.server_identifier not in (None, self.policy.address):
            return
        if binding is None or binding.address != address:
            self._events.append(Refused(message, f"declines {address}, which is not leased to it"))
            return
        self._book.end(binding)
        self._book.decline(client, address, now + self.policy.decline_hold_s)
        self._events.append(Declined(address, message))

    def _release(self, message: Message) -> None:
        address = message.client_address
        binding = self._book.of(client_key(message))
        if message.server_identifier not in (None, self.policy.address):
            return
        if binding is None or binding.address != address:
            self._events.append(Refused(message, f"releases {address}, which is not leased to it"))
            return
        self._book.end(binding)
        self._events.append(Released(binding, message))

    def _inform(self, message: Message) -> None:
        address = message.client_address
        if address is None:
            self._events.append(Refused(message, "informs without its address (ciaddr)"))
            return
        # RFC 2131 section 4.3.5: "The server MUST NOT send a lease expiration time to the client
        # and SHOULD NOT fill in 'yiaddr'."
        answer = self._answer(Ack, message, self._parameters(message), ciaddr=address)
        self._events.append(InformAnswered(address, message, answer))

    # Answers

    def _lease_s(self, message: Message) -> float:
        """The lease time: what the client asks for within the policy's limits."""
        policy = self.policy
        asked_s = message.lease_s
        if asked_s is None:
            return policy.lease_s
        return min(max(asked_s, policy.minimum_lease_s), policy.lease_s)

    def _with_lease(self, message: Message, lease_s: float) -> list[Option]:
        policy = self.policy
        times = [seconds(Code.LEASE_TIME, lease_s)]
        # A client that asked for less than the policy's lease must not renew after its end.
        if policy.renewal_s is not None and policy.renewal_s < lease_s:
            times.append(seconds(Code.RENEWAL_TIME, policy.renewal_s))
        if policy.rebinding_s is not None and policy.rebinding_s < lease_s:
            times.append(seconds(Code.REBINDING_TIME, policy.rebinding_s))
        return times + self._parameters(message)

    def _parameters(self, message: Message) -> list[Option]:
        policy = self.policy
        options = [subnet_mask(policy.prefix_length)]
        if policy.routers:
            options.append(addresses(Code.ROUTER, *policy.routers))
        if policy.dns_servers:
            options.append(addresses(Code.DNS_SERVER, *policy.dns_servers))
        if policy.domain_name is not None:
            options.append(text(Code.DOMAIN_NAME, policy.domain_name))
        options += policy.options
        if self.answer_options is not None:
            options += self.answer_options(message)
        # RFC 2132 section 9.8: "MUST try to insert the requested options in the order requested".
        asked = message.parameter_request_list
        place = {code: number for number, code in reversed(list(enumerate(asked)))}
        return sorted(options, key=lambda option: place.get(option.code, len(asked)))

    def _refuse_as_authority(self, message: Message, reason: str) -> None:
        if self.policy.authoritative:
            self._refuse(message, reason)
        else:
            self._events.append(Refused(message, reason))

    def _refuse(self, message: Message, reason: str) -> None:
        self._answer(Nak, message, [text(Code.ERROR_MESSAGE, reason)])
        self._events.append(Refused(message, reason))

    def _answer(
        self, kind: type[Message], request: Message, options: Sequence[Option], **header: str
    ) -> Message:
        all_options = [addresses(Code.SERVER_IDENTIFIER, self.policy.address), *options]
        for code in _REPEATED:
            value = request.option(code)
            if value is not None:
                all_options.append(Option(code, value))
        flags = request.flags
        if kind is Nak and request.relay is not None:
            flags |= BROADCAST_FLAG  # RFC 2131 section 4.3.2: the relay must broadcast it
        most = max(request.maximum_message_size or 0, SMALLEST_MAXIMUM) - IP_AND_UDP
        answer = kind.build(
            hardware_address=request.hardware_address,
            htype=request.htype,
            options=all_options,
            most_octets=most,
            xid=request.xid,
            flags=flags,
            giaddr=request.giaddr,
            **header,
        )
        self._outgoing.append(self._addressed(answer, request))
        return answer

    def _addressed(self, answer: Message, request: Message) -> Outgoing[Message]:
        """Where an answer goes (RFC 2131 section 4.1)."""
        client = request.client_address
        if isinstance(request, Inform) and client is not None:
            # Section 4.3.5: "directly to the address given in the 'ciaddr' field".
            return Outgoing(answer, Endpoint(client, CLIENT_PORT))
        if request.relay is not None:
            return Outgoing(answer, Endpoint(request.relay, SERVER_PORT))
        if isinstance(answer, Nak):
            # "In all cases, when 'giaddr' is zero, the server broadcasts any DHCPNAK messages".
            return Outgoing(answer, Endpoint(BROADCAST, CLIENT_PORT))
        if client is not None:
            return Outgoing(answer, Endpoint(client, CLIENT_PORT))
        if request.broadcast or answer.address is None:
            return Outgoing(answer, Endpoint(BROADCAST, CLIENT_PORT))
        to = Endpoint(answer.address, CLIENT_PORT)
        return Outgoing(answer, to, request.hardware_address)


def client_key(message: Message) -> bytes:
    """What tells a client from others: option 61, else hardware type and address.

    RFC 2131 section 4.2.
    """
    identifier = message.client_identifier
    if identifier:
        return identifier
    return bytes((message.htype,)) + message.chaddr[: min(message.hlen, 16)]
