"""What the checks of several flows read out of a trace: contacts, lookups, connections, events.

Nodes are known by the names of the house: "initial_hms", "serving_hms", "serving_segw", "hnb_gw",
"outer_dns", "inner_dns", each maybe with a number behind it; what serves another place has another
word before ("north_hms").  A capture from the field is given the
same names by its names file.  Knows no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from testbed.conformance.index import index_of, remembered
from testbed.protocols import dns, http, ike, tls
from testbed.trace.record import Record
from testbed.trace.trace import Trace

INITIAL_HMS = "initial_hms"
OUTER_DNS = "outer_dns"
INNER_DNS = "inner_dns"

ESP, SCTP = "esp", "132"
IKE_PORTS = (500, 4500)
_TUNNEL = ("IKE", "ESP")


def is_one_of(node: str | None, *names: str) -> bool:
    """Whether a node has one of the names, maybe with a number behind it ("hnb2")."""
    return node is not None and any(
        node == name or re.fullmatch(rf"{name}\d+", node) for name in names
    )


def is_serving(node: str | None) -> bool:
    """Whether an HNB learns of a node by discovery and by nothing else: "serving_hms",
    "north_segw", "hnb_gw", and the like."""
    if node is None or is_one_of(node, INITIAL_HMS):
        return False
    return re.fullmatch(r"\w+_(hms|segw)\d*|(\w+_)?hnb_gw\d*", node) is not None


def hnbs(trace: Trace) -> list[str]:
    """The HNBs of a trace: by role, or by name where the roles are not known."""
    played = trace.nodes_with_role("hnb")
    return played or [each for each in trace.addresses.nodes if is_one_of(each, "hnb")]


def holder_of(trace: Trace, record: Record) -> str | None:
    """The node that holds the address that a record is for; None: nobody known."""
    if record.destination is None:
        return None
    holders = trace.addresses.holders(record.destination.address, record.time_ns)
    return holders[0].node if holders else None


def events_of(trace: Trace, node: str, *names: str) -> Iterator[Record]:
    """What a node tells of itself under one of these names, in order."""
    for record in index_of(trace).events.get(node, ()):
        if record.message.name in names:
            yield record


def staged(trace: Trace, node: str | None, what: str) -> bool:
    """Whether the scenario itself has made this node break its duty, to see what others do.

    The node says so by the event "STAGED", with what was changed among its fields; then it is not
    the node that is judged.
    """
    if node is None:
        return False
    return any(what in each.message.fields for each in events_of(trace, node, "STAGED"))


@dataclass(frozen=True, slots=True)
class Factory:
    """What an HNB says that it held before its first network contact (event "FACTORY").

    Attributes:
        record: where it says so.
        hms_url: of HMS (initial).
        segw: name of the Security Gateway (initial); None: the HMS is on the public Internet.
        root_keys: key identifiers of the roots that it trusts.
        is_strict: whether a server's name must be in its certificate (AMB-3G-07).
        checks_segw_name: likewise of a SeGW's.
    """

    record: Record
    hms_url: str | None
    segw: str | None
    root_keys: tuple[str, ...]
    is_strict: bool
    checks_segw_name: bool = True

    @property
    def hms_host(self) -> str:
        """Host of the URL; "": there is none."""
        return host_of(self.hms_url or "")


def factory_of(trace: Trace, hnb: str) -> Factory | None:
    """The factory data of an HNB; None: it does not tell them."""
    for record in events_of(trace, hnb, "FACTORY"):
        told = record.message.fields
        return Factory(
            record,
            told.get("hms_url"),
            told.get("segw"),
            tuple(told.get("root_keys", ())),
            bool(told.get("is_strict", True)),
            bool(told.get("checks_segw_name", True)),
        )
    return None


def host_of(url: str) -> str:
    """The host of a URL, in lower case; "" where it has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Contact:
    """A node turns to another one by itself.

    Attributes:
        record: the first packet: a SYN, an IKE message, an ESP or SCTP packet.
        kind: "TCP", "IKE", "ESP" or "SCTP".
        address: to which it goes.
        node: who holds that; None: nobody known.
    """

    record: Record
    kind: str
    address: str
    node: str | None

    @property
    def is_tunnel(self) -> bool:
        """Whether it builds or uses an IPsec tunnel."""
        return self.kind in _TUNNEL

    def __str__(self) -> str:
        return f"{self.kind} to {self.node or self.address}"


def contact_in(trace: Trace, record: Record) -> Contact | None:
    """The contact that a record makes; None: it is none."""
    if record.destination is None:
        return None
    kind, port = None, record.destination.port
    if record.transport == "tcp":
        opens = "SYN" in record.marks and "ACK" not in record.marks
        kind = "TCP" if opens and port != dns.PORT else None
    elif record.transport == "udp":
        kind = _kind_of_ike(record) if port in IKE_PORTS else None
    else:
        kind = {ESP: "ESP", SCTP: "SCTP"}.get(record.transport)
    if kind is None:
        return None
    return Contact(record, kind, record.destination.address, holder_of(trace, record))


def _kind_of_ike(record: Record) -> str | None:
    """What opens or uses a tunnel: not what ends one, and not what keeps a NAT's binding."""
    if isinstance(record.message, ike.NatKeepalive | ike.Informational):
        return None
    return "ESP" if isinstance(record.message, ike.EspPacket) else "IKE"


def contacts(trace: Trace, node: str) -> Iterator[Contact]:
    """Every contact of a node, in order; names, addresses and time are asked for by other means."""
    for record in index_of(trace).of_node.get(node, ()):
        if record.sender == node:
            contact = contact_in(trace, record)
            if contact is not None:
                yield contact


@dataclass(slots=True)
class Lookup:
    """A name asked for, once for each transmission, and what came back.

    Attributes:
        query: as the asker sent it.
        answer: as it reached the asker; None: none did.
        server: who holds the address that was asked.
    """

    query: Record
    server: str | None
    answer: Record | None = None

    @property
    def name(self) -> str:
        """In lower case, without the last dot."""
        return plain_name(self.query.message.name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the answer says; () where there is none."""
        return () if self.answer is None else self.answer.message.addresses


@remembered
def lookups(trace: Trace, node: str) -> list[Lookup]:
    """The queries of a node with their answers, in the order of the queries."""
    found: list[Lookup] = []
    for record in index_of(trace).of_node.get(node, ()):
        message = record.message
        if isinstance(message, dns.Query) and record.sender == node:
            found.append(Lookup(record, holder_of(trace, record)))
        elif isinstance(message, dns.Answer) and record.receiver == node:
            for lookup in reversed(found):
                asked = lookup.query
                same = asked.message.identifier == message.identifier
                if same and asked.source == record.destination and lookup.name == message.name:
                    lookup.answer = lookup.answer or record
                    break
    return found


def plain_name(name: str) -> str:
    """As names are compared: in lower case, without the last dot."""
    return name.rstrip(".").lower()


def is_address(text: str) -> bool:
    """Whether a host is written as an address and needs no lookup (AMB-3G-08)."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class Connection:
    """A TCP connection that a node has opened.

    Attributes:
        client: who has opened it.
        server: who holds the address; None: nobody known.
        syn: the first packet.
        said: all that either end sent on it, by record, each where it was sent first.
    """

    client: str
    server: str | None
    syn: Record
    said: list[Record] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the server."""
        assert self.syn.destination is not None
        return self.syn.destination.address

    @property
    def port(self) -> int:
        """Of the server."""
        assert self.syn.destination is not None
        return self.syn.destination.port

    def hello(self) -> Record | None:
        """The client's TLS ClientHello."""
        return self._first(tls.ClientHello)

    def server_hello(self) -> Record | None:
        """The server's TLS hello, not counting a request for another ClientHello."""
        return next(
            (
                each
                for each in self.said
                if isinstance(each.message, tls.ServerHello) and not each.message.retry
            ),
            None,
        )

    def requests(self) -> list[Record]:
        """The client's HTTP requests, in clear or told in clear."""
        return [each for each in self.said if isinstance(each.message, http.Request)]

    def refusal(self) -> Record | None:
        """The client's fatal alert, other than its farewell."""
        for each in self.said:
            message = each.message
            if isinstance(message, tls.Alert) and each.sender == self.client and message.number:
                return each
        return None

    def first_payload(self) -> Record | None:
        """The first octets that the client puts on the wire."""
        for each in self.said:
            if each.sender == self.client and each.frame is not None and each.payload:
                return each
        return None

    def closing(self) -> Record | None:
        """How the client leaves: its first FIN or RST."""
        for each in self.said:
            if each.sender == self.client and each.marks & {"FIN", "RST"}:
                return each
        return None

    def _first(self, kind: type) -> Record | None:
        return next((each for each in self.said if isinstance(each.message, kind)), None)


@remembered
def connections(trace: Trace, client: str) -> list[Connection]:
    """The TCP connections of a node, by their SYNs; a repeated SYN opens no other one."""
    index = index_of(trace)
    # The same connection has other numbers behind each NAT and router; a SYN that was lost before
    # one of them is repeated, and shows the rest of the way.
    ways_of: dict[tuple[str, int], tuple[Record, set[tuple[str, int]]]] = {}
    opened: list[tuple[Record, set[tuple[str, int]]]] = []
    for syn in index.of_node.get(client, ()):
        opens = "SYN" in syn.marks and "ACK" not in syn.marks and syn.sender == client
        if not opens or syn.stream is None:
            continue
        way = (syn.link, syn.stream)
        if way not in ways_of:
            ways_of[way] = (syn, set())
            opened.append(ways_of[way])
        further = {(h.link, h.stream) for h in trace.arrow_of(syn).hops if h.stream is not None}
        ways_of[way][1].update(further)
        ways_of.update(dict.fromkeys(further, ways_of[way]))
    found = []
    for syn, ways in opened:
        said = [
            record
            for way in ways
            for record in index.of_stream[way]
            if record.number >= syn.number and trace.arrow_of(record).first is record
        ]
        said.sort(key=lambda record: record.number)
        found.append(Connection(client, holder_of(trace, syn), syn, said))
    return found


def has_lost(trace: Trace, node: str, first: Record, last: Record) -> bool:
    """Whether a frame that a node sent or was sent got lost between two records, on whatever link:
    what takes longer then is not the node's fault.  What others lose is no excuse."""
    return any(
        node in (arrow.origin, arrow.end, each.sender, each.receiver)
        or _is_of_connection(trace, each, node)
        for each in trace.records[first.number : last.number + 1]
        if (arrow := trace.arrow_of(each)).delivered is False
    )


def _is_of_connection(trace: Trace, segment: Record, node: str) -> bool:
    """Whether a segment is of a TCP connection that has this node at one end."""
    if segment.stream is None:
        return False
    others = index_of(trace).of_stream[segment.link, segment.stream]
    arrows = (trace.arrow_of(each) for each in others)
    return any(node in (arrow.origin, arrow.end) for arrow in arrows)


def connection_of(trace: Trace, client: str, record: Record) -> Connection | None:
    """The connection that a record of a client belongs to, as it was sent first."""
    for connection in connections(trace, client):
        if any(said is record for said in connection.said):
            return connection
    return None


NAMED_S = 1.0
"""How long after an answer of the DNS the connection follows that it was for, at most."""


def begun(trace: Trace, cpe: str, inform: Record) -> Record:
    """What a session begins with: its connection's first packet, or the question for a name just
    before that.  How long DNS, TCP and TLS take until the Inform is not the CPE's choice."""
    connection = connection_of(trace, cpe, inform)
    if connection is None:
        return inform
    syn = connection.syn
    asked = [each for each in lookups(trace, cpe) if each.query.number < syn.number]
    if not asked or asked[-1].answer is None or trace.spent_s(asked[-1].answer, syn) > NAMED_S:
        return syn
    first = asked[-1]
    for lookup in reversed(asked[:-1]):
        if lookup.name != first.name or _answered(trace, lookup):
            break
        first = lookup
    return first.query


def _answered(trace: Trace, lookup: Lookup) -> bool:
    """Whether an answer has come, and not been lost."""
    return lookup.answer is not None and trace.arrow_of(lookup.answer).delivered is not False
