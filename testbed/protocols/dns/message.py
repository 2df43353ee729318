"""DNS messages, cut into their fields, and what may be asked of them (RFC 1035 section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from testbed.protocols.dns.names import ADDRESS_OCTETS, CLASS_IN, code_text

MOST_OCTETS = 65535
UDP_OCTETS = 512
"""What a UDP message may have when the query does not say more (RFC 1035 section 4.2.1)."""

RESPONSE = 0x8000
AUTHORITATIVE = 0x0400
TRUNCATED = 0x0200
RECURSION_DESIRED = 0x0100
RECURSION_AVAILABLE = 0x0080

_OPERATIONS = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE"}
_MOST_TOLD = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        name: in lower case, without the last dot.
        kind: "A", "SRV", "TYPE65280", ...
        class_number: 1 is the Internet.
        wire: the name's uncompressed octets, in the asker's own upper and lower case.
    """

    name: str
    kind: str
    class_number: int
    wire: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """One resource record.

    Attributes:
        name: its owner, in lower case, without the last dot.
        kind: "A", "CNAME", "TYPE65280", ...
        class_number: 1 is the Internet; of OPT the octets that its sender can take by UDP.
        ttl_s: how long it may be kept, in seconds; of OPT the extended code, version and flags.
        value: its data as zone text; as "\\# 2 abcd" (RFC 3597) where its form is not known here.
        data: its data, names in it uncompressed.
    """

    name: str
    kind: str
    class_number: int
    ttl_s: int
    value: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is, from an SRV record (RFC 2782).

    Attributes:
        priority: lower ones are tried first.
        weight: share among those of the same priority.
        port: of the service.
        target: name of its host; "." says that the service is not there.
    """

    priority: int
    weight: int
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}"


@dataclass(frozen=True, slots=True)
class DnsMessage:
    """One DNS message as it was on the wire.

    Attributes:
        identifier: pairs an answer with its query.
        flags: the header's second 16 bits.
        questions: as a rule one.
        answers: the answer section, in order.
        authorities: the authority section.
        additionals: the additional section, OPT (EDNS) among it.
        octets: the whole message as it was on the wire.
        trailing_octets: how many stand behind the last record.
    """

    identifier: int
    flags: int
    questions: tuple[Question, ...]
    answers: tuple[ResourceRecord, ...]
    authorities: tuple[ResourceRecord, ...]
    additionals: tuple[ResourceRecord, ...]
    octets: bytes = field(repr=False)
    trailing_octets: int = 0

    def encode(self) -> bytes:
        """The octets on the wire."""
        return self.octets

    def with_identifier(self, identifier: int) -> Self:
        """The same message under another identifier; no other octet changes."""
        return replace(
            self, identifier=identifier, octets=identifier.to_bytes(2, "big") + self.octets[2:]
        )

    @property
    def question(self) -> Question | None:
        """The first question."""
        return self.questions[0] if self.questions else None

    @property
    def name(self) -> str:
        """The name in question, in lower case, without the last dot; "" without question."""
        return self.questions[0].name if self.questions else ""

    @property
    def kind(self) -> str:
        """The kind of record in question ("A"); "" without question."""
        return self.questions[0].kind if self.questions else ""

    @property
    def operation(self) -> str:
        """What the message is for: "QUERY", "NOTIFY", ..."""
        number = self.flags >> 11 & 15
        return _OPERATIONS.get(number) or f"OPERATION{number}"

    @property
    def truncated(self) -> bool:
        """Whether it says that there is more (TC)."""
        return bool(self.flags & TRUNCATED)

    @property
    def recursion_desired(self) -> bool:
        """Whether the asker wants others to be asked (RD)."""
        return bool(self.flags & RECURSION_DESIRED)

    @property
    def options(self) -> ResourceRecord | None:
        """The OPT record (EDNS, RFC 6891)."""
        return next((each for each in self.additionals if each.kind == "OPT"), None)

    @property
    def udp_octets(self) -> int:
        """How long a UDP message its sender can take."""
        options = self.options
        # RFC 6891 section 6.2.3: "Values lower than 512 MUST be treated as equal to 512."
        return UDP_OCTETS if options is None else max(UDP_OCTETS, options.class_number)

    def _subject(self) -> str:
        operation = "" if self.operation == "QUERY" else f" {self.operation}"
        return f"DNS{operation} {self.kind or 'message'} {self.name or 'without question'}"


@dataclass(frozen=True, slots=True)
class Query(DnsMessage):
    """A message that asks (QR = 0)."""

    def summary(self) -> str:
        """One line: "DNS A segw.operator.example ?"."""
        return f"{self._subject()} ?"


@dataclass(frozen=True, slots=True)
class Answer(DnsMessage):
    """A message that answers (QR = 1)."""

    @property
    def code(self) -> str:
        """How it went: "NOERROR", "NXDOMAIN", ...; with the extension that OPT holds."""
        options = self.options
        extension = 0 if options is None else options.ttl_s >> 24
        return code_text(extension << 4 | self.flags & 15)

    @property
    def authoritative(self) -> bool:
        """Whether the server speaks for the zone (AA)."""
        return bool(self.flags & AUTHORITATIVE)

    @property
    def recursion_available(self) -> bool:
        """Whether the server would ask others (RA)."""
        return bool(self.flags & RECURSION_AVAILABLE)

    def values(self, kind: str) -> tuple[str, ...]:
        """The values of that kind in the answer section, in order."""
        return tuple(
            each.value
            for each in self.answers
            if each.kind == kind and each.class_number == CLASS_IN
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """All IPv4 and IPv6 addresses of the answer section, in order."""
        return tuple(
            each.value
            for each in self.answers
            if each.kind in ADDRESS_OCTETS and each.class_number == CLASS_IN
        )

    @property
    def address(self) -> tuple[str, ...]:
        """The same under the name that scenarios match by: `address="203.0.113.50"`."""
        return self.addresses

    @property
    def canonical_names(self) -> tuple[str, ...]:
        """The targets of the CNAME records, in order."""
        return self.values("CNAME")

    @property
    def services(self) -> tuple[Service, ...]:
        """The SRV records of the answer section, in order."""
        return tuple(service_of(value) for value in self.values("SRV"))

    def summary(self) -> str:
        """One line: "DNS A segw.operator.example = 203.0.113.50"."""
        if self.code != "NOERROR":
            told = self.code
        else:
            values = [each.value for each in self.answers]
            if self.kind in ADDRESS_OCTETS and self.addresses:
                values = list(self.addresses)
            elif self.kind == "SRV" and self.services:
                values = list(self.values("SRV"))
            more = len(values) - _MOST_TOLD
            told = ", ".join(values[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
            told = f"= {told or 'nothing'}"
        return f"{self._subject()} {told}{' (truncated)' if self.truncated else ''}"


def service_of(value: str) -> Service:
    """The service that an SRV record's value names."""
    priority, weight, port, target = value.split(" ")
    return Service(int(priority), int(weight), int(port), target)
