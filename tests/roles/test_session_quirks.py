"""Whole sessions between an HNB and an HMS of which one has a quirk of the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import envelope_in
from testbed.protocols.http import CONTINUE, Request, Response
from testbed.roles.role import Role
from tests.roles.cwmp_scene import OTHER_URL, SERIAL, Peer, Scene, inform
from tests.virtual_time import virtual_time

Http = Request | Response
Quirk = Callable[[Any], Any]


def speaks(role: Role, quirk: Quirk) -> None:
    """Each HTTP message of that role is changed so."""
    role.mend_of("http").message.append(lambda message, peer: [quirk(message)])


def writes(role: Role, quirk: Quirk) -> None:
    """Each envelope (or None) of that role is changed so."""
    role.mend_of("cwmp").message.append(lambda envelope, peer: [quirk(envelope)])


def without(message: Http, name: str) -> Any:
    kept = tuple(each for each in message.headers if each[0].lower() != name.lower())
    return replace(message, headers=kept)


def having(message: Http, name: str, value: str) -> Any:
    return replace(without(message, name), headers=(*without(message, name).headers, (name, value)))


def informs(scene: Scene) -> list[rpc.Inform]:
    """Every Inform that the HNB sends from now on, as often as it does."""
    heard: list[rpc.Inform] = []

    def note(envelope: Envelope | None) -> Envelope | None:
        if envelope is not None and isinstance(envelope.message, rpc.Inform):
            heard.append(envelope.message)
        return envelope

    writes(scene.hnb, note)
    return heard


# What an HMS does that an HNB bears.


def cookie_without_path(response: Response) -> Response:
    headers = [(name, value.replace("; Path=/", "")) for name, value in response.headers]
    return replace(response, headers=tuple(headers))


def empty_200(response: Response) -> Response:
    return replace(response, status=200) if response.status == 204 else response


def length_with_204(response: Response) -> Response:
    return having(response, "Content-Length", "0") if response.status == 204 else response


def closing_after_the_last(response: Response) -> Response:
    return having(response, "Connection", "close") if response.status == 204 else response


def closing_at_each(response: Response) -> Response:
    return having(response, "Connection", "close")


def chunked(message: Http) -> Any:
    if not message.body:
        return message
    return having(without(message, "Content-Length"), "Transfer-Encoding", "chunked")


def old_http(message: Http) -> Any:
    return replace(message, version="1.0")


def as_html(message: Http) -> Any:
    return having(message, "Content-Type", "text/html") if message.body else message


def no_type(message: Http) -> Any:
    return without(message, "Content-Type")


@pytest.mark.parametrize(
    "quirk",
    [
        *(cookie_without_path, empty_200, length_with_204, closing_after_the_last),
        *(closing_at_each, chunked, old_http, as_html, no_type),
    ],
    ids=lambda quirk: quirk.__name__,
)
@virtual_time
async def test_an_hnb_is_provisioned_by_an_hms_with(quirk: Quirk) -> None:
    scene = Scene()
    heard = informs(scene)
    for hms in (scene.hms, scene.other):
        speaks(hms, quirk)
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []
    assert [each.retry_count for each in heard] == [0, 0]
    assert scene.hnb.serving_segw == "segw.example"


@virtual_time
async def test_an_hnb_waits_out_an_interim_answer_that_it_did_not_ask_for() -> None:
    scene = Scene()
    scene.hms.mend_of("http").octets.append(lambda octets, peer: [CONTINUE, octets])
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []


@virtual_time
async def test_hold_requests_holds_nothing() -> None:
    scene = Scene()
    writes(scene.hms, lambda envelope: envelope and replace(envelope, hold_requests=True))
    heard = informs(scene)
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []
    assert len(heard) == 2


@virtual_time
async def test_a_vendor_s_method_is_answered_by_fault_9000_and_the_session_goes_on() -> None:
    scene = Scene()
    call = scene.hms.call(SERIAL, rpc.Unknown("X_ACME_Kick"))
    await scene.discovered()
    answer = await call

    assert isinstance(answer, rpc.Fault)
    assert answer.code == 9000
    assert scene.told("hnb", "FAILED") == []


# What an HMS does that ends a session: it is told with its cause, and tried again.


def reboot_at_once(envelope: Envelope | None) -> Envelope | None:
    if envelope is not None and isinstance(envelope.message, rpc.InformResponse):
        return replace(envelope, message=rpc.Reboot("now"))
    return envelope


def nothing_at_all(envelope: Envelope | None) -> Envelope | None:
    is_response = envelope is not None and isinstance(envelope.message, rpc.InformResponse)
    return None if is_response else envelope


def another_answer(envelope: Envelope | None) -> Envelope | None:
    if envelope is not None and isinstance(envelope.message, rpc.InformResponse):
        return replace(envelope, message=rpc.TransferCompleteResponse())
    return envelope


def another_id(envelope: Envelope | None) -> Envelope | None:
    return envelope and replace(envelope, id="of nobody")


@pytest.mark.parametrize(
    ("quirk", "says"),
    [
        (reboot_at_once, "Reboot"),
        (nothing_at_all, "empty"),
        (another_answer, "TransferCompleteResponse"),
        (another_id, "of nobody"),
    ],
    ids=["reboot-at-once", "empty-answer", "another-answer", "another-id"],
)
@virtual_time
async def test_an_inform_without_its_response_is_sent_again_with_a_growing_count(
    quirk: Quirk, says: str
) -> None:
    scene = Scene()
    heard = informs(scene)
    writes(scene.hms, quirk)
    rebooted: list[str] = []
    scene.hnb.reboot = lambda: rebooted.append("now")  # type: ignore[method-assign]  # a spy
    await scene.start()
    await scene.boot()
    await scene.until("hnb", "SESSION_FAILED", 3)
    failed = scene.told("hnb", "FAILED")

    assert [each.retry_count for each in heard] == [0, 1, 2]
    assert {each["step"] for each in failed} == {"5"}
    assert all(says in each["cause"] for each in failed)
    assert rebooted == []
    assert not scene.hnb.is_discovered


def gzipped(response: Response) -> Response:
    return having(response, "Content-Encoding", "gzip") if response.body else response


def web_page(response: Response) -> Response:
    return replace(response, body=b"<html>busy") if response.body else response


@pytest.mark.parametrize(
    ("quirk", "says"),
    [(gzipped, "Content-Encoding 'gzip' is not read"), (web_page, "CWMP body")],
    ids=["gzip-unasked", "web-page"],
)
@virtual_time
async def test_an_answer_that_cannot_be_read_fails_the_session(quirk: Quirk, says: str) -> None:
    scene = Scene()
    speaks(scene.hms, quirk)
    await scene.start()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert failed["step"] == "5"
    assert says in failed["cause"]


@virtual_time
async def test_a_redirect_begins_the_session_anew_without_the_old_cookies() -> None:
    scene = Scene()
    requests: list[Request] = []

    def note(request: Request) -> Request:
        requests.append(request)
        return request

    speaks(scene.hnb, note)
    speaks(scene.hms, lambda response: having(response, "Set-Cookie", "session=old; Path=/"))
    scene.hms.set_policy(redirect_to=OTHER_URL)
    scene.other.assign("south", "segw.example", OTHER_URL, "hnbgw.example")
    await scene.discovered()
    first, again = requests[:2]

    assert (first.header("Host"), again.header("Host")) == ("203.0.113.20", "203.0.113.21")
    assert first.body == again.body
    assert again.header("Cookie") is None
    assert scene.hms.devices == {}


@virtual_time
async def test_a_redirect_within_a_session_leads_to_an_hms_that_knows_nothing_of_it() -> None:
    scene = Scene()
    heard = informs(scene)
    redirected = iter([False, True])

    def redirect(response: Response) -> Response:
        if not next(redirected, False):
            return response
        return Response((("Location", OTHER_URL),), status=307)

    speaks(scene.hms, redirect)
    await scene.discovered()
    failed = scene.told("hnb", "FAILED")

    assert [each["step"] for each in failed] == ["6"]
    assert "no session is open" in scene.told("other", "REFUSED")[0]["cause"]
    assert [each.retry_count for each in heard] == [0, 1, 0]


# What an HNB does that an HMS bears, or refuses by the status that says why.


def closing(request: Request) -> Request:
    return having(request, "Connection", "close")


def no_soap_action(request: Request) -> Request:
    return without(request, "SOAPAction")


def named_soap_action(request: Request) -> Request:
    return having(request, "SOAPAction", '"urn:dslforum-org:cwmp-1-0"')


def expecting(request: Request) -> Request:
    return having(request, "Expect", "100-continue") if request.body else request


def unasked_password(request: Request) -> Request:
    return having(request, "Authorization", "Basic bWU6c2VjcmV0")


@pytest.mark.parametrize(
    "quirk",
    [
        *(closing, no_soap_action, named_soap_action, as_html, no_type),
        *(expecting, chunked, old_http, unasked_password),
    ],
    ids=lambda quirk: quirk.__name__,
)
@virtual_time
async def test_an_hms_serves_an_hnb_with(quirk: Quirk) -> None:
    scene = Scene()
    speaks(scene.hnb, quirk)
    await scene.discovered()

    assert scene.told("hnb", "FAILED") == []
    assert scene.told("hms", "MALFORMED") == []
    assert scene.told("hms", "SET") == [{"serial_number": SERIAL}]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Content-Encoding", "gzip", 415),
        ("Content-Encoding", "deflate", 415),
        ("Transfer-Encoding", "gzip, chunked", 501),
    ],
    ids=["gzip", "deflate", "transfer-coding"],
)
@virtual_time
async def test_a_coding_that_nobody_asked_for_is_refused(
    name: str, value: str, status: int
) -> None:
    scene = Scene()
    speaks(scene.hnb, lambda request: having(without(request, "Content-Length"), name, value))
    await scene.start()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert failed["step"] == "5"
    assert f"the ACS answers {status}" in failed["cause"]
    assert len(scene.told("hms", "MALFORMED")) == 1


@virtual_time
async def test_a_vendor_s_method_of_a_cpe_is_answered_by_fault_8000() -> None:
    scene = await Scene().start()
    scene.hms.assignments.clear()
    peer = await Peer.at(scene.stranger)
    welcome = await peer.ask(inform())
    cookie = ("Cookie", (welcome.header("Set-Cookie") or "").partition(";")[0])
    answer = envelope_in(await peer.ask(Envelope(rpc.Unknown("X_ACME_Kicked"), "2"), cookie))
    last = await peer.ask(None, cookie)

    assert answer is not None
    assert isinstance(answer.message, rpc.Fault)
    assert (answer.id, answer.message.code) == ("2", 8000)
    assert last.status == 204


@virtual_time
async def test_who_drops_the_cookie_is_told_that_no_session_is_open() -> None:
    scene = Scene()
    speaks(scene.hnb, lambda request: without(request, "Cookie"))
    await scene.start()
    await scene.boot()
    failed = await scene.until("hnb", "FAILED")

    assert failed["step"] == "6"
    assert "no session is open under this cookie" in scene.told("hms", "REFUSED")[0]["cause"]
