"""A zone: the records under one name, how it answers, and how it misbehaves when told to.

A zone holds data and decides; it sends nothing.  Wildcards work (RFC 4592); it delegates nothing to
others, so NS records stand only at its origin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from testbed.errors import BadInput, unknown
from testbed.protocols.dns.build import record
from testbed.protocols.dns.message import ResourceRecord, service_of
from testbed.protocols.dns.names import ROOT, is_within, parent, same_name
from testbed.protocols.dns.zone_text import read_zone_text, write_zone_text

Misbehaviour = Literal["silent", "servfail", "nxdomain", "truncate", "refused", "malformed"]
MISBEHAVIOURS: tuple[Misbehaviour, ...] = get_args(Misbehaviour)
MOST_ALIASES = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What a zone has to say to a question.

    Attributes:
        code: "NOERROR" or "NXDOMAIN".
        answers: for the answer section: the aliases passed, then the records asked for.
        authorities: the SOA record when there is nothing to answer (RFC 2308).
        additionals: addresses of the targets among the answers.
    """

    code: str
    answers: tuple[ResourceRecord, ...] = ()
    authorities: tuple[ResourceRecord, ...] = ()
    additionals: tuple[ResourceRecord, ...] = ()


class Zone:
    """The records of one zone.  All of it may change while a server answers from it.

    Args:
        origin: "operator.example"; with or without the last dot.

    Raises:
        BadInput: `origin` is no domain name.
    """

    def __init__(self, origin: str) -> None:
        self.origin = same_name(origin)
        self._records: dict[str, list[ResourceRecord]] = {}
        self._below: Counter[str] = Counter()  # name -> records at it and below it
        self._misbehaviours: dict[str, Misbehaviour] = {}

    def __repr__(self) -> str:
        return f"Zone({self.origin!r}, {sum(1 for _ in self)} records)"

    def __iter__(self) -> Iterator[ResourceRecord]:
        for records in self._records.values():
            yield from records

    @classmethod
    def from_text(cls, text: str, origin: str | None = None) -> Zone:
        """A zone out of zone file text.

        Args:
            text: as in a zone file; an SOA record may be left out.
            origin: the zone's name; None: the owner of its SOA record.

        Raises:
            BadInput: the text cannot be read; names the line.
        """
        records = read_zone_text(text, origin)
        if origin is None:
            owners = [each.name for each in records if each.kind == "SOA"]
            if not owners:
                raise BadInput("zone text: no SOA record and no origin given; give one of the two")
            origin = owners[0]
        zone = cls(origin)
        for each in records:
            zone.put(each)
        return zone

    def to_text(self, server: str | None = None) -> str:
        """Zone file text that other name servers load.

        Args:
            server: IPv4 address of the name server that is to load it: servers refuse a zone whose
                own name server has no address, so it gets this one where the zone has none.
        """
        extra = [self.authority]
        name_servers = [each.value for each in self._at(self.origin, "NS")]
        if not name_servers:
            name_servers = [self.authority.value.split(" ")[0]]
            extra.append(record(self.origin, "NS", name_servers[0]))
        if server is not None:
            own = [name for name in name_servers if is_within(name, self.origin)]
            extra += [record(name, "A", server) for name in own if not self._node(name)]
        return write_zone_text([*extra, *(each for each in self if each.kind != "SOA")])

    @property
    def authority(self) -> ResourceRecord:
        """The SOA record; made up where the zone was given none."""
        own = self._at(self.origin, "SOA")
        if own:
            return own[0]
        under = "" if self.origin == ROOT else f".{self.origin}"
        return record(
            self.origin, "SOA", f"ns{under} hostmaster{under} 1 3600 600 86400 60", ttl_s=60
        )

    def add(self, name: str, kind: str, value: str, ttl_s: int = 300) -> None:
        """Add a record; names are whole, the last dot free.

        Raises:
            BadInput: the record is none, is not of this zone, or has no place beside those there.
        """
        self.put(record(name, kind, value, ttl_s))

    def put(self, new: ResourceRecord) -> None:
        """Add a record.

        Raises:
            BadInput: it is not of this zone, or has no place beside those that are there.
        """
        if not is_within(new.name, self.origin):
            raise BadInput(f"zone {self.origin}: {new.name} is not in it")
        there = self._records.get(new.name, [])
        if new.kind == "NS" and new.name != self.origin:
            raise BadInput(f"zone {self.origin}: NS at {new.name}: this server does not delegate")
        if new.kind == "SOA" and (new.name != self.origin or self._at(new.name, "SOA")):
            raise BadInput(f"zone {self.origin}: SOA stands once, at {self.origin}")
        # RFC 1034 section 3.6.2: "If a CNAME RR is present at a node, no other data should be
        # present".
        if there and "CNAME" in (new.kind, there[0].kind):
            raise BadInput(
                f"zone {self.origin}: {new.name} has a CNAME record and nothing beside it"
            )
        self._records.setdefault(new.name, []).append(new)
        self._count(new.name, 1)

    def remove(self, name: str, kind: str | None = None) -> None:
        """Take away the records of a name, all or those of one kind."""
        name = same_name(name)
        there = self._records.pop(name, [])
        left = [each for each in there if kind not in (None, each.kind)]
        if left:
            self._records[name] = left
        self._count(name, len(left) - len(there))

    def _count(self, name: str, more: int) -> None:
        self._below[name] += more
        while name != self.origin:
            name = parent(name)
            self._below[name] += more

    def misbehave(self, name: str, how: Misbehaviour) -> None:
        """From now on answer questions for this name badly, whatever the records say.

        Args:
            name: it need not exist.
            how: "silent": no answer.  "servfail", "nxdomain", "refused": that code.  "truncate":
                by UDP nothing but "there is more".  "malformed": octets that cannot be cut.

        Raises:
            BadInput: no such misbehaviour, or the name is not of this zone.
        """
        if how not in MISBEHAVIOURS:
            raise unknown("misbehaviour of a zone", how, MISBEHAVIOURS)
        name = same_name(name)
        if not is_within(name, self.origin):
            raise BadInput(f"zone {self.origin}: {name} is not in it")
        self._misbehaviours[name] = how

    def behave(self, name: str | None = None) -> None:
        """End the misbehaviour for a name; None: for all names."""
        if name is None:
            self._misbehaviours.clear()
        else:
            self._misbehaviours.pop(same_name(name), None)

    def misbehaviour(self, name: str) -> Misbehaviour | None:
        """How questions for this name (in lower case, no last dot) are answered badly."""
        return self._misbehaviours.get(name)

    def _at(self, name: str, kind: str) -> list[ResourceRecord]:
        return [each for each in self._records.get(name, ()) if each.kind == kind]

    def _node(self, name: str) -> list[ResourceRecord] | None:
        """The records at a name, out of a wildcard where that covers it; None: no such name."""
        if name == self.origin:
            own = self._records.get(name, [])
            return own if self._at(name, "SOA") else [*own, self.authority]
        if self._below[name]:  # a name exists, too, when only names below it have records
            return self._records.get(name, [])
        encloser = parent(name)
        while encloser != self.origin and not self._below[encloser]:
            encloser = parent(encloser)
        covering = self._records.get("*" if encloser == ROOT else f"*.{encloser}")
        if covering is None:
            return None
        return [replace(each, name=name) for each in covering]

    def find(self, name: str, kind: str) -> Found:
        """Answer a question for a name of this zone; aliases are followed inside the zone.

        Args:
            name: in lower case, without the last dot.
            kind: "A", "SRV", ...; "ANY" asks for all there is.
        """
        passed: list[ResourceRecord] = []
        visited = {name}
        node = self._node(name)
        while node:
            wanted = [each for each in node if kind in (each.kind, "ANY")]
            if wanted:
                return Found("NOERROR", (*passed, *wanted), (), self._targets(wanted))
            alias = next((each for each in node if each.kind == "CNAME"), None)
            if alias is None:
                break
            passed.append(alias)
            name = alias.value
            if name in visited or len(passed) > MOST_ALIASES or not is_within(name, self.origin):
                return Found("NOERROR", tuple(passed))  # the asker goes on from here
            visited.add(name)
            node = self._node(name)
        # RFC 2308 section 3: the SOA's time to live there is the lesser of its own and its minimum.
        soa = self.authority
        least_s = min(soa.ttl_s, int(soa.value.split(" ")[6]))
        code = "NXDOMAIN" if node is None else "NOERROR"
        return Found(code, tuple(passed), (replace(soa, ttl_s=least_s),))

    def _targets(self, records: list[ResourceRecord]) -> tuple[ResourceRecord, ...]:
        names = [service_of(each.value).target for each in records if each.kind == "SRV"]
        return tuple(
            address
            for name in dict.fromkeys(names)
            for kind in ("A", "AAAA")
            for address in self._at(name, kind)
        )
