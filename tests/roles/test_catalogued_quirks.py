"""Quirks of the field that take a whole session, or a connection request, to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.faults import load_faults, put_on
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.http import Request, Response
from testbed.protocols.http_auth import digest_challenge, verify_digest
from testbed.protocols.wire import Endpoint
from testbed.roles.connection_request import request_connection
from testbed.roles.http_server import HttpServer
from tests.roles.cwmp_scene import SERIAL, SERVER, STRANGER, Peer, Scene, inform
from tests.roles.test_session_quirks import having, writes
from tests.virtual_time import virtual_time

PERIODIC = f"{SERVER}PeriodicInformEnable"


@virtual_time
async def test_who_goes_on_after_the_end_is_told_that_no_session_is_open() -> None:
    scene = await Scene().start()
    scene.hms.assignments.clear()
    peer = await Peer.at(scene.stranger)
    welcome = await peer.ask(inform())
    cookie = ("Cookie", (welcome.header("Set-Cookie") or "").partition(";")[0])
    last = await peer.ask(None, cookie)
    more = await peer.ask(Envelope(rpc.GetRPCMethods(), "3"), cookie)

    assert (last.status, more.status) == (204, 400)
    assert "no session is open" in scene.told("hms", "REFUSED")[0]["cause"]


@virtual_time
async def test_every_call_that_waits_is_delivered_in_one_session() -> None:
    scene = Scene()
    names = ("DeviceInfo.SerialNumber", "DeviceInfo.SoftwareVersion", "DeviceSummary")
    calls = [
        scene.other.call(SERIAL, rpc.GetParameterValues((f"Device.{name}",))) for name in names
    ]
    await scene.discovered()
    answers = [await each for each in calls]

    assert [answer.parameters[0].name for answer in answers] == [f"Device.{n}" for n in names]
    assert len(scene.told("hnb", "SERVED")) == 1


@pytest.mark.parametrize("written", ["true", "1"])
@virtual_time
async def test_a_boolean_is_taken_in_words_and_in_digits_and_given_in_digits(written: str) -> None:
    scene = Scene()
    value = rpc.ParameterValue(PERIODIC, written, "boolean")
    await_set = scene.other.call(SERIAL, rpc.SetParameterValues((value,), "b"))
    await_get = scene.other.call(SERIAL, rpc.GetParameterValues((PERIODIC,)))
    await scene.discovered()
    await await_set
    answer = await await_get

    assert answer.parameters == (rpc.ParameterValue(PERIODIC, "1", "boolean"),)


@virtual_time
async def test_a_boolean_in_other_words_is_refused_by_fault_9007() -> None:
    scene = Scene()
    value = rpc.ParameterValue(PERIODIC, "Enabled", "boolean")
    call = scene.other.call(SERIAL, rpc.SetParameterValues((value,), "b"))
    await scene.discovered()
    answer = await call

    assert answer.parameters == (
        rpc.ParameterFault(PERIODIC, 9007, "'Enabled' is no boolean; 0, 1, true and false are"),
    )


@virtual_time
async def test_a_transfer_that_the_acs_does_not_acknowledge_is_told_again() -> None:
    scene = Scene()
    heard: list[rpc.Rpc] = []
    unanswered = iter([True])

    def note(envelope: Envelope | None) -> Envelope | None:
        if envelope is not None and isinstance(envelope.message, rpc.TransferComplete):
            heard.append(envelope.message)
        return envelope

    def swallow(envelope: Envelope | None) -> Envelope | None:
        is_due = envelope is not None and isinstance(envelope.message, rpc.TransferCompleteResponse)
        return None if is_due and next(unanswered, False) else envelope

    writes(scene.hnb, note)
    writes(scene.other, swallow)
    scene.other.call(SERIAL, rpc.Download("key", "1 Firmware Upgrade Image", "http://", "", ""))
    await scene.discovered()
    await scene.until("other", "TRANSFERRED", 2)
    await scene.until("hnb", "SERVED", 2)

    assert len(heard) == 2
    assert heard[0] == heard[1]
    assert scene.hnb.cpe.transfers.completed() == ()


@virtual_time
async def test_an_hnb_that_is_not_ready_at_first_is_set_in_its_next_session() -> None:
    scene = Scene()
    put_on(load_faults()["cwmp.not-ready-at-first"], scene.hnb)
    await scene.discovered()

    assert [each["fault"] for each in scene.told("hms", "NOT_SET")] == [9003]
    assert [each["step"] for each in scene.told("hnb", "FAILED")] == ["7"]
    assert scene.hnb.serving_segw == "segw.example"


@pytest.mark.parametrize("version", ["cwmp-1-2", "cwmp-1-4", "cwmp-1-9"])
@virtual_time
async def test_an_acs_of_the_first_version_serves_an_hnb_of_a_later_one(version: str) -> None:
    scene = Scene()
    scene.hnb.set_policy(version=version)
    for hms in (scene.hms, scene.other):
        writes(hms, lambda envelope: envelope and replace(envelope, version="cwmp-1-0"))
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []


# Connection requests.


class AskingCpe:
    """A CPE of the field that asks who wants a session."""

    def __init__(self, closes: bool, **challenge: str | None) -> None:
        self.closes = closes
        self.challenge = digest_challenge("cpe", "n1", **challenge)  # type: ignore[arg-type]
        self.sources: list[Endpoint] = []

    async def answer(self, request: Request, source: Endpoint) -> Response:
        self.sources.append(source)
        value = request.header("Authorization")
        if value is None:
            asking = Response((("WWW-Authenticate", self.challenge),), status=401)
            return having(asking, "Connection", "close") if self.closes else asking
        verify_digest(value, "GET", request.target, "cpe", {"me": "secret"}.get)
        return Response(status=200)


@pytest.mark.parametrize("closes", [True, False], ids=["closes-after-401", "keeps-the-connection"])
@pytest.mark.parametrize(
    "challenge",
    [{"qop": None}, {"qop": "auth,auth-int"}, {"opaque": "o"}, {"algorithm": "MD5"}, {}],
    ids=["no-qop", "two-qop", "opaque", "algorithm", "plain"],
)
@virtual_time
async def test_a_connection_request_is_proved_as_the_cpe_asks_for_it(
    challenge: dict[str, str | None], closes: bool
) -> None:
    scene = Scene()
    cpe = AskingCpe(closes, **challenge)
    server = HttpServer(scene.stranger, cpe.answer)
    await scene.stranger.listen(Endpoint(STRANGER, 7547), server.serve)
    asking = scene.network.hosts["hms"]
    status = await request_connection(asking, f"http://{STRANGER}:7547/x", "me", "secret")
    first, second = cpe.sources

    assert status == 200
    assert (first.port == second.port) is not closes


@virtual_time
async def test_a_cpe_without_a_user_name_takes_nobodys_connection_request() -> None:
    scene = Scene()
    await scene.discovered()
    scene.hnb.assign(f"{SERVER}ConnectionRequestUsername", "")
    scene.hnb.assign(f"{SERVER}ConnectionRequestPassword", "")
    status = await scene.other.request_connection(SERIAL, "", "")

    assert status == 401


@virtual_time
async def test_a_connection_request_during_a_session_makes_another_one() -> None:
    scene = Scene()
    await scene.discovered()
    username, password = scene.hnb._credentials()
    asked: list[int] = []

    async def ask_from_within(envelope: Envelope | None) -> None:
        asked.append(await scene.other.request_connection(SERIAL, username, password))

    def on_inform(envelope: Envelope | None) -> Envelope | None:
        if not asked and envelope is not None and isinstance(envelope.message, rpc.InformResponse):
            asked.append(0)
            scene.network.hosts["other"].spawn(ask_from_within(envelope), "asks")
        return envelope

    writes(scene.other, on_inform)
    first = await scene.other.request_connection(SERIAL, username, password)
    await scene.until("hnb", "SERVED", 3)

    assert first == 200
    assert asked == [0, 200]
