"""Tunnels whose ESP the kernel does: what they carry, and what is left when charon has died."""

from __future__ import annotations

import subprocess

import pytest

from testbed.engines.emulation import probes
from testbed.engines.emulation.netlink import NetlinkError
from testbed.engines.emulation.tunnel_daemon import INTERFACE
from testbed.host import TunnelLife
from testbed.protocols.wire import Endpoint
from testbed.topology import Esp
from tests.emulation.tunnel_wires import HMS, INNER_DNS, SEGW, operator
from tests.emulation.wires import Wires, echo, on_wires

SERVER = Endpoint(HMS, 7547)
PATIENT = TunnelLife()
"""An emulated processor takes its time, and nothing here waits for a failure."""


def the_kernel_lacks_it() -> bool:
    return probes.outcomes()["kernel_esp"] is not None


pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(the_kernel_lacks_it(), reason="this kernel has no ESP (make vm-test has)"),
]


def ip(wires: Wires, node: str, *words: str) -> str:
    with wires.namespaces[node]:
        return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@on_wires
async def test_a_tunnel_through_a_nat_carries_tcp_to_the_core(wires: Wires) -> None:
    wires.esp = Esp.KERNEL
    at = operator(wires)
    capture, frames = wires.capture()
    await at.accept(life=PATIENT)
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open(life=PATIENT)
    stream = await tunnel.inside.connect(SERVER)
    await stream.send(b"through the tunnel")

    assert await stream.receive() == b"through the tunnel"
    assert stream.local.address == tunnel.address == "10.20.0.1"
    assert tunnel.dns_servers == (INNER_DNS,)
    assert tunnel.remote == Endpoint(SEGW, 4500)
    capture.stop()
    assert any(b"through the tunnel" in frame.data for frame in frames if frame.link == "ipsec")
    outside = [frame.data for frame in frames if frame.link in ("home", "internet")]
    assert outside
    assert not any(b"through the tunnel" in data for data in outside)
    assert "proto esp" in ip(wires, "hnb", "xfrm", "state")
    assert wires.crashes == []


@on_wires
async def test_nothing_is_left_in_the_kernel_when_charon_has_died(wires: Wires) -> None:
    wires.esp = Esp.KERNEL
    at = operator(wires)
    listener = await at.accept(life=PATIENT)
    await at.open(life=PATIENT)
    listener.close()

    assert ip(wires, "segw", "xfrm", "state") == ""
    assert ip(wires, "segw", "xfrm", "policy") == ""
    with pytest.raises(NetlinkError):
        wires.netlinks["segw"].link(INTERFACE)
    await at.accept(life=PATIENT)
    assert wires.crashes == []
