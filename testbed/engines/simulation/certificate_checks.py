"""Certificates judged for real, in OpenSSL's order: the chain up to a root, the name, the dates.

What both TLS and the tunnel model ask of a certificate.  Knows no stream and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from testbed.errors import LocalError
from testbed.protocols.pki import Identity

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_LONGEST_CHAIN = 10


class Distrusted(Exception):
    """A chain leads to no trusted root; says why, in OpenSSL's words.

    Attributes:
        alert: by which TLS says so.
    """

    def __init__(self, reason: str, alert: str = "unknown_ca") -> None:
        super().__init__(reason)
        self.alert = alert


@lru_cache(maxsize=4096)
def read_certificate(octets: bytes) -> x509.Certificate:
    """A certificate, PEM or DER.

    Raises:
        ValueError: it is none.
    """
    if octets.lstrip()[:1] == b"-":
        return x509.load_pem_x509_certificate(octets)
    return x509.load_der_x509_certificate(octets)


@lru_cache(maxsize=4096)
def shown(identity: Identity, roots: tuple[bytes, ...] = ()) -> tuple[bytes, ...]:
    """The chain that an identity shows, DER each, its own certificate first.

    Where it has no issuers of its own, those among the trusted `roots` are shown with it, as
    OpenSSL does.

    Raises:
        LocalError: it cannot be used: certificate and key do not belong together, or are none.
    """
    try:
        chain = [read_certificate(each) for each in (identity.certificate, *identity.chain)]
        key = serialization.load_pem_private_key(identity.key, None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalError(f"TLS: the identity {identity.name!r} cannot be used: {error}") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise LocalError(f"TLS: the identity {identity.name!r} cannot be used: key values mismatch")
    if not identity.chain:
        trusted = [read_certificate(each) for each in roots]
        while chain[-1].issuer != chain[-1].subject:
            issuer = _issuer(chain[-1], trusted)
            if issuer is None:
                break
            chain.append(issuer)
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


@lru_cache(maxsize=4096)
def verified(
    chain: tuple[bytes, ...], roots: tuple[bytes, ...], purpose: x509.ObjectIdentifier | None
) -> tuple[x509.Certificate, ...]:
    """The chain from the shown certificate to a trusted root, all signatures verified.

    Names and dates are not looked at.

    Args:
        chain: DER as it was shown, the end's certificate first.
        roots: that are trusted, PEM.
        purpose: what the end's certificate must be good for; None: anything.

    Raises:
        Distrusted: there is none.
    """
    try:
        certificates = [read_certificate(each) for each in chain]
    except ValueError as error:
        raise Distrusted(f"not a certificate: {error}", "bad_certificate") from None
    trusted = [read_certificate(each) for each in roots]
    built = [certificates[0]]
    others = certificates[1:]
    while not _is_root(built[-1], trusted):
        last = built[-1]
        issuer = _issuer(last, trusted) or _issuer(last, others)
        if issuer is None or issuer in built or len(built) > _LONGEST_CHAIN:
            raise Distrusted(_why_no_issuer(built))
        built.append(issuer)
    for place, issuer in enumerate(built[1:]):
        _require_authority(issuer, place)
    if purpose is not None:
        _require_purpose(built[0], purpose)
    return tuple(built)


def _is_root(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> bool:
    return certificate.issuer == certificate.subject and certificate in trusted


def _why_no_issuer(built: Sequence[x509.Certificate]) -> str:
    last = built[-1]
    if last.issuer != last.subject:
        return "unable to get local issuer certificate"
    if len(built) == 1:
        return "self-signed certificate"
    return "self-signed certificate in certificate chain"


def _issuer(
    certificate: x509.Certificate, among: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    for each in among:
        if each.subject == certificate.issuer:
            try:
                certificate.verify_directly_issued_by(each)
            except (InvalidSignature, ValueError, TypeError):
                continue
            return each
    return None


def _require_authority(issuer: x509.Certificate, below: int) -> None:
    """RFC 5280, 6.1.4: who issues must be allowed to."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise Distrusted("invalid CA certificate") from None
    if not constraints.ca:
        raise Distrusted("invalid CA certificate")
    if constraints.path_length is not None and below > constraints.path_length:
        raise Distrusted("path length constraint exceeded")
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise Distrusted("invalid CA certificate")


def _require_purpose(certificate: x509.Certificate, purpose: x509.ObjectIdentifier) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if purpose not in usage:
        raise Distrusted("unsuitable certificate purpose", "unsupported_certificate")


def dns_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names of its subjectAltName."""
    return [str(each.value) for each in _alternatives(certificate) if type(each) is x509.DNSName]


def _alternatives(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return list(found.value)


def is_for(certificate: x509.Certificate, name: str, accepts_common_name: bool) -> bool:
    """Whether it is for that DNS name or IP address (RFC 6125, 6.4)."""
    try:
        address = str(ip_address(name))
    except ValueError:
        pass
    else:
        held = [each for each in _alternatives(certificate) if isinstance(each, x509.IPAddress)]
        return address in [str(each.value) for each in held]
    names = dns_names(certificate)
    if not names and accepts_common_name:
        attributes = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(each.value) for each in attributes]
    wanted = name.rstrip(".").lower()
    return any(_matches(each.lower(), wanted) for each in names)


def _matches(pattern: str, name: str) -> bool:
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and "." in rest
