"""What a certificate says, for those who tell it: its names, its issuer's key, its dates.

Judges compare what a server shows with what a client trusts; TLS 1.3 hides both from the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509


@dataclass(frozen=True, slots=True)
class Description:
    """What matters to whoever is shown a certificate.

    Attributes:
        names: DNS names and addresses of its subjectAltName, in order.
        key: identifier of its own key, hexadecimal digits; "": it has none.
        issuer_key: of its issuer's key; likewise.
        valid_from: seconds since 1970 (UTC).
        valid_to: likewise.
    """

    names: tuple[str, ...]
    key: str
    issuer_key: str
    valid_from: float
    valid_to: float


def describe(pem: bytes) -> Description:
    """Read a certificate.

    Raises:
        ValueError: it is none.
    """
    return _describe(x509.load_pem_x509_certificate(pem))


def describe_der(der: bytes) -> Description:
    """Read a certificate as it is on a wire.

    Raises:
        ValueError: it is none.
    """
    return _describe(x509.load_der_x509_certificate(der))


def _describe(certificate: x509.Certificate) -> Description:
    names: tuple[str, ...] = ()
    key = issuer_key = ""
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            names = (
                *value.get_values_for_type(x509.DNSName),
                *map(str, value.get_values_for_type(x509.IPAddress)),
            )
        elif isinstance(value, x509.SubjectKeyIdentifier):
            key = value.digest.hex()
        elif isinstance(value, x509.AuthorityKeyIdentifier) and value.key_identifier:
            issuer_key = value.key_identifier.hex()
    return Description(
        names,
        key,
        issuer_key,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )
