"""HTTP messages: cut from a stream however it comes, within bounds; written so that they fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import BadInput, DecodeError, LocalError
from testbed.protocols.http import (
    MOST_HEAD_OCTETS,
    Decoder,
    HttpError,
    HttpMessage,
    Request,
    Response,
    Url,
)
from testbed.protocols.wire import Message

POST = b"POST /acs HTTP/1.1\r\nHost: hms\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def one(octets: bytes, to_server: bool = True) -> Any:
    """The one message, or error, that these octets are."""
    (message,) = Decoder(to_server).feed(octets)
    return message


def refusal(octets: bytes, to_server: bool = True, **bounds: int) -> HttpError:
    message = Decoder(to_server, **bounds).feed(octets)[-1]
    assert isinstance(message, HttpError)
    return message


class TestRequests:
    def test_a_post(self) -> None:
        request = one(POST)

        assert request == Request(
            (("Host", "hms"), ("Content-Length", "5")), b"hello", target="/acs"
        )
        assert request.raw == POST
        assert request.summary() == "HTTP POST /acs 5 octets"

    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    def test_however_the_octets_come(self, size: int) -> None:
        decoder, octets = Decoder(True), POST + POST.replace(b"/acs", b"/b")
        messages = [
            message
            for start in range(0, len(octets), size)
            for message in decoder.feed(octets[start : start + size])
        ]

        assert [(each.target, each.raw) for each in messages if isinstance(each, Request)] == [
            ("/acs", POST),
            ("/b", POST.replace(b"/acs", b"/b")),
        ]
        assert not decoder.in_message

    def test_chunks(self) -> None:
        octets = (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
        )
        request = one(octets)

        assert request.body == b"hello"
        assert request.raw == octets

    def test_http_1_0_without_host(self) -> None:
        request = one(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n")

        assert request.version == "1.0"
        assert not request.keep_alive

    def test_names_of_headers_keep_their_spelling_and_are_found_in_any(self) -> None:
        request = one(b"GET / HTTP/1.1\r\nhOsT: h\r\nX: 1\r\nx: 2\r\n\r\n")

        assert request.headers[0] == ("hOsT", "h")
        assert request.header("Host") == "h"
        assert request.all_headers("X") == ("1", "2")
        assert request.header("Y") is None

    def test_empty_lines_between_requests_are_overlooked(self) -> None:
        assert one(b"\r\n\r\n" + POST).target == "/acs"
        assert list(Decoder(True).feed(b"\r\n")) == []

    def test_expect_100_continue(self) -> None:
        decoder = Decoder(True)
        head = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n").removesuffix(b"hello")
        waiting = [decoder.expects_continue]
        for octets in (head, b"hello"):
            done = decoder.feed(octets)
            waiting.append(decoder.expects_continue)

        assert waiting == [False, True, False]
        assert [each.body for each in done if isinstance(each, Request)] == [b"hello"]

    @pytest.mark.parametrize(
        ("headers", "version", "keep_alive"),
        [
            ((), "1.1", True),
            ((("Connection", "close"),), "1.1", False),
            ((("connection", "TE, Close"),), "1.1", False),
            ((), "1.0", False),
            ((("Connection", "Keep-Alive"),), "1.0", True),
        ],
    )
    def test_keep_alive(
        self, headers: tuple[tuple[str, str], ...], version: str, keep_alive: bool
    ) -> None:
        assert Request(headers, version=version).keep_alive == keep_alive

    @pytest.mark.parametrize(("body", "empty"), [(b"", True), (b"\r\n ", True), (b"<html>", False)])
    def test_only_white_space_is_empty(self, body: bytes, empty: bool) -> None:
        assert Request(body=body).is_empty == empty


class TestResponses:
    def test_a_200(self) -> None:
        response = one(OK, to_server=False)

        assert response == Response((("Content-Length", "2"),), b"hi", reason="OK")
        assert response.summary() == "HTTP 200 OK 2 octets"
        assert response.raw == OK

    @pytest.mark.parametrize(
        "octets",
        [
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        ],
    )
    def test_every_empty_answer_of_the_field_is_empty(self, octets: bytes) -> None:
        assert one(octets, to_server=False).is_empty

    def test_interim_responses_come_before_the_final_one(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        messages = Decoder(False).feed(interim + OK)

        assert [each.status for each in messages if isinstance(each, Response)] == [100, 200]
        assert [each.raw for each in messages if isinstance(each, Response)] == [interim, OK]

    def test_a_body_that_ends_with_the_stream(self) -> None:
        decoder = Decoder(False)
        assert list(decoder.feed(b"HTTP/1.0 200 OK\r\n\r\nhalf ")) == []
        assert list(decoder.feed(b"a word")) == []

        (response,) = decoder.end()
        assert isinstance(response, Response)
        assert response.body == b"half a word"

    def test_a_body_that_was_cut_off(self) -> None:
        decoder = Decoder(False)
        decoder.feed(OK[:-1])

        (error,) = decoder.end()
        assert isinstance(error, HttpError)
        assert str(error).startswith("HTTP response: ")
        assert list(decoder.end()) == []

    def test_a_stream_that_ends_between_messages(self) -> None:
        decoder = Decoder(False)
        decoder.feed(OK)

        assert list(decoder.end()) == []

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ((("Retry-After", "30"),), 30),
            (
                (
                    ("Date", "Sat, 21 Nov 2026 02:00:00 GMT"),
                    ("Retry-After", "Sat, 21 Nov 2026 02:01:00 GMT"),
                ),
                60,
            ),
            (
                (
                    ("Date", "Sat, 21 Nov 2026 02:00:00 GMT"),
                    ("Retry-After", "Sat, 21 Nov 2026 01:00:00 GMT"),
                ),
                0,
            ),
            ((("Retry-After", "Sat, 21 Nov 2026 02:01:00 GMT"),), None),
            ((("Retry-After", "soon"),), None),
            ((("Retry-After", "-5"),), None),
            ((), None),
        ],
    )
    def test_retry_after(self, headers: tuple[tuple[str, str], ...], seconds: int | None) -> None:
        assert Response(headers, status=503).retry_after_s() == seconds

    @pytest.mark.parametrize(
        ("status", "location", "target"),
        [
            (302, "https://b.example/acs", "https://b.example/acs"),
            (307, "/other?x=1", "https://a.example/other?x=1"),
            (301, "//c.example/", "https://c.example/"),
            (302, None, None),
            (302, "http://[", None),
            (200, "https://b.example/", None),
        ],
    )
    def test_redirects(self, status: int, location: str | None, target: str | None) -> None:
        headers = (("Location", location),) if location else ()

        assert Response(headers, status=status).redirected("https://a.example/acs") == target


class TestWriting:
    def test_a_request(self) -> None:
        request = Request((("Host", "hms"),), b"hello", target="/acs")

        assert request.encode() == POST

    def test_a_length_always_fits(self) -> None:
        changed = replace(one(POST), body=b"good morning")

        assert b"Content-Length: 12\r\n" in changed.encode()

    def test_an_empty_post_says_so(self) -> None:
        assert Request((("Host", "h"),)).encode().endswith(b"Content-Length: 0\r\n\r\n")

    @pytest.mark.parametrize("status", [100, 204, 304])
    def test_answers_that_have_no_body_say_no_length(self, status: int) -> None:
        assert b"Content-Length" not in Response(status=status).encode()

    def test_an_empty_200_says_its_length(self) -> None:
        assert Response().encode() == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    @pytest.mark.parametrize("body", [b"", b"hello"])
    def test_chunked_if_the_headers_say_so(self, body: bytes) -> None:
        request = Request((("Host", "h"), ("Transfer-Encoding", "chunked")), body)

        assert one(request.encode()) == request

    @pytest.mark.parametrize(
        "message",
        [
            Request((("X", "a\r\nY: b"),)),
            Request((("X y", "a"),)),
            Request((("X", "\u20ac"),)),
            Request(target="/a b"),
            Request(method="PO ST"),
            Response(reason="a\nb"),
        ],
    )
    def test_what_would_break_a_line_is_not_sent(self, message: HttpMessage) -> None:
        with pytest.raises(LocalError, match="HTTP"):
            message.encode()

    def test_unknown_statuses_have_a_reason_too(self) -> None:
        assert Response(status=299).encode().startswith(b"HTTP/1.1 299 Unknown\r\n")

    def test_they_are_messages(self) -> None:
        assert isinstance(Request(), Message)
        assert isinstance(Response(), Message)

    @given(
        st.binary(max_size=200),
        st.lists(st.text("abcXYZ019-", min_size=1, max_size=9), max_size=4),
        st.booleans(),
    )
    def test_what_is_written_is_read_back(
        self, body: bytes, names: list[str], to_server: bool
    ) -> None:
        headers = tuple((f"X-{name}", name) for name in names)
        message: HttpMessage
        if to_server:
            message = Request((("Host", "h"), *headers), body, target="/acs")
        else:
            message = Response(headers, body, status=500, reason="Oh no")
        read = one(message.encode(), to_server)

        assert read.body == message.body
        assert read.headers[: len(message.headers)] == message.headers
        assert read.encode() == message.encode() == read.raw


class TestRefusals:
    @pytest.mark.parametrize(
        ("octets", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01", 400),
            (b"hello\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\nBad Header: x\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: five\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ],
    )
    def test_what_is_no_request_is_refused_with_a_status(self, octets: bytes, status: int) -> None:
        error = refusal(octets)

        assert error.status == status
        assert str(error).startswith("HTTP request: ")
        assert "\n" not in str(error)

    def test_a_body_of_a_gigabyte_is_refused_before_it_comes(self) -> None:
        error = refusal(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n")

        assert error.status == 413
        assert str(error) == (
            "HTTP request: Content-Length says 1073741824, at most 4194304 octets are read"
        )

    def test_a_response_of_a_gigabyte(self) -> None:
        error = refusal(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", to_server=False)

        assert str(error).startswith("HTTP response: Content-Length says 1073741824")

    def test_chunks_without_end(self) -> None:
        decoder = Decoder(True, most_body_octets=1000)
        decoder.feed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        messages = [
            each for _ in range(11) for each in decoder.feed(b"64\r\n" + b"x" * 100 + b"\r\n")
        ]

        assert [str(each) for each in messages] == [
            "HTTP request: more than 1000 octets have come, at most 1000 octets are read"
        ]

    def test_chunks_that_are_nearly_all_extension(self) -> None:
        decoder = Decoder(True, most_body_octets=1000, most_head_octets=1000)
        decoder.feed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        messages = [
            each for _ in range(50) for each in decoder.feed(b"1;" + b"e" * 90 + b"\r\nx\r\n")
        ]

        assert len(messages) == 1
        assert "with their chunk headers, at most 1000 octets are read" in str(messages[0])

    def test_a_head_without_end(self) -> None:
        decoder = Decoder(True)
        messages = [*decoder.feed(b"GET / HTTP/1.1\r\n")]
        for _ in range(100_000):
            messages += decoder.feed(b"X: y\r\n")
            if messages:
                break

        (error,) = messages
        assert isinstance(error, HttpError)
        assert error.status == 431
        assert str(error) == f"HTTP request: its head exceeds {MOST_HEAD_OCTETS} octets"

    def test_after_an_error_nothing_more_is_read(self) -> None:
        decoder = Decoder(True)
        (first, error) = decoder.feed(POST + b"nonsense\r\n\r\n")

        assert isinstance(first, Request)
        assert isinstance(error, DecodeError)
        assert list(decoder.feed(POST)) == []
        assert list(decoder.end()) == []

    @given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
    def test_any_octets_give_messages_or_an_error(
        self, pieces: list[bytes], to_server: bool
    ) -> None:
        decoder = Decoder(to_server)
        start = POST[:-1] if to_server else OK[:-1]
        messages = [message for piece in [start, *pieces] for message in decoder.feed(piece)]
        messages += decoder.end()

        assert all(isinstance(each, Request | Response | HttpError) for each in messages)
        assert sum(isinstance(each, HttpError) for each in messages) <= 1


class TestUrls:
    @pytest.mark.parametrize(
        ("text", "url", "authority"),
        [
            ("https://hms.example", Url("https", "hms.example", 443, "/"), "hms.example"),
            ("http://h:7547/acs?a=b", Url("http", "h", 7547, "/acs?a=b"), "h:7547"),
            ("https://[2001:db8::1]:8443/", Url("https", "2001:db8::1", 8443, "/"), None),
            ("HTTP://User@H.example:80/x#y", Url("http", "h.example", 80, "/x"), "h.example"),
        ],
    )
    def test_parts(self, text: str, url: Url, authority: str | None) -> None:
        assert Url.parse(text) == url
        assert url.authority == (authority or "[2001:db8::1]:8443")

    @pytest.mark.parametrize(
        "text",
        [
            *("", "hms.example", "ftp://h/", "https:///x", "http://h:99999/", "http://[1/"),
            *("http://h/a b", "http://h/\u20ac"),
        ],
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(BadInput, match="URL"):
            Url.parse(text)

    def test_text_again(self) -> None:
        assert str(Url.parse("https://h:443/a")) == "https://h/a"
