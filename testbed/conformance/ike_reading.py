"""Readings of IKE for checks: exchanges, their ends, and what they say once they are opened.

What could not be opened says nothing: None, or nothing at all, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from cryptography import x509

from testbed.protocols.ike.message import Auth, CreateChild, IkeMessage, Informational, SaInit
from testbed.trace.record import Record
from testbed.trace.trace import Trace


@dataclass(slots=True)
class IkeAssociation:
    """One attempt of an initiator at one responder, from its IKE_SA_INIT on.

    Attributes:
        initiator_spi: by which its messages are known.
        initiator: node that has sent the first request.
        responder: node that it went to; None: nobody is known to hold that address.
        init: every IKE_SA_INIT of it, as it was first sent: requests and responses.
        auth: every IKE_AUTH, likewise, each fragment by itself.
        later: CREATE_CHILD_SA and INFORMATIONAL, likewise.
    """

    initiator_spi: bytes
    initiator: str
    responder: str | None
    init: list[Record] = field(default_factory=list)
    auth: list[Record] = field(default_factory=list)
    later: list[Record] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """All of it, in order."""
        return sorted([*self.init, *self.auth, *self.later], key=lambda each: each.number)

    @property
    def auth_request(self) -> Record | None:
        """The request of IKE_AUTH that could be opened."""
        return self._opened_auth(is_response=False)

    @property
    def auth_response(self) -> Record | None:
        """The response to it that could be opened."""
        return self._opened_auth(is_response=True)

    def _opened_auth(self, is_response: bool) -> Record | None:
        for each in self.auth:
            message = each.message
            if message.is_response == is_response and message.inner is not None:
                return each
        return None

    @property
    def is_established(self) -> bool | None:
        """Whether IKE_AUTH was answered without an error, and the initiator took the answer.

        An initiator that does not accept who answers says so (RFC 7296, 2.21.2).  None: there is an
        answer, and nobody could open it.
        """
        responses = [each.message for each in self.auth if each.message.is_response]
        if not responses:
            return False
        found = self.auth_response
        if found is None:
            return None
        refused = any("AUTHENTICATION_FAILED" in each.message.errors for each in self.later)
        return not found.message.errors and not refused

    @property
    def errors(self) -> list[tuple[Record, str]]:
        """Every error that either side notifies, with its record."""
        return [(each, name) for each in self.records for name in each.message.errors]

    @property
    def idr(self) -> str | None:
        """Who the responder says it is."""
        found = self.auth_response
        return None if found is None else found.message.idr

    @property
    def requested_idr(self) -> str | None:
        """Whom the initiator asks for."""
        found = self.auth_request
        return None if found is None else found.message.idr

    @property
    def inner_address(self) -> str | None:
        """What CFG_REPLY gives; None: nothing, or not opened."""
        found = self.auth_response
        return next(iter(found.message.addresses), None) if found is not None else None

    @property
    def inner_dns_servers(self) -> tuple[str, ...]:
        """What CFG_REPLY tells."""
        found = self.auth_response
        return found.message.dns_servers if found is not None else ()

    @property
    def responder_names(self) -> tuple[str, ...] | None:
        """The names of the responder's certificate; None: it has shown none that can be read."""
        found = self.auth_response
        if found is None or not found.message.certificates:
            return None
        return certificate_names(found.message.certificates[0])

    @property
    def ended(self) -> Record | None:
        """The message by which one side deletes it, or whatever was made of it by new keys."""
        return next((each for each in self.later if "IKE" in each.message.deletes), None)


def associations(trace: Trace) -> list[IkeAssociation]:
    """Every association that the trace shows from its beginning, in order.

    A retransmission counts as what it repeats: each message stands once, as its first copy on its
    first link.
    """
    found: dict[bytes, IkeAssociation] = {}
    seen: set[bytes] = set()
    for record in trace.all(IkeMessage):
        message: IkeMessage = record.message
        octets = message.signed_octets()
        if octets in seen:
            continue
        seen.add(octets)
        spi = message.initiator_spi
        if isinstance(message, SaInit) and message.is_request and spi not in found:
            arrow = trace.arrow_of(record)
            found[spi] = IkeAssociation(spi, arrow.origin, arrow.end)
        association = found.get(spi)
        if association is None:
            continue
        if isinstance(message, SaInit):
            association.init.append(record)
        elif isinstance(message, Auth):
            association.auth.append(record)
        elif isinstance(message, (CreateChild, Informational)):
            association.later.append(record)
    return list(found.values())


def retransmissions(trace: Trace, record: Record) -> list[Record]:
    """Later copies of an IKE message on the link of that record, from the same sender."""
    octets = record.message.signed_octets()
    return [
        each
        for each in trace.all(IkeMessage)
        if each.number > record.number
        and (each.link, each.sender) == (record.link, record.sender)
        and each.message.signed_octets() == octets
    ]


def certificate_names(der: bytes) -> tuple[str, ...]:
    """The DNS names and addresses of a certificate's subjectAltName; () where it has none, or where
    the octets are no certificate."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return (
        *extension.value.get_values_for_type(x509.DNSName),
        *map(str, extension.value.get_values_for_type(x509.IPAddress)),
    )


def is_named(names: Iterator[str] | tuple[str, ...], wanted: str) -> bool:
    """Whether a certificate with those names is that of `wanted`, a DNS name or an address.

    A name that begins with "*." stands for one label (RFC 6125, 6.4.3).
    """
    return any(_fits(each, wanted) for each in names)


def _fits(name: str, wanted: str) -> bool:
    try:
        return ip_address(name) == ip_address(wanted)
    except ValueError:
        pass
    name, wanted = name.rstrip(".").lower(), wanted.rstrip(".").lower()
    if name.startswith("*."):
        return wanted.partition(".")[2] == name[2:]
    return name == wanted
