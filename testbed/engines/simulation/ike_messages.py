"""IKEv2 messages as strongSwan writes them: what a modelled tunnel puts on the wire.

Real are headers, payloads, identities, certificates and the encryption; public values and
signatures are octets that mean nothing, and keys are a digest of the two nonces.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1, shake_256
from ipaddress import IPv4Network
from random import Random

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from testbed.engines.simulation.certificate_checks import read_certificate
from testbed.engines.simulation.esp import ENCRYPTION, INTEGRITY, IV_OCTETS, KEY_OCTETS
from testbed.engines.simulation.packets import address_octets
from testbed.protocols.ike import names
from testbed.protocols.ike.keys import IkeKeys
from testbed.protocols.ike.message import (
    CLASSES,
    FROM_INITIATOR,
    RESPONSE,
    IkeMessage,
)
from testbed.protocols.ike.opening import seal
from testbed.protocols.ike.parts import (
    ALL_IPV4,
    KEY_LENGTH,
    Attribute,
    ConfigurationAttribute,
    Proposal,
    Selector,
    Transform,
)
from testbed.protocols.ike.payloads import (
    Authentication,
    Certificate,
    CertificateRequest,
    Configuration,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
)
from testbed.protocols.wire import Endpoint

AES_CBC, SHA2_256, SHA2_256_128 = 12, 5, 12
SHA1, SHA1_96 = 2, 2
ECP_256, MODP_2048 = 19, 14
DIGITAL_SIGNATURE = 14
NONCE_OCTETS, VALUE_OCTETS = 32, 64
INTEGRITY_KEY_OCTETS = 32
NAT_SOURCE, NAT_DESTINATION = 16388, 16389
FRAGMENTATION, HASHES, REDIRECT, CHILDLESS = 16430, 16431, 16406, 16418
INITIAL_CONTACT, MOBIKE, ADDITIONAL_ADDRESS, NO_ADDITIONAL = 16384, 16396, 16397, 16399
MULTIPLE_AUTH, EAP_ONLY, MESSAGE_ID_SYNC = 16404, 16417, 16420
REKEY_SA, UPDATE_ADDRESSES, COOKIE2 = 16393, 16400, 16401
AUTHENTICATION_FAILED, NO_PROPOSAL_CHOSEN, TEMPORARY_FAILURE = 24, 14, 43
_KNOWN_HASHES = bytes([0, 2, 0, 3, 0, 4, 0, 5])
_SIGNED_WITH = bytes.fromhex("0c300a06082a8648ce3d040302")
_SIGNATURE_OCTETS = 70


@dataclass(frozen=True, slots=True)
class Side:
    """An IKE association from one side.

    Attributes:
        initiator_spi: eight octets.
        responder_spi: eight octets; zero before the answer.
        is_initiator: whether this side has opened it.
        keys: None before the answer.
    """

    initiator_spi: bytes
    responder_spi: bytes
    is_initiator: bool
    keys: IkeKeys | None = None

    @property
    def own_spi(self) -> bytes:
        """By which the other side's messages find this one."""
        return self.initiator_spi if self.is_initiator else self.responder_spi

    def message(
        self, exchange: int, number: int, payloads: Sequence[Payload], is_response: bool
    ) -> IkeMessage:
        """A message in clear."""
        flags = (FROM_INITIATOR if self.is_initiator else 0) | (RESPONSE if is_response else 0)
        kind = CLASSES[exchange]
        return kind(
            self.initiator_spi,
            self.responder_spi,
            exchange,
            number,
            flags,
            tuple(payloads),
            is_marked=exchange != names.IKE_SA_INIT,
        )

    def sealed(
        self,
        exchange: int,
        number: int,
        payloads: Sequence[Payload],
        is_response: bool,
        random: Random,
    ) -> bytes:
        """The datagram of a message whose payloads are encrypted."""
        assert self.keys is not None
        empty = self.message(exchange, number, (), is_response)
        return seal(empty, payloads, self.keys, random.randbytes(IV_OCTETS)).encode()


def ike_keys(
    initiator_spi: bytes, responder_spi: bytes, initiator_nonce: bytes, responder_nonce: bytes
) -> IkeKeys:
    """The keys of an association, of what both ends have said."""
    secret = initiator_nonce + responder_nonce + initiator_spi + responder_spi
    octets = shake_256(secret).digest(2 * KEY_OCTETS + 2 * INTEGRITY_KEY_OCTETS)
    cut = 2 * KEY_OCTETS
    return IkeKeys(
        initiator_spi,
        responder_spi,
        ENCRYPTION,
        INTEGRITY,
        octets[:KEY_OCTETS],
        octets[KEY_OCTETS:cut],
        octets[cut : cut + INTEGRITY_KEY_OCTETS],
        octets[cut + INTEGRITY_KEY_OCTETS :],
    )


def nat_digest(initiator_spi: bytes, responder_spi: bytes, place: Endpoint) -> bytes:
    """What tells an address and a port to who knows them (RFC 7296, 2.23)."""
    octets = address_octets(place.address) + struct.pack("!H", place.port)
    return sha1(initiator_spi + responder_spi + octets).digest()


def _cipher() -> Transform:
    return Transform(names.ENCRYPTION, AES_CBC, (Attribute(KEY_LENGTH, b"\x00\x80"),))


def ike_proposals(chosen: bool, spi: bytes = b"") -> SecurityAssociation:
    """What is offered for IKE, or what of it is chosen."""
    first: tuple[Transform, ...] = (
        _cipher(),
        Transform(names.INTEGRITY, SHA2_256_128),
        Transform(names.PRF, SHA2_256),
        Transform(names.KEY_EXCHANGE, ECP_256),
    )
    if chosen:
        return SecurityAssociation((Proposal(1, names.IKE_PROTOCOL, spi, first),))
    first = (*first, Transform(names.KEY_EXCHANGE, MODP_2048))
    second = (
        _cipher(),
        Transform(names.INTEGRITY, SHA1_96),
        Transform(names.PRF, SHA1),
        Transform(names.KEY_EXCHANGE, MODP_2048),
    )
    return SecurityAssociation(
        (
            Proposal(1, names.IKE_PROTOCOL, spi, first),
            Proposal(2, names.IKE_PROTOCOL, spi, second),
        )
    )


def esp_proposals(spi: int, chosen: bool) -> SecurityAssociation:
    """What is offered for ESP, or what of it is chosen."""
    octets = spi.to_bytes(4, "big")
    last = Transform(names.SEQUENCE_NUMBERS, 0)
    first = (_cipher(), Transform(names.INTEGRITY, SHA2_256_128), last)
    proposals = [Proposal(1, names.ESP_PROTOCOL, octets, first)]
    if not chosen:
        second = (_cipher(), Transform(names.INTEGRITY, SHA1_96), last)
        proposals.append(Proposal(2, names.ESP_PROTOCOL, octets, second))
    return SecurityAssociation(tuple(proposals))


def sa_init(
    chosen: bool,
    random: Random,
    nonce: bytes,
    spis: tuple[bytes, bytes],
    ends: tuple[Endpoint, Endpoint],
    roots: tuple[bytes, ...],
) -> list[Payload]:
    """The payloads of IKE_SA_INIT.

    Args:
        chosen: of the response.
        random: of the public value.
        nonce: this side's.
        spis: the initiator's and the responder's.
        ends: this side and the other.
        roots: that the responder trusts.
    """
    payloads: list[Payload] = [
        ike_proposals(chosen),
        public_value(random),
        Nonce(nonce),
        Notify(NAT_SOURCE, nat_digest(*spis, ends[0])),
        Notify(NAT_DESTINATION, nat_digest(*spis, ends[1])),
    ]
    if chosen:
        payloads.append(certificate_request(roots))
    payloads += [Notify(FRAGMENTATION), Notify(HASHES, _KNOWN_HASHES)]
    return payloads + ([Notify(CHILDLESS), Notify(MULTIPLE_AUTH)] if chosen else [Notify(REDIRECT)])


def public_value(random: Random) -> KeyExchange:
    """KE with octets that mean nothing."""
    return KeyExchange(ECP_256, random.randbytes(VALUE_OCTETS))


def single(address: str) -> tuple[bytes, bytes]:
    """The range of one address."""
    return address_octets(address), address_octets(address)


def ranges(prefixes: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """First and last address of each prefix."""
    networks = [IPv4Network(each) for each in prefixes]
    return [(each.network_address.packed, each.broadcast_address.packed) for each in networks]


def certificate_request(roots: tuple[bytes, ...]) -> CertificateRequest:
    """Whom this side trusts (RFC 7296, 3.7)."""
    hashes = b""
    for root in roots:
        key = read_certificate(root).public_key()
        octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        hashes += sha1(octets).digest()
    return CertificateRequest(names.X509, hashes)


def identity(name: str, is_initiator: bool) -> Identification:
    """IDi or IDr of a DNS name."""
    return Identification(is_initiator, names.ID_FQDN, name.encode())


def certificates(chain: tuple[bytes, ...]) -> list[Payload]:
    """CERT payloads of a chain; the root is not shown."""
    return [Certificate(names.X509, each) for each in chain]


def authentication(random: Random) -> Authentication:
    """AUTH with a signature that means nothing."""
    return Authentication(DIGITAL_SIGNATURE, _SIGNED_WITH + random.randbytes(_SIGNATURE_OCTETS))


def asked_addresses() -> Configuration:
    """CP(CFG_REQUEST): an address, and DNS servers."""
    wanted = (names.INTERNAL_IP4_ADDRESS, names.INTERNAL_IP4_DNS)
    return Configuration(names.CFG_REQUEST, tuple(ConfigurationAttribute(each) for each in wanted))


def given_addresses(address: str, dns_servers: Sequence[str]) -> Configuration:
    """CP(CFG_REPLY)."""
    given = [ConfigurationAttribute(names.INTERNAL_IP4_ADDRESS, address_octets(address))]
    given += [
        ConfigurationAttribute(names.INTERNAL_IP4_DNS, address_octets(each)) for each in dns_servers
    ]
    return Configuration(names.CFG_REPLY, tuple(given))


def selectors(
    is_initiator: bool, ranges: Sequence[tuple[bytes, bytes]] | None = None
) -> TrafficSelectors:
    """TSi or TSr of address ranges; None: everything."""
    if ranges is None:
        return TrafficSelectors(is_initiator, (ALL_IPV4,))
    return TrafficSelectors(
        is_initiator,
        tuple(Selector(names.TS_IPV4_RANGE, first=first, last=last) for first, last in ranges),
    )
