"""Whom an HMS tells what, and whom it refuses."""

from __future__ import annotations

import asyncio

import pytest

from testbed.datamodel.definitions import DEVICE, GATEWAY
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import envelope_in
from testbed.protocols.http import Response
from testbed.roles.hms_policy import Area
from testbed.roles.hnb import Place
from tests.roles.cwmp_scene import GIVEN, SERIAL, Peer, Scene, inform
from tests.virtual_time import virtual_time

GPS = "Device.Services.FAPService.1.GPS."
MUNICH = {f"{GPS}LockedLatitude": "48137000", f"{GPS}LockedLongitude": "11575000"}


def message(response: Response) -> rpc.Rpc | None:
    envelope = envelope_in(response)
    return None if envelope is None else envelope.message


def cookie(response: Response) -> tuple[str, str]:
    value = response.header("Set-Cookie")
    assert value is not None
    return "Cookie", value.partition(";")[0]


@pytest.mark.parametrize("issue", [1, 2])
@pytest.mark.parametrize("root", [DEVICE, GATEWAY])
@virtual_time
async def test_the_serving_set_is_set_in_any_layout_of_the_tree(root: str, issue: int) -> None:
    scene = Scene(root=root, tr196_issue=issue)
    await scene.discovered()

    assert scene.hnb.serving_segw == "segw.example"
    assert scene.hnb.hms_url == GIVEN.hms_url
    assert scene.hnb.hnb_gw == "hnbgw.example"
    assert scene.hnb.cpe.setting("ParameterKey") == "hms south"


@pytest.mark.parametrize(
    ("area", "fits"),
    [
        (Area(plmn="26201", lac=4711), True),
        (Area(plmn="26201", lac=4711, cell_id=815), True),
        (Area(plmn="26201", lac=1), False),
        (Area(prefixes=("192.168.1.0/24",)), True),
        (Area(prefixes=("198.51.100.0/24",)), False),
        (Area(), True),
    ],
    ids=["lac", "cell", "other-lac", "line", "other-line", "anywhere"],
)
@virtual_time
async def test_a_place_is_known_by_cells_and_by_its_line(area: Area, fits: bool) -> None:
    scene = Scene()
    scene.hms.assignments.clear()
    scene.hms.assign("here", "segw.example", GIVEN.hms_url, "hnbgw.example", area)
    await scene.start()
    await scene.boot()
    told = await scene.until("hnb", "SERVED" if fits else "FAILED")

    assert told.get("step") == (None if fits else "5")


@virtual_time
async def test_the_first_assignment_that_fits_holds() -> None:
    scene = Scene()
    scene.hms.assign("elsewhere", "segw.other.example", GIVEN.hms_url, "hnbgw.other.example")
    await scene.discovered()

    assert scene.hnb.serving_segw == "segw.example"


@virtual_time
async def test_an_assignment_may_be_for_one_hnb_only() -> None:
    scene = Scene()
    scene.hms.assignments.clear()
    scene.hms.assign("another", "segw.other.example", GIVEN.hms_url, serial_number="X")
    scene.hms.assign("this", "segw.example", GIVEN.hms_url, "h.example", serial_number=SERIAL)
    await scene.discovered()

    assert scene.hnb.serving_segw == "segw.example"


@virtual_time
async def test_nobody_serves_the_place() -> None:
    scene = Scene(place=Place(0.0, -30.0))
    await scene.start()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert failed["step"] == "5"
    assert "8001 nobody serves the reported location" in failed["cause"]
    assert scene.told("hms", "REFUSED") == [
        {"serial_number": SERIAL, "cause": "nobody serves its location"}
    ]
    assert scene.hnb.serving_segw == ""


@virtual_time
async def test_who_holds_the_set_already_is_not_told_again() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    key = {"Device.ManagementServer.ParameterKey": "hms south", **MUNICH}
    opened = await peer.ask(inform(**key))
    closed = await peer.ask(None, cookie(opened))

    assert isinstance(message(opened), rpc.InformResponse)
    assert closed.status == 204


@virtual_time
async def test_sessions_are_told_apart_by_their_cookies_whatever_their_connection() -> None:
    scene = await Scene().start()
    peer, elsewhere = await Peer.at(scene.stranger), await Peer.at(scene.stranger)
    first = cookie(await peer.ask(inform("1", **MUNICH)))
    second = cookie(await peer.ask(inform("2", **MUNICH)))
    asked = [
        message(await each.ask(None, name)) for each, name in ((elsewhere, first), (peer, second))
    ]

    assert first != second
    assert [type(each) for each in asked] == [rpc.SetParameterValues] * 2


@pytest.mark.parametrize(
    "envelope",
    [None, Envelope(rpc.GetRPCMethods(), "1"), Envelope(rpc.SetParameterValuesResponse(), "1")],
    ids=["empty", "request", "response"],
)
@virtual_time
async def test_only_an_inform_opens_a_session(envelope: Envelope | None) -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    response = await peer.ask(envelope, ("Cookie", "session=nobody"))

    assert response.status == 400
    assert "no session is open" in scene.told("hms", "REFUSED")[0]["cause"]


@virtual_time
async def test_a_rule_broken_ends_the_session() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    opened = cookie(await peer.ask(inform(**MUNICH)))
    wrong = await peer.ask(Envelope(rpc.SetParameterValuesResponse(), "9"), opened)
    other = await Peer.at(scene.stranger)
    later = await other.ask(None, opened)

    assert wrong.status == 400
    assert "is due" in scene.told("hms", "REFUSED")[0]["cause"]
    assert later.status == 400


@virtual_time
async def test_what_the_cpe_asks_is_answered_first() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    opened = cookie(await peer.ask(inform(**MUNICH)))
    methods = message(await peer.ask(Envelope(rpc.GetRPCMethods(), "2"), opened))
    unknown = message(await peer.ask(Envelope(rpc.Reboot(), "3"), opened))
    then = message(await peer.ask(None, opened))

    assert methods == rpc.GetRPCMethodsResponse(rpc.ACS_METHODS)
    assert isinstance(unknown, rpc.Fault)
    assert unknown.code == 8000
    assert isinstance(then, rpc.SetParameterValues)


@virtual_time
async def test_a_call_waits_for_the_next_session_if_this_one_breaks() -> None:
    scene = Scene()
    await scene.start()
    scene.other.set_policy(dies_at="GetParameterValuesResponse")
    answer = scene.other.call(SERIAL, rpc.GetParameterValues((scene.hnb.paths.segw,)))
    await scene.boot()
    response = await asyncio.wait_for(answer, 1000)

    assert isinstance(response, rpc.GetParameterValuesResponse)
    assert response.parameters[0].value == "segw.example"


@virtual_time
async def test_silent_sessions_are_forgotten() -> None:
    scene = await Scene().start()
    peer = await Peer.at(scene.stranger)
    opened = cookie(await peer.ask(inform("1", **MUNICH)))
    await asyncio.sleep(61)
    other = await Peer.at(scene.stranger)
    await other.ask(inform("2", **MUNICH))
    late = await other.ask(None, opened)

    assert late.status == 400
    assert scene.told("hms", "SESSION_LOST")[0]["cause"] == "its CPE has fallen silent"


@virtual_time
async def test_connection_request_needs_an_address() -> None:
    scene = await Scene().start()
    with pytest.raises(Exception, match="has told no ConnectionRequestURL"):
        await scene.hms.request_connection("nobody", "a", "b")
