"""What the checks of OMA DM bootstrap read out of a trace: the lookup of the service, the requests
for the package, what became of it, and the session that follows.  Knows no verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from testbed.conformance.index import index_of, remembered
from testbed.conformance.reading import (
    Connection,
    Lookup,
    connections,
    events_of,
    holder_of,
    host_of,
    lookups,
    plain_name,
)
from testbed.protocols import dhcp, dns, http
from testbed.protocols.dm.syncml import Message
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace

PATH = "/OMA/DM/Bootstrap.xml"
MAC_PARAMETER, VERSION_PARAMETER = "msid", "dmver"
VERSIONS = ("1.2", "1.3")
DEVICE_ROLE = "dm_device"


@dataclass(frozen=True, slots=True)
class Told:
    """What a device says that it knew before its first network contact ("BOOTSTRAP_FACTORY").

    Attributes:
        record: where it says so.
        domain: that its provider told it; "": none.
        url: of the bootstrap server, by other means, its smart card's among them; "": none.
        service: that it asks DNS for, without underscore.
        uses_https: whether it speaks HTTPS.
    """

    record: Record
    domain: str
    url: str
    service: str
    uses_https: bool


@dataclass(slots=True)
class Fetch:
    """One connection on which a device asks for its package, or tries to.

    Attributes:
        connection: as the device has opened it.
        requests: what it asked, with the responses; None: none came.
    """

    connection: Connection
    requests: list[tuple[Record, Record | None]] = field(default_factory=list)

    @property
    def syn(self) -> Record:
        """The first packet."""
        return self.connection.syn


@dataclass(slots=True)
class Bootstrap:
    """One device's way to its account.

    Attributes:
        device: its node.
        told: what it knew before; None: it does not say.
        services: its lookups of SRV records, in order.
        addresses: its other lookups.
        fetches: its connections to bootstrap servers.
        events: what it tells of the package: PACKAGE_RECEIVED, PACKAGE_VERIFIED, INSTALLED, FAILED.
        sessions: its connections that carry messages of DM, or go to the server of its account.
    """

    device: str
    told: Told | None
    services: list[Lookup]
    addresses: list[Lookup]
    fetches: list[Fetch]
    events: list[Record]
    sessions: list[Connection]

    def event(self, name: str) -> Record | None:
        """The first event of that name."""
        return next((each for each in self.events if each.message.name == name), None)

    def served(self) -> Iterator[Lookup]:
        """The lookups of the service that gave servers."""
        for each in self.services:
            if each.answer is not None and each.answer.message.services:
                yield each

    def responses(self) -> Iterator[tuple[Fetch, Record, Record]]:
        """Every request for the package with its response."""
        for fetch in self.fetches:
            for request, response in fetch.requests:
                if response is not None:
                    yield fetch, request, response


@remembered
def bootstraps(trace: Trace) -> list[Bootstrap]:
    """Every device of a trace that bootstraps."""
    played = trace.nodes_with_role(DEVICE_ROLE)
    told = {
        record.sender
        for record in trace.records
        if isinstance(record.message, Event) and record.message.name == "BOOTSTRAP_FACTORY"
    }
    return [_bootstrap(trace, node) for node in sorted({*played, *told})]


def _bootstrap(trace: Trace, device: str) -> Bootstrap:
    asked = lookups(trace, device)
    services = [each for each in asked if each.query.message.kind == "SRV"]
    events = list(
        events_of(trace, device, "PACKAGE_RECEIVED", "PACKAGE_VERIFIED", "INSTALLED", "FAILED")
    )
    found = Bootstrap(
        device,
        _told(trace, device),
        services,
        [each for each in asked if each not in services],
        [],
        events,
        [],
    )
    installed = found.event("INSTALLED")
    account = urlsplit(installed.message.fields["url"]) if installed else None
    for connection in connections(trace, device):
        if connection.port == dns.PORT:
            continue
        carries_dm = any(record.find(Message) is not None for record in connection.said)
        hello = connection.hello()
        to_account = (
            account is not None
            and hello is not None
            and (hello.message.server_name, connection.port)
            == (account.hostname, account.port or 443)
            and installed is not None
            and connection.syn.number > installed.number
        )
        if carries_dm or to_account:
            found.sessions.append(connection)
        else:
            found.fetches.append(Fetch(connection, _exchanges(connection)))
    return found


def _told(trace: Trace, device: str) -> Told | None:
    for record in events_of(trace, device, "BOOTSTRAP_FACTORY"):
        told = record.message.fields
        return Told(
            record,
            told.get("domain") or "",
            told.get("url") or "",
            told.get("service") or "",
            bool(told.get("uses_https", True)),
        )
    return None


def _exchanges(connection: Connection) -> list[tuple[Record, Record | None]]:
    """Requests of a connection and their responses, in order."""
    found: list[tuple[Record, Record | None]] = []
    for record in connection.said:
        if isinstance(record.message, http.Request):
            found.append((record, None))
        elif isinstance(record.message, http.Response) and record.message.status >= 200:
            for number, (request, response) in enumerate(found):
                if response is None:
                    found[number] = (request, record)
                    break
    return found


def strays(trace: Trace, bootstrap: Bootstrap) -> list[tuple[Record, str]]:
    """The answers with servers that reached a device and fit no query of its own, and why."""
    found = []
    for record in index_of(trace).of_node.get(bootstrap.device, ()):
        message = record.message
        if not isinstance(message, dns.Answer) or record.receiver != bootstrap.device:
            continue
        asked = [e for e in bootstrap.services if e.query.source == record.destination]
        if not asked or not message.services:
            continue
        query = asked[-1].query
        names = {each.name for each in asked}
        if not any(each.query.message.identifier == message.identifier for each in asked):
            due = query.message.identifier
            found.append((record, f"its identifier is {message.identifier}, {due} was asked"))
        elif plain_name(message.name) not in names:
            found.append((record, f"it is about {message.name}, {asked[-1].name} was asked"))
        elif record.source not in [each.query.destination for each in asked]:
            found.append((record, f"it comes from {record.source}, not {query.destination}"))
    return found


def path_of(request: Record) -> str:
    """Path of a request's target, without its query."""
    return str(urlsplit(request.message.target).path)


def query_of(request: Record) -> dict[str, str]:
    """The query of a request's target."""
    return dict(parse_qsl(urlsplit(request.message.target).query, keep_blank_values=True))


def is_card(url: str) -> bool:
    """Whether a URL is that of the device's own smart card."""
    return host_of(url) in ("127.0.0.1", "::1", "localhost", "localuicc")


def is_clear(connection: Connection, request: Record) -> bool:
    """Whether a request went without TLS."""
    return connection.hello() is None and "tap" not in request.marks


def first_labels(query: Record) -> list[str]:
    """The labels of the name in question, as they were written."""
    octets, position, labels = query.message.octets, 12, []
    while position < len(octets) and 0 < octets[position] < 64:
        length = octets[position]
        labels.append(octets[position + 1 : position + 1 + length].decode("latin-1"))
        position += 1 + length
    return labels


def packages_of(trace: Trace, server: str | None) -> dict[str, str] | None:
    """The SHA-256 of each device's package, by hardware address, as a bootstrap server holds them;
    None: it does not tell."""
    if server is None:
        return None
    for record in events_of(trace, server, "PACKAGES"):
        packages: dict[str, str] = dict(record.message.fields["packages"])
        return packages
    return None


def understood(request: Record) -> str | None:
    """The hardware address that a request names; None: the request cannot be understood."""
    query = query_of(request)
    address = query.get(MAC_PARAMETER, "")
    version = query.get(VERSION_PARAMETER, VERSIONS[0])
    fits = request.message.method == "GET" and version in VERSIONS
    return address.upper() if fits and re.fullmatch("[0-9A-Fa-f]{12}", address) else None


def server_of(trace: Trace, fetch: Fetch) -> str | None:
    """The node that a connection goes to."""
    return holder_of(trace, fetch.syn)


def domain_of_lease(trace: Trace, device: str, before: int) -> str:
    """The domain name that DHCP told a device (option 15) before a record; "" without one."""
    told: str = ""
    own = trace.hardware_addresses(device)
    index = index_of(trace)
    heard = {each.number: each for each in (*index.of_node[device], *index.to_all)}
    for _, record in sorted(heard.items()):
        message = record.message
        if not isinstance(message, dhcp.Ack) or record.number >= before:
            continue
        if record.receiver == device or message.hardware_address in own:
            told = str(message.domain_name or "")
    return told.rstrip("\0").rstrip(".")
