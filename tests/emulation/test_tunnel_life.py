"""What happens to tunnels that are up: addresses that change, silence, kills; and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from testbed.engines.emulation.capture import Capture
from testbed.engines.emulation.lab import Lab
from testbed.engines.emulation.tunnel_daemon import INTERFACE
from testbed.engines.tunnel_inside import LINK
from testbed.errors import MissingFeature
from testbed.protocols.wire import Endpoint
from testbed.trace.record import Frame
from testbed.trace.trace import Trace
from tests.emulation import ground
from tests.emulation.test_lab_leaves_nothing import run_lab
from tests.emulation.tunnel_wires import (
    FROM_HOME,
    HMS,
    HNB_NAME,
    PATIENT,
    SEGW,
    SHORT,
    operator,
    policy,
)
from tests.emulation.wires import Wires, echo, on_wires

pytestmark = pytest.mark.emulation

SERVER = Endpoint(HMS, 7547)


@on_wires
async def test_a_tunnel_moves_with_its_initiators_address(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open(life=PATIENT)
    stream = await tunnel.inside.connect(SERVER)
    at.hnb.set_address("eth0", "192.168.1.77", 24)
    at.hnb.set_default_route("192.168.1.1")
    moved = await at.at_segw.next("moved")
    await stream.send(b"from another place")

    assert await stream.receive() == b"from another place"
    assert (moved.peer, moved.address) == (HNB_NAME, tunnel.address)
    assert moved.remote.address == FROM_HOME.address
    assert moved.remote != FROM_HOME, "the NAT has kept its port for the old address"
    assert tunnel.is_up


@pytest.mark.parametrize("keepalive_s", [1.0, 0.0])
@on_wires
async def test_keepalives_keep_the_nats_binding_where_they_are_asked_for(
    wires: Wires, keepalive_s: float
) -> None:
    at = operator(wires)
    kept: asyncio.Queue[str] = asyncio.Queue()

    def see(frame: Frame) -> None:
        if frame.link == "home" and frame.node == "hnb" and is_keepalive(frame.data):
            kept.put_nowait("keep-alive")

    capture = Capture(wires.namespaces, lambda *end: wires.links.get(end), see)
    capture.start()
    wires.captures.append(capture)
    await at.accept()
    life = replace(SHORT, keepalive_s=keepalive_s, dead_peer_s=2.0)
    await at.open(life=life)
    if keepalive_s:
        assert await kept.get() == "keep-alive"
        return
    wires.netlinks["gateway"].set_up("eth1", False)
    await at.at_hnb.next("down")  # two seconds without a word have gone by

    assert kept.empty()


def is_keepalive(frame: bytes) -> bool:
    """RFC 3948, 2.3: one octet, 0xFF, on port 4500."""
    is_udp = frame[12:14] == b"\x08\x00" and frame[23] == 17
    return is_udp and frame[36:38] == (4500).to_bytes(2) and frame[42:43] == b"\xff"


@on_wires
async def test_the_inside_of_a_tunnel_is_between_its_ends_in_the_trace(wires: Wires) -> None:
    at = operator(wires)
    trace = Trace()
    trace.set_nodes({}, {("segw", "eth0"): SEGW})
    capture, frames = wires.capture()
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open()
    stream = await tunnel.inside.connect(SERVER)
    await stream.send(b"a word")
    await stream.receive()
    await capture.flush()
    for node, event, fields in wires.told:
        trace.add_event(node, event, fields, 1)
    for frame in frames:
        if frame.link == LINK:
            trace.add_frame(frame)
    inside = [each for each in trace.records if each.link == LINK]

    assert {(each.sender, each.receiver) for each in inside} == {("hnb", "segw"), ("segw", "hnb")}


@on_wires
async def test_a_tunnel_is_told_as_an_address_that_comes_and_goes(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    tunnel = await at.open()
    await tunnel.close()
    told = [fields for node, event, fields in wires.told if (node, event) == ("hnb", "ADDRESS")]

    assert [each["address"] for each in told] == ["10.20.0.1", None]
    assert {(each["interface"], each["link"]) for each in told} == {(INTERFACE, LINK)}


@on_wires
async def test_a_lab_without_tun_says_what_it_lacks(wires: Wires) -> None:
    at = operator(wires)
    without_tun()
    with pytest.raises(MissingFeature, match=r"segw: charon cannot make its TUN device.*tun"):
        await at.segw.accept_tunnels(policy())
    with pytest.raises(MissingFeature, match="segw"):
        await at.segw.accept_tunnels(policy())

    assert INTERFACE not in wires.netlinks["segw"].links()


def without_tun() -> None:
    """Hide /dev/net/tun, in this process's own mount namespace."""
    ground.call("unshare", ground.nesting.CLONE_NEWNS)
    ground.mount("none", "/", "", ground.nesting.MS_REC | ground.nesting.MS_PRIVATE)
    ground.mount("/dev/null", "/dev/net/tun", "", ground.MS_BIND)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "worker", "charon"])
def test_nothing_is_left_of_tunnels_after_a_kill(victim: str) -> None:
    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            asyncio.run(opened(up))
            return 0

        with ground.nothing_left():
            parent = ground.fork("root", run_lab(work))
            up.await_reached()
            first = ground.child_of(ground.child_of(parent))
            worker = min(ground.children_of(first))
            charons = ground.children_of(worker)
            assert len(charons) == 2
            target = {"parent": parent, "worker": worker, "charon": charons[0]}[victim]
            os.kill(target, signal.SIGKILL)
            if victim == "charon":
                os.kill(parent, signal.SIGINT)
            ground.ended(parent)

    ground.on_ground(facts)


async def opened(up: ground.Signpost) -> None:
    wires = Wires()
    at = operator(wires)
    await at.accept()
    await at.open()
    up.reached()
    await asyncio.Event().wait()
