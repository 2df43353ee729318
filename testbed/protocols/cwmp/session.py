"""A CWMP session (TR-069 3.7): one table of states for both ends, and a machine for each end.

The ends speak by turns: every POST is answered by one HTTP response, and either may be empty.  The
machines take and give envelopes, `None` being an empty body; HTTP, cookies and time are not theirs.
`HoldRequests`, `NoMoreRequests` and `MaxEnvelopes` are ignored, as TR-069 1-1 and later ask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from testbed.errors import LocalError, PeerError
from testbed.protocols.cwmp.envelope import VERSIONS, Envelope
from testbed.protocols.cwmp.faults import RETRY_REQUEST
from testbed.protocols.cwmp.rpc import Fault, Inform, InformResponse, Rpc, response_to

MOST_REPETITIONS = 3
"""How often a request is sent again within a session because the ACS said 8005, Retry request."""


class Side(Enum):
    """An end of a session."""

    CPE = "CPE"
    ACS = "ACS"


class Kind(Enum):
    """What an end may send, as the table tells it apart."""

    INFORM = "an Inform"
    INFORM_RESPONSE = "an InformResponse"
    REQUEST = "a request"
    RESPONSE = "a response"
    FAULT = "a fault"
    RETRY = "fault 8005"
    EMPTY = "an empty body"


class State(Enum):
    """Where a session is; the comment of `RULES` says whose turn that is."""

    START = "before the Inform"
    INFORMED = "after the Inform"
    CPE_TURN = "at the CPE's requests"
    CPE_ASKED = "after a request of the CPE"
    ACS_TURN = "at the ACS's requests"
    ACS_ASKED = "after a request of the ACS"
    ENDED = "after its end"
    REFUSED = "after its refusal"
    FAILED = "after a violation"


Rules = Mapping[State, tuple[Side, Mapping[Kind, State]]]

RULES: Rules = {
    # TR-069 3.7.2.4: the CPE opens, and with nothing but an Inform.
    State.START: (Side.CPE, {Kind.INFORM: State.INFORMED}),
    State.INFORMED: (
        Side.ACS,
        {
            Kind.INFORM_RESPONSE: State.CPE_TURN,
            Kind.RETRY: State.START,
            Kind.FAULT: State.REFUSED,
        },
    ),
    # The CPE's requests come first; an empty POST says that there are no more.
    State.CPE_TURN: (Side.CPE, {Kind.REQUEST: State.CPE_ASKED, Kind.EMPTY: State.ACS_TURN}),
    State.CPE_ASKED: (
        Side.ACS,
        {
            Kind.RESPONSE: State.CPE_TURN,
            Kind.FAULT: State.CPE_TURN,
            Kind.RETRY: State.CPE_TURN,
        },
    ),
    # Then the ACS's, one to a response; a 204 or an empty 200 ends the session.
    State.ACS_TURN: (Side.ACS, {Kind.REQUEST: State.ACS_ASKED, Kind.EMPTY: State.ENDED}),
    State.ACS_ASKED: (
        Side.CPE,
        {
            Kind.RESPONSE: State.ACS_TURN,
            Kind.FAULT: State.ACS_TURN,
            # 8005 is not a CPE's to say; from one it is a fault like any other.
            Kind.RETRY: State.ACS_TURN,
        },
    ),
}
"""Whose turn it is in each state, what may be sent, and what that leads to.  Both ends use it;
a fault may hand a machine a changed copy."""


def kind_of(envelope: Envelope | None) -> Kind:
    """What the table calls a message; None: an empty body."""
    if envelope is None:
        return Kind.EMPTY
    message = envelope.message
    if isinstance(message, Fault):
        return Kind.RETRY if message.code == RETRY_REQUEST else Kind.FAULT
    if isinstance(message, Inform):
        return Kind.INFORM
    if isinstance(message, InformResponse):
        return Kind.INFORM_RESPONSE
    return Kind.RESPONSE if message.is_response else Kind.REQUEST


@dataclass(frozen=True, slots=True)
class Informed:
    """At the ACS: a CPE has opened a session.  To be answered: InformResponse, or a fault."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Accepted:
    """At the CPE: the ACS has accepted the Inform; what it told counts as delivered."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Refused:
    """The Inform was answered by a fault; the session is over."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Asked:
    """The other end calls a method.  To be answered: its response, or a fault."""

    envelope: Envelope

    @property
    def request(self) -> Rpc:
        """The call."""
        return self.envelope.message


@dataclass(frozen=True, slots=True)
class Answered:
    """The other end has answered a call of ours, maybe by a fault."""

    request: Rpc
    response: Rpc


@dataclass(frozen=True, slots=True)
class Ended:
    """Both ends have said all they had to say."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The other end broke a rule; nothing more is sent."""

    error: PeerError


SessionEvent = Informed | Accepted | Refused | Asked | Answered | Ended | Failed


class Session(ABC):
    """What both ends share: the state, the numbering of calls, and what is due.

    Args:
        side: which end this is.
        version: CWMP version to speak.
        rules: the table; a fault may change it.
        first_id: number of the first cwmp:ID.
    """

    def __init__(self, side: Side, version: str, rules: Rules, first_id: int) -> None:
        self.side = side
        self.version = version
        self.state = State.START
        self._rules = rules
        self._next_id = first_id
        self._events: list[SessionEvent] = []
        self._requests: deque[Rpc] = deque()
        self._open: Envelope | None = None  # our request, unanswered
        self._due: Envelope | None = None  # their request, unanswered
        self._answer: Rpc | None = None
        self._repetitions = 0

    @property
    def over(self) -> bool:
        """Whether nothing more will be sent or taken."""
        return self.state in (State.ENDED, State.REFUSED, State.FAILED)

    def call(self, request: Rpc) -> None:
        """Call a method of the other end when the turn comes.

        Raises:
            LocalError: the session is over.
        """
        if self.over:
            raise LocalError(f"CWMP session: no {request.method} can be sent {self.state.value}")
        self._requests.append(request)

    def answer(self, response: Rpc) -> None:
        """Answer the other end's call, or the Inform, by its response or a fault.

        Raises:
            LocalError: nothing is to be answered.
        """
        if self._due is None or self._answer is not None:
            raise LocalError(f"CWMP session: {response.method} answers nothing {self.state.value}")
        self._answer = response

    def receive(self, envelope: Envelope | None) -> None:
        """Take what the other end sent; what breaks a rule becomes a `Failed`."""
        if self.over:
            return
        try:
            self._step(envelope)
            self._received(envelope)
        except PeerError as error:
            self.fail(error)

    def fail(self, error: PeerError) -> None:
        """The other end sent what cannot be used at all, for instance no envelope."""
        if not self.over:
            self.state = State.FAILED
            self._events.append(Failed(error))

    def to_send(self) -> tuple[Envelope | None, ...]:
        """Take what is to be sent: (), one envelope, or (None,) for an empty body."""
        if self.over or self._rules[self.state][0] is not self.side:
            return ()
        if self._due is not None:
            if self._answer is None:
                return ()
            envelope: Envelope | None = Envelope(self._answer, self._due.id, self.version)
            self._due = self._answer = None
        else:
            envelope = self._next_request()
        self._step(envelope)
        self._sent(envelope)
        return (envelope,)

    def events(self) -> Sequence[SessionEvent]:
        """Take what has happened."""
        events, self._events = self._events, []
        return events

    def _next_request(self) -> Envelope | None:
        if not self._requests:
            return None
        envelope = Envelope(self._requests.popleft(), str(self._next_id), self.version)
        self._next_id += 1
        self._open = envelope
        return envelope

    def _step(self, envelope: Envelope | None) -> None:
        """Go to the state that this message leads to."""
        turn, allowed = self._rules[self.state]
        kind = kind_of(envelope)
        if kind in allowed:
            self.state = allowed[kind]
            return
        what = "an empty body" if envelope is None else envelope.message.method
        due = " or ".join(each.value for each in allowed)
        sentence = f"CWMP session: the {turn.value} sent {what} {self.state.value}; {due} is due"
        raise LocalError(sentence) if turn is self.side else PeerError(sentence)

    @abstractmethod
    def _sent(self, envelope: Envelope | None) -> None:
        """What follows from having sent this."""

    @abstractmethod
    def _received(self, envelope: Envelope | None) -> None:
        """What follows from having received this, which the table allows."""

    def _take_answer(self, envelope: Envelope) -> Rpc:
        """Match an answer to our open request, which it is returned for."""
        request = self._open
        assert request is not None
        answer = envelope.message
        expected = response_to(request.message)
        if not isinstance(answer, Fault) and answer.method != expected:
            raise PeerError(
                f"CWMP session: {request.message.method} was answered by {answer.method}, "
                f"not {expected}"
            )
        if envelope.id is not None and envelope.id != request.id:
            raise PeerError(
                f"CWMP session: {answer.method} has the cwmp:ID {envelope.id!r}, "
                f"{request.message.method} had {request.id!r}"
            )
        self._open = None
        return request.message

    def _repeat(self, request: Rpc) -> bool:
        """Send a request again, unless it has been repeated often enough."""
        self._repetitions += 1
        if self._repetitions > MOST_REPETITIONS:
            self._repetitions = 0
            return False
        self._requests.appendleft(request)
        return True


class CpeSession(Session):
    """The end that opens.

    Args:
        inform: what to open with.
        requests: what to ask of the ACS before its turn (TransferComplete, GetRPCMethods).
        version: the newest version spoken; the ACS's answer may lower it.
        rules: the table.
        first_id: number of the first cwmp:ID.
    """

    def __init__(
        self,
        inform: Inform,
        requests: Sequence[Rpc] = (),
        version: str = VERSIONS[0],
        rules: Rules = RULES,
        first_id: int = 1,
    ) -> None:
        super().__init__(Side.CPE, version, rules, first_id)
        self._requests.extend([inform, *requests])

    def _sent(self, envelope: Envelope | None) -> None:
        """Nothing: a CPE learns where it is from the answers."""

    def _received(self, envelope: Envelope | None) -> None:
        if envelope is None:
            self._events.append(Ended())
            return
        kind = kind_of(envelope)
        if kind is Kind.REQUEST:
            self._due = envelope
            self._events.append(Asked(envelope))
            return
        request = self._take_answer(envelope)
        message = envelope.message
        if kind is Kind.RETRY and self._repeat(request):
            return
        if not isinstance(request, Inform):
            self._events.append(Answered(request, message))
        elif isinstance(message, Fault):
            self.state = State.REFUSED
            self._events.append(Refused(message))
        else:
            self._repetitions = 0
            if envelope.version in VERSIONS:
                self.version = min(self.version, envelope.version)
            self._events.append(Accepted(envelope))


class AcsSession(Session):
    """The end that is called.  `call` what is wanted of the CPE at any time before its turn.

    Args:
        version: always speak this one; None: the CPE's, if it is known, else the first.
        rules: the table.
        first_id: number of the first cwmp:ID of its own.
    """

    def __init__(self, version: str | None = None, rules: Rules = RULES, first_id: int = 1) -> None:
        super().__init__(Side.ACS, version or VERSIONS[0], rules, first_id)
        self._mirror = version is None

    def _received(self, envelope: Envelope | None) -> None:
        if envelope is None:
            return
        kind = kind_of(envelope)
        if kind in (Kind.INFORM, Kind.REQUEST):
            self._due = envelope
            if kind is Kind.INFORM:
                if self._mirror and envelope.version in VERSIONS:
                    self.version = envelope.version
                self._events.append(Informed(envelope))
            else:
                self._events.append(Asked(envelope))
            return
        request = self._take_answer(envelope)
        self._events.append(Answered(request, envelope.message))

    def _sent(self, envelope: Envelope | None) -> None:
        if self.state is State.REFUSED:
            assert envelope is not None
            assert isinstance(envelope.message, Fault)
            self._events.append(Refused(envelope.message))
        elif self.state is State.ENDED:
            self._events.append(Ended())
