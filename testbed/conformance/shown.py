"""The certificate that a server shows: read off IKE_AUTH, or told where TLS 1.3 hides it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from testbed.conformance.reading import events_of, plain_name
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Shown:
    """A server's certificate.

    Attributes:
        record: where the server tells of it; None: it does not, the wire does.
        names: of its subjectAltName.
        issuer_key: identifier of its issuer's key.
        is_meant: whether the topology wants something wrong with it.
    """

    record: Record | None
    names: tuple[str, ...]
    issuer_key: str
    is_meant: bool

    @property
    def naming(self) -> str:
        """Whom it names, for a sentence."""
        return f"names {', '.join(self.names) or 'nobody in its subjectAltName'}"

    def is_trusted_by(self, root_keys: Collection[str]) -> bool:
        """Whether one of these roots has issued it."""
        return self.issuer_key in root_keys

    def names_host(self, host: str) -> bool:
        """RFC 6125 6.4.3: a wildcard stands for one whole first label."""
        _, _, behind = host.partition(".")
        return any(plain_name(name) in (host, f"*.{behind}") for name in self.names)


def shown_by(
    trace: Trace, server: str | None, moment: Record, seen: Sequence[bytes] = ()
) -> Shown | None:
    """What a server showed at that moment; None: nobody tells.

    Args:
        trace: for what it tells of itself.
        server: who; None: nobody known.
        moment: a record; what was told later does not count.
        seen: its certificates in DER, its own first, where the wire shows them.
    """
    told: Shown | None = None
    for record in events_of(trace, server or "", "CERTIFICATE"):
        if record.number < moment.number:
            fields = record.message.fields
            told = Shown(
                record,
                tuple(fields.get("names", ())),
                str(fields.get("issuer_key", "")),
                bool(fields.get("is_meant", False)),
            )
    if not seen:
        return told
    from testbed.protocols.certificates import describe_der  # costs an import of cryptography

    try:
        own = describe_der(seen[0])
    except ValueError:
        return told
    is_meant = told is not None and told.is_meant
    return Shown(told.record if told else None, own.names, own.issuer_key, is_meant)
