"""An IKEv2 initiator that deviates where it is told to, and is right in all else.

Like the crafted responder it has no ESP, no clock and no socket; whoever drives it sends again what
is not answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from testbed.errors import DecodeError, PeerError
from testbed.protocols.ike import names
from testbed.protocols.ike.ciphers import CIPHERS
from testbed.protocols.ike.cutting import decode
from testbed.protocols.ike.derivation import (
    Derived,
    Secret,
    certificates,
    derive,
    nat_hash,
    sign,
    signed_octets,
    suite_of,
)
from testbed.protocols.ike.message import FROM_INITIATOR, Auth, IkeMessage, SaInit
from testbed.protocols.ike.opening import open_message, seal
from testbed.protocols.ike.parts import (
    ALL_IPV4,
    KEY_LENGTH,
    Attribute,
    ConfigurationAttribute,
    Proposal,
    Transform,
)
from testbed.protocols.ike.payloads import (
    Configuration,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Opaque,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
)
from testbed.protocols.ike.port_4500 import decode_4500
from testbed.protocols.pki import Identity
from testbed.protocols.wire import Endpoint

PORT, NAT_PORT = 500, 4500
UNKNOWN_PAYLOAD = 200
"""A type that nobody has (RFC 7296, 3.2: for private use)."""
_SHA2_256 = bytes([0, 2])
_INTEGRITY, _ESN = (12,), (0,)


@dataclass(frozen=True, slots=True)
class Asking:
    """How an initiator deviates; by default not at all.

    Attributes:
        ciphers: numbers of the ciphers that it offers; 12 is AES-CBC, 3 is 3DES.
        unknown_critical: IKE_AUTH has a payload that nobody knows and nobody may pass over.
        without_certificate: no CERT in IKE_AUTH.
        wrong_signature: AUTH signs something else.
        idi: the name in IDi; None: that of the identity.
        asks_no_address: no CP in IKE_AUTH.
    """

    ciphers: tuple[int, ...] = (12,)
    unknown_critical: bool = False
    without_certificate: bool = False
    wrong_signature: bool = False
    idi: str | None = None
    asks_no_address: bool = False


@dataclass(slots=True)
class CraftedInitiator:
    """Asks one responder for a tunnel.

    Args:
        identity: its certificate and key.
        peer_name: the IDr that it asks for.
        asking: how it deviates.
        random: of its node.

    Attributes:
        errors: what the responder has notified as errors.
        address: the inner address that it was given; "" before.
        idr: who the responder says it is; "" before.
        is_done: it has been answered for the last time.
    """

    identity: Identity
    peer_name: str
    asking: Asking
    random: Random
    errors: tuple[str, ...] = ()
    address: str = ""
    idr: str = ""
    is_done: bool = False
    _spi: bytes = b""
    _nonce: bytes = b""
    _cookie: bytes = b""
    _secret: Secret | None = None
    _request: IkeMessage | None = None
    _derived: Derived | None = None
    _ends: tuple[Endpoint, Endpoint] = field(default=(Endpoint("0.0.0.0", 0),) * 2)

    def start(self, local: Endpoint, remote: Endpoint) -> tuple[int, bytes]:
        """The first request: the port that it goes to (and comes from), and its octets."""
        self._ends = (local, remote)
        self._spi = self.random.randbytes(8)
        self._nonce = self.random.randbytes(32)
        self._secret = Secret("ECP_256", self.random)
        return self._init()

    def _init(self) -> tuple[int, bytes]:
        assert self._secret is not None
        spis = (self._spi, bytes(8))
        proposal = _proposal(names.IKE_PROTOCOL, b"", self.asking.ciphers, prf=5, group=19)
        payloads: tuple[Payload, ...] = (
            SecurityAssociation((proposal,)),
            KeyExchange(19, self._secret.public()),
            Nonce(self._nonce),
            _notify("NAT_DETECTION_SOURCE_IP", nat_hash(spis, self._ends[0])),
            _notify("NAT_DETECTION_DESTINATION_IP", nat_hash(spis, self._ends[1])),
            _notify("SIGNATURE_HASH_ALGORITHMS", _SHA2_256),
        )
        if self._cookie:
            payloads = (_notify("COOKIE", self._cookie), *payloads)
        self._request = SaInit(*spis, names.IKE_SA_INIT, 0, FROM_INITIATOR, payloads)
        return PORT, self._request.encode()

    def receive(self, data: bytes, from_port: int) -> tuple[int, bytes] | None:
        """Take a datagram from a port of the responder; the next request and its port, if any."""
        try:
            message = decode_4500(data) if from_port == NAT_PORT else decode(data)
            if not isinstance(message, IkeMessage) or not message.is_response or self.is_done:
                return None
            if message.initiator_spi != self._spi:
                return None
            if message.exchange == names.IKE_SA_INIT and self._derived is None:
                return self._initiated(message)
            if message.exchange == names.IKE_AUTH and self._derived is not None:
                self._authenticated(open_message(message, self._derived.keys))
        except (DecodeError, PeerError):
            pass  # who cannot be read is not answered
        return None

    def _initiated(self, response: IkeMessage) -> tuple[int, bytes] | None:
        cookies = [each.data for each in response.every(Notify) if each.name == "COOKIE"]
        if cookies:
            self._cookie = cookies[0]
            return self._init()
        if response.errors:
            self.errors, self.is_done = response.errors, True
            return None
        assert self._secret is not None
        (chosen,) = response.proposals
        exchange, nonce = next(response.every(KeyExchange)), next(response.every(Nonce))
        suite = suite_of({each.kind: each for each in chosen.transforms})
        self._derived = derive(
            suite,
            self._secret.shared(exchange.data),
            (self._nonce, nonce.data),
            (self._spi, response.responder_spi),
        )
        return NAT_PORT, self._auth(self._derived).encode()

    def _auth(self, derived: Derived) -> IkeMessage:
        assert self._request is not None
        asking, keys = self.asking, derived.keys
        name = self.identity.name if asking.idi is None else asking.idi
        identification = Identification(True, names.ID_FQDN, name.encode())
        first = self._request.signed_octets()
        octets = signed_octets(derived, first, identification.body(), is_initiator=True)
        if asking.wrong_signature:
            octets += b"."
        payloads: list[Payload] = [identification]
        if not asking.without_certificate:
            payloads += certificates(self.identity)
        payloads.append(Identification(False, names.ID_FQDN, self.peer_name.encode()))
        payloads.append(sign(self.identity, octets))
        if not asking.asks_no_address:
            wanted = (names.INTERNAL_IP4_ADDRESS, names.INTERNAL_IP4_DNS)
            asked = tuple(ConfigurationAttribute(each) for each in wanted)
            payloads.append(Configuration(names.CFG_REQUEST, asked))
        spi = self.random.randbytes(4)
        payloads += [
            SecurityAssociation((_proposal(names.ESP_PROTOCOL, spi, (12,)),)),
            TrafficSelectors(True, (ALL_IPV4,)),
            TrafficSelectors(False, (ALL_IPV4,)),
        ]
        if asking.unknown_critical:
            payloads.append(Opaque(UNKNOWN_PAYLOAD, b"?", flags=0x80))
        spis = (keys.initiator_spi, keys.responder_spi)
        empty = Auth(*spis, names.IKE_AUTH, 1, FROM_INITIATOR, is_marked=True)
        iv = self.random.randbytes(CIPHERS[keys.encryption].iv_octets)
        return replace(seal(empty, payloads, keys, iv), is_marked=True)

    def _authenticated(self, response: IkeMessage) -> None:
        self.is_done = True
        self.errors = response.errors
        self.idr = response.idr or ""
        self.address = next(iter(response.addresses), "")


def _proposal(
    protocol: int, spi: bytes, ciphers: tuple[int, ...], prf: int = 0, group: int = 0
) -> Proposal:
    """A proposal of those ciphers with HMAC-SHA-256; for ESP without prf and group."""
    bits = (Attribute(KEY_LENGTH, (128).to_bytes(2, "big")),)
    transforms = [Transform(names.ENCRYPTION, each, bits if each == 12 else ()) for each in ciphers]
    transforms += [Transform(names.INTEGRITY, each) for each in _INTEGRITY]
    if prf:
        transforms.append(Transform(names.PRF, prf))
    if group:
        transforms.append(Transform(names.KEY_EXCHANGE, group))
    if protocol == names.ESP_PROTOCOL:
        transforms += [Transform(names.SEQUENCE_NUMBERS, each) for each in _ESN]
    return Proposal(1, protocol, spi, tuple(transforms))


def _notify(name: str, data: bytes = b"") -> Notify:
    return Notify(names.number(names.NOTIFIES, name), data)
