"""Tunnels of the emulation: real IKE and ESP between nodes, as roles see them."""

from __future__ import annotations

import pytest

from testbed.protocols.wire import Endpoint
from tests.emulation.tunnel_wires import HMS, INNER_DNS, SEGW, operator
from tests.emulation.wires import Wires, echo, on_wires

pytestmark = pytest.mark.emulation

SERVER = Endpoint(HMS, 7547)


@on_wires
async def test_a_tunnel_through_a_nat_carries_tcp_to_the_core(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open()
    stream = await tunnel.inside.connect(SERVER)
    await stream.send(b"through the tunnel")

    assert await stream.receive() == b"through the tunnel"
    assert stream.local.address == tunnel.address == "10.20.0.1"
    assert tunnel.dns_servers == (INNER_DNS,)
    assert tunnel.remote == Endpoint(SEGW, 4500)
    assert tunnel.is_up
    assert wires.crashes == []
