"""A run's certificates, made from its seed: roots, and identities with defects of every kind.

The same seed, name and moment give the same octets: keys derived from the seed, deterministic
ECDSA.  Knows no clock: the moment is passed in.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY_S = 86_400
YEAR_S = 365 * DAY_S
# The order of the group P-256 (FIPS 186-4, D.1.2.3): private keys lie between 1 and it.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key.

    Attributes:
        name: whose it is.
        certificate: PEM.
        key: PEM, PKCS #8, not encrypted.
        chain: PEM of the issuers between it and the root, nearest first.
    """

    name: str
    certificate: bytes
    key: bytes
    chain: tuple[bytes, ...] = ()


class Authority:
    """A root that operators trust, or do not.

    Args:
        name: of the root; another name is another key.
        seed: of the run.
        moment: what "now" is for the certificates, seconds since 1970 (UTC).
    """

    def __init__(self, name: str, seed: str, moment: float) -> None:
        self.name = name
        self.seed = seed
        self.moment = moment
        self._key = _key(seed, f"authority {name}")
        subject = _subject(name)
        public = self._key.public_key()
        self._certificate = (
            self._builder(name, -YEAR_S, 10 * YEAR_S)
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False
            )
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        )

    @property
    def certificate(self) -> bytes:
        """The root's certificate, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        names: Sequence[str] | None = None,
        valid_from_s: float = -DAY_S,
        valid_to_s: float = YEAR_S,
    ) -> Identity:
        """An identity signed by this root.

        Args:
            name: common name, and whose key it is.
            names: subjectAltName entries, DNS names or IP addresses; None: `name`; empty: none, so
                that only the common name tells whose it is.
            valid_from_s: relative to the moment; in the future for a certificate not yet valid.
            valid_to_s: relative to the moment; in the past for an expired one.
        """
        key = _key(self.seed, f"{self.name} issues {name}")
        public = key.public_key()
        builder = (
            self._builder(f"{name} {names} {valid_from_s} {valid_to_s}", valid_from_s, valid_to_s)
            .subject_name(_subject(name))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
        )
        alternatives = [_general_name(each) for each in ([name] if names is None else names)]
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        return Identity(
            name,
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def _builder(
        self, content: str, valid_from_s: float, valid_to_s: float
    ) -> x509.CertificateBuilder:
        serial = hashlib.sha256(f"{self.seed}/{self.name}/{content}".encode()).digest()[:16]
        return (
            x509.CertificateBuilder()
            .serial_number(int.from_bytes(serial) | 1)
            .not_valid_before(_moment(self.moment + valid_from_s))
            .not_valid_after(_moment(self.moment + valid_to_s))
        )


def _key(seed: str, purpose: str) -> ec.EllipticCurvePrivateKey:
    digest = hashlib.sha512(f"{seed}/{purpose}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest) % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
