"""Whom a node trusts, on real wires: by chain, name, dates and version, each with its own cause.

Whatever is refused, the client's side of the wire carries a ClientHello and an alert, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from testbed.engines.tls_policy import TlsContexts
from testbed.errors import LocalError
from testbed.host import Stream, TlsCause, TlsProfile, TlsRefused
from testbed.protocols.pki import DAY_S, YEAR_S, Authority, Identity
from testbed.protocols.tls import ALERT, HANDSHAKE, Alert
from testbed.protocols.wire import Endpoint
from testbed.trace.decoders import Decoders
from testbed.trace.dissect import Dissector
from testbed.trace.record import Frame
from tests.emulation.wires import HMS, Wires, on_wires

pytestmark = pytest.mark.emulation

NOW = time.time()
ROOT = Authority("operator", "seed", NOW)
OTHER = Authority("somebody else", "seed", NOW)
TRUSTS = TlsProfile(roots=(ROOT.certificate,), server_name="hms.example")
GOOD = ROOT.issue("hms.example")
NINETEEN_SEVENTY = 3600.0


@dataclass(frozen=True)
class Case:
    client: TlsProfile
    server: Identity
    cause: TlsCause | None
    alert: str = ""
    says: str = ""
    server_profile: TlsProfile = TlsProfile()  # noqa: RUF009 -- frozen


CASES = {
    "all right": Case(TRUSTS, GOOD, None),
    "a closing dot in the name": Case(replace(TRUSTS, server_name="hms.example."), GOOD, None),
    "wrong root": Case(
        TRUSTS, OTHER.issue("hms.example"), "chain", "unknown_ca", "CN=somebody else"
    ),
    "no roots": Case(replace(TRUSTS, roots=()), GOOD, "chain", "unknown_ca", "0 trusted"),
    "wrong name": Case(TRUSTS, ROOT.issue("www.example"), "name", "bad_certificate", "www.example"),
    "expired": Case(
        TRUSTS,
        ROOT.issue("hms.example", valid_from_s=-YEAR_S, valid_to_s=-DAY_S),
        "expired",
        "certificate_expired",
        "it is valid from",
    ),
    "not yet valid": Case(
        TRUSTS,
        ROOT.issue("hms.example", valid_from_s=DAY_S),
        "not yet valid",
        "bad_certificate",
        "CN=hms.example is not yet valid",
    ),
    "address in subjectAltName": Case(
        replace(TRUSTS, server_name="10.0.0.2"), ROOT.issue("hms", ["10.0.0.2"]), None
    ),
    "another address": Case(
        replace(TRUSTS, server_name="10.0.0.2"),
        ROOT.issue("hms", ["10.0.0.3"]),
        "name",
        "bad_certificate",
        "10.0.0.3",
    ),
    "address as a DNS name": Case(
        replace(TRUSTS, server_name="10.0.0.2"), GOOD, "name", "bad_certificate"
    ),
    "wildcard": Case(
        replace(TRUSTS, server_name="hms.operator.example"),
        ROOT.issue("hms", ["*.operator.example"]),
        None,
    ),
    "wildcard over two labels": Case(
        replace(TRUSTS, server_name="hms.south.operator.example"),
        ROOT.issue("hms", ["*.operator.example"]),
        "name",
        "bad_certificate",
        "*.operator.example",
    ),
    "common name only": Case(
        TRUSTS, ROOT.issue("hms.example", []), "name", "bad_certificate", "no subjectAltName"
    ),
    "common name only, and accepted": Case(
        replace(TRUSTS, accepts_common_name=True), ROOT.issue("hms.example", []), None
    ),
    "common name beside another name": Case(
        replace(TRUSTS, accepts_common_name=True),
        ROOT.issue("hms.example", ["www.example"]),
        "name",
        "bad_certificate",
    ),
    "a clock in 1970": Case(
        replace(TRUSTS, moment=NINETEEN_SEVENTY),
        GOOD,
        "not yet valid",
        "bad_certificate",
        "believes that it is 1970-01-01T01:00:00Z",
    ),
    "a clock in 1970, TLS 1.2": Case(
        replace(TRUSTS, moment=NINETEEN_SEVENTY, maximum_version="1.2"),
        GOOD,
        "not yet valid",
        "bad_certificate",
    ),
    "a clock in 2200": Case(
        replace(TRUSTS, moment=NOW + 180 * YEAR_S), GOOD, "expired", "certificate_expired"
    ),
    "a clock in 1970 and a wrong root": Case(
        replace(TRUSTS, moment=NINETEEN_SEVENTY),
        OTHER.issue("hms.example"),
        "chain",
        "unknown_ca",
    ),
    "a clock in 1970, and nobody looks at it": Case(
        replace(TRUSTS, moment=NINETEEN_SEVENTY, verifies_dates=False), GOOD, None
    ),
    "a clock that fits an expired certificate": Case(
        replace(TRUSTS, moment=NOW - 2 * DAY_S),
        ROOT.issue("hms.example", valid_from_s=-3 * DAY_S, valid_to_s=-DAY_S),
        None,
    ),
    "a client that checks no name": Case(
        replace(TRUSTS, verifies_name=False), ROOT.issue("www.example"), None
    ),
    "a client that checks nothing": Case(
        replace(TRUSTS, verifies=False), OTHER.issue("www.example", valid_to_s=-1), None
    ),
    "TLS 1.1 only": Case(
        TRUSTS,
        GOOD,
        "version",
        "",
        "this side takes 1.2",
        TlsProfile(minimum_version="1.1", maximum_version="1.1"),
    ),
    "TLS 1.2 with a client that wants 1.3": Case(
        replace(TRUSTS, minimum_version="1.3"),
        GOOD,
        "version",
        "",
        "this side takes 1.3",
        TlsProfile(maximum_version="1.2"),
    ),
}


def records_of(frames: Sequence[Frame], node: str) -> list[tuple[int, bytes]]:
    """(type, fragment) of every TLS record that the node has put on the wire."""
    dissector = Dissector(Decoders(usual=False))
    octets = b"".join(
        content.payload
        for frame in frames
        if frame.node == node
        for content in dissector.dissect(frame).contents
        if content.transport == "tcp" and "retransmission" not in content.marks
    )
    records = []
    while octets:
        end = 5 + int.from_bytes(octets[3:5], "big")
        records.append((octets[0], octets[5:end]))
        octets = octets[end:]
    return records


@pytest.mark.parametrize("name", CASES)
@on_wires
async def test_a_certificate_is_accepted_or_refused(wires: Wires, name: str) -> None:
    case = CASES[name]
    hnb, hms = wires.pair()
    capture, frames = wires.capture()
    heard: list[bytes] = []

    async def serve(stream: Stream) -> None:
        while data := await stream.receive():
            heard.append(data)
            await stream.send(b"204")

    await hms.listen(HMS, serve, replace(case.server_profile, identity=case.server))
    if case.cause is None:
        stream = await hnb.connect(HMS, case.client)
        await stream.send(b"Inform")
        answer = await stream.receive()
        await stream.close()

        assert (heard, answer) == ([b"Inform"], b"204")
        return
    with pytest.raises(TlsRefused) as raised:
        await hnb.connect(HMS, case.client)
    if not wires.told:
        await wires.something_told.wait()
    await capture.flush()
    records = records_of(frames, "hnb")

    assert raised.value.cause == case.cause
    assert case.says in str(raised.value)
    assert "10.0.0.2:7547" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [kind for kind, _ in records] == [HANDSHAKE, ALERT][: 1 + bool(case.alert)]
    if case.alert:
        assert records[1][1] == Alert.fatal(case.alert).encode()
    assert heard == []
    assert [each for each in wires.tapped if each[2]] == []
    ((node, event, fields),) = wires.told
    assert (node, event) == ("hms", "TLS_FAILED")
    assert fields["cause"] == ("version" if case.cause == "version" else "alert")
    assert wires.crashes == []


@on_wires
async def test_two_tls_1_1_ends_agree_where_both_allow_it(wires: Wires) -> None:
    hnb, hms = wires.pair()

    async def serve(stream: Stream) -> None:
        await stream.send(b"old")

    old = TlsProfile(GOOD, minimum_version="1.1", maximum_version="1.1")
    await hms.listen(HMS, serve, old)
    client = replace(TRUSTS, minimum_version="1.0", maximum_version="1.1")
    stream = await hnb.connect(HMS, client)

    assert await stream.receive() == b"old"


@on_wires
async def test_a_server_judges_a_client_by_its_own_clock(wires: Wires) -> None:
    hnb, hms = wires.pair()
    heard: list[bytes] = []

    async def serve(stream: Stream) -> None:
        heard.append(await stream.receive())
        await stream.send(b"known")

    strict = TlsProfile(GOOD, (ROOT.certificate,), requires_client_certificate=True)
    await hms.listen(HMS, serve, strict)
    await hms.listen(Endpoint(HMS.address, 443), serve, replace(strict, moment=NINETEEN_SEVENTY))
    client = replace(TRUSTS, identity=ROOT.issue("hnb.example"))
    stream = await hnb.connect(HMS, client)
    await stream.send(b"Inform")

    assert await stream.receive() == b"known"
    assert heard == [b"Inform"]

    stream = await hnb.connect(Endpoint(HMS.address, 443), client)

    assert await stream.receive() == b""
    await wires.something_told.wait()
    ((_, event, fields),) = wires.told
    assert (event, fields["cause"]) == ("TLS_FAILED", "not yet valid")
    assert heard == [b"Inform"]


@on_wires
async def test_the_tap_hears_each_octet_once_a_side_and_each_end(wires: Wires) -> None:
    hnb, hms = wires.pair()
    ended = asyncio.Event()

    async def serve(stream: Stream) -> None:
        while data := await stream.receive():
            await stream.send(data.upper())
        ended.set()

    await hms.listen(HMS, serve, TlsProfile(GOOD))
    stream = await hnb.connect(HMS, TRUSTS)
    await stream.send(b"inform")
    await stream.receive()
    await stream.close()
    await ended.wait()

    assert [each[1:] for each in wires.tapped if each[0] == "hnb"] == [
        (True, b"inform"),
        (False, b"INFORM"),
        (True, b""),
    ]
    assert [each[1:] for each in wires.tapped if each[0] == "hms"][:3] == [
        (False, b"inform"),
        (True, b"INFORM"),
        (False, b""),
    ]


@on_wires
async def test_the_secrets_of_a_connection_are_logged_once(wires: Wires) -> None:
    hnb, hms = wires.pair()

    async def serve(stream: Stream) -> None:
        await stream.send(b"x")

    await hms.listen(HMS, serve, TlsProfile(GOOD))
    for version in ("1.2", "1.3"):
        stream = await hnb.connect(HMS, replace(TRUSTS, maximum_version=version))
        await stream.receive()
    words = [line.split()[0] for line in wires.contexts.key_log().decode().splitlines()]

    assert words.count("CLIENT_RANDOM") == 1
    assert words.count("CLIENT_TRAFFIC_SECRET_0") == 1
    assert len(words) == len(set(words))


def test_an_identity_that_cannot_be_used_is_told_as_ours(tmp_path) -> None:
    contexts = TlsContexts(tmp_path / "tls.log")

    with pytest.raises(LocalError, match="needs an identity"):
        contexts.context(TlsProfile(), server_side=True)
    with pytest.raises(LocalError, match="needs a server_name"):
        contexts.context(replace(TRUSTS, server_name=None), server_side=False)
    with pytest.raises(LocalError, match="identity 'hms' cannot be used"):
        contexts.context(TlsProfile(Identity("hms", GOOD.certificate, b"")), server_side=True)
    with pytest.raises(LocalError, match="a trusted root is no certificate"):
        contexts.context(replace(TRUSTS, roots=(b"-----BEGIN",)), server_side=False)


def test_a_context_is_made_once_for_a_policy(tmp_path) -> None:
    contexts = TlsContexts(tmp_path / "tls.log")
    first = contexts.context(TRUSTS, server_side=False)

    assert contexts.context(replace(TRUSTS, server_name="other"), server_side=False) is first
    assert contexts.context(replace(TRUSTS, verifies=False), server_side=False) is not first
