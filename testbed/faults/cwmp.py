"""Faults of CWMP messages: what an Inform, an answer or a call lacks or says wrongly."""

from __future__ import annotations

import dataclasses
import re

from testbed.faults.fault import fault
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.wire import Endpoint

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
