"""Raw ports that speak SCTP, on kernels that speak it too."""

from __future__ import annotations

import asyncio

import pytest

from testbed.engines.emulation import kernel_sctp, probes
from testbed.protocols import sctp
from testbed.protocols.wire import Endpoint
from tests.emulation.wires import Received, Wires, into, on_wires


def the_kernel_lacks_it() -> bool:
    return probes.outcomes()["sctp"] is not None


pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(the_kernel_lacks_it(), reason="this kernel has no SCTP (make vm-test has)"),
]


@on_wires
async def test_a_kernel_with_sctp_leaves_the_answer_to_the_role(wires: Wires) -> None:
    assert kernel_sctp.kernel_has_it()  # the probe above has loaded it
    hnb, hnb_gw = wires.pair()
    at_hnb, at_gw = Received(), Received()
    port = await hnb.raw(sctp.PROTOCOL, into(at_hnb))
    other = await hnb_gw.raw(sctp.PROTOCOL, into(at_gw))
    capture, frames = wires.capture()
    port.send(b"first", Endpoint("10.0.0.2", 0))
    packet, source = await at_gw.get()
    other.send(b"answer", source)

    assert (packet, source.address) == (b"first", "10.0.0.1")
    assert (await at_hnb.get())[0] == b"answer"
    await asyncio.to_thread(capture.stop)
    sent = [frame.data[34:] for frame in frames if frame.data[12:14] == b"\x08\0"]
    assert sent == [b"first", b"answer"]
    assert wires.crashes == []
