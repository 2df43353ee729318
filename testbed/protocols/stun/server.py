"""A STUN server without clock and socket: RFC 3489 section 8, and TR-111 Part 2, 2.2.2.

It answers Binding Requests, challenges those that its policy names, and tells which CPE has proved
where it can be reached.  It has one socket, or up to four: the two addresses and two ports that
CHANGE-REQUEST chooses among.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from testbed.errors import DecodeError
from testbed.protocols.stun.attributes import (
    MANDATORY_MOST,
    Attribute,
    Kind,
    address_value,
    change_request,
    error_code,
    unknown_attributes,
    username_of,
    xor_address_value,
)
from testbed.protocols.stun.integrity import Computation, sign, signed_by
from testbed.protocols.stun.message import (
    BindingErrorResponse,
    BindingRequest,
    BindingResponse,
    Message,
    SharedSecretErrorResponse,
    SharedSecretRequest,
    decode,
)
from testbed.protocols.stun.server_policy import (
    BindingStored,
    Malformed,
    Refused,
    ServerEvent,
    ServerPolicy,
    Side,
    Sighted,
)
from testbed.protocols.wire import Endpoint, Outgoing

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    420: "Unknown Attribute",
    430: "Stale Credentials",
    431: "Integrity Check Failure",
    432: "Missing Username",
    433: "Use TLS",
}
"""RFC 3489 11.2.9."""

# Enumerations are slow, and this is where every datagram passes: plain numbers.
_MAPPED_ADDRESS = int(Kind.MAPPED_ADDRESS)
_RESPONSE_ADDRESS = int(Kind.RESPONSE_ADDRESS)
_CHANGE_REQUEST = int(Kind.CHANGE_REQUEST)
_USERNAME = int(Kind.USERNAME)
_MESSAGE_INTEGRITY = int(Kind.MESSAGE_INTEGRITY)
_MARK = int(Kind.CONNECTION_REQUEST_BINDING)
_CHANGE = int(Kind.BINDING_CHANGE)
_UNDERSTOOD = frozenset(range(Kind.MAPPED_ADDRESS, Kind.REFLECTED_FROM + 1))
"""RFC 3489's own: what else has a type of up to 0x7FFF is answered 420."""
_new = tuple.__new__  # what Attribute(...) comes to, without its detour
_PLAIN = frozenset({_MARK, _CHANGE, _USERNAME})
"""Attributes of which none can be malformed."""

Secret = Callable[[str], str | None]
"""The password for a username; None: nobody is called so."""

_ACROSS = {
    (False, False): Side.MAIN,
    (False, True): Side.OTHER_PORT,
    (True, False): Side.OTHER_ADDRESS,
    (True, True): Side.OTHER_BOTH,
}
_PLACE = {side: place for place, side in _ACROSS.items()}
_NOTHING = change_request(False, False)


class StunServer:
    """The machine; see `wire.SidedMachine` for the verbs.

    Args:
        sides: its sockets; `Side.MAIN` at least.
        secret: looks a password up, wherever the ACS has it.
        policy: may be replaced at any time.

    Attributes:
        sides: its sockets.
        served: requests answered, and `refused` those answered by errors.
    """

    def __init__(
        self,
        sides: Mapping[Side, Endpoint],
        secret: Secret = lambda username: None,
        policy: ServerPolicy | None = None,
    ) -> None:
        self.sides = dict(sides)
        self.secret = secret
        self.policy = policy or ServerPolicy()
        self.served = 0
        self.refused = 0
        self._to_verify: set[str] = set()
        self._seen_at: dict[str, Endpoint] = {}
        # (source, transaction ID) of signed requests that stored a binding, the oldest first.
        self._done: dict[tuple[Endpoint, bytes], tuple[float, Outgoing[Message]]] = {}
        self._addresses = {side: self._own_addresses(side) for side in self.sides}
        self._outgoing: list[Outgoing[Message]] = []
        self._events: list[ServerEvent] = []

    def _own_addresses(self, side: Side) -> tuple[Attribute, Attribute]:
        """SOURCE-ADDRESS and CHANGED-ADDRESS of what is answered from a socket.

        TR-111 2.2.2.1: without a second one, "the CHANGED-ADDRESS attribute SHOULD be filled in
        with the primary address and port".
        """
        address, port = _PLACE[side]
        others = [_ACROSS[not address, not port], _ACROSS[not address, port]]
        others += [_ACROSS[address, not port], side]
        other = next(each for each in others if each in self.sides)
        return (
            Attribute(Kind.SOURCE_ADDRESS, address_value(self.sides[side])),
            Attribute(Kind.CHANGED_ADDRESS, address_value(self.sides[other])),
        )

    # Commands

    def verify_next(self, username: str) -> None:
        """Challenge the next request of this name that has CONNECTION-REQUEST-BINDING.

        TR-111 2.2.2.2.1: "The ACS MAY determine the current binding at any time".
        """
        self._to_verify.add(username)

    # The verbs

    def receive(self, data: bytes, source: Endpoint, now: float, side: Side = Side.MAIN) -> None:
        """Take a datagram that came to one of the sockets."""
        try:
            message = decode(data)
        except DecodeError as error:
            self._events.append(Malformed(error, source))
            return
        if isinstance(message, BindingRequest):
            self._bind(message, source, now, side)
        elif isinstance(message, SharedSecretRequest):
            # RFC 3489 8.2: "If the request was received over UDP ... 433 (Use TLS)".
            refusal = SharedSecretErrorResponse(
                message.transaction_id, (error_code(433, REASONS[433]),)
            )
            self._refuse(refusal, 433, message, source, side)

    def tick(self, now: float) -> None:
        """Forget transactions that are long over."""
        self._forget(now)

    def deadline(self) -> float | None:
        """Never: what is old is forgotten when something new comes."""
        return None

    def to_send(self) -> Sequence[Outgoing[Message]]:
        """Take the responses."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> Sequence[ServerEvent]:
        """Take what has happened."""
        events, self._events = self._events, []
        return events

    # Binding Requests (RFC 3489 8.1)

    def _bind(self, request: BindingRequest, source: Endpoint, now: float, side: Side) -> None:
        # The first of a kind counts: the last that is put in.
        held = {kind: value for kind, value, _ in reversed(request.attributes)}
        name = held.get(_USERNAME)
        username = None if name is None else username_of(name)
        key, how = b"", None
        if _MESSAGE_INTEGRITY in held:
            copy = self._done.get((source, request.transaction_id))
            if copy is not None and now - copy[0] < self.policy.remembers_s:
                # AMB-P2-06: a copy gets the same answer again, and has no other effect.
                self._outgoing.append(copy[1])
                return
            code, key, how = self._authenticate(request, username)
            if code:
                self._error(code, request, source, side)
                return
        elif self._challenges(held, username):
            self._error(401, request, source, side)
            return
        is_plain = _PLAIN.issuperset(held)
        if not is_plain:
            unknown = [
                each
                for each in reversed(held)
                if each <= MANDATORY_MOST and each not in _UNDERSTOOD
            ]
            if unknown:
                self._error(420, request, source, side, unknown, key, how)
                return
        if request.trailing or (not is_plain and _is_bad(request)):
            self._error(400, request, source, side, (), key, how)
            return
        answer = self._answer(request, held, source, side, key, how)
        self._outgoing.append(answer)
        self.served += 1
        if username and _MARK in held:
            if how is not None:
                self._prove(username, request, source, now, answer)
            elif (seen := self._seen_at.get(username)) is not source and seen != source:
                self._seen_at[username] = source
                self._events.append(Sighted(username, source))

    def _challenges(self, held: Mapping[int, bytes], username: str | None) -> bool:
        challenge = self.policy.challenge
        if challenge == "all":
            return True
        if _MARK not in held:
            return False
        if challenge == "marked" or username in self._to_verify:
            return True
        return challenge == "binding-change" and _CHANGE in held

    def _authenticate(
        self, request: BindingRequest, username: str | None
    ) -> tuple[int, bytes, Computation | None]:
        """The error that a signed request deserves, or 0; its key, and how it was signed."""
        if username is None:
            return 432, b"", None
        password = self.secret(username) if username else None
        if not password:
            return 430, b"", None
        key = password.encode()
        how = signed_by(request, key, self.policy.computations)
        return (0, key, how) if how is not None else (431, b"", None)

    def _answer(
        self,
        request: BindingRequest,
        held: Mapping[int, bytes],
        source: Endpoint,
        side: Side,
        key: bytes,
        how: Computation | None,
    ) -> Outgoing[Message]:
        mapped = address_value(source)
        destination = source
        if _CHANGE_REQUEST in held:
            side = self._changed(request, side)
        seen = _new(Attribute, (_MAPPED_ADDRESS, mapped, b""))
        attributes: tuple[Attribute, ...] = (seen, *self._addresses[side])
        if _RESPONSE_ADDRESS in held:
            wanted = request.response_address
            if wanted is not None and self._reflects(wanted, source):
                destination = wanted
                attributes += (Attribute(Kind.REFLECTED_FROM, mapped),)
        if request.has_cookie:
            attributes += self._modern(request, source)
        response = BindingResponse(request.transaction_id, attributes)
        if how is not None:
            response = sign(response, key, how)
        return Outgoing(response, destination, None, side)

    def _modern(self, request: BindingRequest, source: Endpoint) -> tuple[Attribute, ...]:
        """What RFC 5389 adds for those who speak it."""
        added = []
        if self.policy.xor_mapped_address:
            hidden = xor_address_value(source, request.transaction_id)
            added.append(Attribute(Kind.XOR_MAPPED_ADDRESS, hidden))
        if self.policy.software:
            added.append(Attribute(Kind.SOFTWARE, self.policy.software.encode()).aligned())
        return tuple(added)

    def _changed(self, request: BindingRequest, side: Side) -> Side:
        """The socket that CHANGE-REQUEST chooses, where we have it."""
        change = request.change_request
        if change is None or not self.policy.changes:
            return side
        address, port = _PLACE[side]
        chosen = _ACROSS[address ^ change.address, port ^ change.port]
        return chosen if chosen in self.sides else side

    def _reflects(self, response_address: Endpoint, source: Endpoint) -> bool:
        reflection = self.policy.reflection
        if not response_address.port:
            return False
        if reflection == "same-address":
            return response_address.address == source.address
        return reflection == "always"

    def _prove(
        self,
        username: str,
        request: BindingRequest,
        source: Endpoint,
        now: float,
        answer: Outgoing[Message],
    ) -> None:
        """TR-111 2.2.2.2.1: "perform the above only once for a given Transaction ID"."""
        self._forget(now)
        self._done[source, request.transaction_id] = now, answer
        self._to_verify.discard(username)
        self._seen_at[username] = source
        if self.policy.stores:
            self._events.append(
                BindingStored(username, source, request.transaction_id, request.is_change)
            )

    def _forget(self, now: float) -> None:
        while self._done:
            oldest = next(iter(self._done))
            if now - self._done[oldest][0] < self.policy.remembers_s:
                return
            del self._done[oldest]

    # Errors

    def _error(
        self,
        code: int,
        request: BindingRequest,
        source: Endpoint,
        side: Side,
        unknown: Sequence[int] = (),
        key: bytes = b"",
        how: Computation | None = None,
    ) -> None:
        attributes = [error_code(code, REASONS[code])]
        if unknown:
            attributes.append(unknown_attributes(unknown))
        refusal: BindingErrorResponse = BindingErrorResponse(
            request.transaction_id, tuple(attributes)
        )
        if how is not None:
            refusal = sign(refusal, key, how)
        self._refuse(refusal, code, request, source, side)

    def _refuse(
        self, refusal: Message, code: int, request: Message, source: Endpoint, side: Side
    ) -> None:
        self.refused += 1
        self._outgoing.append(Outgoing(refusal, source, side=side))
        self._events.append(Refused(code, source, request.username))


def _is_bad(request: BindingRequest) -> bool:
    """Whether an attribute has not the form of its type: RFC 3489 8.1, 400 (Bad Request)."""
    if request.trailing:
        return True
    signed_at = None
    for number, each in enumerate(request.attributes):
        if each.type == Kind.RESPONSE_ADDRESS and request.response_address is None:
            return True
        if each.type == Kind.CHANGE_REQUEST and request.change_request is None:
            return True
        if each.type == Kind.MESSAGE_INTEGRITY:
            signed_at = number
    # RFC 3489 11.2.8: "the last attribute"; RFC 5389 lets FINGERPRINT follow.
    behind = () if signed_at is None else request.attributes[signed_at + 1 :]
    return any(each.type != Kind.FINGERPRINT for each in behind)
