"""An IKEv2 message: its header, its payloads, and what tells it from others (RFC 7296, 3.1).

What is inside an SK payload is there once somebody has opened it with keys (`opening`); every
reading below looks at both, the payloads in clear and those inside.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from testbed.protocols.ike import names
from testbed.protocols.ike.parts import Proposal
from testbed.protocols.ike.payloads import (
    Certificate,
    Configuration,
    Delete,
    Encrypted,
    EncryptedFragment,
    Identification,
    Notify,
    Payload,
    SecurityAssociation,
    encode_chain,
)

HEADER_OCTETS = 28
FROM_INITIATOR, HIGHER_VERSION, RESPONSE = 0x08, 0x10, 0x20
NON_ESP_MARKER = bytes(4)
"""What stands before an IKE message on UDP port 4500 (RFC 3948, 2.2)."""

_TOLD_STATUS = frozenset(
    {
        *("COOKIE", "REKEY_SA", "UPDATE_SA_ADDRESSES", "ADDITIONAL_TS_POSSIBLE"),
        *("USE_TRANSPORT_MODE", "REDIRECT", "NO_NATS_ALLOWED"),
    }
)
"""Notifies that are no errors and still tell a message from its like."""

PayloadT = TypeVar("PayloadT", bound=Payload)


@dataclass(frozen=True, slots=True)
class IkeMessage:
    """A message of any exchange.

    Attributes:
        initiator_spi: eight octets.
        responder_spi: eight octets; zero in the first request.
        exchange: its type, by number.
        message_id: counts the requests of each side.
        flags: FROM_INITIATOR, HIGHER_VERSION, RESPONSE.
        payloads: in clear, in their order.
        version: major and minor, four bits each.
        is_marked: behind the non-ESP marker, as on port 4500.
        first: the header's "next payload" where no payload was cut; None: what follows from them.
        surplus: octets inside the message's length behind its last payload.
        trailing: octets of the datagram behind the message's length.
        inner: the payloads inside SK, or inside all its fragments; None: nobody has opened it.
    """

    initiator_spi: bytes
    responder_spi: bytes
    exchange: int
    message_id: int
    flags: int
    payloads: tuple[Payload, ...] = ()
    version: int = 0x20
    is_marked: bool = False
    first: int | None = None
    surplus: bytes = b""
    trailing: bytes = b""
    inner: tuple[Payload, ...] | None = None

    def encode(self) -> bytes:
        """The datagram; what was opened does not count."""
        marker = NON_ESP_MARKER if self.is_marked else b""
        return marker + self.signed_octets() + self.trailing

    def signed_octets(self) -> bytes:
        """The message itself, as AUTH signs it: without marker (RFC 7296, 2.15)."""
        chain = encode_chain(self.payloads) + self.surplus
        first = self.first
        if first is None:
            first = self.payloads[0].type if self.payloads else names.NO_NEXT
        spis = self.initiator_spi + self.responder_spi
        head = struct.pack("!BBBB", first, self.version, self.exchange, self.flags)
        lengths = struct.pack("!II", self.message_id, HEADER_OCTETS + len(chain))
        return spis + head + lengths + chain

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return bool(self.flags & RESPONSE)

    @property
    def is_request(self) -> bool:
        """Whether it is to be answered."""
        return not self.is_response

    @property
    def is_from_initiator(self) -> bool:
        """Whether whoever opened the IKE association sends it."""
        return bool(self.flags & FROM_INITIATOR)

    @property
    def exchange_name(self) -> str:
        """IKE_AUTH and the like."""
        return names.name(names.EXCHANGES, self.exchange)

    @property
    def encrypted(self) -> Encrypted | EncryptedFragment | None:
        """Its SK or SKF payload."""
        for each in self.payloads:
            if isinstance(each, (Encrypted, EncryptedFragment)):
                return each
        return None

    @property
    def is_encrypted(self) -> bool:
        """Whether it has an SK or SKF payload, opened or not."""
        return self.encrypted is not None

    @property
    def is_opened(self) -> bool:
        """Whether all that it says can be read: opened, or never encrypted."""
        return self.inner is not None or not self.is_encrypted

    @property
    def fragment(self) -> tuple[int, int] | None:
        """Which fragment of how many it is (RFC 7383); None: it is whole."""
        found = self.encrypted
        return (found.fragment, found.total) if isinstance(found, EncryptedFragment) else None

    def every(self, kind: type[PayloadT]) -> Iterator[PayloadT]:
        """The payloads of a kind, in clear and inside, in their order."""
        for each in (*self.payloads, *(self.inner or ())):
            if isinstance(each, kind):
                yield each

    @property
    def notifies(self) -> tuple[str, ...]:
        """The names of what it notifies."""
        return tuple(each.name for each in self.every(Notify))

    @property
    def errors(self) -> tuple[str, ...]:
        """The names of the errors among them."""
        return tuple(each.name for each in self.every(Notify) if each.is_error)

    @property
    def idi(self) -> str | None:
        """Who the initiator says it is; None: not told, or not opened."""
        return self._identity(is_initiator=True)

    @property
    def idr(self) -> str | None:
        """Who the responder is, or whom the initiator wants; None: not told, or not opened."""
        return self._identity(is_initiator=False)

    def _identity(self, is_initiator: bool) -> str | None:
        for each in self.every(Identification):
            if each.is_initiator == is_initiator:
                return each.text
        return None

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """X.509 certificates in DER, the sender's own first (RFC 7296, 3.6)."""
        return tuple(each.data for each in self.every(Certificate) if each.encoding == names.X509)

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """What its SA payloads offer or choose."""
        return tuple(
            proposal for each in self.every(SecurityAssociation) for proposal in each.proposals
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Inner addresses that its CP payload asks for or gives; not those left open."""
        return (
            *self._configured(names.INTERNAL_IP4_ADDRESS),
            *self._configured(names.INTERNAL_IP6_ADDRESS),
        )

    @property
    def dns_servers(self) -> tuple[str, ...]:
        """Inner DNS servers in its CP payload."""
        return (
            *self._configured(names.INTERNAL_IP4_DNS),
            *self._configured(names.INTERNAL_IP6_DNS),
        )

    def _configured(self, number: int) -> tuple[str, ...]:
        found = (value for each in self.every(Configuration) for value in each.values(number))
        return tuple(value for value in found if value not in ("0.0.0.0", "::"))

    @property
    def deletes(self) -> tuple[str, ...]:
        """The protocols of which it ends associations: "IKE", "ESP"."""
        return tuple(names.name(names.PROTOCOLS, each.protocol) for each in self.every(Delete))

    def summary(self) -> str:
        """One line for a ladder."""
        line = f"{self.exchange_name} {'response' if self.is_response else 'request'}"
        found = self.encrypted
        if isinstance(found, EncryptedFragment):
            line += f" fragment {found.fragment} of {found.total}"
        if found is not None and self.inner is None:
            return f"{line} (encrypted, {len(found.data)} octets)"
        return " ".join([line, *self._telling()])

    def _telling(self) -> Iterator[str]:
        if self.is_response and self.exchange == names.IKE_SA_INIT:
            yield from (str(each) for each in self.proposals)
        elif self.exchange == names.CREATE_CHILD_SA:
            protocols = (names.name(names.PROTOCOLS, each.protocol) for each in self.proposals)
            yield from (f"SA({each})" for each in dict.fromkeys(protocols))
        yield from (f"{each.label}={each.text}" for each in self.every(Identification))
        for each in (*self.payloads, *(self.inner or ())):
            is_told = isinstance(each, (Certificate, Delete))
            if isinstance(each, Notify):
                is_told = each.is_error or each.name in _TOLD_STATUS
            if is_told:
                yield each.label
        if self.is_response and self.addresses:
            yield f"address={','.join(self.addresses)}"


@dataclass(frozen=True, slots=True)
class SaInit(IkeMessage):
    """IKE_SA_INIT: algorithms, public values, nonces (RFC 7296, 1.2)."""


@dataclass(frozen=True, slots=True)
class Auth(IkeMessage):
    """IKE_AUTH: identities, certificates, signatures, the first pair of ESP associations."""


@dataclass(frozen=True, slots=True)
class CreateChild(IkeMessage):
    """CREATE_CHILD_SA: a new pair of associations, or new keys (RFC 7296, 1.3)."""


@dataclass(frozen=True, slots=True)
class Informational(IkeMessage):
    """INFORMATIONAL: deletions, notifications, or whether the other side lives (1.4)."""


@dataclass(frozen=True, slots=True)
class OtherVersion(IkeMessage):
    """A message of another major version, as of IKEv1: its payloads are not cut."""

    def summary(self) -> str:
        """One line for a ladder."""
        return f"IKE version {self.version >> 4}.{self.version & 15}, exchange {self.exchange}"


CLASSES: dict[int, type[IkeMessage]] = {
    names.IKE_SA_INIT: SaInit,
    names.IKE_AUTH: Auth,
    names.CREATE_CHILD_SA: CreateChild,
    names.INFORMATIONAL: Informational,
}
"""The class of each exchange; of others it is `IkeMessage`."""
