"""A managed device's answers: whole sessions of discovery, octet for octet, without a network."""

from __future__ import annotations

import pytest

from testbed.datamodel.definitions import DEVICE, GATEWAY, hnb_model
from testbed.datamodel.femto import FemtoPaths, ReportedLocation, reported_location
from testbed.datamodel.tree import Tree
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope, decode
from testbed.protocols.cwmp.session import (
    Accepted,
    AcsSession,
    Answered,
    Asked,
    CpeSession,
    Informed,
)
from testbed.roles.managed import device_id, inform, serve

SERVER = "Device.ManagementServer."
MEMBERS = "Device.Services.FAPService.1.AccessMgmt.MemberDetail."


def hnb(root: str = DEVICE, issue: int = 1) -> Tree:
    factory = {
        f"{root}DeviceInfo.Manufacturer": "Hill",
        f"{root}DeviceInfo.ManufacturerOUI": "00D0C9",
        f"{root}DeviceInfo.ProductClass": "HNB",
        f"{root}DeviceInfo.SerialNumber": "1",
        f"{root}ManagementServer.URL": "https://initial.example/",
    }
    return Tree(hnb_model(root, issue), factory)


def ask(tree: Tree, call: rpc.Rpc) -> rpc.Rpc:
    """The answer after both have been on the wire."""
    answer = serve(tree, decode(Envelope(call, "1").encode()))
    return decode(Envelope(answer, "1").encode()).message


def talk(tree: Tree, opening: rpc.Inform, acs: AcsSession) -> list[rpc.Rpc]:
    """One session, the ACS accepting every Inform; what the device answered to its calls."""
    cpe, answers = CpeSession(opening), []
    while not (cpe.over and acs.over):
        for envelope in cpe.to_send():
            acs.receive(decode(envelope.encode()) if envelope else None)
        for event in acs.events():
            if isinstance(event, Informed):
                acs.answer(rpc.InformResponse())
            if isinstance(event, Answered):
                answers.append(event.response)
        for envelope in acs.to_send():
            cpe.receive(decode(envelope.encode()) if envelope else None)
        for happening in cpe.events():
            if isinstance(happening, Asked):
                cpe.answer(serve(tree, happening.envelope))
            elif isinstance(happening, Accepted):
                tree.told(tree.changes())
    return answers


@pytest.mark.parametrize("issue", [1, 2])
@pytest.mark.parametrize("root", [DEVICE, GATEWAY])
def test_discovery(root: str, issue: int) -> None:
    tree, paths = hnb(root, issue), FemtoPaths(root, issue)
    tree.assign(paths.gps_status, "Success")
    tree.assign(paths.latitude, "48000000")
    tree.assign(paths.longitude, "11000000")
    opening = inform(tree, [rpc.Event("0 BOOTSTRAP")], extra=paths.location_names(tree))
    told = {each.name: each.value for each in opening.parameters}
    seen = FemtoPaths.of_names(told)
    acs = AcsSession()
    chosen = seen.serving_set("segw.example", "https://serving.example/", "10.10.0.9")
    values = tuple(rpc.ParameterValue(each.path, each.text, each.type) for each in chosen)
    acs.call(rpc.SetParameterValues(values, "d1"))

    assert reported_location(told) == ReportedLocation(48.0, 11.0)
    assert talk(tree, opening, acs) == [rpc.SetParameterValuesResponse()]
    assert tree.value(paths.segw) == "segw.example"
    assert tree.value(paths.hms_url) == "https://serving.example/"
    assert tree.value(paths.hnb_gw) == "10.10.0.9"
    assert tree.changes() == ()


def test_inform_says_who_when_and_how_often() -> None:
    opening = inform(hnb(), [rpc.Event("1 BOOT")], "2026-11-21T02:00:00Z", retry_count=3)

    assert opening.device_id == device_id(hnb()) == rpc.DeviceId("Hill", "00D0C9", "HNB", "1")
    assert (opening.current_time, opening.retry_count) == ("2026-11-21T02:00:00Z", 3)
    assert opening.value("Device.DeviceSummary") == ""


class TestAnswers:
    def test_values_are_set_and_read_back(self) -> None:
        tree = hnb()
        value = rpc.ParameterValue(f"{SERVER}STUNEnable", "1", "boolean")

        assert ask(tree, rpc.SetParameterValues((value,), "k")) == rpc.SetParameterValuesResponse(0)
        assert ask(tree, rpc.GetParameterValues((f"{SERVER}STUNEnable",))) == (
            rpc.GetParameterValuesResponse((value,))
        )

    def test_every_refused_parameter_has_its_fault(self) -> None:
        values = (
            rpc.ParameterValue("Device.Nothing", "1"),
            rpc.ParameterValue(f"{SERVER}STUNServerPort", "70000", "unsignedInt"),
        )

        assert ask(hnb(), rpc.SetParameterValues(values)) == rpc.fault(
            9003,
            "Device.Nothing: there is no such parameter",
            (
                rpc.ParameterFault("Device.Nothing", 9005, "there is no such parameter"),
                rpc.ParameterFault(f"{SERVER}STUNServerPort", 9007, "70000 is outside 0 to 65535"),
            ),
        )

    def test_names(self) -> None:
        assert ask(hnb(), rpc.GetParameterNames("", True)) == rpc.GetParameterNamesResponse(
            (rpc.ParameterInfo("Device.", False),)
        )

    def test_attributes(self) -> None:
        tree, path = hnb(), f"{SERVER}UDPConnectionRequestAddress"
        change = rpc.AttributeChange(path, True, 2, True, ("Subscriber",))
        assert ask(tree, rpc.SetParameterAttributes((change,))) == (
            rpc.SetParameterAttributesResponse()
        )
        ask(tree, rpc.SetParameterAttributes((rpc.AttributeChange(path, False, 0, False, ()),)))

        assert ask(tree, rpc.GetParameterAttributes((path,))) == (
            rpc.GetParameterAttributesResponse((rpc.ParameterAttributes(path, 2, ("Subscriber",)),))
        )

    def test_objects(self) -> None:
        tree = hnb()

        assert ask(tree, rpc.AddObject(MEMBERS, "k")) == rpc.AddObjectResponse(1, 0)
        assert ask(tree, rpc.DeleteObject(f"{MEMBERS}1.")) == rpc.DeleteObjectResponse(0)
        assert isinstance(ask(tree, rpc.DeleteObject(f"{MEMBERS}1.")), rpc.Fault)

    def test_methods_are_those_that_are_answered(self) -> None:
        answer = ask(hnb(), rpc.GetRPCMethods())

        assert isinstance(answer, rpc.GetRPCMethodsResponse)
        for name in answer.methods:
            refused = ask(hnb(), rpc.METHODS[name]())
            assert not (isinstance(refused, rpc.Fault) and refused.code == 9000)

    @pytest.mark.parametrize(
        ("call", "answer"),
        [
            (rpc.Reboot("k"), rpc.RebootResponse()),
            (rpc.FactoryReset(), rpc.FactoryResetResponse()),
            (rpc.ScheduleInform(5, "k"), rpc.ScheduleInformResponse()),
            (rpc.Download("k", url="https://files.example/a"), rpc.DownloadResponse(1)),
        ],
    )
    def test_what_happens_later_is_acknowledged(self, call: rpc.Rpc, answer: rpc.Rpc) -> None:
        assert ask(hnb(), call) == answer

    @pytest.mark.parametrize(
        ("call", "code"),
        [
            (rpc.GetParameterValues(("Device.Nothing",)), 9005),
            (rpc.GetParameterNames("Device.Nothing.", True), 9005),
            (rpc.GetParameterAttributes(("Device.Nothing",)), 9005),
            (rpc.AddObject("Device.Nothing."), 9005),
            (rpc.ScheduleInform(0, "k"), 9003),
            (rpc.Download(url="tftp://files.example/a"), 9013),
            (rpc.Unknown("X_ACME_Kick"), 9000),
            (rpc.TransferComplete(), 9000),
        ],
    )
    def test_what_cannot_be_done_is_the_fault_of_tr_069(self, call: rpc.Rpc, code: int) -> None:
        answer = ask(hnb(), call)

        assert isinstance(answer, rpc.Fault)
        assert answer.code == code

    def test_a_header_that_must_be_understood_and_is_not_forbids_the_call(self) -> None:
        answer = serve(hnb(), Envelope(rpc.Reboot(), must_understand=("Secret",)))

        assert answer == rpc.Fault(soap_code="MustUnderstand", soap_text="Secret is not understood")
