"""TLS as policy: how a stream is to be protected, and what a refusal says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from testbed.errors import PeerError

if TYPE_CHECKING:
    from testbed.protocols.pki import Identity  # it costs an import of cryptography

TlsVersion = Literal["1.0", "1.1", "1.2", "1.3"]
TlsCause = Literal["chain", "name", "expired", "not yet valid", "version", "alert", "handshake"]
"""Why a stream is not protected: its issuers, its name or its dates are not accepted; no version in
common; the other side said no by an alert; anything else."""


@dataclass(frozen=True, slots=True)
class TlsProfile:
    """How a stream is to be protected, and what of the other side is checked.

    A connecting node checks the server's certificate; a listening one a client's, if it requires
    one.  The defaults are what TS 33.320 and TR-069 ask for.

    Attributes:
        identity: what this side shows; a listening side must have one.
        roots: certificates that are trusted, PEM each.
        server_name: the name that a connecting side asks for (SNI) and checks: a DNS name or an IP
            address, which must be in the certificate's subjectAltName.
        verifies: check the chain up to a root; without it nothing is checked.
        verifies_name: check the name.
        verifies_dates: check that every certificate of the chain is valid at `moment`.
        accepts_common_name: without any subjectAltName take the subject's common name for a DNS
            name, as old clients do (RFC 2818 clause 3.1).
        minimum_version: older versions of TLS are refused.
        maximum_version: newer ones are not offered; None: no bound.
        requires_client_certificate: a listening side refuses clients without one.
        moment: what this node believes the date is, seconds since 1970 (UTC); None: the engine's
            clock.
    """

    identity: Identity | None = None
    roots: tuple[bytes, ...] = ()
    server_name: str | None = None
    verifies: bool = True
    verifies_name: bool = True
    verifies_dates: bool = True
    accepts_common_name: bool = False
    minimum_version: TlsVersion = "1.2"
    maximum_version: TlsVersion | None = None
    requires_client_certificate: bool = False
    moment: float | None = None


class TlsRefused(PeerError, ConnectionError):
    """TLS ended before it carried anything, or by an alert: by our refusal, or by the other side's.

    A `ConnectionError` too, as every end of a stream out of order: a TLS 1.3 server refuses a
    client's certificate only after the client's handshake is over.

    Attributes:
        cause: one of `TlsCause`.
        sentence: who refused what, by which rule.
    """

    def __init__(self, cause: TlsCause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause: TlsCause = cause
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence
