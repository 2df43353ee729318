"""Sessions: a CPE and an ACS back to back, and every message that a state does not allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError, LocalError
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope, decode
from testbed.protocols.cwmp.session import (
    MOST_REPETITIONS,
    RULES,
    Accepted,
    AcsSession,
    Answered,
    Asked,
    CpeSession,
    Ended,
    Failed,
    Informed,
    Kind,
    Refused,
    Session,
    SessionEvent,
    Side,
    State,
    kind_of,
)

INFORM = rpc.Inform(events=(rpc.Event("0 BOOTSTRAP"), rpc.Event("1 BOOT")))
SET = rpc.SetParameterValues((rpc.ParameterValue("Device.A", "1"),), "k1")
Answers = Callable[[rpc.Rpc], rpc.Rpc]


def obey(request: rpc.Rpc) -> rpc.Rpc:
    """The plain response to a call, or fault 9000."""
    known = rpc.METHODS.get(rpc.response_to(request))
    return known() if known else rpc.fault(9000)


class Pair:
    """Both ends of one session, with their octets in between."""

    def __init__(self, cpe: CpeSession, acs: AcsSession, answers: Answers = obey) -> None:
        self.cpe = cpe
        self.acs = acs
        self.answers = answers
        self.ladder: list[str] = []
        self.seen: dict[Session, list[SessionEvent]] = {cpe: [], acs: []}

    def run(self, most_messages: int = 50) -> list[str]:
        """Let them talk until neither has anything to say; the messages as one line each."""
        while len(self.ladder) < most_messages:
            if not self._carry(self.cpe, self.acs, "->") and not self._carry(
                self.acs, self.cpe, "<-"
            ):
                return self.ladder
        raise AssertionError(f"no end after {self.ladder}")

    def _carry(self, sender: Session, receiver: Session, arrow: str) -> bool:
        sent = sender.to_send()
        for envelope in sent:
            self.ladder.append(f"{arrow} {envelope.message.method if envelope else '-'}")
            receiver.receive(decode(envelope.encode()) if envelope else None)
        for end in (sender, receiver):
            for event in end.events():
                self.seen[end].append(event)
                if isinstance(event, Informed | Asked):
                    end.answer(self.answers(event.envelope.message))
        return bool(sent)


def test_minimal_session() -> None:
    pair = Pair(CpeSession(INFORM), AcsSession())

    assert pair.run() == ["-> Inform", "<- InformResponse", "-> -", "<- -"]
    assert (pair.cpe.state, pair.acs.state) == (State.ENDED, State.ENDED)
    assert [type(each) for each in pair.seen[pair.cpe]] == [Accepted, Ended]
    assert [type(each) for each in pair.seen[pair.acs]] == [Informed, Ended]


def test_provisioning() -> None:
    acs = AcsSession()
    acs.call(SET)
    pair = Pair(CpeSession(INFORM), acs)

    assert pair.run() == [
        *("-> Inform", "<- InformResponse", "-> -"),
        *("<- SetParameterValues", "-> SetParameterValuesResponse", "<- -"),
    ]
    assert Answered(SET, rpc.SetParameterValuesResponse()) in pair.seen[acs]
    assert [each.request for each in pair.seen[pair.cpe] if isinstance(each, Asked)] == [SET]


def test_requests_of_the_cpe_come_before_those_of_the_acs() -> None:
    acs = AcsSession()
    acs.call(rpc.Reboot("night"))
    acs.call(rpc.FactoryReset())
    done = rpc.TransferComplete("fetch")
    pair = Pair(CpeSession(INFORM, [done, rpc.GetRPCMethods()]), acs)

    assert pair.run() == [
        *("-> Inform", "<- InformResponse"),
        *("-> TransferComplete", "<- TransferCompleteResponse"),
        *("-> GetRPCMethods", "<- GetRPCMethodsResponse", "-> -"),
        *("<- Reboot", "-> RebootResponse", "<- FactoryReset", "-> FactoryResetResponse", "<- -"),
    ]
    assert Answered(done, rpc.TransferCompleteResponse()) in pair.seen[pair.cpe]


def test_the_acs_may_decide_on_its_next_call_by_the_last_answer() -> None:
    acs = AcsSession()
    acs.call(rpc.GetParameterValues(("Device.",)))
    pair = Pair(CpeSession(INFORM), acs)
    while not any(isinstance(each, Answered) for each in pair.seen[acs]):
        pair._carry(pair.cpe, acs, "->")
        if acs.state is not State.ACS_TURN or acs._requests:
            pair._carry(acs, pair.cpe, "<-")
    acs.call(rpc.Reboot())

    assert pair.run()[-3:] == ["<- Reboot", "-> RebootResponse", "<- -"]


def test_a_call_that_the_cpe_lacks_is_fault_9000_and_the_session_goes_on() -> None:
    acs = AcsSession()
    acs.call(rpc.Unknown("X_ACME_Kick"))
    acs.call(rpc.Reboot())
    pair = Pair(CpeSession(INFORM), acs)

    assert pair.run()[3:] == [
        *("<- X_ACME_Kick", "-> Fault", "<- Reboot", "-> RebootResponse", "<- -")
    ]
    assert Answered(rpc.Unknown("X_ACME_Kick"), rpc.fault(9000)) in pair.seen[acs]


def test_a_fault_to_the_inform_ends_the_session() -> None:
    refusal = rpc.fault(8003, "no HMS serves this place")
    acs = AcsSession()
    acs.call(SET)
    pair = Pair(CpeSession(INFORM), acs, lambda request: refusal)

    assert pair.run() == ["-> Inform", "<- Fault"]
    assert pair.seen[pair.cpe] == [Refused(refusal)]
    assert pair.seen[acs][-1] == Refused(refusal)
    assert pair.cpe.over
    assert acs.over


def test_fault_8005_has_the_inform_sent_again() -> None:
    answers = iter([rpc.fault(8005), rpc.fault(8005), rpc.InformResponse()])
    pair = Pair(CpeSession(INFORM), AcsSession(), lambda request: next(answers))

    assert pair.run() == [
        *("-> Inform", "<- Fault", "-> Inform", "<- Fault", "-> Inform", "<- InformResponse"),
        *("-> -", "<- -"),
    ]


def test_fault_8005_is_not_obeyed_for_ever() -> None:
    pair = Pair(CpeSession(INFORM), AcsSession(), lambda request: rpc.fault(8005))

    assert pair.run().count("-> Inform") == 1 + MOST_REPETITIONS
    assert pair.seen[pair.cpe] == [Refused(rpc.fault(8005))]


def test_fault_8005_to_a_request_of_the_cpe() -> None:
    answers = iter([rpc.InformResponse(), rpc.fault(8005), rpc.TransferCompleteResponse()])
    pair = Pair(
        CpeSession(INFORM, [rpc.TransferComplete()]), AcsSession(), lambda request: next(answers)
    )

    assert pair.run()[2:6] == [
        *("-> TransferComplete", "<- Fault", "-> TransferComplete", "<- TransferCompleteResponse")
    ]


def test_another_fault_to_a_request_of_the_cpe_is_its_answer() -> None:
    done = rpc.TransferComplete()
    answers = iter([rpc.InformResponse(), rpc.fault(8001)])
    pair = Pair(CpeSession(INFORM, [done]), AcsSession(), lambda request: next(answers))
    pair.run()

    assert Answered(done, rpc.fault(8001)) in pair.seen[pair.cpe]
    assert pair.cpe.state is State.ENDED


class TestIdentifiers:
    def test_answers_carry_the_id_of_their_call(self) -> None:
        acs = AcsSession(first_id=70)
        acs.call(SET)
        cpe = CpeSession(INFORM, first_id=30)
        (inform,) = cpe.to_send()
        assert inform is not None
        acs.receive(inform)
        acs.answer(rpc.InformResponse())
        (response,) = acs.to_send()

        assert response is not None
        assert (inform.id, response.id) == ("30", "30")

    def test_a_call_without_id_gets_an_answer_without(self) -> None:
        acs = AcsSession()
        acs.receive(Envelope(INFORM))
        acs.answer(rpc.InformResponse())

        assert acs.to_send() == (Envelope(rpc.InformResponse()),)

    def test_an_answer_without_id_is_taken(self) -> None:
        cpe = CpeSession(INFORM)
        cpe.to_send()
        cpe.receive(Envelope(rpc.InformResponse()))

        assert cpe.state is State.CPE_TURN

    def test_an_answer_with_another_id_is_not(self) -> None:
        cpe = CpeSession(INFORM)
        cpe.to_send()
        cpe.receive(Envelope(rpc.InformResponse(), "9"))

        (failed,) = cpe.events()
        assert isinstance(failed, Failed)
        assert str(failed.error) == (
            "CWMP session: InformResponse has the cwmp:ID '9', Inform had '1'"
        )


class TestVersions:
    @pytest.mark.parametrize("version", ["cwmp-1-0", "cwmp-1-4"])
    def test_the_acs_speaks_the_version_of_the_inform(self, version: str) -> None:
        acs = AcsSession()
        pair = Pair(CpeSession(INFORM, version=version), acs)
        pair.run()

        assert acs.version == version

    def test_the_cpe_goes_down_to_the_version_of_the_answer(self) -> None:
        cpe = CpeSession(INFORM, version="cwmp-1-2")
        Pair(cpe, AcsSession(version="cwmp-1-0")).run()

        assert cpe.version == "cwmp-1-0"

    def test_an_answer_in_no_known_version_changes_nothing(self) -> None:
        cpe = CpeSession(INFORM, version="cwmp-1-2")
        cpe.to_send()
        cpe.receive(Envelope(rpc.InformResponse(), "1", ""))

        assert cpe.version == "cwmp-1-2"

    @pytest.mark.parametrize("version", ["cwmp-9-9", ""])
    def test_an_unknown_version_is_answered_in_the_first(self, version: str) -> None:
        acs = AcsSession()
        acs.receive(Envelope(INFORM, "1", version))
        acs.answer(rpc.InformResponse())

        assert acs.to_send() == (Envelope(rpc.InformResponse(), "1", "cwmp-1-0"),)


class TestQuirks:
    def test_hold_requests_holds_nothing(self) -> None:
        cpe = CpeSession(INFORM, [rpc.GetRPCMethods()])
        cpe.to_send()
        cpe.receive(Envelope(rpc.InformResponse(), "1", hold_requests=True))

        (request,) = cpe.to_send()
        assert request is not None
        assert request.message == rpc.GetRPCMethods()

    def test_wrong_response_name(self) -> None:
        cpe = CpeSession(INFORM, [rpc.TransferComplete()])
        cpe.to_send()
        cpe.receive(Envelope(rpc.InformResponse(), "1"))
        cpe.to_send()
        cpe.receive(Envelope(rpc.Unknown("AutonomousTransferCompleteResponse"), "2"))

        failed = cpe.events()[-1]
        assert isinstance(failed, Failed)
        assert str(failed.error) == (
            "CWMP session: TransferComplete was answered by AutonomousTransferCompleteResponse, "
            "not TransferCompleteResponse"
        )

    @pytest.mark.parametrize(
        ("message", "what"),
        [(None, "an empty body"), (rpc.Reboot(), "Reboot")],
        ids=["empty", "a call at once"],
    )
    def test_inform_answered_without_inform_response(
        self, message: rpc.Rpc | None, what: str
    ) -> None:
        cpe = CpeSession(INFORM)
        cpe.to_send()
        cpe.receive(Envelope(message) if message else None)

        (failed,) = cpe.events()
        assert isinstance(failed, Failed)
        assert str(failed.error) == (
            f"CWMP session: the ACS sent {what} after the Inform; "
            "an InformResponse or fault 8005 or a fault is due"
        )
        assert cpe.to_send() == ()

    def test_inform_in_the_middle_of_a_session(self) -> None:
        acs = AcsSession()
        acs.receive(Envelope(INFORM, "1"))
        acs.answer(rpc.InformResponse())
        acs.to_send()
        acs.receive(Envelope(INFORM, "2"))

        failed = acs.events()[-1]
        assert isinstance(failed, Failed)
        assert str(failed.error) == (
            "CWMP session: the CPE sent Inform at the CPE's requests; "
            "a request or an empty body is due"
        )

    def test_what_is_no_envelope_fails_the_session(self) -> None:
        acs = AcsSession()
        acs.fail(DecodeError("CWMP body: not XML"))
        acs.fail(DecodeError("again"))
        acs.receive(Envelope(INFORM))

        assert [str(each.error) for each in acs.events() if isinstance(each, Failed)] == [
            "CWMP body: not XML"
        ]
        assert acs.state is State.FAILED

    def test_a_state_rule_can_be_broken_on_purpose(self) -> None:
        impatient = {**RULES, State.START: (Side.CPE, {Kind.INFORM: State.CPE_TURN})}
        cpe = CpeSession(INFORM, [rpc.GetRPCMethods()], rules=impatient)

        assert [type(each.message) for turn in range(2) for each in cpe.to_send() if each] == [
            rpc.Inform,
            rpc.GetRPCMethods,
        ]


EXAMPLES: dict[Kind, Envelope | None] = {
    Kind.INFORM: Envelope(INFORM),
    Kind.INFORM_RESPONSE: Envelope(rpc.InformResponse()),
    Kind.REQUEST: Envelope(rpc.GetRPCMethods()),
    Kind.RESPONSE: Envelope(rpc.GetRPCMethodsResponse()),
    Kind.FAULT: Envelope(rpc.fault(9001)),
    Kind.RETRY: Envelope(rpc.fault(8005)),
    Kind.EMPTY: None,
}


def at(side: Side, state: State) -> Session:
    """An end that has come to that state by the rules, with nothing more of its own to ask."""
    if side is Side.CPE:
        requests = [rpc.GetRPCMethods()] if state is State.CPE_ASKED else []
        end: Session = CpeSession(INFORM, requests)
    else:
        end = AcsSession()
        end.call(rpc.GetRPCMethods())
    for _ in range(8):
        if end.state is state:
            break
        if RULES[end.state][0] is side:
            if end._due is not None:
                end.answer(obey(end._due.message))
            end.to_send()
        else:
            wanted = {
                State.START: Kind.INFORM,
                State.INFORMED: Kind.INFORM_RESPONSE,
                State.CPE_TURN: Kind.REQUEST if state is State.CPE_ASKED else Kind.EMPTY,
                State.ACS_TURN: Kind.REQUEST,
            }[end.state]
            end.receive(EXAMPLES[wanted])
    assert end.state is state
    end.events()
    return end


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", list(RULES))
def test_every_message_in_every_state_is_allowed_by_the_table_or_a_violation(
    state: State, kind: Kind
) -> None:
    turn, allowed = RULES[state]
    receiver = at(Side.ACS if turn is Side.CPE else Side.CPE, state)
    receiver.receive(EXAMPLES[kind])

    failures = [each for each in receiver.events() if isinstance(each, Failed)]
    assert bool(failures) == (kind not in allowed)
    assert all("is due" in str(each.error) for each in failures)


@pytest.mark.parametrize("kind", Kind)
def test_kinds_are_told_apart(kind: Kind) -> None:
    assert kind_of(EXAMPLES[kind]) is kind


class TestMisuse:
    def test_nothing_to_answer(self) -> None:
        with pytest.raises(LocalError, match="InformResponse answers nothing before the Inform"):
            AcsSession().answer(rpc.InformResponse())

    def test_answering_by_what_is_no_answer(self) -> None:
        acs = AcsSession()
        acs.receive(Envelope(INFORM))
        acs.answer(rpc.Reboot())

        with pytest.raises(LocalError, match="the ACS sent Reboot after the Inform"):
            acs.to_send()

    def test_calling_after_the_end(self) -> None:
        pair = Pair(CpeSession(INFORM), AcsSession())
        pair.run()

        with pytest.raises(LocalError, match="no Reboot can be sent after its end"):
            pair.acs.call(rpc.Reboot())

    def test_nothing_is_sent_before_the_answer_is_known(self) -> None:
        acs = AcsSession()
        acs.receive(Envelope(INFORM))

        assert acs.to_send() == ()

    def test_what_comes_after_the_end_is_ignored(self) -> None:
        pair = Pair(CpeSession(INFORM), AcsSession())
        pair.run()
        pair.acs.receive(Envelope(INFORM))

        assert pair.acs.events() == []
        assert pair.acs.state is State.ENDED


@given(
    st.lists(st.sampled_from([rpc.METHODS[name]() for name in rpc.CPE_METHODS]), max_size=6),
    st.lists(st.sampled_from([rpc.TransferComplete(), rpc.GetRPCMethods()]), max_size=3),
    st.lists(st.sampled_from([None, 9001, 9800]), max_size=12),
)
def test_any_session_of_well_behaved_ends_comes_to_its_end(
    calls: list[rpc.Rpc], requests: list[rpc.Rpc], faults: list[int | None]
) -> None:
    acs = AcsSession()
    for call in calls:
        acs.call(call)
    left = iter(faults)

    def answers(request: rpc.Rpc) -> rpc.Rpc:
        code = None if isinstance(request, rpc.Inform) else next(left, None)
        return rpc.fault(code) if code else obey(request)

    pair = Pair(CpeSession(INFORM, requests), acs, answers)
    ladder = pair.run()

    assert len(ladder) == 4 + 2 * len(calls) + 2 * len(requests)
    assert sum(isinstance(each, Answered) for each in pair.seen[acs]) == len(calls)
    assert pair.cpe.state is pair.acs.state is State.ENDED


@given(st.lists(st.sampled_from([*EXAMPLES.values()]), max_size=8), st.sampled_from(Side))
def test_any_messages_leave_a_session_that_can_go_on_or_has_said_why_not(
    messages: list[Envelope | None], side: Side
) -> None:
    end: Session = CpeSession(INFORM) if side is Side.CPE else AcsSession()
    told: list[SessionEvent] = []
    for message in messages:
        if end._due is not None and end._answer is None:
            end.answer(obey(end._due.message))
        end.to_send()
        end.receive(message)
        told += end.events()

    assert any(isinstance(each, Failed) for each in told) == (end.state is State.FAILED)
