"""Names for what every run draws anew, so that what is equal stays equal in two traces.

A port by chance is named after the host, the service that it was first used with, and its number
among those: the third port that 192.168.1.100 used with UDP port 3478.  A mapped port is one of the
gateway's outside address.  Other values (a NONCE, an id) are numbered as they come.

Where several nodes get inner addresses of one Security Gateway, who comes first gets the first one:
such an address is named after the node that has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from ipaddress import ip_address

from testbed.protocols.wire import Endpoint
from testbed.trace.record import Record

FIXED_PORTS = frozenset({3478, 3479, 4116, 4443, 4500, 7547, 8080, 29169, 40000})
"""Of 1024 and more, that stand in a spec, a topology or a scenario."""
ONE_QUESTION = 53
"""Each question to this port leaves from a port of its own, which nothing else tells of."""
_IN_TEXT = re.compile(rb"\b(\d{1,3}(?:\.\d{1,3}){3}):(\d{4,5})\b")


def is_by_chance(port: int) -> bool:
    """Whether somebody has drawn it."""
    return port >= 1024 and port not in FIXED_PORTS


def service_of(source: Endpoint, destination: Endpoint) -> int:
    """The port of the two that nobody has drawn; 0: both are drawn."""
    for end in (destination, source):
        if end.port and not is_by_chance(end.port):
            return end.port
    return 0


class Labels:
    """The names in one trace; made from its records, in their order."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._names: dict[Endpoint, str] = {}
        self._counts: dict[Hashable, int] = {}
        self._numbers: dict[tuple[str, Hashable], int] = {}
        told = list(records)
        self._owners = _inner_addresses(told)
        self._octets = {
            ip_address(address).packed: name.encode() for address, name in self._owners.items()
        }
        for record in told:
            if record.transport == "udp" and record.source and record.destination:
                service = service_of(record.source, record.destination)
                for end in (record.source, record.destination):
                    self._name(end, service)

    def _name(self, end: Endpoint, service: int) -> str:
        if not is_by_chance(end.port):
            return str(end.port)
        if end not in self._names:
            count = self._counts.get((end.address, service), 0) + 1
            self._counts[end.address, service] = count
            self._names[end] = "drawn" if service == ONE_QUESTION else f"{service}#{count}"
        return self._names[end]

    def endpoint(self, end: Endpoint, transport: str = "udp") -> str:
        """ "192.168.1.100:<3478#1>"; of a connection "192.168.1.100:<drawn>"."""
        address = self._owners.get(end.address, end.address)
        if not is_by_chance(end.port):
            return f"{address}:{end.port}"
        name = self._name(end, 0) if transport == "udp" else "drawn"
        return f"{address}:<{name}>"

    def number(self, kind: str, value: Hashable) -> str:
        """ "<id 2>": the second other value of that kind."""
        numbers = self._numbers
        if (kind, value) not in numbers:
            numbers[kind, value] = sum(known == kind for known, _ in numbers) + 1
        return f"<{kind} {numbers[kind, value]}>"

    def in_text(self, text: bytes) -> bytes:
        """The text with the names of its endpoints and addresses; an address's own octets too."""
        if text in self._octets:
            return self._octets[text]
        told: Callable[[re.Match[bytes]], bytes] = lambda found: self.endpoint(  # noqa: E731
            Endpoint(found[1].decode(), int(found[2]))
        ).encode()
        text = _IN_TEXT.sub(told, text)
        for address, name in self._owners.items():
            told_alone = rb"(?<![\d.])" + re.escape(address.encode()) + rb"(?![\d.])"
            text = re.sub(told_alone, name.encode(), text)
        return text


def _inner_addresses(records: Iterable[Record]) -> dict[str, str]:
    """Inner addresses of Security Gateways that have given some to several nodes, with names."""
    given: dict[str, dict[str, str]] = {}
    for record in records:
        if record.is_event and record.message.name == "ADDRESS":
            fields = record.message.fields
            if fields["address"] is not None and "peer" in fields:
                holders = given.setdefault(fields["peer"], {})
                holders.setdefault(fields["address"], record.sender)
    return {
        address: f"<of {node} at {peer}>"
        for peer, holders in given.items()
        if len(set(holders.values())) > 1
        for address, node in holders.items()
    }
