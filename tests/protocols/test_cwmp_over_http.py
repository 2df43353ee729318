"""CWMP over HTTP, octet for octet: a CPE's client against an ACS, well and badly behaved."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from testbed.errors import BadInput, DecodeError
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import (
    MOST_REDIRECTS,
    AcsClient,
    Again,
    Broken,
    Delivered,
    Outcome,
    Unavailable,
    envelope_in,
    post,
    reply,
)
from testbed.protocols.cwmp.session import AcsSession, Asked, CpeSession, Ended, Informed
from testbed.protocols.http import Decoder, HttpError, HttpMessage, Request, Response, Url
from testbed.protocols.http_auth import Nonces
from testbed.protocols.http_gate import Gate, Turned

INFORM = rpc.Inform(events=(rpc.Event("0 BOOTSTRAP"),))
ENVELOPE = Envelope(INFORM, "1")
URL = "https://hms.example/acs"
Server = Callable[[Request], Response]


def wire(message: HttpMessage, to_server: bool) -> Any:
    """The message as the other side reads it."""
    (read,) = Decoder(to_server).feed(message.encode())
    return read


def client(username: str = "", url: str = URL) -> AcsClient:
    return AcsClient(url, Random(1), username, "secret")


def exchange(cpe: AcsClient, server: Server, envelope: Envelope | None = ENVELOPE) -> Outcome:
    """Post an envelope and follow the client's wishes until it has an outcome."""
    request = cpe.post(envelope)
    for _ in range(20):
        outcome = cpe.receive(wire(server(wire(request, True)), False))
        assert outcome is not None
        if not isinstance(outcome, Again):
            return outcome
        request = outcome.request
    raise AssertionError("the client never comes to an end")


def welcome(request: Request) -> Response:
    return reply(Envelope(rpc.InformResponse(), "1"))


class TestPosts:
    def test_an_envelope(self) -> None:
        request = post(Url.parse(URL), ENVELOPE)

        assert request.encode().startswith(
            b"POST /acs HTTP/1.1\r\nHost: hms.example\r\n"
            b'SOAPAction: ""\r\nContent-Type: text/xml; charset="utf-8"\r\n'
        )
        assert envelope_in(wire(request, True)) == ENVELOPE

    def test_an_empty_post_has_no_soap_action(self) -> None:
        assert post(Url.parse(URL), None).encode() == (
            b"POST /acs HTTP/1.1\r\nHost: hms.example\r\nContent-Length: 0\r\n\r\n"
        )

    def test_nothing_more_to_say_is_204(self) -> None:
        assert reply(None).encode() == b"HTTP/1.1 204 No Content\r\n\r\n"

    def test_cookies_go_along(self) -> None:
        assert reply(ENVELOPE, ("session=1; Path=/",)).header("Set-Cookie") == "session=1; Path=/"


class TestQuirks:
    @pytest.mark.parametrize("kind", ["text/html", "text/xml", "application/soap+xml", None])
    def test_content_type_is_not_asked(self, kind: str | None) -> None:
        headers = (("Content-Type", kind),) if kind else ()

        assert envelope_in(Request(headers, ENVELOPE.encode())) == ENVELOPE

    def test_gzip_unasked_is_415(self) -> None:
        request = Request((("Content-Encoding", "GZip "),), b"\x1f\x8b")

        with pytest.raises(HttpError) as refused:
            envelope_in(request)

        assert refused.value.status == 415
        assert str(refused.value) == "CWMP body: Content-Encoding 'gzip' is not read"

    def test_garbage_is_no_empty_post(self) -> None:
        with pytest.raises(DecodeError):
            envelope_in(Request(body=b"<html><body>hello</body></html>"))

    @pytest.mark.parametrize(
        "empty",
        [
            Response(status=204),
            Response((("Content-Length", "0"),), status=204),
            Response(),
            Response((("Connection", "close"),)),
            Response((("Transfer-Encoding", "chunked"),)),
        ],
        ids=["204", "204 with length", "200", "200 and close", "chunked"],
    )
    def test_every_empty_answer_ends_a_session(self, empty: Response) -> None:
        assert exchange(client(), lambda request: empty, None) == Delivered(None)

    def test_a_chunked_answer(self) -> None:
        chunked = Response((("Transfer-Encoding", "chunked"),), ENVELOPE.encode())

        assert exchange(client(), lambda request: chunked) == Delivered(ENVELOPE)

    def test_interim_responses_are_waited_out(self) -> None:
        assert client().receive(Response(status=100)) is None

    def test_an_answer_that_is_no_envelope(self) -> None:
        outcome = exchange(client(), lambda request: Response(body=b"Hello!"))

        assert isinstance(outcome, Broken)
        assert str(outcome.error).startswith("CWMP body: not XML: 'Hello!'")


class TestRefusals:
    def test_503_says_how_long_to_wait(self) -> None:
        busy = Response((("Retry-After", "30"),), status=503)

        assert exchange(client(), lambda request: busy) == Unavailable(503, 30)

    @pytest.mark.parametrize("status", [400, 404, 500])
    def test_other_errors_fail_the_session(self, status: int) -> None:
        outcome = exchange(client(), lambda request: Response(status=status))

        assert outcome == Unavailable(status, None)

    def test_a_url_that_is_none(self) -> None:
        with pytest.raises(BadInput, match="URL"):
            client(url="hms.example")


class TestCookies:
    def test_come_back_with_every_later_post(self) -> None:
        cpe = client()
        exchange(cpe, lambda request: reply(None, ('session="a=="; Path=/',)))

        assert cpe.post(None).header("Cookie") == 'session="a=="'

    def test_a_new_session_begins_without(self) -> None:
        exchange(client(), lambda request: reply(None, ("session=1",)))

        assert client().post(ENVELOPE).header("Cookie") is None


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_the_envelope_goes_to_the_new_server_without_the_old_cookies(self, status: int) -> None:
        cpe = client()
        exchange(cpe, lambda request: reply(None, ("session=1; Path=/",)))
        cpe.post(ENVELOPE)
        moved = Response((("Location", "https://b.example:8443/x"),), status=status)

        outcome = cpe.receive(moved)
        assert isinstance(outcome, Again)
        assert outcome.reconnect
        assert outcome.url == Url.parse("https://b.example:8443/x")
        assert outcome.request.target == "/x"
        assert outcome.request.header("Host") == "b.example:8443"
        assert outcome.request.header("Cookie") is None
        assert envelope_in(outcome.request) == ENVELOPE

    def test_the_rest_of_the_session_goes_there_too(self) -> None:
        cpe = client()
        cpe.post(ENVELOPE)
        cpe.receive(Response((("Location", "/other"),), status=302))
        cpe.receive(welcome(Request()))

        assert cpe.post(None).target == "/other"

    def test_not_more_often_than_five_times(self) -> None:
        asked: list[str] = []

        def round_about(request: Request) -> Response:
            asked.append(request.target)
            return Response((("Location", f"/{len(asked)}"),), status=307)

        outcome = exchange(client(), round_about)

        assert isinstance(outcome, Broken)
        assert str(outcome.error) == (
            f"the ACS at https://hms.example/{MOST_REDIRECTS} redirects more than 5 times"
        )
        assert len(asked) == 1 + MOST_REDIRECTS

    @pytest.mark.parametrize(
        ("location", "reason"),
        [
            ("http://hms.example/", "redirects (302) from https to http://hms.example/"),
            ("ftp://hms.example/", "redirects (302) to what is none: URL 'ftp://hms.example/'"),
        ],
    )
    def test_not_out_of_tls_nor_out_of_http(self, location: str, reason: str) -> None:
        moved = Response((("Location", location),), status=302)
        outcome = exchange(client(), lambda request: moved)

        assert isinstance(outcome, Broken)
        assert reason in str(outcome.error)

    def test_a_redirect_to_nowhere_is_a_failed_session(self) -> None:
        assert exchange(client(), lambda request: Response(status=302)) == Unavailable(302, None)


class Guarded:
    """A server behind a gate, and what it heard."""

    def __init__(self, gate: Gate, step_s: float = 0.0) -> None:
        self.gate = gate
        self.now = 0.0
        self.step_s = step_s
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.now += self.step_s
        entered = self.gate.enter(request, self.now)
        return entered.response if isinstance(entered, Turned) else welcome(request)


class TestAuthentication:
    PASSWORDS = staticmethod({"hnb": "secret"}.get)

    @pytest.mark.parametrize("qop", [None, "auth", "auth-int", "auth,auth-int"])
    def test_digest(self, qop: str | None) -> None:
        server = Guarded(Gate("hms", self.PASSWORDS, Nonces(Random(2)), qop))

        assert isinstance(exchange(client("hnb"), server), Delivered)
        assert len(server.requests) == 2

    def test_basic(self) -> None:
        assert isinstance(
            exchange(client("hnb"), Guarded(Gate("h", self.PASSWORDS, None))), Delivered
        )

    def test_the_nonce_is_used_on_with_a_growing_count(self) -> None:
        server = Guarded(Gate("hms", self.PASSWORDS, Nonces(Random(2))))
        cpe = client("hnb")
        for _ in range(3):
            exchange(cpe, server)

        assert len(server.requests) == 4
        assert "nc=00000003" in (server.requests[-1].header("Authorization") or "")

    def test_a_nonce_for_one_request_only(self) -> None:
        server = Guarded(Gate("hms", self.PASSWORDS, Nonces(Random(2), most_uses=1)))
        cpe = client("hnb")

        assert [type(exchange(cpe, server)) for _ in range(3)] == [Delivered] * 3
        assert len(server.requests) == 6

    def test_nonces_that_are_always_too_old(self) -> None:
        server = Guarded(Gate("hms", self.PASSWORDS, Nonces(Random(2), lifetime_s=1)), step_s=2)
        outcome = exchange(client("hnb"), server)

        assert isinstance(outcome, Broken)
        assert len(server.requests) == 3

    def test_a_wrong_password_is_tried_once(self) -> None:
        server = Guarded(Gate("hms", {"hnb": "other"}.get, Nonces(Random(2))))
        outcome = exchange(client("hnb"), server)

        assert isinstance(outcome, Broken)
        assert str(outcome.error) == "the ACS at https://hms.example/acs refuses the user 'hnb'"
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        ("username", "challenge", "reason"),
        [
            ("", 'Basic realm="x"', "asks for a password, and the CPE has none"),
            ("hnb", "Negotiate", "asks by negotiate"),
            ("hnb", "", "asks by no scheme at all"),
            ("hnb", "Digest algorithm=ROT13", "asks by a digest that cannot be computed"),
        ],
    )
    def test_what_cannot_be_answered_ends_the_session(
        self, username: str, challenge: str, reason: str
    ) -> None:
        closed = Response((("WWW-Authenticate", challenge),), status=401)
        outcome = exchange(client(username), lambda request: closed)

        assert isinstance(outcome, Broken)
        assert str(outcome.error).endswith(reason)

    @pytest.mark.parametrize(("connection", "reconnect"), [("close", True), ("keep-alive", False)])
    def test_a_server_that_closes_after_its_401_is_called_anew(
        self, connection: str, reconnect: bool
    ) -> None:
        cpe = client("hnb")
        cpe.post(ENVELOPE)
        headers = (("WWW-Authenticate", "Basic realm=x"), ("Connection", connection))
        outcome = cpe.receive(Response(headers, status=401))

        assert isinstance(outcome, Again)
        assert outcome.reconnect == reconnect


def test_a_whole_session_octet_for_octet() -> None:
    """Inform, a Reboot, the end; behind a gate, with a cookie, every octet decoded again."""
    cpe, acs = CpeSession(INFORM), AcsSession()
    acs.call(rpc.Reboot("night"))
    gate = Gate("hms", {"hnb": "secret"}.get, Nonces(Random(2)))
    heard: list[str] = []

    def serve(request: Request) -> Response:
        heard.append(request.header("Cookie") or "-")
        entered = gate.enter(request, 0)
        if isinstance(entered, Turned):
            return entered.response
        acs.receive(envelope_in(request))
        for event in acs.events():
            if isinstance(event, Informed):
                acs.answer(rpc.InformResponse())
        (envelope,) = acs.to_send()
        return reply(envelope, ("session=7",))

    link, ended = client("hnb"), False
    while not ended:
        (envelope,) = cpe.to_send()
        outcome = exchange(link, serve, envelope)
        assert isinstance(outcome, Delivered)
        cpe.receive(outcome.envelope)
        for event in cpe.events():
            if isinstance(event, Asked):
                cpe.answer(rpc.RebootResponse())
            ended = isinstance(event, Ended)

    assert heard == ["-", "-", "session=7", "session=7"]
    assert acs.over
