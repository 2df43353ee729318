"""The Domain Name System: messages, zones, and a machine that asks (RFC 1034, 1035, 2782)."""

from testbed.protocols.dns.build import answer, query, question, record, refusal_of_octets
from testbed.protocols.dns.cutting import decode
from testbed.protocols.dns.message import (
    Answer,
    DnsMessage,
    Query,
    Question,
    ResourceRecord,
    Service,
)
from testbed.protocols.dns.resolver import (
    Failed,
    Malformed,
    Resolution,
    Resolved,
    Resolver,
    ResolverEvent,
    ResolverPolicy,
    Truncated,
    Unexpected,
)
from testbed.protocols.dns.services import in_order
from testbed.protocols.dns.stream import Frames, frame
from testbed.protocols.dns.zone import MISBEHAVIOURS, Found, Misbehaviour, Zone

PORT = 53

__all__ = [
    "MISBEHAVIOURS",
    "PORT",
    "Answer",
    "DnsMessage",
    "Failed",
    "Found",
    "Frames",
    "Malformed",
    "Misbehaviour",
    "Query",
    "Question",
    "Resolution",
    "Resolved",
    "Resolver",
    "ResolverEvent",
    "ResolverPolicy",
    "ResourceRecord",
    "Service",
    "Truncated",
    "Unexpected",
    "Zone",
    "answer",
    "decode",
    "frame",
    "in_order",
    "query",
    "question",
    "record",
    "refusal_of_octets",
]
