"""Modelled TLS refuses what OpenSSL refuses, with the same causes, alerts and events.

Every test of `both` runs with the model and with OpenSSL over the same simulated streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from testbed.engines.simulation.epoch import EPOCH_S
from testbed.errors import LocalError
from testbed.host import Stream, TlsProfile, TlsRefused, TlsVersion
from testbed.protocols import tls
from testbed.protocols.pki import Authority
from testbed.protocols.wire import Endpoint
from tests.simulation.ground import Ground, echo, in_virtual_time, pair

HMS = Endpoint("10.0.0.2", 443)
NAME = "hms.example"
DAY_S = 86_400.0

both = pytest.mark.parametrize("real_tls", [False, True], ids=["model", "OpenSSL"])


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("operator", "seed", EPOCH_S)


@pytest.fixture(scope="module")
def client(root: Authority) -> TlsProfile:
    return TlsProfile(roots=(root.certificate,), server_name=NAME, moment=EPOCH_S)


@pytest.fixture(scope="module")
def server(root: Authority) -> TlsProfile:
    return TlsProfile(root.issue(NAME), roots=(root.certificate,), moment=EPOCH_S)


def hellos(ground: Ground) -> list[Any]:
    """What TLS says in clear, in order."""
    kinds = (tls.ClientHello, tls.ServerHello, tls.Alert)
    return [each.message for each in ground.trace.records if isinstance(each.message, kinds)]


@both
@pytest.mark.parametrize("newest", ["1.2", "1.3"])
@in_virtual_time
async def test_octets_go_both_ways_and_the_end_is_told(
    client: TlsProfile, server: TlsProfile, real_tls: bool, newest: TlsVersion
) -> None:
    ground, hnb, hms = pair(real_tls=real_tls)
    ends: list[bytes] = []

    async def serve(stream: Stream) -> None:
        while data := await stream.receive():
            await stream.send(data)
        ends.append(data)

    await hms.listen(HMS, serve, server)
    stream = await hnb.connect(HMS, replace(client, maximum_version=newest))
    whole = Random(1).randbytes(100_000)

    async def deliver() -> None:
        await stream.send(whole)

    hnb.spawn(deliver(), "sends")
    back = bytearray()
    while len(back) < len(whole):
        back += await stream.receive()
    await stream.close()
    await asyncio.sleep(1)

    assert back == whole
    assert ends == [b""]
    hello, answer = hellos(ground)
    assert (hello.server_name, answer.version, answer.retry) == (NAME, newest, False)
    assert answer.cipher_suite == {"1.2": 0xC02C, "1.3": 0x1302}[newest]
    assert ground.world.crashes == []
    assert ground.told("TLS_FAILED") == ground.told("STREAM_BROKEN") == []
    assert not any(
        whole[:32] in each.frame.data for each in ground.trace.records if each.frame is not None
    )


@pytest.mark.parametrize(
    ("minimum", "maximum"),
    [("1.2", None), ("1.2", "1.2"), ("1.0", "1.2"), ("1.0", None), ("1.0", "1.1"), ("1.3", "1.3")],
)
def test_the_models_hello_offers_what_openssl_offers(
    client: TlsProfile, server: TlsProfile, minimum: TlsVersion, maximum: TlsVersion | None
) -> None:
    asks = replace(client, minimum_version=minimum, maximum_version=maximum)
    said = [
        said_in_clear(asks, replace(server, minimum_version="1.0"), real_tls)
        for real_tls in (False, True)
    ]

    assert said[0] == said[1]
    assert len(said[0]) == 2


def said_in_clear(asks: TlsProfile, answers: TlsProfile, real_tls: bool) -> list[str]:
    """What one connection shows on the wire, and what its ends are told; in words."""
    told: list[str] = []

    @in_virtual_time
    async def play() -> None:
        ground, hnb, hms = pair(real_tls=real_tls)
        await hms.listen(HMS, echo, answers)
        try:
            stream = await hnb.connect(HMS, asks)
            await stream.send(b"question")
            await stream.receive()
            await stream.close()
        except TlsRefused as error:
            # The connecting port is drawn; all else is to be the same.
            told.append(f"refused: {error.cause}: {error.sentence}")
        await asyncio.sleep(1)
        for each in hellos(ground):
            cipher = f" {each.cipher_suite:04x}" if isinstance(each, tls.ServerHello) else ""
            told.append(each.summary() + cipher)
        for event in ground.told("TLS_FAILED") + ground.told("STREAM_BROKEN"):
            reason = str(event.fields["reason"]).partition(" with ")[2].partition(": ")[2]
            told.append(f"{event.name} {event.fields.get('cause')}: {reason}")
        assert ground.world.crashes == []

    play()
    return told


Made = Callable[[Authority, TlsProfile, TlsProfile], tuple[TlsProfile, TlsProfile]]
REFUSALS: dict[str, Made] = {
    "no root": lambda root, c, s: (replace(c, roots=()), s),
    "other root": lambda root, c, s: (
        replace(c, roots=(Authority("other", "seed", EPOCH_S).certificate,)),
        s,
    ),
    "other name": lambda root, c, s: (replace(c, server_name="other.example"), s),
    "no name": lambda root, c, s: (c, replace(s, identity=root.issue(NAME, ()))),
    "an address": lambda root, c, s: (replace(c, server_name="10.0.0.2"), s),
    "expired": lambda root, c, s: (
        c,
        replace(s, identity=root.issue(NAME, None, -30 * DAY_S, -DAY_S)),
    ),
    "not yet valid": lambda root, c, s: (
        c,
        replace(s, identity=root.issue(NAME, None, DAY_S, 30 * DAY_S)),
    ),
    "clock in 1970": lambda root, c, s: (replace(c, moment=0.0), s),
    "wrong in every way": lambda root, c, s: (
        replace(c, roots=(), server_name="other.example", moment=0.0),
        s,
    ),
    "wrong name and date": lambda root, c, s: (
        replace(c, server_name="other.example", moment=0.0),
        s,
    ),
    "server too old": lambda root, c, s: (
        c,
        replace(s, minimum_version="1.0", maximum_version="1.1"),
    ),
    "client too old": lambda root, c, s: (
        replace(c, minimum_version="1.0", maximum_version="1.1"),
        s,
    ),
    "server too new": lambda root, c, s: (
        replace(c, maximum_version="1.2"),
        replace(s, minimum_version="1.3"),
    ),
    "no certificate of the client": lambda root, c, s: (
        c,
        replace(s, requires_client_certificate=True),
    ),
    "a client of another root": lambda root, c, s: (
        replace(c, identity=Authority("other", "seed", EPOCH_S).issue("hnb")),
        replace(s, requires_client_certificate=True),
    ),
}
ACCEPTED: dict[str, Made] = {
    "wildcard": lambda root, c, s: (
        replace(c, server_name="hms.operator.example"),
        replace(s, identity=root.issue("x", ["*.operator.example"])),
    ),
    "in capitals": lambda root, c, s: (replace(c, server_name="HMS.Example."), s),
    "its address": lambda root, c, s: (
        replace(c, server_name="10.0.0.2"),
        replace(s, identity=root.issue("x", ["10.0.0.2"])),
    ),
    "common name, where that is accepted": lambda root, c, s: (
        replace(c, accepts_common_name=True),
        replace(s, identity=root.issue(NAME, ())),
    ),
    "any name, where none is checked": lambda root, c, s: (
        replace(c, server_name="other.example", verifies_name=False),
        s,
    ),
    "any chain, where nothing is checked": lambda root, c, s: (
        replace(c, roots=(), verifies=False, server_name=None),
        s,
    ),
    "any date, where none is checked": lambda root, c, s: (
        replace(c, moment=0.0, verifies_dates=False),
        s,
    ),
    "a client that shows itself": lambda root, c, s: (
        replace(c, identity=root.issue("hnb")),
        replace(s, requires_client_certificate=True),
    ),
}


def without_port(line: str) -> str:
    return line.replace("10.0.0.2:443", "HMS")


@pytest.mark.parametrize("newest", ["1.2", "1.3"])
@pytest.mark.parametrize("what", REFUSALS)
def test_the_model_refuses_as_openssl_does(
    root: Authority, client: TlsProfile, server: TlsProfile, what: str, newest: TlsVersion
) -> None:
    asks, answers = REFUSALS[what](root, replace(client, maximum_version=newest), server)
    model, real = (said_in_clear(asks, answers, real_tls) for real_tls in (False, True))

    assert any("refused" in line for line in model)
    assert model == real


@pytest.mark.parametrize("newest", ["1.2", "1.3"])
@pytest.mark.parametrize("what", ACCEPTED)
def test_the_model_accepts_what_openssl_accepts(
    root: Authority, client: TlsProfile, server: TlsProfile, what: str, newest: TlsVersion
) -> None:
    asks, answers = ACCEPTED[what](root, replace(client, maximum_version=newest), server)
    model, real = (said_in_clear(asks, answers, real_tls) for real_tls in (False, True))

    assert not any("refused" in line or "FAILED" in line for line in model)
    assert model == real


@both
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\xff" * 100,
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x16\x03\x01\xff\xff" + bytes(100),
    ],
    ids=["HTTP", "zeros", "ones", "alert", "giant record"],
)
@in_virtual_time
async def test_a_peer_that_speaks_no_tls_is_told_and_no_crash(
    server: TlsProfile, real_tls: bool, garbage: bytes
) -> None:
    ground, hnb, hms = pair(real_tls=real_tls)
    await hms.listen(HMS, echo, server)
    stream = await hnb.connect(HMS)
    await stream.send(garbage)
    while await stream.receive():
        pass

    (event,) = ground.told("TLS_FAILED")
    assert event.fields["cause"] == "handshake"
    assert ground.world.crashes == []


@both
@in_virtual_time
async def test_a_silent_peer_is_given_up(server: TlsProfile, real_tls: bool) -> None:
    ground, hnb, hms = pair(real_tls=real_tls)
    await hms.listen(HMS, echo, server)
    stream = await hnb.connect(HMS)
    with pytest.raises(ConnectionResetError):
        await stream.receive()

    assert hnb.now() == pytest.approx(60, abs=1)
    assert "did not end within 60 s" in ground.told("TLS_FAILED")[0].fields["reason"]


@both
@in_virtual_time
async def test_a_half_closed_stream_still_receives(
    client: TlsProfile, server: TlsProfile, real_tls: bool
) -> None:
    _, hnb, hms = pair(real_tls=real_tls)

    async def answers_late(stream: Stream) -> None:
        while await stream.receive():
            pass
        await stream.send(b"answer")

    await hms.listen(HMS, answers_late, server)
    stream: Any = await hnb.connect(HMS, client)
    await stream.send(b"question")
    await stream.finish()

    assert await stream.receive() == b"answer"


@in_virtual_time
async def test_a_profile_that_cannot_be_used_is_ours(
    root: Authority, client: TlsProfile, server: TlsProfile
) -> None:
    _, hnb, hms = pair()
    with pytest.raises(LocalError, match="a listening port needs an identity"):
        await hms.listen(HMS, echo, client)
    mixed = replace(root.issue("a"), key=root.issue("b").key)
    with pytest.raises(LocalError, match="'a' cannot be used: key values mismatch"):
        await hms.listen(HMS, echo, replace(server, identity=mixed))
    await hms.listen(HMS, echo, server)

    with pytest.raises(LocalError, match="needs a server_name"):
        await hnb.connect(HMS, replace(client, server_name=None))


@in_virtual_time
async def test_octets_that_were_changed_on_their_way_are_refused(
    client: TlsProfile, server: TlsProfile
) -> None:
    ground, hnb, hms = pair()
    await hms.listen(HMS, echo, server)
    stream: Any = await hnb.connect(HMS, client)
    seal = stream._records.writes
    stream._records.writes = None
    whole = bytearray(seal.seal(23, b"question"))
    whole[-1] ^= 1
    await stream._below.send(bytes(whole))

    with pytest.raises(TlsRefused, match="bad_record_mac"):
        await stream.receive()
    assert ground.world.crashes == []
