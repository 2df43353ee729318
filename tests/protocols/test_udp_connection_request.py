"""UDP Connection Requests as octets, and what a CPE holds against them (TR-111 Part 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DecodeError
from testbed.protocols.udp_connection_request import (
    Receiver,
    UdpConnectionRequest,
    build,
    decode,
    signature,
    signature_of,
)

KEY = "password"
EXAMPLE = (
    b"GET http://10.1.1.1:8080?ts=1120673700&id=1234&un=CPE57689&cn=XTGRWIPC6D3IPXS3"
    b"&sig=3545F7B5820D76A3DF45A3A509DA8D8C38F13512 HTTP/1.1\r\nHost: 10.1.1.1:8080\r\n\r\n"
)
NOW_S = 1_120_673_700.0
GOOD = build("10.1.1.1:8080", int(NOW_S), 1234, "CPE57689", "XTGRWIPC6D3IPXS3", KEY)


def refusal(octets: bytes, receiver: Receiver | None = None) -> str | None:
    return (receiver or Receiver()).refusal(decode(octets), "CPE57689", KEY, NOW_S)


def test_the_example_of_the_document_is_cut_into_its_parts() -> None:
    request = decode(EXAMPLE)

    assert (request.method, request.version) == ("GET", "1.1")
    assert (request.authority, request.path) == ("10.1.1.1:8080", "")
    assert request.pairs == (
        ("ts", "1120673700"),
        ("id", "1234"),
        ("un", "CPE57689"),
        ("cn", "XTGRWIPC6D3IPXS3"),
        ("sig", "3545F7B5820D76A3DF45A3A509DA8D8C38F13512"),
    )
    assert request.encode() == EXAMPLE


def test_the_signature_is_that_of_openssl() -> None:
    # printf 11206737001234CPE57689XTGRWIPC6D3IPXS3 | openssl dgst -sha1 -hmac password
    wanted = "F749EE6D9E3BC469FB709EAD2A75EE7535F58552"

    assert signature(KEY, "1120673700", "1234", "CPE57689", "XTGRWIPC6D3IPXS3") == wanted
    assert GOOD.value("sig") == wanted


def test_a_canonical_request_is_taken_once() -> None:
    receiver = Receiver()

    assert refusal(GOOD.encode(), receiver) is None
    assert refusal(GOOD.encode(), receiver) == "ts 1120673700 is not greater than 1120673700"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"GET ", b"POST ", "the method is POST, not GET"),
        (b"HTTP/1.1", b"HTTP/1.0", "HTTP/1.0 is not HTTP/1.1"),
        (b"Host:", b"Ghost:", "HTTP/1.1 wants a Host"),
        (b"?ts", b"/?ts", "the path is '/', not empty"),
        (b"?ts=", b"?ts=1&ts=", "ts is not there once, with a value"),
        (b"&cn=XTGRWIPC6D3IPXS3", b"&cn=", "cn is not there once, with a value"),
        (b"ts=1120673700", b"ts=12e4", "ts is '12e4', not a number"),
        (b"un=CPE57689", b"un=CPE57688", "un is not the CPE's"),
        (b"id=1234", b"id=1235", "sig is not that of ts, id, un and cn"),
    ],
)
def test_one_wrong_thing_is_enough_and_leaves_no_record(
    old: bytes, new: bytes, reason: str
) -> None:
    receiver = Receiver()

    assert refusal(GOOD.encode().replace(old, new, 1), receiver) == reason
    assert (receiver.last_ts, receiver.last_id) == (0, None)


def test_a_later_request_needs_another_id() -> None:
    receiver = Receiver()
    later = build("10.1.1.1:8080", int(NOW_S) + 1, 1234, "CPE57689", "C", KEY)

    assert refusal(GOOD.encode(), receiver) is None
    assert refusal(later.encode(), receiver) == "id 1234 is that of the request before"


def test_shifted_digits_stay_authentic_and_a_window_refuses_them() -> None:
    shifted = GOOD.encode().replace(b"ts=1120673700&id=1234", b"ts=11206737001&id=234")

    assert refusal(shifted) is None
    assert refusal(shifted, Receiver(window_s=300)) == (
        "ts 11206737001 is more than 300 s from the CPE's own time"
    )


def test_letters_of_sig_may_be_of_either_case_and_a_body_is_ignored() -> None:
    sig = (GOOD.value("sig") or "").encode()

    assert refusal(GOOD.encode().replace(sig, sig.lower()) + b"body") is None


def test_a_lenient_cpe_takes_a_slash_and_no_host() -> None:
    bare = GOOD.encode().replace(b"?ts", b"/?ts").replace(b"Host: 10.1.1.1:8080\r\n", b"")

    assert refusal(bare) is not None
    assert refusal(bare, Receiver(is_lenient=True)) is None


def test_without_a_password_nothing_is_authentic() -> None:
    reason = Receiver().refusal(GOOD, "CPE57689", "", NOW_S)

    assert reason == "the CPE has no password: nothing can be authentic"


def test_a_restart_forgets_the_record_unless_it_is_kept() -> None:
    volatile, persistent = Receiver(), Receiver(keeps_record=True)
    for receiver in (volatile, persistent):
        refusal(GOOD.encode(), receiver)
        receiver.restarted()

    assert refusal(GOOD.encode(), volatile) is None
    assert refusal(GOOD.encode(), persistent) == "ts 1120673700 is not greater than 1120673700"


def test_the_text_of_the_example_is_the_four_values() -> None:
    request = decode(EXAMPLE)
    text = "".join(request.value(name) or "" for name in ("ts", "id", "un", "cn"))

    assert text == "11206737001234CPE57689XTGRWIPC6D3IPXS3"
    assert signature_of(KEY, text) == GOOD.value("sig")


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n", "no empty line in 16 octets"),
        (b"GET /\r\n\r\n", "'GET /' is no request line"),
        (b"G\xc3 / HTTP/1.1\r\n\r\n", "octet 0xc3 at offset 1 is not ASCII"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", "'Host' is no header"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_its_place(octets: bytes, sentence: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(octets)

    assert str(refused.value) == f"UDP Connection Request: {sentence}"


@given(st.binary(max_size=200))
def test_any_octets_give_a_request_or_a_decode_error(octets: bytes) -> None:
    for data in (octets, EXAMPLE[:40] + octets + EXAMPLE[40:], EXAMPLE + octets):
        try:
            message = decode(data)
        except DecodeError:
            continue
        assert isinstance(message, UdpConnectionRequest)
        assert message.encode() == data
