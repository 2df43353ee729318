"""How the ends of IKE come to their keys, and how they prove who they are (RFC 7296, 2.13 to 2.17).

For peers that are crafted: everybody else's IKE is charon's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519

from testbed.errors import PeerError
from testbed.protocols.ike import names
from testbed.protocols.ike.ciphers import CHECK_OCTETS, CIPHERS, PRFS, prf, prf_plus
from testbed.protocols.ike.keys import IkeKeys
from testbed.protocols.ike.parts import Proposal, Transform
from testbed.protocols.ike.payloads import Authentication, Certificate
from testbed.protocols.pki import Identity
from testbed.protocols.wire import Endpoint

DIGITAL_SIGNATURE = 14
_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "ECP_256": (ec.SECP256R1(), 32),
    "ECP_384": (ec.SECP384R1(), 48),
}
GROUPS = ("CURVE_25519", *_CURVES)
"""The groups in which a shared secret can be had here."""

# RFC 7427, A: AlgorithmIdentifier objects, each behind the octet that tells its length.
_ECDSA_SHA256 = bytes.fromhex("0c 300a 0608 2a8648ce3d040302")
_RSA_SHA256 = bytes.fromhex("0f 300d 0609 2a864886f70d01010b 0500")


class NoneAcceptable(PeerError):
    """None of the proposals can be had here."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The algorithms of an IKE association, by their names in IANA's registry.

    Attributes:
        encryption: the cipher.
        key_octets: of its key, salt included.
        prf: the pseudo-random function.
        integrity: "" beside a combined cipher.
        group: of the shared secret.
    """

    encryption: str
    key_octets: int
    prf: str
    integrity: str
    group: str

    @property
    def prf_octets(self) -> int:
        """Of its keys and values."""
        return hashlib.new(PRFS[self.prf]).digest_size

    @property
    def integrity_octets(self) -> int:
        """Of its keys (RFC 7296, 2.13; RFC 4868, 2.1.1)."""
        return _integrity_octets(self.integrity)


def _integrity_octets(name: str) -> int:
    if not name:
        return 0
    prefix = name.rpartition("_")[0]  # HMAC_SHA2_256_128 is made of HMAC_SHA2_256
    return hashlib.new(PRFS[prefix]).digest_size if prefix in PRFS else 16


def choose(
    proposals: Sequence[Proposal], group: int | None = None
) -> tuple[Proposal, dict[int, Transform]]:
    """What of the proposals both sides can: the first proposal, and the first of each kind in it.

    Args:
        proposals: of IKE, or of ESP.
        group: whose public value was sent, preferred before others; None: none.

    Returns:
        The chosen proposal with the responder's SPI left out, and its transforms by kind.

    Raises:
        NoneAcceptable: none of them.
    """
    known = {
        names.ENCRYPTION: set(CIPHERS),
        names.PRF: set(PRFS),
        names.INTEGRITY: set(CHECK_OCTETS) - {""},
        names.KEY_EXCHANGE: set(GROUPS),
        names.SEQUENCE_NUMBERS: {"NO_EXT_SEQ"},
    }
    for proposal in proposals:
        chosen: dict[int, Transform] = {}
        for kind in dict.fromkeys(each.kind for each in proposal.transforms):
            fitting = [each for each in proposal.of(kind) if each.name in known.get(kind, ())]
            fitting.sort(key=lambda each: kind == names.KEY_EXCHANGE and each.number != group)
            if not fitting:
                break
            chosen[kind] = fitting[0]
        else:
            bare = [Transform(each.kind, each.number, each.attributes) for each in chosen.values()]
            return Proposal(proposal.number, proposal.protocol, b"", tuple(bare)), chosen
    told = "; ".join(str(each) for each in proposals) or "none"
    raise NoneAcceptable(f"no acceptable proposal among: {told}")


def suite_of(chosen: dict[int, Transform]) -> Suite:
    """The suite of an IKE proposal's chosen transforms."""
    integrity = chosen.get(names.INTEGRITY)
    return Suite(
        chosen[names.ENCRYPTION].name,
        _key_octets(chosen[names.ENCRYPTION]),
        chosen[names.PRF].name,
        "" if integrity is None or integrity.name == "NONE" else integrity.name,
        chosen[names.KEY_EXCHANGE].name,
    )


def _key_octets(cipher: Transform) -> int:
    bits = cipher.key_length or (256 if cipher.name == "CHACHA20_POLY1305" else 0)
    return bits // 8 + CIPHERS[cipher.name].salt_octets


class Secret:
    """A private value of a group, and what comes of it.

    Args:
        group: one of `GROUPS`.
        random: of the node.
    """

    def __init__(self, group: str, random: Random) -> None:
        self.group = group
        self._x25519: x25519.X25519PrivateKey | None = None
        self._ec: ec.EllipticCurvePrivateKey | None = None
        if group == "CURVE_25519":
            self._x25519 = x25519.X25519PrivateKey.from_private_bytes(random.randbytes(32))
        else:
            curve, octets = _CURVES[group]
            value = int.from_bytes(random.randbytes(octets - 1)) + 1
            self._ec = ec.derive_private_key(value, curve)

    def public(self) -> bytes:
        """The public value, as KE carries it (RFC 5903, 7; RFC 8031)."""
        if self._x25519 is not None:
            return self._x25519.public_key().public_bytes_raw()
        assert self._ec is not None
        return self._ec.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )[1:]

    def shared(self, public: bytes) -> bytes:
        """The shared secret.

        Raises:
            PeerError: the other side's public value is none of this group.
        """
        try:
            if self._x25519 is not None:
                return self._x25519.exchange(x25519.X25519PublicKey.from_public_bytes(public))
            assert self._ec is not None
            point = ec.EllipticCurvePublicKey.from_encoded_point(self._ec.curve, b"\x04" + public)
            return self._ec.exchange(ec.ECDH(), point)
        except ValueError as error:
            raise PeerError(f"KE: {len(public)} octets are no value of {self.group}") from error


@dataclass(frozen=True, slots=True)
class Derived:
    """All keys of an IKE association (RFC 7296, 2.14).

    Attributes:
        suite: its algorithms.
        keys: for what is encrypted.
        sk_d: for further keys.
        sk_pi: for the initiator's AUTH.
        sk_pr: for the responder's AUTH.
        nonces: Ni and Nr.
    """

    suite: Suite
    keys: IkeKeys
    sk_d: bytes
    sk_pi: bytes
    sk_pr: bytes
    nonces: tuple[bytes, bytes]


def derive(
    suite: Suite, shared: bytes, nonces: tuple[bytes, bytes], spis: tuple[bytes, bytes]
) -> Derived:
    """The keys that come of a shared secret, nonces and SPIs, each initiator's first."""
    seed = prf(suite.prf, b"".join(nonces), shared)
    p, a, e = suite.prf_octets, suite.integrity_octets, suite.key_octets
    octets = prf_plus(suite.prf, seed, b"".join(nonces) + b"".join(spis), 3 * p + 2 * a + 2 * e)
    cut = []
    for length in (p, a, a, e, e, p, p):
        cut.append(octets[:length])
        octets = octets[length:]
    sk_d, sk_ai, sk_ar, sk_ei, sk_er, sk_pi, sk_pr = cut
    keys = IkeKeys(*spis, suite.encryption, suite.integrity, sk_ei, sk_er, sk_ai, sk_ar)
    return Derived(suite, keys, sk_d, sk_pi, sk_pr, nonces)


def signed_octets(derived: Derived, message: bytes, identity: bytes, is_initiator: bool) -> bytes:
    """What AUTH signs (RFC 7296, 2.15).

    Args:
        derived: the association's keys.
        message: the signer's own IKE_SA_INIT, without marker.
        identity: body of the signer's IDi or IDr payload.
        is_initiator: whether the initiator signs.
    """
    key = derived.sk_pi if is_initiator else derived.sk_pr
    nonce = derived.nonces[1] if is_initiator else derived.nonces[0]
    return message + nonce + prf(derived.suite.prf, key, identity)


def sign(identity: Identity, octets: bytes) -> Authentication:
    """An AUTH payload by the identity's key, as a digital signature (RFC 7427, 3)."""
    key = serialization.load_pem_private_key(identity.key, password=None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = _ECDSA_SHA256 + key.sign(
            octets, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        )
    elif isinstance(key, rsa.RSAPrivateKey):
        signature = _RSA_SHA256 + key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    else:
        raise ValueError(f"the key of {identity.name} is neither RSA nor of an elliptic curve")
    return Authentication(DIGITAL_SIGNATURE, signature)


def certificates(identity: Identity) -> tuple[Certificate, ...]:
    """CERT payloads of an identity: its own certificate, then those of its issuers."""
    return tuple(
        Certificate(
            names.X509,
            x509.load_pem_x509_certificate(each).public_bytes(serialization.Encoding.DER),
        )
        for each in (identity.certificate, *identity.chain)
    )


def nat_hash(spis: tuple[bytes, bytes], end: Endpoint) -> bytes:
    """The data of a NAT_DETECTION notify (RFC 7296, 2.23)."""
    address = ip_address(end.address).packed + end.port.to_bytes(2, "big")
    return hashlib.sha1(b"".join(spis) + address, usedforsecurity=False).digest()
