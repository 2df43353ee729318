"""UDP Connection Requests that are wrong in one point each (TR-111 Part 2, 2.2.1.4)."""

from __future__ import annotations

import dataclasses

from scenarios.udp_request_steps import (
    KEY,
    STEP_S,
    answered,
    ignored,
    reachable,
    request_for,
)
from testbed.protocols import stun
from testbed.protocols.udp_connection_request import UdpConnectionRequest, build
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request_forged(at: Stage) -> None:
    """Requests that are wrong in one point each are ignored; a right one after them is taken."""
    binding = await reachable(at)
    to, good = request_for(at, binding)
    octets = good.encode()
    sig = good.value("sig") or ""
    at.stun_server.host.tell("STAGED", forges=True)
    stranger = build(str(to), int(good.value("ts") or 0), 1, "somebody", "C", KEY)
    for wrong in wrong_ones(octets, sig, stranger):
        await ignored(at, to, wrong)
    body = dataclasses.replace(good, octets=octets + b"for a later version")
    await answered(at, to, body)


def wrong_ones(octets: bytes, sig: str, stranger: UdpConnectionRequest) -> tuple[bytes, ...]:
    """Requests that are wrong in one point each."""
    return (
        octets.replace(b"GET ", b"POST "),
        octets.replace(b"HTTP/1.1", b"HTTP/1.0"),
        octets.replace(sig.encode(), sig[::-1].encode()),
        octets.replace(b"Host:", b"Ghost:"),
        octets.replace(b"&cn=", b"&cn=&xx="),
        octets.replace(b"?ts=", b"?ts=1&ts="),
        stranger.encode(),
        octets.split(b"\r\n")[0],
    )


@udp_connection_request_forged.variant("open")
async def all_at_once(at: Stage) -> None:
    """The wrong ones come one after another; nothing is awaited of the CPE but its word."""
    binding = await reachable(at)
    to, good = request_for(at, binding)
    at.stun_server.host.tell("STAGED", forges=True)
    sig = good.value("sig") or ""
    stranger = build(str(to), int(good.value("ts") or 0), 1, "somebody", "C", KEY)
    for wrong in wrong_ones(good.encode(), sig, stranger):
        at.stun_server.send_connection_request(to, wrong, copies=1)
    await at.sees(at.device, "<-", at.stun_server, stun.BindingResponse)
