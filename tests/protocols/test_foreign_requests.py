"""What our CPE makes of UDP Connection Requests in other ACSs' forms, strict and lenient."""

from __future__ import annotations

import re

import pytest

from testbed.protocols.udp_connection_request import Receiver, build, decode

NOW_S, NAME, KEY = 1_700_000_000, "CPE57689", "password"
HERE = "203.0.113.9:7547"
GOOD = build(HERE, NOW_S, 7, NAME, "CNONCE", KEY).octets
MILLISECONDS = build(HERE, NOW_S * 1000, 7, NAME, "CNONCE", KEY).octets
ORIGIN = b"http://" + HERE.encode()
SIG = re.search(rb"sig=(\w+)", GOOD)
assert SIG is not None
SECONDS_AFTER = build(HERE, NOW_S + 60, 8, NAME, "CNONCE", KEY).octets

STRICT, LENIENT, WINDOW = {}, {"is_lenient": True}, {"window_s": 300.0}
FORMS = {
    "milliseconds": (MILLISECONDS, True, True, False),
    "slash": (GOOD.replace(b"?ts", b"/?ts"), False, True, False),
    "origin form with a slash": (
        GOOD.replace(b"http://" + HERE.encode(), b"/"),
        False,
        True,
        False,
    ),
    "origin form": (GOOD.replace(ORIGIN, b""), False, True, False),
    "no Host": (GOOD.replace(b"Host: " + HERE.encode() + b"\r\n", b""), False, True, False),
    "small letters in sig": (GOOD.replace(SIG[1], SIG[1].lower()), True, True, True),
    "capitals in the scheme": (GOOD.replace(b"http:", b"HTTP:"), True, True, True),
    "sig first": (re.sub(rb"\?(\S*)&(sig=\w+)", rb"?\2&\1", GOOD), True, True, True),
    "more pairs": (GOOD.replace(b"&sig", b"&extra=1&sig"), True, True, True),
    "more headers": (GOOD.replace(b"Host", b"User-Agent: x\r\nHost"), True, True, True),
}
"""Octets, and whether a strict CPE, a lenient one, and one with a window take them."""


def is_taken(octets: bytes, receiver: Receiver) -> bool:
    return receiver.refusal(decode(octets), NAME, KEY, float(NOW_S)) is None


@pytest.mark.parametrize("form", FORMS)
def test_what_a_cpe_makes_of_a_foreign_form(form: str) -> None:
    octets, *wanted = FORMS[form]
    receivers = [Receiver(**settings) for settings in (STRICT, LENIENT, WINDOW)]

    assert [is_taken(octets, receiver) for receiver in receivers] == wanted


def test_after_milliseconds_seconds_come_too_late() -> None:
    receiver = Receiver()

    assert is_taken(MILLISECONDS, receiver)
    assert not is_taken(SECONDS_AFTER, receiver)


def test_a_window_keeps_milliseconds_from_locking_others_out() -> None:
    receiver = Receiver(window_s=300.0)

    assert not is_taken(MILLISECONDS, receiver)
    assert is_taken(SECONDS_AFTER, receiver)
