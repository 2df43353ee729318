"""STUN exchanges of a CPE as a trace shows them, and what its ACS has set and read: never judged.

TR-111 Part 2, 2.2.3: (A1, P1) is the CPE's primary endpoint, (A1, P2) its secondary one, (A1', P1')
and (A1', P2') what they are translated to, (A3, P3) the STUN server's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from testbed.conformance.index import index_of, remembered
from testbed.conformance.reading import events_of, is_one_of
from testbed.conformance.sessions import sessions
from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.wire import Endpoint
from testbed.trace.arrow import Arrow
from testbed.trace.dissect import ETHERNET
from testbed.trace.record import Record
from testbed.trace.trace import Trace

ENABLE, SERVER, PORT = "STUNEnable", "STUNServerAddress", "STUNServerPort"
USERNAME, PASSWORD = "STUNUsername", "STUNPassword"
MINIMUM, MAXIMUM = "STUNMinimumKeepAlivePeriod", "STUNMaximumKeepAlivePeriod"
ADDRESS, NAT_DETECTED = "UDPConnectionRequestAddress", "NATDetected"
NO_MAXIMUM = -1
BOOT = "1 BOOT"
_OBJECT = ".ManagementServer."
_SECOND_NS = 1_000_000_000
ANSWER_ON_ITS_WAY_S = 0.05
ANSWER_TAKEN_S = 0.5
"""Copies of a request that leave so long after its answer was there do not cross it on its way, nor
in a busy CPE."""


@dataclass(slots=True)
class Transaction:
    """One STUN transaction of a CPE.

    Attributes:
        cpe: whose.
        copies: its requests, as the CPE sent them.
        outer: the source of the first copy that reached the server, as that saw it; None: none did,
            or it is not known to have.
        replies: what the server sent for it, where it left the server.
        arrived: the replies that reached the CPE, as they did.
        is_primary: whether it was sent from the primary port.
    """

    cpe: str
    copies: list[Record] = field(default_factory=list)
    outer: Endpoint | None = None
    replies: list[Record] = field(default_factory=list)
    arrived: list[Record] = field(default_factory=list)
    is_primary: bool = True

    @property
    def first(self) -> Record:
        """Its first copy."""
        return self.copies[0]

    @property
    def request(self) -> stun.Message:
        """The request; copies that differ are told by checks."""
        message = self.copies[0].message
        assert isinstance(message, stun.Message)
        return message

    @property
    def source(self) -> Endpoint:
        """From where the CPE sent it."""
        assert self.first.source is not None
        return self.first.source

    @property
    def success(self) -> Record | None:
        """The first Binding Response that reached the CPE."""
        return next((r for r in self.arrived if isinstance(r.message, stun.BindingResponse)), None)

    def repeated(self, trace: Trace) -> Record | None:
        """A copy that was sent though the answer had come; None: there is none.

        When the answer came is not recorded, but when it was put on the last link: there it is
        taken to be no longer under way than the request and it were before.  Time that the machine
        did not have is left out.
        """
        success = self.success
        if success is None:
            return None
        asked = [each for each in self.copies if each.number < success.number]
        under_way_s = max(ANSWER_TAKEN_S, seconds(asked[-1], success) if asked else 0.0)
        for each in self.copies:
            if each.number > success.number and trace.spent_s(success, each) > under_way_s:
                return each
        return None

    @property
    def is_probe(self) -> bool:
        """Whether it has RESPONSE-ADDRESS, so that the answer goes elsewhere."""
        return self.request.first(stun.Kind.RESPONSE_ADDRESS) is not None

    @property
    def is_test(self) -> bool:
        """Whether it serves the search for the lifetime, as far as that shows: a probe, or an
        unmarked request from another port, which opens a binding to be left alone."""
        return self.is_probe or not (self.is_primary or self.request.is_marked)

    @property
    def is_keep_alive(self) -> bool:
        """Whether it is for discovery or maintenance: from the primary port, no change, no answer
        to a challenge."""
        message = self.request
        return self.is_primary and not (self.is_probe or message.is_change or message.is_signed)


@remembered
def transactions(trace: Trace, cpe: str) -> list[Transaction]:
    """The STUN transactions of a CPE, by their first copies."""
    found: dict[bytes, Transaction] = {}
    for record in index_of(trace).of_node.get(cpe, ()):
        message = record.message
        if isinstance(message, stun.BindingRequest | stun.SharedSecretRequest):
            if record.sender != cpe or trace.arrow_of(record).origin != cpe:
                continue
            transaction = found.setdefault(message.transaction_id, Transaction(cpe))
            transaction.copies.append(record)
            arrow = trace.arrow_of(record)
            if transaction.outer is None and _has_reached(trace, arrow):
                transaction.outer = arrow.last.source
        elif isinstance(message, stun.Message) and record.receiver == cpe:
            waiting = found.get(message.transaction_id)
            if waiting is not None and trace.arrow_of(record).delivered is not False:
                waiting.arrived.append(record)
    for record in trace.all((stun.BindingResponse, stun.BindingErrorResponse)):
        waiting = found.get(record.message.transaction_id)
        if waiting is not None and trace.arrow_of(record).first is record:
            waiting.replies.append(record)
    every = list(found.values())
    plain = next((each for each in every if not each.is_probe), None)
    for each in every:
        # By its port: another address of the CPE's own makes no other socket of it.
        each.is_primary = plain is not None and each.source.port == plain.source.port
    return every


def _has_reached(trace: Trace, arrow: Arrow) -> bool:
    """Whether an arrow's last hop is the server's own; a copy may be lost before the NAT.

    A capture from the field may show no more than the link before a NAT, and is believed only
    behind one, or where the frame itself goes to the server's interface.
    """
    if not arrow.reached:
        return False
    if not trace.is_excerpt or arrow.translations:
        return True
    frame = arrow.last.frame
    if frame is None or frame.link_type != ETHERNET:
        return False
    place = trace.addresses.places.get(frame.data[:6].hex(":"))
    return place is not None and place.node == arrow.end


def cpes(trace: Trace) -> list[str]:
    """Who may be a CPE of TR-111: devices, HNBs, managed gateways."""
    played = [*trace.nodes_with_role("device"), *trace.nodes_with_role("hnb")]
    played += [n for n in trace.nodes_with_role("gateway") if sessions(trace, n)]
    return played or [n for n in trace.addresses.nodes if is_one_of(n, "device", "hnb", "gateway")]


def testers(trace: Trace) -> list[str]:
    """Who tries a STUN server, and keeps no rules for CPEs."""
    played = trace.nodes_with_role("stun_tester")
    return played or [each for each in trace.addresses.nodes if is_one_of(each, "stun_tester")]


def credentials_of(trace: Trace, tester: str) -> dict[str, str]:
    """The secrets that a tester shares with the server, by username, as it tells them."""
    return {
        str(record.message.fields["username"]): str(record.message.fields["password"])
        for record in events_of(trace, tester, "STUN_CREDENTIALS")
    }


def of_every_client(trace: Trace) -> Iterator[Transaction]:
    """What a STUN server was asked, by CPEs and by those who try it."""
    for client in (*cpes(trace), *testers(trace)):
        yield from transactions(trace, client)


def all_transactions(trace: Trace) -> Iterator[Transaction]:
    """Those of every CPE, one CPE after the other."""
    for cpe in cpes(trace):
        yield from transactions(trace, cpe)


# What the ACS has set


@dataclass(frozen=True, slots=True)
class Setting:
    """The ACS has set parameters of ManagementServer.

    Attributes:
        record: the call.
        answer: the CPE's answer to it.
        values: by name below ManagementServer.
    """

    record: Record
    answer: Record
    values: dict[str, str]


@remembered
def settings(trace: Trace, cpe: str) -> list[Setting]:
    """What a CPE was set and has acknowledged, in order."""
    found = []
    for session in sessions(trace, cpe):
        for each in session.calls(rpc.SetParameterValues):
            message = each.call.find(rpc.SetParameterValues)
            if each.done and each.answer is not None and message is not None:
                named = {
                    value.name.partition(_OBJECT)[2]: value.value
                    for value in message.parameters
                    if _OBJECT in value.name
                }
                if named:
                    found.append(Setting(each.call, each.answer, named))
    return found


def value_at(trace: Trace, cpe: str, name: str, moment: Record) -> str | None:
    """What the ACS had set last before a record; None: nothing."""
    value = None
    for each in settings(trace, cpe):
        if each.record.number < moment.number:
            value = each.values.get(name, value)
    return value


def is_off(setting: Setting) -> bool:
    """Whether the ACS switches STUN off."""
    return ENABLE in setting.values and not is_on(setting.values[ENABLE])


def starts_anew(trace: Trace, cpe: str) -> list[int]:
    """The numbers of the records from which on a CPE determines its binding for the first time
    again: STUN is switched off, or it says that it has started."""
    off = [each.answer.number for each in settings(trace, cpe) if is_off(each)]
    boots = [
        session.inform.number
        for session in sessions(trace, cpe)
        if session.inform is not None
        and (told := session.inform.find(rpc.Inform)) is not None
        and any(event.code == BOOT for event in told.events)
    ]
    return sorted([*off, *boots])


def is_on(value: str | None) -> bool:
    """Whether the text of a boolean says yes."""
    return value is not None and value.strip().lower() in ("1", "true")


# What the CPE has told of itself


@dataclass(frozen=True, slots=True)
class Reading:
    """A parameter's value, as the CPE told it to its ACS.

    Attributes:
        record: the Inform, or the answer to a GetParameterValues.
        name: below ManagementServer.
        value: what it said.
    """

    record: Record
    name: str
    value: str


def readings(trace: Trace, cpe: str, name: str) -> list[Reading]:
    """Every value of a parameter of ManagementServer that a CPE has told."""
    found = []
    for session in sessions(trace, cpe):
        for turn in session.turns:
            told = turn.find(rpc.Inform) or turn.find(rpc.GetParameterValuesResponse)
            if told is not None:
                values = [v for v in told.parameters if v.name.endswith(f"{_OBJECT}{name}")]
                found += [Reading(turn, name, each.value) for each in values]
    return found


def known_at(trace: Trace, cpe: str, moment: Record) -> list[Transaction]:
    """The transactions whose answer the CPE may have gone by when it said something: the latest
    from the primary port, and those that were just on their way."""
    answered = [
        (each.success, each)
        for each in transactions(trace, cpe)
        if each.is_primary and not each.is_probe and each.success is not None
    ]
    before = [(s, each) for s, each in answered if s.number < moment.number]
    settled = [each for _, each in before if not is_on_its_way(trace, each, moment)]
    return settled[-1:] + [each for _, each in before if each not in settled]


def is_on_its_way(
    trace: Trace, answered: Transaction, moment: Record, at_least_s: float = ANSWER_ON_ITS_WAY_S
) -> bool:
    """Whether an answer may have come too late for what the CPE says at a moment: it is on its way
    for no longer than it took since the first copy of its question, or than `at_least_s`."""
    success = answered.success
    assert success is not None
    way_s = max(at_least_s, seconds(answered.copies[0], success))
    return 0 <= trace.spent_s(success, moment) < way_s


def was_on(trace: Trace, cpe: str, moment: Record) -> bool:
    """Whether the ACS has switched STUN on, and not off since."""
    return is_on(value_at(trace, cpe, ENABLE, moment))


def seconds(earlier: Record, later: Record) -> float:
    """Time between two records."""
    return (later.time_ns - earlier.time_ns) / _SECOND_NS


def lasts(trace: Trace, since: Record, how_long_s: float) -> bool:
    """Whether the trace goes on for so long after a record."""
    return bool(trace.records) and trace.spent_s(since, trace.records[-1]) > how_long_s
