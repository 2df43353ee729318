"""Faults of CWMP messages: what an Inform, an answer or a call lacks or says wrongly."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from testbed.faults.fault import fault
from testbed.host import Pause
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.wire import Endpoint
from testbed.roles.hnb import Hnb

LATE_S = 1.0
BOTH_FLOWS = ("discovery_public/", "discovery_intranet/")
PLACE = re.compile(r"\.GPS\.|\.REM\.")


def _with(envelope: Envelope, message: rpc.Rpc) -> list[Envelope | None]:
    return [dataclasses.replace(envelope, message=message)]


@fault(
    "cwmp.inform-without-place",
    role="hnb",
    breaks=("32583-5.1.1-4", "32583-5.1.2-4"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def inform_without_place(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The Inform has neither GPS position nor neighbour cells."""
    if envelope is None or not isinstance(envelope.message, rpc.Inform):
        return [envelope]
    told = tuple(each for each in envelope.message.parameters if not PLACE.search(each.name))
    return _with(envelope, dataclasses.replace(envelope.message, parameters=told))


@fault(
    "cwmp.inform-without-serial",
    role="hnb",
    breaks=("32583-5.1.1-4", "32583-5.1.2-4"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def inform_without_serial(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The Inform's DeviceId has an empty SerialNumber."""
    if envelope is None or not isinstance(envelope.message, rpc.Inform):
        return [envelope]
    who = dataclasses.replace(envelope.message.device_id, serial_number="")
    return _with(envelope, dataclasses.replace(envelope.message, device_id=who))


@fault(
    "cwmp.set-answered-with-another-id",
    role="hnb",
    breaks=("32583-5.1.1-7", "32583-5.1.2-7"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def set_answered_with_another_id(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The SetParameterValuesResponse has a cwmp:ID of the HNB's own."""
    if envelope is None or not isinstance(envelope.message, rpc.SetParameterValuesResponse):
        return [envelope]
    return [dataclasses.replace(envelope, id="0815")]


@fault(
    "cwmp.reads-back-another-segw",
    role="hnb",
    breaks=("32583-5.1.1-6", "32583-5.1.2-6"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def reads_back_another_segw(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The HNB holds another serving SeGW than it was set."""
    if envelope is None or not isinstance(envelope.message, rpc.GetParameterValuesResponse):
        return [envelope]
    values = tuple(
        dataclasses.replace(each, value="segw.elsewhere.example")
        if each.name.endswith(".SecGWServer1")
        else each
        for each in envelope.message.parameters
    )
    return _with(envelope, dataclasses.replace(envelope.message, parameters=values))


@fault(
    "cwmp.inform-answered-with-another-id",
    role="hms",
    breaks=("32583-5.1.1-5", "32583-5.1.2-5"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def inform_answered_with_another_id(
    envelope: Envelope | None, _to: Endpoint
) -> list[Envelope | None]:
    """The InformResponse has a cwmp:ID of the ACS's own."""
    if envelope is None or not isinstance(envelope.message, rpc.InformResponse):
        return [envelope]
    return [dataclasses.replace(envelope, id="0815")]


@fault(
    "cwmp.inform-answered-by-nothing",
    role="hms",
    breaks=("32583-5.1.1-5", "32583-5.1.2-5"),
    acts_on="message cwmp",
    seen_in="an ACS that sent an empty body for an InformResponse; the CPE tried for ever",
    shown_in=BOTH_FLOWS,
)
def inform_answered_by_nothing(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The Inform is answered by 204."""
    is_due = envelope is not None and isinstance(envelope.message, rpc.InformResponse)
    return [None if is_due else envelope]


@fault(
    "cwmp.late-response",
    role="hms",
    breaks=(),
    acts_on="message cwmp",
    seen_in="an overloaded ACS; CPEs with little patience gave their sessions up and began anew",
)
def late_response(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | Pause | None]:
    """The HMS takes a second to think before each InformResponse."""
    is_due = envelope is not None and isinstance(envelope.message, rpc.InformResponse)
    return [Pause(LATE_S), envelope] if is_due else [envelope]


@fault(
    "cwmp.not-ready-at-first",
    role="hnb",
    breaks=("32583-5.1.2-6-hnbgw",),
    seen_in="femtocells that refuse to be configured until their radio scan is over, by fault 9003",
)
def not_ready_at_first(hnb: Hnb) -> None:
    """The HNB refuses the first setting by fault 9003, and tries again a little later."""
    set_values, refused = hnb.tree.set, list[str]()

    def refuse_once(values: Any, key: str = "") -> tuple[str, ...]:
        if not refused:
            refused.append(key)
            values = [dataclasses.replace(each, type="boolean") for each in values]
        return set_values(values, key)

    hnb.tree.set = refuse_once  # type: ignore[method-assign]  # that is the fault
    hnb.set_policy(retry_minimum_s=0.2, retry_multiplier=1000)


@fault("cwmp.answers-out-of-order", role="hnb", breaks=("32583-5.1.2-7",))
def answers_out_of_order(hnb: Hnb) -> None:
    """The HNB answers the reading back of its serving set before it has answered the setting."""
    held: list[Envelope] = []

    def swap(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
        if envelope is None:
            return [envelope]
        if isinstance(envelope.message, rpc.SetParameterValuesResponse):
            held.append(envelope)
            paths = (hnb.paths.segw, hnb.paths.hms_url)
            values = tuple(rpc.ParameterValue(each, hnb.tree.value(each)) for each in paths)
            return _with(envelope, rpc.GetParameterValuesResponse(values))
        if held and isinstance(envelope.message, rpc.GetParameterValuesResponse):
            return [dataclasses.replace(envelope, message=held.pop().message)]
        return [envelope]

    hnb.mend_of("cwmp").message.append(swap)


@fault(
    "cwmp.set-instead-of-inform-response",
    role="hms",
    breaks=(
        "32583-5.1.1-5",
        "32583-5.1.1-6",
        "32583-5.1.1-F1",
        "32583-5.1.2-5",
        "32583-5.1.2-6",
        "32583-5.1.2-F1",
    ),
    acts_on="message cwmp",
    seen_in="an ACS that answered an Inform by the call that it had waiting; the CPE dropped it",
    shown_in=BOTH_FLOWS,
)
def set_instead_of_inform_response(
    envelope: Envelope | None, _to: Endpoint
) -> list[Envelope | None]:
    """The Inform is answered by SetParameterValues at once."""
    if envelope is None or not isinstance(envelope.message, rpc.InformResponse):
        return [envelope]
    gateway = "Device.Services.FAPService.1.FAPControl.UMTS.Gateway."
    values = (
        rpc.ParameterValue(f"{gateway}SecGWServer1", "segw.south.operator.example"),
        rpc.ParameterValue("Device.ManagementServer.URL", "https://hms.south.operator.example/acs"),
    )
    return [dataclasses.replace(envelope, message=rpc.SetParameterValues(values), id="1")]


def _set_without(envelope: Envelope | None, end: str) -> list[Envelope | None]:
    if envelope is None or not isinstance(envelope.message, rpc.SetParameterValues):
        return [envelope]
    kept = tuple(each for each in envelope.message.parameters if not each.name.endswith(end))
    return _with(envelope, dataclasses.replace(envelope.message, parameters=kept))


@fault(
    "cwmp.set-without-segw",
    role="hms",
    breaks=("32583-5.1.1-6", "32583-5.1.2-6"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def set_without_segw(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The serving set lacks the serving SeGW."""
    return _set_without(envelope, ".SecGWServer1")


@fault(
    "cwmp.set-without-hms",
    role="hms",
    breaks=("32583-5.1.1-6", "32583-5.1.2-6"),
    acts_on="message cwmp",
    shown_in=BOTH_FLOWS,
)
def set_without_hms(envelope: Envelope | None, _to: Endpoint) -> list[Envelope | None]:
    """The serving set lacks the serving HMS."""
    return _set_without(envelope, ".ManagementServer.URL")
