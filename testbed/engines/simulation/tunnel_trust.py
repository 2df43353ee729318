"""Whether a tunnel's end is believed: its certificate, in charon's order, with its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509

from testbed.engines.simulation.certificate_checks import (
    Distrusted,
    dns_names,
    read_certificate,
    verified,
)
from testbed.engines.simulation.epoch import date_now
from testbed.host import TunnelCause


class Disbelieved(Exception):
    """The other side cannot show who it is.

    Attributes:
        cause: as a role is told it.
    """

    def __init__(self, cause: TunnelCause, reason: str) -> None:
        super().__init__(reason)
        self.cause: TunnelCause = cause


def check(
    chain: Sequence[bytes], roots: tuple[bytes, ...], name: str | None, moment: float | None
) -> None:
    """Nothing, if the chain shows that its holder has that name.

    Args:
        chain: DER, the holder's certificate first.
        roots: that are trusted, PEM.
        name: who it says it is; None: any name will do.
        moment: what the date is believed to be; None: the engine's.

    Raises:
        Disbelieved: it does not: charon finds no certificate for another name, looks at no issuer
            of one whose dates are wrong, and trusts none that leads to no root.
    """
    try:
        certificates = [read_certificate(each) for each in chain]
    except ValueError as error:
        raise Disbelieved("chain", f"building the certificate failed: {error}") from None
    if not certificates or (name is not None and name not in dns_names(certificates[0])):
        raise Disbelieved("name", f"no trusted public key found for '{name}'")
    now = date_now() if moment is None else moment
    for each in certificates:
        _check_dates(each, now)
    try:
        built = verified(tuple(chain), roots, None)
    except Distrusted as error:
        issuer = certificates[-1].issuer.rfc4514_string()
        raise Disbelieved("chain", f"no issuer certificate found for {issuer}: {error}") from None
    for each in built:
        _check_dates(each, now)


def _check_dates(certificate: x509.Certificate, now: float) -> None:
    begins = certificate.not_valid_before_utc.timestamp()
    ends = certificate.not_valid_after_utc.timestamp()
    if not begins <= now <= ends:
        cause: TunnelCause = "not yet valid" if now < begins else "expired"
        told = " to ".join(
            datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for each in (begins, ends)
        )
        raise Disbelieved(cause, f"subject certificate invalid (valid from {told})")
