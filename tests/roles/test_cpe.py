"""When a CPE has sessions with its ACS, and what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request, Response
from testbed.protocols.http_auth import basic_challenge
from testbed.protocols.wire import Endpoint
from testbed.roles.http_client import ClosedByServer, HttpConnection
from testbed.roles.http_server import HttpServer
from tests.roles.cwmp_scene import HMS_URL, OTHER_URL, PORT, SERIAL, SERVER, STRANGER, Scene
from tests.virtual_time import virtual_time

INTERVAL = f"{SERVER}PeriodicInformInterval"
ENABLE = f"{SERVER}PeriodicInformEnable"


def listen_to(scene: Scene) -> dict[str, list[rpc.Inform]]:
    """Every Inform that each HMS gets, from now on."""
    heard: dict[str, list[rpc.Inform]] = {"hms": [], "other": []}
    for name, role in (("hms", scene.hms), ("other", scene.other)):
        decide = role._decide

        def noted(device: Any, name: str = name, decide: Any = decide) -> Any:
            heard[name].append(device.inform)
            return decide(device)

        role._decide = noted  # type: ignore[method-assign]  # a spy
    return heard


def codes(inform: rpc.Inform) -> list[str]:
    return [event.code for event in inform.events]


@virtual_time
async def test_a_new_acs_is_told_bootstrap() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()

    assert [codes(each) for each in heard["hms"]] == [["0 BOOTSTRAP", "1 BOOT"]]
    assert [codes(each) for each in heard["other"]] == [["0 BOOTSTRAP"]]


@virtual_time
async def test_the_same_acs_is_told_boot_after_a_power_cut() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    scene.hnb.stop()
    scene.home.power_off()
    await scene.boot()
    await scene.until("hnb", "SERVED", 2)

    assert codes(heard["other"][-1]) == ["1 BOOT"]


@virtual_time
async def test_current_time_is_the_cpe_s_own() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()

    assert heard["hms"][0].current_time == "2023-11-14T22:13:20Z"


@virtual_time
async def test_a_failed_session_is_tried_again_with_growing_waits() -> None:
    scene = Scene()
    heard = listen_to(scene)
    scene.hms.set_policy(unavailable_times=3)
    await scene.discovered()
    waits = [each["wait_s"] for each in scene.told("hnb", "SESSION_FAILED")]

    assert [each.retry_count for each in heard["hms"]] == [3]
    assert heard["other"][0].retry_count == 0
    assert [low <= wait <= 2 * low for low, wait in zip((5, 10, 20), waits, strict=True)] == [
        *(True, True, True)
    ]


@virtual_time
async def test_retry_after_is_waited_for() -> None:
    scene = Scene()
    scene.hms.set_policy(unavailable_times=1, retry_after_s=100)
    await scene.discovered()

    assert scene.told("hnb", "SESSION_FAILED")[0]["wait_s"] == 100


@virtual_time
async def test_periodic_informs_follow_the_acs_s_setting() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.start()
    wanted = (
        rpc.ParameterValue(ENABLE, "1", "boolean"),
        rpc.ParameterValue(INTERVAL, "30", "unsignedInt"),
    )
    scene.other.call(SERIAL, rpc.SetParameterValues(wanted, "periodic"))
    await scene.boot()
    await asyncio.sleep(95)

    assert [codes(each) for each in heard["other"][1:]] == [["2 PERIODIC"]] * 3


def periodic(*, interval: str, reference: str, enable: str = "1") -> rpc.SetParameterValues:
    return rpc.SetParameterValues(
        (
            rpc.ParameterValue(ENABLE, enable, "boolean"),
            rpc.ParameterValue(INTERVAL, interval, "unsignedInt"),
            rpc.ParameterValue(f"{SERVER}PeriodicInformTime", reference, "dateTime"),
        ),
        "periodic",
    )


@virtual_time
async def test_periodic_informs_come_at_multiples_of_the_interval_from_their_reference() -> None:
    scene = Scene(moment=1_700_000_000.0)
    heard = listen_to(scene)
    await scene.start()
    scene.other.call(SERIAL, periodic(interval="30", reference="1970-01-01T00:00:07Z"))
    await scene.boot()
    await asyncio.sleep(130)
    times = [datetime.fromisoformat(each.current_time) for each in heard["other"][1:]]

    assert [round(each.timestamp()) % 30 for each in times] == [7] * 4


@virtual_time
async def test_a_new_reference_moves_the_periodic_informs() -> None:
    scene = Scene(moment=1_700_000_000.0)
    heard = listen_to(scene)
    await scene.start()
    scene.other.call(SERIAL, periodic(interval="30", reference="1970-01-01T00:00:07Z"))
    await scene.boot()
    await asyncio.sleep(40)
    scene.other.call(SERIAL, periodic(interval="30", reference="1970-01-01T00:00:11Z"))
    await asyncio.sleep(90)
    scene.other.call(SERIAL, periodic(interval="30", reference=rpc.UNKNOWN_TIME, enable="0"))
    await asyncio.sleep(300)
    times = [datetime.fromisoformat(each.current_time) for each in heard["other"][1:]]

    assert [round(each.timestamp()) % 30 for each in times] == [7, 7, 11, 11, 11, 11]


@virtual_time
async def test_a_change_under_active_notification_makes_a_session() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    scene.hnb.tree.assign(scene.hnb.paths.op_state, "1")
    scene.hnb.cpe.changed()
    await scene.until("hnb", "SERVED", 2)
    last = heard["other"][-1]

    assert codes(last) == ["4 VALUE CHANGE"]
    assert last.value(scene.hnb.paths.op_state) == "1"


@virtual_time
async def test_reboot_by_the_acs_is_told_afterwards() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.start()
    scene.other.call(SERIAL, rpc.Reboot("night"))
    rebooted: list[str] = []
    scene.hnb.reboot = lambda: rebooted.append("now")  # type: ignore[method-assign]  # a spy
    await scene.boot()
    await scene.until("hnb", "SERVED")
    await asyncio.sleep(1)
    scene.hnb.stop()
    await scene.boot()
    await scene.until("hnb", "SERVED", 2)

    assert rebooted == ["now"]
    assert [(each.code, each.command_key) for each in heard["other"][-1].events] == [
        ("M Reboot", "night"),
        ("1 BOOT", ""),
    ]


@virtual_time
async def test_a_scheduled_inform_comes_when_it_was_asked_for() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.start()
    scene.other.call(SERIAL, rpc.ScheduleInform(40, "later"))
    await scene.boot()
    await scene.until("hnb", "SERVED")
    before = scene.home.now()
    await scene.until("hnb", "SERVED", 2)

    assert scene.home.now() - before == pytest.approx(40, abs=1)
    assert codes(heard["other"][-1]) == ["3 SCHEDULED", "M ScheduleInform"]


Answering = Callable[[Request, Endpoint], Awaitable[Response]]


async def serve_files(scene: Scene, answer: Answering) -> None:
    server = HttpServer(scene.stranger, answer)
    await scene.stranger.listen(Endpoint(STRANGER, 80), server.serve)


async def plain_file(request: Request, source: Endpoint) -> Response:
    if request.target == "/secret" and request.header("Authorization") is None:
        return Response((("WWW-Authenticate", basic_challenge("files")),), status=401)
    if request.target in ("/image", "/secret"):
        return Response((), b"new software")
    return Response(status=404)


@pytest.mark.parametrize(
    ("url", "username", "fault"),
    [
        (f"http://{STRANGER}/image", "", 0),
        (f"http://{STRANGER}/secret", "me", 0),
        (f"http://{STRANGER}/secret", "", 9012),
        (f"http://{STRANGER}/nothing", "", 9016),
        (f"http://{STRANGER}:81/image", "", 9015),
        ("http://nobody.example/image", "", 9015),
        ("http://", "", 9010),
    ],
    ids=["served", "with-password", "no-password", "no-file", "no-server", "no-name", "no-url"],
)
@virtual_time
async def test_a_download_ends_with_transfer_complete(url: str, username: str, fault: int) -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.start()
    await serve_files(scene, plain_file)
    call = rpc.Download("key", "1 Firmware Upgrade Image", url, username, "secret")
    answer = scene.other.call(SERIAL, call)
    await scene.boot()
    told = await scene.until("other", "TRANSFERRED")
    await scene.until("hnb", "SERVED", 2)
    response = await answer

    assert isinstance(response, rpc.DownloadResponse)
    assert response.status == 1
    assert told == {"command_key": "key", "fault": fault}
    assert codes(heard["other"][-1]) == ["7 TRANSFER COMPLETE", "M Download"]
    assert scene.hnb.cpe.queue.pending() == ()
    assert scene.hnb.cpe.transfers.completed() == ()
    if not fault:
        assert scene.hnb.cpe.transfers.files == {"1 Firmware Upgrade Image": b"new software"}


async def ask_for_session(scene: Scene, password: str | None = None) -> int:
    username, known = scene.hnb._credentials()
    role = scene.other
    status: int = await role.request_connection(SERIAL, username, password or known)
    return status


@virtual_time
async def test_a_connection_request_makes_a_session() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    status = await ask_for_session(scene)
    await scene.until("hnb", "SERVED", 2)

    assert status == 200
    assert codes(heard["other"][-1]) == ["6 CONNECTION REQUEST"]


@virtual_time
async def test_a_connection_request_with_a_wrong_password_is_refused() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    status = await ask_for_session(scene, "wrong")
    await asyncio.sleep(60)

    assert status == 401
    assert len(heard["other"]) == 1
    assert "password is wrong" in scene.told("hnb", "REFUSED")[0]["cause"]


@virtual_time
async def test_connection_requests_are_limited_in_number() -> None:
    scene = Scene()
    await scene.discovered()
    scene.hnb.set_policy(connection_requests=2, connection_requests_within_s=30.0)
    statuses = [await ask_for_session(scene) for _ in range(3)]
    await asyncio.sleep(30)
    later = await ask_for_session(scene)

    assert statuses == [200, 200, 503]
    assert later == 200


@virtual_time
async def test_a_connection_request_ends_the_wait_for_a_retry() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    scene.other.set_policy(unavailable_times=1, retry_after_s=500)
    scene.hnb.cpe.happened("3 SCHEDULED")
    await scene.until("hnb", "SESSION_FAILED")
    before = scene.home.now()
    await ask_for_session(scene)
    await scene.until("hnb", "SERVED", 2)

    assert scene.home.now() - before < 1
    assert codes(heard["other"][-1]) == ["3 SCHEDULED", "6 CONNECTION REQUEST"]


@virtual_time
async def test_sessions_do_not_overlap() -> None:
    scene = Scene()
    await scene.discovered()
    for _ in range(3):
        scene.hnb.cpe.happened("3 SCHEDULED")
        await ask_for_session(scene)
    await asyncio.sleep(60)

    assert scene.other._sessions == {}
    assert scene.hnb.cpe.queue.pending() == ()


@virtual_time
async def test_silence_of_the_acs_is_bounded() -> None:
    scene = Scene()
    scene.hms.set_policy(silent_at="Inform")
    scene.hnb.set_policy(answer_within_s=7.0)
    await scene.start()
    before = scene.home.now()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert scene.home.now() - before == pytest.approx(7, abs=0.1)
    assert failed["step"] == "5"
    assert "did not answer within 7 s" in failed["cause"]


@virtual_time
async def test_an_acs_that_is_not_there_is_bounded_too() -> None:
    scene = Scene()
    scene.hnb.set_policy(connect_within_s=3.0)
    scene.network.silent.add("203.0.113.20")
    before = scene.home.now()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert scene.home.now() - before == pytest.approx(3, abs=0.1)
    assert failed["step"] == "3"


@pytest.mark.parametrize("kind", ["basic", "digest"])
@virtual_time
async def test_a_cpe_proves_who_it_is(kind: str) -> None:
    scene = Scene()
    for leaf, value in (("Username", "00005E-HNB"), ("Password", "secret")):
        scene.hnb.tree.assign(f"{SERVER}{leaf}", value)
    scene.hms.set_policy(authentication=kind, users={"00005E-HNB": "secret"})
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []
    assert scene.told("hms", "REFUSED") == []


@virtual_time
async def test_a_wrong_password_is_refused_with_a_record() -> None:
    scene = Scene()
    for leaf, value in (("Username", "00005E-HNB"), ("Password", "wrong")):
        scene.hnb.tree.assign(f"{SERVER}{leaf}", value)
    scene.hms.set_policy(authentication="digest", users={"00005E-HNB": "secret"})
    await scene.start()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert failed["step"] == "5"
    assert "refuses the user '00005E-HNB'" in failed["cause"]
    assert "password is wrong" in scene.told("hms", "REFUSED")[0]["cause"]


@virtual_time
async def test_a_redirect_is_followed() -> None:
    scene = Scene()
    heard = listen_to(scene)
    scene.hms.set_policy(redirect_to=OTHER_URL)
    scene.other.assign("south", "segw.example", OTHER_URL, "hnbgw.example")
    await scene.discovered()

    assert heard["hms"] == []
    assert codes(heard["other"][0]) == ["0 BOOTSTRAP", "1 BOOT"]


@virtual_time
async def test_an_acs_may_close_its_connection_after_each_answer() -> None:
    scene = Scene()
    answer = scene.hms._answer

    async def closing(request: Request, source: Endpoint) -> Any:
        response = await answer(request, source)
        assert isinstance(response, Response)
        headers = (*response.headers, ("Connection", "close"))
        return Response(headers, response.body, status=response.status)

    scene.hms._server = HttpServer(scene.hms.host, closing)
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []


@virtual_time
async def test_a_connection_that_was_closed_meanwhile_takes_no_request() -> None:
    scene = await Scene().start()
    connection = await HttpConnection.open(scene.home, PORT, None, 5.0, 5.0)
    request = Request((("Host", "hms"),), method="GET", target="/acs")
    first = await connection.exchange(request)
    scene.hms._server.close()
    await asyncio.sleep(1)
    with pytest.raises(ClosedByServer):
        await connection.exchange(request)

    assert first.status == 405


@virtual_time
async def test_no_session_without_a_way_to_the_acs() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    scene.hnb.cpe.disconnected()
    scene.hnb.cpe.happened("3 SCHEDULED")
    await asyncio.sleep(100)

    assert len(heard["other"]) == 1
    assert HMS_URL != scene.hnb.hms_url == OTHER_URL


@virtual_time
async def test_a_session_whose_way_was_lost_counts_as_a_failed_one() -> None:
    scene = Scene()
    heard = listen_to(scene)
    await scene.discovered()
    cpe = scene.hnb.cpe
    resolve, decide = cpe._resolve, scene.other._decide

    def cut(device: Any) -> Any:
        scene.network.later(cpe.disconnected)
        return decide(device)

    assert resolve is not None
    scene.other._decide = cut  # type: ignore[method-assign]  # the way is lost meanwhile
    cpe.happened("3 SCHEDULED")
    await asyncio.sleep(10)
    scene.other._decide = decide  # type: ignore[method-assign]
    cpe.connected(resolve)
    await asyncio.sleep(10)

    assert [each.retry_count for each in heard["other"]][-2:] == [0, 1]
