"""What a server tells of the certificate that it shows: TLS 1.3 and IKE hide it from the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from testbed.host import Host
from testbed.topology import Certificate, Node

if TYPE_CHECKING:
    from testbed.protocols.pki import Identity  # it costs an import of cryptography


def tell_certificate(host: Host, node: Node, identity: Identity) -> None:
    """Tell it as the event "CERTIFICATE"; `is_meant`: the topology wants it to be wrong."""
    from testbed.protocols.certificates import describe  # costs an import of cryptography

    shown = describe(identity.certificate)
    wanted = node.settings.get("certificate", Certificate.GOOD)
    host.tell(
        "CERTIFICATE",
        names=list(shown.names),
        issuer_key=shown.issuer_key,
        valid_from=_date(shown.valid_from),
        valid_to=_date(shown.valid_to),
        is_meant=wanted not in (Certificate.GOOD, Certificate.ADDRESS),
    )


def _date(seconds: float) -> str:
    """As people and other programs read it (RFC 3339), from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
