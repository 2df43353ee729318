"""ACSs that write UDP Connection Requests in another form (TR-111 Part 2, 2.2.2.3).

They are written by the ACS and signed as they are, as foreign ACSs do: what a CPE makes of them is
in the page about STUN.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from testbed.faults.fault import fault
from testbed.protocols.udp_connection_request import (
    UdpConnectionRequest,
    build,
    decode,
    signature,
    signature_of,
)
from testbed.roles.hms import Hms

SHOWN = ("udp_connection_request/",)
TWICE = ("udp_connection_request/twice",)
STUN_PASSWORD = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
"""Of the scenarios."""
STUN_USERNAME = "00005E-DEVICE-01"


def _signed_by(acs: Hms, sign: Callable[[str, str, str, str, str], str]) -> None:
    """Have the ACS sign in another way; arguments are those of `signature`."""

    def other(
        authority: str, ts: int, identifier: int, username: str, cnonce: str, key: str
    ) -> UdpConnectionRequest:
        made = build(authority, ts, identifier, username, cnonce, key)
        sig = sign(key, str(ts), str(identifier), username, cnonce)
        return decode(re.sub(rb"&sig=\w*", b"&sig=" + sig.encode(), made.octets))

    acs.udp_requests.build = other


def _rewritten(acs: Hms, change: Callable[[bytes], bytes]) -> None:
    """Have the ACS write the same values in another form."""

    def other(
        authority: str, ts: int, identifier: int, username: str, cnonce: str, key: str
    ) -> UdpConnectionRequest:
        return decode(change(build(authority, ts, identifier, username, cnonce, key).octets))

    acs.udp_requests.build = other


@fault(
    "udp.lower-case-sig",
    role="hms",
    breaks=(),
    shown_in=SHOWN,
    seen_in="ACSs that print a digest as their library does",
)
def lower_case_sig(acs: Hms) -> None:
    """sig has small letters; the document's example has capitals, and both are digits."""
    _signed_by(acs, lambda *values: signature(*values).lower())


@fault(
    "udp.upper-case-scheme",
    role="hms",
    breaks=(),
    shown_in=SHOWN,
)
def upper_case_scheme(acs: Hms) -> None:
    """The scheme is HTTP, in capitals: a scheme has no case."""
    _rewritten(acs, lambda data: data.replace(b" http:", b" HTTP:", 1))


@fault(
    "udp.signed-by-stun-password",
    role="hms",
    breaks=("TR111-2.2.2.3-T-sigkey",),
    shown_in=SHOWN,
)
def signed_by_stun_password(acs: Hms) -> None:
    """The key is STUNPassword."""
    _signed_by(acs, lambda _key, *values: signature(STUN_PASSWORD, *values))


@fault(
    "udp.signed-by-what-was-read",
    role="hms",
    breaks=("TR111-2.2.2.3-T-sigkey",),
    shown_in=SHOWN,
    seen_in="ACSs that read the password back, which a CPE tells as empty (AMB-P2-24)",
)
def signed_by_what_was_read(acs: Hms) -> None:
    """The key is empty."""
    _signed_by(acs, lambda _key, *values: signature("", *values))


@fault(
    "udp.signed-in-another-order",
    role="hms",
    breaks=("TR111-2.2.2.3-T-sigtext",),
    shown_in=SHOWN,
)
def signed_in_another_order(acs: Hms) -> None:
    """The text that is signed begins with id."""
    _signed_by(acs, lambda key, ts, identifier, un, cn: signature(key, identifier, ts, un, cn))


@fault(
    "udp.signs-the-query",
    role="hms",
    breaks=("TR111-2.2.2.3-T-sigtext",),
    shown_in=SHOWN,
)
def signs_the_query(acs: Hms) -> None:
    """The text that is signed is the query up to sig, names and all."""

    def sign(key: str, ts: str, identifier: str, un: str, cn: str) -> str:
        return signature_of(key, f"ts={ts}&id={identifier}&un={un}&cn={cn}")

    _signed_by(acs, sign)


@fault(
    "udp.un-is-stun-username",
    role="hms",
    breaks=("TR111-2.2.2.3-T-un",),
    shown_in=SHOWN,
)
def un_is_stun_username(acs: Hms) -> None:
    """un is STUNUsername."""

    def other(
        authority: str, ts: int, identifier: int, _username: str, cnonce: str, key: str
    ) -> UdpConnectionRequest:
        return build(authority, ts, identifier, STUN_USERNAME, cnonce, key)

    acs.udp_requests.build = other


@fault("udp.constant-cnonce", role="hms", breaks=("TR111-2.2.2.3-T-cn",), shown_in=TWICE)
def constant_cnonce(acs: Hms) -> None:
    """cn is the same in every request."""

    def other(
        authority: str, ts: int, identifier: int, username: str, _cnonce: str, key: str
    ) -> UdpConnectionRequest:
        return build(authority, ts, identifier, username, "CNONCE", key)

    acs.udp_requests.build = other


@fault("udp.pairs-in-another-order", role="hms", breaks=(), shown_in=SHOWN)
def pairs_in_another_order(acs: Hms) -> None:
    """sig comes first in the query: a CPE takes the pairs in any order."""

    def change(data: bytes) -> bytes:
        return re.sub(rb"\?(ts=\S*)&(sig=\w+) ", rb"?\g<2>&\g<1> ", data)

    _rewritten(acs, change)


@fault(
    "udp.milliseconds",
    role="hms",
    breaks=("TR111-2.2.2.3-T-ts",),
    shown_in=SHOWN,
    seen_in="ACSs whose clock counts milliseconds",
)
def milliseconds(acs: Hms) -> None:
    """ts counts milliseconds; a CPE without a window takes it, and nothing after it in seconds."""

    def other(
        authority: str, ts: int, identifier: int, username: str, cnonce: str, key: str
    ) -> UdpConnectionRequest:
        return build(authority, ts * 1000, identifier, username, cnonce, key)

    acs.udp_requests.build = other


@fault("udp.id-with-letters", role="hms", breaks=("TR111-2.2.2.3-T-id",), shown_in=SHOWN)
def id_with_letters(acs: Hms) -> None:
    """id is no number."""

    def other(
        authority: str, ts: int, identifier: int, username: str, cnonce: str, key: str
    ) -> UdpConnectionRequest:
        made = build(authority, ts, identifier, username, cnonce, key)
        sig = signature(key, str(ts), f"m{identifier}", username, cnonce).encode()
        data = re.sub(rb"&sig=\w*", b"&sig=" + sig, made.octets)
        return decode(data.replace(b"&id=", b"&id=m"))

    acs.udp_requests.build = other
