"""Messages as plain data, in which only what two runs have in common is compared."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from testbed.protocols import sctp
from testbed.protocols.stun.attributes import Attribute, Kind, address_of, xor_address_of
from testbed.protocols.udp_connection_request import UdpConnectionRequest
from testbed.protocols.wire import Endpoint
from tests.simulation.labels import Labels, is_by_chance

DIFFER = {
    "verification_tag": "of SCTP: drawn",
    "initiate_tag": "of SCTP: drawn",
    "initial_tsn": "of SCTP: drawn",
    "checksum": "over what is drawn",
    "xid": "of DHCP: drawn anew",
    "transaction_id": "drawn anew by every client",
    "identifier": "of a DNS query: drawn anew",
    "random": "of a hello: a nonce",
    "raw": "the octets with those nonces in them",
    "octets": "likewise",
    "encoded": "likewise",
    "elapsed_s": "time",
    "seconds": "time",
    "initiator_spi": "drawn",
    "responder_spi": "drawn",
}
"""Fields of messages that no two runs have in common, and why."""

OCTETS = {
    ("KeyExchange", "data"): "a public value",
    ("Nonce", "data"): "a nonce",
    ("Authentication", "data"): "a signature",
    ("Certificate", "data"): "its dates, and by them its octets, are those of the run",
    ("CertificateRequest", "data"): "a digest of a key",
    ("Encrypted", "data"): "what is inside is compared",
    ("Proposal", "spi"): "drawn",
    ("Delete", "spis"): "drawn",
    ("Notify", "spi"): "drawn",
    ("Notify", "data"): "digests of addresses, with what is drawn",
}
"""Fields of one kind of message or payload that no two runs have in common, and why."""

# In the text of an HTTP message: dates, session cookies, nonces, and what each run draws.
_TEXTS = (
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?([+-]\d\d:\d\d)?"), b"<time>"),
    (re.compile(rb"[0-9a-fA-F]{16,}"), b"<drawn>"),
    (re.compile(rb"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"), b"<date>"),
)
_PORTS = ("source_port", "destination_port")
_ADDRESSES = frozenset(
    {
        *(Kind.MAPPED_ADDRESS, Kind.RESPONSE_ADDRESS, Kind.SOURCE_ADDRESS, Kind.CHANGED_ADDRESS),
        Kind.REFLECTED_FROM,
    }
)
_XOR_ADDRESSES = frozenset({Kind.XOR_MAPPED_ADDRESS, Kind.XOR_MAPPED_ADDRESS_OPTIONAL})
_DIGESTS = frozenset({Kind.MESSAGE_INTEGRITY, Kind.FINGERPRINT})
"""Of all else that the message says; that they are right is for the checks."""
_NUMBERED = ("ts", "id", "cn")
"""Of a UDP Connection Request's query: a time, and what is drawn for each request."""


class Plain:
    """Makes messages of one trace plain data; equal in two traces where they say the same."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    def __call__(self, value: Any) -> Any:
        """The message, or a part of it."""
        if isinstance(value, UdpConnectionRequest):
            return self._request(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._fields(value)
        if isinstance(value, Attribute):
            return [value.type, self._attribute(value), value.padding]
        if isinstance(value, Enum):
            return value.name
        if isinstance(value, Mapping):
            return {str(key): self(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(each) for each in value]
        if isinstance(value, str):
            return self(value.encode()).decode()
        if isinstance(value, (bytes, bytearray)):
            text = bytes(value)
            for pattern, word in _TEXTS:
                text = pattern.sub(word, text)
            return self.labels.in_text(text)
        return value

    def _fields(self, value: Any) -> Any:
        if isinstance(value, Endpoint):
            return self.labels.endpoint(value)
        kind = type(value).__name__
        told = {"": kind}
        for each in dataclasses.fields(value):
            if each.name in DIFFER or (kind, each.name) in OCTETS:
                continue
            found = getattr(value, each.name)
            if each.name in _PORTS and is_by_chance(found):
                found = "<drawn>"
            elif each.name == "attributes" and hasattr(value, "transaction_id"):
                found = [self._opened(each, value.transaction_id) for each in found]
            told[each.name] = self(found)
        if isinstance(value, sctp.Packet) and value.opening is not None:
            told["chunks"] = [self._chunk(value.opening), *self(value.chunks[1:])]
        return told

    def _chunk(self, opening: sctp.Opening) -> Any:
        """An INIT or INIT ACK of SCTP; its cookie is drawn."""
        parameters = [
            (kind, f"{len(octets)} octets" if kind == sctp.STATE_COOKIE else octets)
            for kind, octets in opening.parameters
        ]
        return {**self._fields(opening), "parameters": self(parameters)}

    def _opened(self, attribute: Attribute, transaction_id: bytes) -> Any:
        """An attribute of STUN whose value hides an endpoint behind the transaction's ID."""
        if attribute.type not in _XOR_ADDRESSES:
            return attribute
        return [attribute.type, xor_address_of(attribute.value, transaction_id)]

    def _attribute(self, attribute: Attribute) -> Any:
        if attribute.type in _DIGESTS:
            return f"<digest of {len(attribute.value)} octets>"
        if attribute.type == Kind.NONCE:
            return self.labels.number("nonce", attribute.value)
        address = address_of(attribute.value) if attribute.type in _ADDRESSES else None
        return self(attribute.value if address is None else address)

    def _request(self, request: UdpConnectionRequest) -> Any:
        """A UDP Connection Request: `uri` and `pairs` say the same, and the pairs are compared."""
        pairs = [
            (name, self.labels.number(name, value) if name in _NUMBERED else self(value))
            for name, value in request.pairs
        ]
        told = (request.method, request.authority, request.path, request.version)
        return {
            "": "UdpConnectionRequest",
            "line": self(told),
            "pairs": pairs,
            "rest": self((request.headers, request.body)),
        }
