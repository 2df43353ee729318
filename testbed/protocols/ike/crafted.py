"""An IKEv2 responder that deviates where it is told to, and is right in all else.

It is for what charon cannot be made to show.  It gives inner addresses, but nothing goes through
its tunnels: it has no ESP.  Knows no clock and no socket: datagrams come in, datagrams go out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_address
from random import Random
from typing import NamedTuple

from testbed.errors import DecodeError, PeerError
from testbed.protocols.ike import names
from testbed.protocols.ike.ciphers import CIPHERS, CannotOpen
from testbed.protocols.ike.cutting import decode
from testbed.protocols.ike.derivation import (
    Derived,
    NoneAcceptable,
    Secret,
    certificates,
    choose,
    derive,
    nat_hash,
    sign,
    signed_octets,
    suite_of,
)
from testbed.protocols.ike.message import CLASSES, RESPONSE, IkeMessage
from testbed.protocols.ike.opening import open_fragments, open_message, seal
from testbed.protocols.ike.parts import ALL_IPV4, ConfigurationAttribute, Proposal, Selector
from testbed.protocols.ike.payloads import (
    Configuration,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    encode_chain,
)
from testbed.protocols.ike.port_4500 import NatKeepalive, decode_4500
from testbed.protocols.pki import Identity
from testbed.protocols.wire import Endpoint

PORT, NAT_PORT = 500, 4500
FRAGMENT_OCTETS = 400
"""Of what is inside one fragment of a response."""
_SHA2_256 = bytes([0, 2])
"""What this responder hashes signatures with (RFC 7427, 4)."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a responder deviates; by default not at all.

    Attributes:
        init_error: the notify that answers every IKE_SA_INIT, in place of an association.
        init_error_data: what belongs to it: the group that INVALID_KE_PAYLOAD asks for.
        asks_cookie: the first IKE_SA_INIT is answered by a COOKIE only (RFC 7296, 2.6).
        asks_other_cookies: so is every other one: whatever cookie is sent, another is wanted.
        is_silent_on_nat_port: whatever comes to port 4500 is lost.
        auth_error: the notify that alone answers IKE_AUTH.
        child_error: the notify that stands in place of SA and TS in the answer to IKE_AUTH.
        idr: the name in IDr; None: that of the identity.
        wrong_signature: AUTH signs something else.
        gives_no_address: no CP in the answer.
        lost_fragment: the answer to IKE_AUTH is in fragments, of which this one never leaves; 0:
            none is lost, the answer is whole.
        ignores: how many copies of each request are not answered, as if lost.
        copies: how often each answer is sent.
    """

    init_error: str = ""
    init_error_data: bytes = b""
    asks_cookie: bool = False
    asks_other_cookies: bool = False
    is_silent_on_nat_port: bool = False
    auth_error: str = ""
    child_error: str = ""
    idr: str | None = None
    wrong_signature: bool = False
    gives_no_address: bool = False
    lost_fragment: int = 0
    ignores: int = 0
    copies: int = 1


class Reply(NamedTuple):
    """A datagram to send, from one of the two ports."""

    local_port: int
    data: bytes
    destination: Endpoint


@dataclass(slots=True)
class _Association:
    """What the responder knows of an initiator."""

    request: bytes
    response: IkeMessage
    derived: Derived
    next_id: int = 1
    answers: dict[int, list[IkeMessage]] = field(default_factory=dict)
    pieces: dict[int, IkeMessage] = field(default_factory=dict)


class CraftedResponder:
    """Answers IKEv2 requests on ports 500 and 4500.

    Args:
        identity: its certificate and key.
        conduct: how it deviates.
        random: of its node.
        pool: prefix of the inner addresses.
        dns_servers: told to initiators.

    Attributes:
        answered: how many requests it has answered, by exchange.
    """

    def __init__(
        self,
        identity: Identity,
        conduct: Conduct,
        random: Random,
        pool: str = "10.20.0.0/16",
        dns_servers: tuple[str, ...] = (),
    ) -> None:
        self.identity = identity
        self.conduct = conduct
        self.answered: dict[str, int] = {}
        self._random = random
        self._addresses = IPv4Network(pool).hosts()
        self._dns_servers = dns_servers
        self._associations: dict[tuple[bytes, bytes], _Association] = {}
        self._by_request: dict[bytes, list[IkeMessage]] = {}
        self._cookies: dict[bytes, bytes] = {}
        self._copies: dict[bytes, int] = {}
        self._replies: list[Reply] = []

    def to_send(self) -> list[Reply]:
        """Take what is to be sent."""
        replies, self._replies = self._replies, []
        return replies

    def receive(self, data: bytes, source: Endpoint, local: Endpoint) -> None:
        """Take a datagram that came to `local`.

        What cannot be decoded or opened is not answered, as a responder must not (RFC 7296, 2.21).
        """
        if local.port == NAT_PORT and self.conduct.is_silent_on_nat_port:
            return
        try:
            message = decode_4500(data) if local.port == NAT_PORT else decode(data)
            if isinstance(message, NatKeepalive) or not isinstance(message, IkeMessage):
                return
            if message.is_response or self._is_ignored(message.signed_octets()):
                return
            answers = self._answers(message, source, local)
        except (DecodeError, PeerError):
            return
        for answer in answers:
            marked = replace(answer, is_marked=local.port == NAT_PORT)
            for _ in range(self.conduct.copies):
                self._replies.append(Reply(local.port, marked.encode(), source))
        if answers:
            name = message.exchange_name
            self.answered[name] = self.answered.get(name, 0) + 1

    def _is_ignored(self, octets: bytes) -> bool:
        if self._copies.get(octets, 0) >= self.conduct.ignores:
            return False
        self._copies[octets] = self._copies.get(octets, 0) + 1
        return True

    def _answers(self, message: IkeMessage, source: Endpoint, local: Endpoint) -> list[IkeMessage]:
        if message.exchange == names.IKE_SA_INIT:
            octets = message.signed_octets()
            if octets not in self._by_request:
                self._by_request[octets] = [self._init(message, source, local)]
            return self._by_request[octets]
        pair = (message.initiator_spi, message.responder_spi)
        association = self._associations.get(pair)
        if association is None:
            return []
        if message.message_id in association.answers:
            return association.answers[message.message_id]  # a retransmission (RFC 7296, 2.1)
        opened = self._opened(association, message)
        if opened is None:
            return []
        if message.exchange == names.IKE_AUTH:
            payloads = self._auth(association, opened)
        elif message.exchange == names.CREATE_CHILD_SA:
            payloads = (_notify("NO_ADDITIONAL_SAS"),)
        else:
            payloads = ()
        sealed = self._sealed(association, message, payloads)
        association.answers[message.message_id] = sealed
        return sealed

    # IKE_SA_INIT

    def _init(self, request: IkeMessage, source: Endpoint, local: Endpoint) -> IkeMessage:
        conduct = self.conduct
        if conduct.init_error:
            return _bare(request, _notify(conduct.init_error, conduct.init_error_data))
        if conduct.asks_cookie or conduct.asks_other_cookies:
            shown = [each.data for each in request.every(Notify) if each.name == "COOKIE"]
            known = self._cookies.get(request.initiator_spi)
            if conduct.asks_other_cookies or known is None or known not in shown:
                cookie = self._random.randbytes(16)
                self._cookies[request.initiator_spi] = cookie
                return _bare(request, _notify("COOKIE", cookie))
        exchange = next(request.every(KeyExchange), None)
        nonce = next(request.every(Nonce), None)
        if exchange is None or nonce is None:
            return _bare(request, _notify("INVALID_SYNTAX"))
        try:
            proposal, chosen = choose(request.proposals, exchange.group)
        except NoneAcceptable:
            return _bare(request, _notify("NO_PROPOSAL_CHOSEN"))
        suite = suite_of(chosen)
        group = chosen[names.KEY_EXCHANGE].number
        if exchange.group != group:
            return _bare(request, _notify("INVALID_KE_PAYLOAD", group.to_bytes(2, "big")))
        secret = Secret(suite.group, self._random)
        spis = (request.initiator_spi, self._random.randbytes(8))
        nonces = (nonce.data, self._random.randbytes(32))
        payloads: tuple[Payload, ...] = (
            SecurityAssociation((proposal,)),
            KeyExchange(group, secret.public()),
            Nonce(nonces[1]),
            _notify("NAT_DETECTION_SOURCE_IP", nat_hash(spis, local)),
            _notify("NAT_DETECTION_DESTINATION_IP", nat_hash(spis, source)),
            _notify("SIGNATURE_HASH_ALGORITHMS", _SHA2_256),
        )
        if conduct.lost_fragment:
            payloads += (_notify("IKEV2_FRAGMENTATION_SUPPORTED"),)
        response = replace(_bare(request, *payloads), responder_spi=spis[1])
        derived = derive(suite, secret.shared(exchange.data), nonces, spis)
        self._associations[spis] = _Association(request.signed_octets(), response, derived)
        return response

    # What is encrypted

    @staticmethod
    def _opened(association: _Association, message: IkeMessage) -> IkeMessage | None:
        keys = association.derived.keys
        if message.fragment is None:
            return open_message(message, keys)
        number, total = message.fragment
        association.pieces[number] = message
        if len(association.pieces) < total:
            return None
        pieces = list(association.pieces.values())
        association.pieces.clear()
        try:
            return open_fragments(pieces, keys)
        except CannotOpen:
            return None

    def _auth(self, association: _Association, request: IkeMessage) -> tuple[Payload, ...]:
        conduct = self.conduct
        if conduct.auth_error:
            return (_notify(conduct.auth_error),)
        name = self.identity.name if conduct.idr is None else conduct.idr
        identification = Identification(False, names.ID_FQDN, name.encode())
        octets = signed_octets(
            association.derived,
            association.response.signed_octets(),
            identification.body(),
            is_initiator=False,
        )
        if conduct.wrong_signature:
            octets += b"."
        proof = (identification, *certificates(self.identity), sign(self.identity, octets))
        if conduct.child_error:
            return (*proof, _notify(conduct.child_error))
        try:
            proposal, _ = choose([each for each in request.proposals if each.spi])
        except NoneAcceptable:
            return (*proof, _notify("NO_PROPOSAL_CHOSEN"))
        return (*proof, *self._child(proposal, request))

    def _child(self, proposal: Proposal, request: IkeMessage) -> tuple[Payload, ...]:
        payloads: list[Payload] = []
        selected = ALL_IPV4
        if not self.conduct.gives_no_address:
            address = next(self._addresses).packed
            given = [ConfigurationAttribute(names.INTERNAL_IP4_ADDRESS, address)]
            given += [
                ConfigurationAttribute(names.INTERNAL_IP4_DNS, ip_address(each).packed)
                for each in self._dns_servers
            ]
            payloads.append(Configuration(names.CFG_REPLY, tuple(given)))
            selected = Selector(names.TS_IPV4_RANGE, first=address, last=address)
        spi = self._random.randbytes(4)
        wanted = [each for each in request.every(TrafficSelectors) if not each.is_initiator]
        others = wanted[0].selectors if wanted else (ALL_IPV4,)
        return (
            *payloads,
            SecurityAssociation((replace(proposal, spi=spi),)),
            TrafficSelectors(True, (selected,)),
            TrafficSelectors(False, others),
        )

    def _sealed(
        self, association: _Association, request: IkeMessage, payloads: tuple[Payload, ...]
    ) -> list[IkeMessage]:
        """The answer: one message, or its fragments without the one that is lost."""
        keys = association.derived.keys
        form = CIPHERS[keys.encryption]
        empty = _bare(request)
        lost = self.conduct.lost_fragment
        if not lost or request.exchange != names.IKE_AUTH:
            return [seal(empty, payloads, keys, self._random.randbytes(form.iv_octets))]
        octets = encode_chain(payloads)
        cuts = range(0, len(octets), FRAGMENT_OCTETS)
        return [
            seal(
                empty,
                payloads,
                keys,
                self._random.randbytes(form.iv_octets),
                (number, len(cuts)),
                octets[start : start + FRAGMENT_OCTETS],
            )
            for number, start in enumerate(cuts, start=1)
            if number != lost
        ]


def _notify(name: str, data: bytes = b"") -> Notify:
    return Notify(names.number(names.NOTIFIES, name), data)


def _bare(request: IkeMessage, *payloads: Payload) -> IkeMessage:
    """The answer to a request, with those payloads in clear."""
    kind = CLASSES.get(request.exchange, IkeMessage)
    return kind(
        request.initiator_spi,
        request.responder_spi,
        request.exchange,
        request.message_id,
        RESPONSE,
        payloads,
    )
