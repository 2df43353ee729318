"""From a TLS profile to OpenSSL, and from OpenSSL's errors to `TlsRefused`.

Private keys reach OpenSSL by files in memory that have no name; the connections' secrets are in one
key log file, for Wireshark.

Dates.  OpenSSL can verify a chain for another date than the machine's, but Python has no way to
tell it which (Python 3.11 to 3.14 have none).  So where a node believes in a date of its own,
OpenSSL verifies all but the dates, and `dates_refused` looks at those of the verified chain;
`TlsStream`
asks it before it lets this side's last flight go, so that the other side gets no Finished, nor an
octet of the application, but the alert that OpenSSL itself would send.  Where the node goes by the
machine's clock, OpenSSL does it all.
"""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from testbed.errors import LocalError
from testbed.host import TlsCause, TlsProfile, TlsRefused
from testbed.protocols.pki import Identity

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# openssl/x509_vfy.h; ssl.VerifyFlags does not name it.
_NO_CHECK_TIME = 0x200000
_NOT_YET_VALID, _EXPIRED, _HOST_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64
_CAUSES: dict[int, TlsCause] = {
    _NOT_YET_VALID: "not yet valid",
    _EXPIRED: "expired",
    _HOST_MISMATCH: "name",
    _ADDRESS_MISMATCH: "name",
}
_OF_VERSION = ("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE")


class TlsContexts:
    """OpenSSL contexts of the profiles that are in use, and what their connections' keys were.

    Args:
        key_log: where OpenSSL writes the connections' secrets, in NSS key log form; made with the
            first context, with its folder.
    """

    def __init__(self, key_log: Path) -> None:
        self._key_log = key_log
        self._made: dict[tuple[object, ...], ssl.SSLContext] = {}

    def context(self, profile: TlsProfile, server_side: bool) -> ssl.SSLContext:
        """The context of a profile, made once.

        Raises:
            LocalError: a listening side without identity; a connecting one that checks names
                without a name; a certificate, key or root that OpenSSL does not take.
        """
        checks_name = not server_side and profile.verifies and profile.verifies_name
        if checks_name and profile.server_name is None:
            raise LocalError("TLS: a connecting side that checks names needs a server_name")
        checks_clock = profile.verifies_dates and profile.moment is None
        key = (
            server_side,
            profile.identity,
            profile.roots,
            profile.verifies,
            profile.verifies_name,
            profile.accepts_common_name,
            profile.minimum_version,
            profile.maximum_version,
            profile.requires_client_certificate,
            checks_clock,
        )
        if key not in self._made:
            self._made[key] = self._make(profile, server_side, checks_clock)
        return self._made[key]

    def _make(self, profile: TlsProfile, server_side: bool, checks_clock: bool) -> ssl.SSLContext:
        kind = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(kind)
        _set_versions(context, profile)
        checks = profile.requires_client_certificate if server_side else profile.verifies
        context.check_hostname = not server_side and checks and profile.verifies_name
        context.verify_mode = ssl.CERT_REQUIRED if checks else ssl.CERT_NONE
        context.hostname_checks_common_name = profile.accepts_common_name
        if not checks_clock:
            context.verify_flags |= _NO_CHECK_TIME
        for root in profile.roots:
            with _ours("a trusted root", "is no certificate that OpenSSL takes"):
                context.load_verify_locations(cadata=root.decode("ascii", "replace"))
        if profile.identity is not None:
            _show(context, profile.identity)
        elif server_side:
            raise LocalError(
                "TLS: a listening port needs an identity (certificate and key) in its profile"
            )
        self._key_log.parent.mkdir(parents=True, exist_ok=True)
        context.keylog_filename = str(self._key_log)
        return context

    def key_log(self) -> bytes:
        """The secrets of all connections so far, each once: both ends may be ours."""
        if not self._key_log.exists():
            return b""
        lines = self._key_log.read_bytes().splitlines()
        return b"".join(line + b"\n" for line in dict.fromkeys(lines) if line[:1] != b"#")


@contextmanager
def _ours(subject: str, rule: str) -> Iterator[None]:
    """In this block OpenSSL's error is about what we gave it."""
    try:
        yield
    except (ssl.SSLError, ValueError) as error:
        raise LocalError(f"TLS: {subject} {rule}: {_plain(error)}") from None


def _set_versions(context: ssl.SSLContext, profile: TlsProfile) -> None:
    most = profile.maximum_version
    with warnings.catch_warnings():
        # 1.0 and 1.1 are asked for by name, to see who refuses them.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[profile.minimum_version]
        if most is not None:
            context.maximum_version = _VERSIONS[most]
    if profile.minimum_version < "1.2":
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # their signatures need SHA-1


def _show(context: ssl.SSLContext, identity: Identity) -> None:
    """Give OpenSSL certificate, chain and key, by a file in memory without a name."""
    text = b"\n".join([identity.certificate, *identity.chain, identity.key])
    descriptor = os.memfd_create("identity")
    try:
        os.write(descriptor, text)
        with _ours(f"the identity {identity.name!r}", "cannot be used"):
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def verified_chain(tls: ssl.SSLObject) -> list[x509.Certificate]:
    """The chain that OpenSSL has built, from the other side's certificate to the root.

    Empty as long as there is none; it is there before the handshake ends, which `getpeercert`
    cannot tell.  (Public in `ssl` from Python 3.13 on.)
    """
    return _certificates(tls, "get_verified_chain")


def shown_chain(tls: ssl.SSLObject) -> list[x509.Certificate]:
    """The certificates that the other side has sent, verified or not."""
    return _certificates(tls, "get_unverified_chain")


def _certificates(tls: ssl.SSLObject, which: str) -> list[x509.Certificate]:
    inner: Any = tls._sslobj  # type: ignore[attr-defined]
    chain = getattr(inner, which)() or ()
    return [x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in chain]


def dates_refused(chain: Sequence[x509.Certificate], moment: float, peer: str) -> TlsRefused | None:
    """Why a chain is not valid at that moment, by the node's own clock; None: it is."""
    for certificate in chain:
        from_s = certificate.not_valid_before_utc.timestamp()
        until_s = certificate.not_valid_after_utc.timestamp()
        if not from_s <= moment <= until_s:
            cause: TlsCause = "not yet valid" if moment < from_s else "expired"
            believed = f"; this node believes that it is {_date(moment)}"
            return TlsRefused(cause, _of_dates(certificate, cause, peer) + believed)
    return None


def refused_by(
    error: ssl.SSLError, tls: ssl.SSLObject, profile: TlsProfile, peer: str
) -> TlsRefused:
    """What an error of OpenSSL means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _CAUSES.get(error.verify_code, "chain")
        chain: list[x509.Certificate] = []
        with suppress(ValueError):  # a certificate that OpenSSL reads and cryptography does not
            chain = shown_chain(tls)
        return TlsRefused(cause, _certificate_sentence(error, cause, chain, profile, peer))
    reason = error.reason or ""
    if any(each in reason for each in _OF_VERSION):
        bounds = f"{profile.minimum_version} to {profile.maximum_version or 'the newest'}"
        told = ", says its alert" if "ALERT" in reason else ""
        return TlsRefused(
            "version", f"TLS with {peer}: no version in common{told}; this side takes {bounds}"
        )
    if "_ALERT_" in reason:
        name = reason.partition("_ALERT_")[2].lower()
        return TlsRefused("alert", f"TLS with {peer}: the other side refuses by the alert {name}")
    return TlsRefused("handshake", f"TLS with {peer}: {_plain(error)}")


def _certificate_sentence(
    error: ssl.SSLCertVerificationError,
    cause: TlsCause,
    chain: Sequence[x509.Certificate],
    profile: TlsProfile,
    peer: str,
) -> str:
    if cause == "name":
        return name_sentence(chain[0] if chain else None, profile.server_name, peer)
    if cause in ("expired", "not yet valid"):
        now = datetime.now(UTC).timestamp()
        for certificate in chain:
            refused = dates_refused([certificate], now, peer)
            if refused is not None:
                return _of_dates(certificate, cause, peer)
        return f"TLS with {peer}: a certificate of the chain is {cause}"
    issuer = f", issued by {chain[-1].issuer.rfc4514_string()}," if chain else ""
    return (
        f"TLS with {peer}: the certificate{issuer} leads to no trusted root "
        f"({len(profile.roots)} trusted): {error.verify_message}"
    )


def name_sentence(certificate: x509.Certificate | None, name: str | None, peer: str) -> str:
    """That a certificate is not for this name, and for whom it is."""
    names = _names(certificate) if certificate is not None else []
    listed = f"subjectAltName has {', '.join(names)}" if names else "it has no subjectAltName"
    return f"TLS with {peer}: the certificate is not for {name!r}: {listed}"


def _of_dates(certificate: x509.Certificate, cause: TlsCause, peer: str) -> str:
    from_s = certificate.not_valid_before_utc.timestamp()
    until_s = certificate.not_valid_after_utc.timestamp()
    return (
        f"TLS with {peer}: the certificate of {certificate.subject.rfc4514_string()} is {cause}: "
        f"it is valid from {_date(from_s)} to {_date(until_s)}"
    )


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(each.value) for each in extension.value]


def _date(seconds: float) -> str:
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{seconds:g} s since 1970"


def _plain(error: Exception) -> str:
    """OpenSSL's words without its places."""
    text = str(error.args[-1] if error.args else error)
    return text.partition("] ")[2].partition(" (_ssl")[0] or text
