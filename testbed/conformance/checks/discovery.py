"""Steps 4 to 7 of discovery, of either flow: what HNB and HMS say to each other.

TS 32.583, 5.1, 5.1.1 and 5.1.2.  All of it is seen on the wire, or told in clear by an end of TLS.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.conformance.check import check
from testbed.conformance.early import public_discoveries, tunnelled_discoveries
from testbed.conformance.places import Place, place_in
from testbed.conformance.reading import events_of, staged
from testbed.conformance.sessions import (
    Discovery,
    ServingSet,
    Session,
    all_discoveries,
    envelope_of,
    registration,
    serving_set,
)
from testbed.conformance.verdict import Finding, fault, ok
from testbed.protocols import http
from testbed.protocols.cwmp import rpc
from testbed.trace.record import Record
from testbed.trace.trace import Trace

INVALID_ARGUMENTS = 9003


@check("32583-5.1-P2", supposes=("whole",))
def each_place_gets_its_own_set(trace: Trace) -> Iterator[Finding]:
    """HNBs that report different places are set different serving data, each after its Inform.

    Neighbours may share theirs.  Violation: the same set for places far from each other, or a set
    for an HNB that has not said where it is.  One HNB alone shows nothing.  AMB-3G-05: the place is
    GPS, neighbour cells, or the line's public address.
    """
    given: dict[Place, tuple[str, Record, ServingSet]] = {}
    for discovery in all_discoveries(trace):
        for session in discovery.sessions:
            for call in session.calls(rpc.SetParameterValues):
                asked = serving_set(parameters_of(call.call))
                if asked == ServingSet():
                    continue
                informed = _informed_before(session, call.call)
                if informed is None:
                    yield fault(
                        call.call, f"{discovery.hnb} is set {_told(asked)} before it has informed"
                    )
                    continue
                place = place_in(_inform(informed))
                if place is not None and session.accepted:
                    given.setdefault(place, (discovery.hnb, call.call, asked))
    if len(given) < 2:
        return
    for place, (hnb, record, asked) in given.items():
        others = [(there, *each) for there, each in given.items() if there != place]
        same = [
            other
            for there, other, _, theirs in others
            if theirs == asked and place.is_far_from(there)
        ]
        if same:
            yield fault(
                record,
                f"{hnb} is set {_told(asked)}, as is {' and '.join(same)}, "
                f"though they report different places",
            )
        elif any(theirs != asked for *_, theirs in others):
            yield ok(record, f"{hnb} is set {_told(asked)}")


@check("32583-5.1.2-4", supposes=("whole",))
def inform_tells_identity_and_place(trace: Trace) -> Iterator[Finding]:
    """Every Inform to the initial HMS tells who the HNB is and where.

    Violation: an empty part of the DeviceId, or no place.  AMB-3G-05: a place is a GPS position, a
    neighbour cell, or a public address of the line; a private address tells no place.
    """
    yield from _identity_and_place(public_discoveries(trace))


@check("32583-5.1.1-4", supposes=("whole",))
def inform_through_the_tunnel_tells_identity_and_place(trace: Trace) -> Iterator[Finding]:
    """The same of an Inform that comes through a tunnel."""
    yield from _identity_and_place(tunnelled_discoveries(trace))


def _identity_and_place(discoveries: Iterator[Discovery]) -> Iterator[Finding]:
    for discovery in discoveries:
        for session in discovery.sessions:
            record = session.inform
            if record is None:
                continue
            inform = _inform(record)
            who = inform.device_id
            parts = {
                "Manufacturer": who.manufacturer,
                "OUI": who.oui,
                "ProductClass": who.product_class,
                "SerialNumber": who.serial_number,
            }
            missing = [name for name, text in parts.items() if not text.strip()]
            place = place_in(inform)
            if missing:
                yield fault(record, f"DeviceId without {' and '.join(missing)}")
            elif place is None:
                yield fault(
                    record,
                    f"none of {len(inform.parameters)} parameters tells a place: no GPS position, "
                    f"no neighbour cell, no public address",
                )
            else:
                yield ok(record, f"{who.oui}-{who.serial_number} at {place}")


@check("32583-5.1.2-5", supposes=("whole",))
def inform_is_answered(trace: Trace) -> Iterator[Finding]:
    """The initial HMS answers an Inform by an InformResponse with the Inform's cwmp:ID.

    A fault or an HTTP error refuses (AMB-3G-04); then nothing may be set, and no registration may
    begin.  Violation: another ID, another message, or an HNB that goes on after a refusal.
    """
    yield from _inform_answers(trace, public_discoveries(trace))


@check("32583-5.1.1-5", supposes=("whole",))
def inform_through_the_tunnel_is_answered(trace: Trace) -> Iterator[Finding]:
    """The same of an Inform that comes through a tunnel; MaxEnvelopes is 1."""
    yield from _inform_answers(trace, tunnelled_discoveries(trace))


def _inform_answers(trace: Trace, discoveries: Iterator[Discovery]) -> Iterator[Finding]:
    for discovery in discoveries:
        begun = registration(trace, discovery)
        for session in discovery.sessions:
            yield from _answered(session)
        refused = [each for each in discovery.sessions if _refusal(each) is not None]
        accepted = any(each.accepted for each in discovery.sessions)
        if refused and begun is not None and not accepted:
            yield fault(begun, f"{discovery.hnb} goes on, and its Inform is refused")


def _answered(session: Session) -> Iterator[Finding]:
    inform, answer = session.inform, session.answer_to_inform()
    if inform is None or answer is None:
        return
    refusal = _refusal(session)
    if refusal is not None:
        applied = [call for call in session.calls(rpc.SetParameterValues) if call.done]
        if applied:
            yield fault(applied[0].call, f"set though the Inform was refused ({refusal})")
        else:
            yield ok(answer, f"refused: {refusal}; nothing is set")
    elif not session.accepted:
        yield fault(answer, f"an InformResponse is due, {answer.summary() or 'an empty body'} came")
    else:
        wanted, found = envelope_of(inform).id, envelope_of(answer).id
        response = answer.find(rpc.InformResponse)
        assert response is not None
        if response.max_envelopes != 1:
            # TR-069, A.3.3.1: "This value MUST be set to 1".
            yield fault(answer, f"MaxEnvelopes is {response.max_envelopes}, 1 is due")
        elif wanted == found:
            yield ok(answer, f"cwmp:ID {found}")
        else:
            yield fault(answer, f"cwmp:ID {found!r}, the Inform had {wanted!r}")


def _refusal(session: Session) -> str | None:
    """How the Inform was refused; None: it was not."""
    answer = session.answer_to_inform()
    if answer is None:
        return None
    message, soap = answer.message, answer.find(rpc.Fault)
    if soap is not None:
        return soap.summary()
    if isinstance(message, http.Response) and message.status >= 400:
        return f"HTTP {message.status}"
    return None


@check("32583-5.1.2-6", supposes=("whole",))
def serving_set_is_written(trace: Trace) -> Iterator[Finding]:
    """The initial HMS sets serving SeGW and serving HMS, after its InformResponse.

    It may do so by several calls.  What an ACS reads back afterwards is what was set.  Violation:
    one of the two missing when the session ends, a call before the InformResponse, or another value
    read back.  AMB-3G-05: SecGWServer1 and ManagementServer.URL.
    """
    yield from _sets(trace, public_discoveries(trace))


@check("32583-5.1.1-6", supposes=("whole",))
def serving_set_is_written_through_the_tunnel(trace: Trace) -> Iterator[Finding]:
    """The same of a session that goes through a tunnel."""
    yield from _sets(trace, tunnelled_discoveries(trace))


def _sets(trace: Trace, discoveries: Iterator[Discovery]) -> Iterator[Finding]:
    for discovery in discoveries:
        for session in discovery.sessions:
            yield from _written(trace, session)
        if discovery.done is not None:
            yield from _read_back(discovery)


def _written(trace: Trace, session: Session) -> Iterator[Finding]:
    calls = session.calls(rpc.SetParameterValues)
    asked = serving_set([each for call in calls for each in parameters_of(call.call)])
    answer = session.answer_to_inform()
    early = [call for call in calls if answer is None or call.call.number <= answer.number]
    if early:
        yield fault(early[0].call, "SetParameterValues comes before the InformResponse")
    elif asked.complete:
        yield ok(calls[-1].call, _told(asked))
    elif session.accepted and session.ended is not None and not staged(trace, session.acs, "omits"):
        lacking = [
            name
            for name, value in (("serving SeGW", asked.segw), ("serving HMS", asked.hms_url))
            if value is None
        ]
        yield fault(
            calls[-1].call if calls else session.ended,
            f"the session ends without {' and '.join(lacking)}",
        )


def _read_back(discovery: Discovery) -> Iterator[Finding]:
    assert discovery.done is not None
    wanted = discovery.values
    for session in [*discovery.sessions, *discovery.later]:
        if session.sets_after(discovery.done):
            return  # what is read from here on may be newer
        for turn in session.turns:
            answer = turn.find(rpc.GetParameterValuesResponse)
            if answer is None or turn.number < discovery.done.number:
                continue
            found = serving_set(list(answer.parameters))
            for name in ("segw", "hms_url", "hnb_gw"):
                read, was_set = getattr(found, name), getattr(wanted, name)
                if read is not None and was_set is not None and read != was_set:
                    yield fault(turn, f"{read} is read back, {was_set} was set")


@check(
    "32583-5.1.2-6-hnbgw",
    needs=("", "hnbgw_by_serving"),
    needs_in={"discovery_hnbgw_by_serving": ("public", "public_by_initial")},
    supposes=("whole",),
)
def hnb_takes_the_set_with_and_without_hnb_gw(trace: Trace) -> Iterator[Finding]:
    """The HNB takes a serving set that names an HNB-GW, and one that does not.

    Violation: it answers either by a fault; a fault that names other parameters only is none.
    """
    yield from _with_and_without(public_discoveries(trace))


@check(
    "32583-5.1.1-6-hnbgw",
    needs=("", "hnbgw_by_serving"),
    needs_in={"discovery_hnbgw_by_serving": ("", "by_initial")},
    supposes=("whole",),
)
def hnb_takes_either_set_through_the_tunnel(trace: Trace) -> Iterator[Finding]:
    """The same of a session that goes through a tunnel."""
    yield from _with_and_without(tunnelled_discoveries(trace))


def _with_and_without(discoveries: Iterator[Discovery]) -> Iterator[Finding]:
    for discovery in discoveries:
        for session in discovery.sessions:
            for call in session.calls(rpc.SetParameterValues):
                asked = serving_set(parameters_of(call.call))
                if not asked.complete or call.answer is None:
                    continue
                named = f"with the HNB-GW {asked.hnb_gw}" if asked.hnb_gw else "without HNB-GW"
                refused = call.answer.find(rpc.Fault)
                if refused is None:
                    yield ok(call.answer, f"set {named}")
                elif serving_set_is_blamed(refused):
                    yield fault(call.answer, f"{refused.summary()} to a set {named}")


def serving_set_is_blamed(refused: rpc.Fault) -> bool:
    """Whether a fault is about the serving set: it names part of it, or no parameter at all."""
    names = [rpc.ParameterValue(each.name, "x") for each in refused.parameters]
    return not names or serving_set(names) != ServingSet()


@check("32583-5.1.2-7", supposes=("whole",))
def set_is_acknowledged_and_then_released(trace: Trace) -> Iterator[Finding]:
    """SetParameterValuesResponse carries the call's cwmp:ID, and the session ends before step 9.

    AMB-3G-03: in the public case there is no shortcut for a shared HMS.  Violation: another ID,
    another message in its place, or a registration that begins while the initial session has not
    ended.  Whether a refusal is right, others judge.
    """
    for discovery in public_discoveries(trace):
        yield from _acknowledged(discovery)
        begun = registration(trace, discovery)
        if discovery.session is None or begun is None:
            continue
        ended = discovery.session.ended
        if ended is None or ended.number > begun.number:
            yield fault(begun, "registration begins, and the session with HMS (initial) is open")


@check("32583-5.1.1-7", supposes=("whole",))
def set_through_the_tunnel_is_acknowledged(trace: Trace) -> Iterator[Finding]:
    """SetParameterValuesResponse carries the call's cwmp:ID and status 0 or 1.

    A set that is refused by a fault is in force in no part.  Violation: another ID or status, a
    part of a refused set that is read back, a fault that blames parameters by another code than
    9003, or a set that the scenario has made wrong and that is acknowledged.
    """
    for discovery in tunnelled_discoveries(trace):
        yield from _acknowledged(discovery)
        for session in discovery.sessions:
            yield from _in_force_in_part(session)
            yield from _rightly_refused(trace, session)


def _acknowledged(discovery: Discovery) -> Iterator[Finding]:
    for session in discovery.sessions:
        for call in session.calls(rpc.SetParameterValues):
            if call.answer is None or call.answer.find(rpc.Fault) is not None:
                continue
            response = call.answer.find(rpc.SetParameterValuesResponse)
            if response is None:
                came = call.answer.summary() or "an empty body"
                yield fault(call.answer, f"a SetParameterValuesResponse is due, {came} came")
                continue
            wanted, found = envelope_of(call.call).id, envelope_of(call.answer).id
            if response.status not in (0, 1):
                yield fault(call.answer, f"status {response.status}, 0 or 1 is due")
            elif wanted == found:
                yield ok(call.answer, f"cwmp:ID {found}")
            else:
                yield fault(call.answer, f"cwmp:ID {found!r}, the call had {wanted!r}")


def _rightly_refused(trace: Trace, session: Session) -> Iterator[Finding]:
    """Whether wrong parameters are refused, by the code that is theirs (TR-069, A.5.1)."""
    for call in session.calls(rpc.SetParameterValues):
        if call.answer is None:
            continue
        refused = call.answer.find(rpc.Fault)
        if refused is None and _is_made_wrong(trace, session.acs, call.call):
            yield fault(call.answer, "acknowledged, with a parameter that cannot be set")
        elif refused is not None and refused.parameters and refused.code != INVALID_ARGUMENTS:
            yield fault(call.answer, f"{refused.summary()}, {INVALID_ARGUMENTS} is due")


def _is_made_wrong(trace: Trace, acs: str | None, call: Record) -> bool:
    """Whether the scenario has the ACS add what cannot be set, at that moment."""
    told = [
        each.message.fields["adds"]
        for each in events_of(trace, acs or "", "STAGED")
        if "adds" in each.message.fields and each.number < call.number
    ]
    return bool(told) and told[-1] != "()"


def _in_force_in_part(session: Session) -> Iterator[Finding]:
    """Whether a refused set can be read back, in part or whole."""
    calls = session.calls(rpc.SetParameterValues)
    refused = [each for each in calls if each.answer is not None and not each.done]
    if not refused or any(each.done for each in calls):
        return
    wanted = {each.name: each.value for each in parameters_of(refused[-1].call)}
    for turn in session.turns:
        answer = turn.find(rpc.GetParameterValuesResponse)
        if answer is None or turn.number < refused[-1].call.number:
            continue
        applied = [each for each in answer.parameters if wanted.get(each.name) == each.value]
        if applied:
            yield fault(turn, f"{applied[0].name} is {applied[0].value}, as in the refused set")
        else:
            yield ok(turn, "nothing of the refused set is in force")


def parameters_of(call: Record) -> list[rpc.ParameterValue]:
    """What a SetParameterValues sets."""
    message = call.find(rpc.SetParameterValues)
    return [] if message is None else list(message.parameters)


def _inform(record: Record) -> rpc.Inform:
    inform = record.find(rpc.Inform)
    assert inform is not None
    return inform


def _informed_before(session: Session, call: Record) -> Record | None:
    informs = (each for each in session.turns if each.find(rpc.Inform) is not None)
    return next((each for each in informs if each.number < call.number), None)


def _told(asked: ServingSet) -> str:
    gateway = f", HNB-GW {asked.hnb_gw}" if asked.hnb_gw else ""
    return f"SeGW {asked.segw}, HMS {asked.hms_url}{gateway}"
