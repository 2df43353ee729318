"""A captured UDP Connection Request is sent again (TR-111 Part 2, 2.2.1.4; AMB-P2-18)."""

from __future__ import annotations

from scenarios.udp_connection_request import asked_by_skewed_clocks
from scenarios.udp_request_steps import (
    CPE_NAME,
    INFORMS,
    KEY,
    STEP_S,
    answered,
    offered,
    reachable,
    released,
    request_for,
)
from testbed.protocols.udp_connection_request import UdpConnectionRequest, build
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun

WINDOW_S = 300.0


async def replayed(at: Stage) -> tuple[Endpoint, UdpConnectionRequest]:
    """A request is taken, then the same comes again, and one with its id."""
    binding = await reachable(at, **INFORMS)
    to, request = request_for(at, binding)
    await answered(at, to, request)
    await released(at)
    at.stun_server.host.tell("STAGED", replays=True)
    await offered(at, to, request.encode())
    await offered(at, to, with_the_same_id(to, request))
    return to, request


@scenario(acs_with_stun, step_s=STEP_S)
async def udp_connection_request_replay(at: Stage) -> None:
    """A captured request is sent again, with its id under a later ts, and with its digits shifted.

    The CPE has a window of time, which the shifted digits fall out of.
    """
    at.device.set_udp_receiver(window_s=WINDOW_S)
    to, request = await replayed(at)
    await offered(at, to, shifted(request))
    later_to, later = request_for(at, to)
    await offered(at, later_to, later.encode())


@udp_connection_request_replay.variant("without_window")
async def without_window(at: Stage) -> None:
    """Without a window of time the shifted request is taken: a weakness of the protocol."""
    to, request = await replayed(at)
    await offered(at, to, shifted(request))


@udp_connection_request_replay.variant("skewed")
async def skewed(at: Stage) -> None:
    """The CPE has a window of time; the ACS's clock is minutes off, and within it."""
    at.device.set_udp_receiver(window_s=WINDOW_S)
    binding = await reachable(at, **INFORMS)
    await asked_by_skewed_clocks(at, binding)


def with_the_same_id(to: Endpoint, request: UdpConnectionRequest) -> bytes:
    """Whoever knows the key makes a later one, and does not count its id on."""
    ts, identifier = int(request.value("ts") or 0), int(request.value("id") or 0)
    return build(str(to), ts + 1, identifier, CPE_NAME, "SAMEID", KEY).encode()


def shifted(request: UdpConnectionRequest) -> bytes:
    """The first digit of id becomes the last of ts: the signed text is the same."""
    ts, identifier = request.value("ts") or "", request.value("id") or ""
    old = f"ts={ts}&id={identifier}".encode()
    new = f"ts={ts}{identifier[0]}&id={identifier[1:]}".encode()
    return request.encode().replace(old, new)
