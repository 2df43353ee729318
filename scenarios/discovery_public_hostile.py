"""What the HMS's port bears while HNBs discover: every peer is bounded, the next one is served."""

from __future__ import annotations

import asyncio

from scenarios.discovery_public import discovery_public
from testbed.host import Host, Stream, TlsProfile
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.cwmp.over_http import envelope_in, post
from testbed.protocols.http import Url
from testbed.protocols.wire import Endpoint
from testbed.roles.http_client import HttpConnection
from testbed.scenario import Player, Stage

HEAD = b"POST /acs HTTP/1.1\r\nHost: hms\r\n"
CONNECTIONS = 1000
SERVED_WITHIN_S = 10.0
"""Far above the second in which it is meant to happen: a loaded machine is no defect of the HMS.
How long it took is told as PROBED."""


def _posting(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _bomb() -> bytes:
    """Ten entities of ten entities each, and so on: a gigabyte of text, if they were expanded."""
    entities = [b'<!ENTITY e0 "ha">']
    for level in range(1, 10):
        inner = b"&e%d;" % (level - 1) * 10
        entities.append(b'<!ENTITY e%d "%s">' % (level, inner))
    return b"<!DOCTYPE b [%s]><b>&e9;</b>" % b"".join(entities)


MALFORMED = {
    "not XML": _posting(b"this is not XML"),
    "entity bomb": _posting(_bomb()),
    "invalid UTF-8": _posting(b"<Envelope>\xff\xff</Envelope>"),
    "control characters": _posting(b"<Envelope>\x01\x02</Envelope>"),
    "a gigabyte announced": HEAD + b"Content-Length: 1000000000\r\n\r\n",
    "endless header": HEAD + b"X: " + b"y" * 100_000,
    "no HTTP": b"\x00\x01\x02\x03\r\n\r\n",
}


async def _is_served(host: Host, hms: Player, remote: Endpoint, tls: TlsProfile) -> None:
    """Another CPE's Inform is answered all the same; how soon is told."""
    begun = host.now()
    who = rpc.DeviceId("Testbed", "00005E", "HNB", "PROBE")
    opening = Envelope(rpc.Inform(who, (rpc.Event("1 BOOT"),)), "1")
    async with asyncio.timeout(SERVED_WITHIN_S):
        connection = await HttpConnection.open(host, remote, tls, SERVED_WITHIN_S, SERVED_WITHIN_S)
        response = await connection.exchange(post(Url.parse(hms.url), opening))
        answer = envelope_in(response)
        assert answer is not None
        assert isinstance(answer.message, rpc.InformResponse | rpc.Fault)
        host.tell("PROBED", served_after_s=round(host.now() - begun, 3))
        await connection.close()


async def _drain(stream: Stream) -> None:
    """Read until the other side has had enough."""
    try:
        while await stream.receive():
            pass
    except ConnectionError:
        pass
    stream.abort()


@discovery_public.variant("hostile")
async def hostile(at: Stage) -> None:
    """Malformed, giant, slow and silent peers are refused with a record; HNBs are served."""
    hnb, hms, host = at.hnb, at.initial_hms, at.north_segw.host
    name = hms.node.names[0]
    remote = Endpoint(hms.node.address, 443)
    tls = TlsProfile(roots=hms.node.settings["roots"], server_name=name)
    for octets in MALFORMED.values():
        stream = await host.connect(remote, tls)
        await stream.send(octets)
        await _drain(stream)
        await at.tells(hms, "MALFORMED")
        await _is_served(host, hms, remote, tls)
    await _flood(await host.connect(remote, tls))
    await at.tells(hms, "MALFORMED")
    slow = await host.connect(remote, tls)
    await slow.send(HEAD[:1])
    await _is_served(host, hms, remote, tls)
    silent = [await host.connect(remote) for _ in range(CONNECTIONS)]
    await _is_served(host, hms, remote, tls)
    hnb.power_on()
    await at.tells(hnb, "SERVED")
    for each in (slow, *silent):
        each.abort()


async def _flood(stream: Stream) -> None:
    """A body of chunks that would never end; the answer comes while it is still being sent."""
    chunk = b"10000\r\n" + b"<" * 0x10000 + b"\r\n"
    await stream.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(64):
        await stream.send(chunk)
    await _drain(stream)
