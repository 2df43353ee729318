"""CWMP sessions as a trace shows them, and what they have set: read for checks, never judged.

Robust against what peers do: several connections a session, challenges, redirects, further calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from testbed.conformance.index import index_of, remembered
from testbed.conformance.reading import (
    INITIAL_HMS,
    Contact,
    connection_of,
    contacts,
    events_of,
    hnbs,
    host_of,
    is_address,
    is_one_of,
    is_serving,
    lookups,
    plain_name,
)
from testbed.protocols import http
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.trace.record import Record
from testbed.trace.trace import Trace

_RETRY = 8005
_SEGW = re.compile(r"\.Gateway\.SecGWServer1$")
_HNB_GW = re.compile(r"\.Gateway\.FAPGWServer1$")
_HMS = re.compile(r"^(InternetGateway)?Device\.ManagementServer\.URL$")


class Call(NamedTuple):
    """A call of the ACS with the CPE's answer; None: there was none."""

    call: Record
    answer: Record | None

    @property
    def done(self) -> bool:
        """Whether the CPE has carried it out."""
        return self.answer is not None and self.answer.find(rpc.Fault) is None


@dataclass(frozen=True, slots=True)
class ServingSet:
    """What discovery brings (AMB-3G-05: TR-196's names); None: not set, or set to nothing."""

    segw: str | None = None
    hms_url: str | None = None
    hnb_gw: str | None = None

    @property
    def complete(self) -> bool:
        """Whether both that are asked for are there; the HNB-GW is optional."""
        return self.segw is not None and self.hms_url is not None

    @property
    def hms_host(self) -> str:
        """Host of the serving HMS's URL; "": there is none."""
        return host_of(self.hms_url or "")


def serving_set(parameters: Iterator[rpc.ParameterValue] | list[rpc.ParameterValue]) -> ServingSet:
    """The serving set among parameters, whatever their root and instance."""
    segw = hms_url = hnb_gw = None
    for each in parameters:
        value = each.value.strip() or None
        if _SEGW.search(each.name):
            segw = value
        elif _HNB_GW.search(each.name):
            hnb_gw = value
        elif _HMS.search(each.name):
            hms_url = value
    return ServingSet(segw, hms_url, hnb_gw)


@dataclass(slots=True)
class Session:
    """One CWMP session: from an Inform to the ACS's empty answer, or to where it breaks off.

    What a CPE says to an ACS before any Inform is one, too.

    Attributes:
        cpe: who has opened it.
        acs: with whom.
        turns: its HTTP messages, in order.
    """

    cpe: str
    acs: str | None
    turns: list[Record] = field(default_factory=list)

    @property
    def inform(self) -> Record | None:
        """The Inform that opened it, as it was sent last (a challenge asks for it again)."""
        informs = [each for each in self.turns if each.find(rpc.Inform) is not None]
        return informs[-1] if informs else None

    def answer_to_inform(self) -> Record | None:
        """What the ACS said to the Inform in the end: no challenge, no redirect, no "retry"."""
        informed = False
        for turn in self.turns:
            if turn.find(rpc.Inform) is not None:
                informed = True
            elif informed and not _asks_again(turn) and isinstance(turn.message, http.Response):
                return turn
        return None

    @property
    def accepted(self) -> bool:
        """Whether the ACS has answered the Inform by an InformResponse."""
        answer = self.answer_to_inform()
        return answer is not None and answer.find(rpc.InformResponse) is not None

    def calls(self, kind: type[rpc.Rpc]) -> list[Call]:
        """The ACS's calls of that kind, each with its answer."""
        found = []
        for place, turn in enumerate(self.turns):
            if isinstance(turn.message, http.Response) and turn.find(kind) is not None:
                found.append(Call(turn, self._answer(place)))
        return found

    def _answer(self, place: int) -> Record | None:
        for turn in self.turns[place + 1 :]:
            if isinstance(turn.message, http.Request):
                message = turn.find(rpc.Rpc)
                return turn if message is not None and message.is_response else None
        return None

    def set_values(self) -> list[rpc.ParameterValue]:
        """What the ACS has set and the CPE has acknowledged, in order."""
        return [
            value
            for each in self.calls(rpc.SetParameterValues)
            if each.done
            for value in each.call.find(rpc.SetParameterValues).parameters  # type: ignore[union-attr]  # that is what the call is
        ]

    def acknowledged(self, wanted: Callable[[list[rpc.ParameterValue]], bool]) -> Record | None:
        """The CPE's answer to the first call that sets what is wanted."""
        for each in self.calls(rpc.SetParameterValues):
            message = each.call.find(rpc.SetParameterValues)
            if each.done and message is not None and wanted(list(message.parameters)):
                return each.answer
        return None

    def sets_after(self, moment: Record) -> bool:
        """Whether the ACS sets anything later than that."""
        calls = self.calls(rpc.SetParameterValues)
        return any(each.call.number > moment.number for each in calls)

    @property
    def ended(self) -> Record | None:
        """The ACS's empty answer to the CPE's last word; None: the session broke off."""
        last = None
        for turn in self.turns:
            if isinstance(turn.message, http.Response):
                answers_inform = last is None or last.find(rpc.Inform) is not None
                if not answers_inform and is_empty(turn):
                    return turn
            else:
                last = turn
        return None


def is_empty(turn: Record) -> bool:
    """Whether a response says "nothing more": 204, or 200 without a body (AMB-3G-04)."""
    message = turn.message
    return isinstance(message, http.Response) and message.status in (200, 204) and message.is_empty


def envelope_of(turn: Record) -> Envelope:
    """The envelope of a message that is known to have one."""
    envelope = turn.find(Envelope)
    assert envelope is not None
    return envelope


def _asks_again(turn: Record) -> bool:
    message = turn.message
    if isinstance(message, http.Response) and message.status in (100, 401, 301, 302, 303, 307, 308):
        return True
    fault = turn.find(rpc.Fault)
    return fault is not None and fault.code == _RETRY


@remembered
def sessions(trace: Trace, cpe: str) -> list[Session]:
    """The CWMP sessions of a CPE with whomever, by their first message."""
    found: list[Session] = []
    open_with: dict[str | None, Session] = {}
    for record, origin, end in index_of(trace).web.get(cpe, ()):
        is_request = isinstance(record.message, http.Request)
        if is_request != (origin == cpe):
            continue  # the CPE's own server: a connection request
        acs = end if is_request else origin
        is_post = is_request and record.message.method == "POST"
        session = open_with.get(acs)
        informs = record.find(rpc.Inform) is not None
        is_new = session is None or (informs and not _asks_again(session.turns[-1]))
        if is_post and is_new:
            session = open_with[acs] = Session(cpe, acs)
            found.append(session)
        if session is not None:
            session.turns.append(record)
    return found


@dataclass(slots=True)
class Discovery:
    """One discovery of an HNB: from factory data to the serving set.

    Attributes:
        hnb: whose.
        first, last: the numbers of the records that it is about; `last` is excluded.
        sessions: with the initial HMS, up to the one that brought the serving set.
        later: all sessions after that one, with whomever.
        values: the serving set, as far as it was set and acknowledged.
        done: the answer by which the HNB acknowledged the last part of it; None: it did not.
    """

    hnb: str
    first: int
    last: int
    sessions: list[Session] = field(default_factory=list)
    later: list[Session] = field(default_factory=list)
    values: ServingSet = field(default_factory=ServingSet)
    done: Record | None = None

    @property
    def session(self) -> Session | None:
        """The session that brought the serving set."""
        return self.sessions[-1] if self.done is not None else None

    def holds(self, record: Record) -> bool:
        """Whether a record is about this discovery and not the one before or after."""
        return self.first <= record.number < self.last


@remembered
def discoveries(trace: Trace, hnb: str) -> list[Discovery]:
    """The discoveries of an HNB: the first one, and one more after each factory reset, and after
    each time when it has given its serving side up."""
    resets = [each.number for each in events_of(trace, hnb, "FACTORY_RESET", "DISCOVERY_AGAIN")]
    bounds = [0, *resets, len(trace.records)]
    all_sessions = [each for each in sessions(trace, hnb) if each.turns]
    found = []
    for first, last in pairwise(bounds):
        discovery = Discovery(hnb, first, last)
        values: list[rpc.ParameterValue] = []
        for session in all_sessions:
            if not discovery.holds(session.turns[0]):
                continue
            if _is_another_try(trace, discovery, session):
                discovery.done, values = None, []
            if discovery.done is not None:
                discovery.later.append(session)
            elif is_one_of(session.acs, INITIAL_HMS) or is_redirected(trace, discovery, session):
                discovery.sessions.append(session)
                values += session.set_values()
                discovery.values = serving_set(values)
                if discovery.values.complete:
                    sets = [each for each in session.calls(rpc.SetParameterValues) if each.done]
                    discovery.done = sets[-1].answer
        found.append(discovery)
    return found


def all_discoveries(trace: Trace) -> Iterator[Discovery]:
    """The discoveries of every HNB, one HNB after the other."""
    for hnb in hnbs(trace):
        yield from discoveries(trace, hnb)


def _is_another_try(trace: Trace, discovery: Discovery, session: Session) -> bool:
    """Whether a session begins discovery anew, because the one before broke off with the serving
    set in force and nobody went on to registration (AMB-3G-10)."""
    before = discovery.session
    if before is None or discovery.later or before.ended is not None:
        return False
    if not is_one_of(session.acs, INITIAL_HMS):
        return False
    began = events_of(trace, discovery.hnb, "REGISTRATION_START")
    return not any(
        discovery.holds(each) and each.number < session.turns[0].number for each in began
    )


def registration(trace: Trace, discovery: Discovery) -> Record | None:
    """Where the HNB goes on to step 9: it says so, or turns to the serving side after its Inform,
    or to any HMS after it was set one.

    AMB-3G-11: registration itself is out of scope; its first sign counts.
    """
    for each in events_of(trace, discovery.hnb, "REGISTRATION_START"):
        if discovery.holds(each):
            return each
    signs = [each.turns[0] for each in discovery.later[:1]]
    informed = discovery.sessions[0].turns[0].number if discovery.sessions else discovery.last
    for contact in contacts(trace, discovery.hnb):
        if not informed < contact.record.number < discovery.last:
            continue
        if is_serving(contact.node) or _goes_where_it_was_sent(trace, discovery, contact):
            signs.append(contact.record)
            break
    return min(signs, key=lambda each: each.number, default=None)


def is_served_by(trace: Trace, discovery: Discovery, contact: Contact) -> bool:
    """Whether a contact is with somebody whom the serving set names."""
    values = discovery.values
    hosts = (plain_name(values.segw or ""), values.hms_host, plain_name(values.hnb_gw or ""))
    return any(contact.address in addresses_of(trace, discovery, each) for each in hosts if each)


def addresses_of(trace: Trace, discovery: Discovery, host: str) -> set[str]:
    """The addresses that a host is known by: itself, or what answers have said."""
    if is_address(host):
        return {host}
    return {
        address
        for lookup in lookups(trace, discovery.hnb)
        if lookup.name == host
        for address in lookup.addresses
    }


def _goes_where_it_was_sent(trace: Trace, discovery: Discovery, contact: Contact) -> bool:
    """Whether an HNB turns to somebody of its serving set once it has it, as a trace shows it that
    does not know who is who.  What goes through a tunnel that is there opens nothing."""
    is_late = discovery.done is not None and contact.record.number > discovery.done.number
    return is_late and contact.kind != "ESP" and is_served_by(trace, discovery, contact)


def is_redirected(trace: Trace, discovery: Discovery, session: Session) -> bool:
    """Whether a session is where HMS (initial) has sent the HNB, and stands for it."""
    if not redirections(discovery):
        return False
    connection = connection_of(trace, session.cpe, session.turns[0])
    return connection is not None and is_redirection(trace, discovery, connection.address)


def is_redirection(trace: Trace, discovery: Discovery, address: str) -> bool:
    """Whether an address is one to which an ACS has redirected the HNB."""
    hosts = redirections(discovery)
    return any(address in addresses_of(trace, discovery, plain_name(host)) for host in hosts)


def redirections(discovery: Discovery) -> set[str]:
    """The hosts to which an ACS has redirected the HNB."""
    hosts = set()
    for session in discovery.sessions:
        for turn in session.turns:
            if isinstance(turn.message, http.Response) and 300 <= turn.message.status < 400:
                hosts.add(host_of(turn.message.header("Location") or ""))
    return hosts - {""}
