"""What a listening port bears on real sockets: half-open handshakes, and no file left to open."""

from __future__ import annotations

import asyncio
import resource
import socket
import time

import pytest

from testbed.engines.handshakes import MOST_HANDSHAKES
from testbed.host import TlsProfile
from testbed.protocols.pki import Authority
from tests.emulation.wires import HMS, Wires, echo, on_wires

pytestmark = pytest.mark.emulation

ROOT = Authority("operator", "seed", time.time())
SERVER = TlsProfile(identity=ROOT.issue("hms.example"))
CLIENT = TlsProfile(roots=(ROOT.certificate,), server_name="hms.example")


@on_wires
async def test_half_open_handshakes_are_bounded_and_the_next_one_is_served(wires: Wires) -> None:
    hnb, hms = wires.pair()
    await hms.listen(HMS, echo, SERVER)
    silent = [await hnb.connect(HMS) for _ in range(MOST_HANDSHAKES + 20)]
    secured = await hnb.connect(HMS, CLIENT)
    await secured.send(b"Inform")
    answer = await secured.receive()
    given_up = [dict(fields) for _, event, fields in wires.told if event == "TLS_FAILED"]

    assert answer == b"Inform"
    assert [each["remote"] for each in given_up] == [str(each.local) for each in silent[:21]]
    assert given_up[0]["reason"] == "more than 256 handshakes are under way"
    assert wires.crashes == []


@on_wires
async def test_a_listener_without_a_file_left_rests_and_goes_on_later(wires: Wires) -> None:
    hnb, hms = wires.pair()
    await hms.listen(HMS, echo)
    with hnb.namespace:
        waiting = socket.create_connection((HMS.address, HMS.port))  # in the kernel's queue
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    await wires.something_told.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    told = [event for _, event, _ in wires.told]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    waiting.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(waiting, b"Inform")
    answer = await loop.sock_recv(waiting, 100)
    waiting.close()

    assert told == ["ACCEPT_FAILED"]
    assert answer == b"Inform"
