"""Tunnels of the emulation: real IKE and ESP between nodes, as roles see them."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.engines.emulation.capture import LINK_TYPE_RAW_IP
from testbed.engines.emulation.tunnel_daemon import INTERFACE
from testbed.engines.tunnel_inside import LINK
from testbed.errors import Unsupported
from testbed.host import Stream, Tunnel, TunnelCause, TunnelLife, TunnelRefused
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.protocols.pki import DAY_S, YEAR_S
from testbed.protocols.wire import Endpoint
from testbed.trace.folder import RunWriter
from testbed.trace.record import Frame
from testbed.trace.trace import Trace
from tests.emulation.tunnel_wires import (
    FROM_HOME,
    HMS,
    HNB_NAME,
    INNER_DNS,
    OTHER_ROOT,
    PATIENT,
    ROOT,
    SEGW,
    SEGW_NAME,
    SERVING_SEGW,
    SHORT,
    charon_of,
    operator,
    policy,
    second_operator,
)
from tests.emulation.wires import ANY, Received, Wires, echo, into, on_wires, serve_echo

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


@on_wires
async def test_udp_goes_both_ways_through_a_tunnel(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await serve_echo(at.hms, Endpoint(HMS, 53))
    tunnel = await at.open()
    answers: Received = asyncio.Queue()
    port = await tunnel.inside.datagrams(ANY, into(answers))
    port.send(b"from within", Endpoint(HMS, 53))

    assert await answers.get() == (str(port.local).encode(), Endpoint(HMS, 53))

    asking = await at.hms.datagrams(ANY, into(asyncio.Queue()))
    asking.send(b"from the core", port.local)

    assert (await answers.get())[0] == b"from the core"


@on_wires
async def test_the_core_can_connect_to_the_inner_address(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    tunnel = await at.open()
    listener = await tunnel.inside.listen(Endpoint("0.0.0.0", 7547), echo)
    stream = await at.hms.connect(Endpoint(tunnel.address, 7547))
    await stream.send(b"a connection request")

    assert await stream.receive() == b"a connection request"
    assert listener.local == Endpoint(tunnel.address, 7547)


@on_wires
async def test_a_tunnel_for_all_prefixes_leaves_the_way_to_the_responder_outside(
    wires: Wires,
) -> None:
    at = operator(wires)
    await at.accept(protects=("0.0.0.0/0",))
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open(protects=("0.0.0.0/0",))
    stream = await tunnel.inside.connect(SERVER)
    await stream.send(b"anything")

    assert await stream.receive() == b"anything"


@on_wires
async def test_what_is_inside_is_captured_in_clear_on_a_link_of_its_own(wires: Wires) -> None:
    at = operator(wires)
    arrived: list[Frame] = []
    capture, frames = wires.capture(arrived)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open()
    stream = await tunnel.inside.connect(SERVER)
    await stream.send(b"a word in clear")
    await stream.receive()
    await capture.flush()
    (sent,) = [each for each in frames if b"a word in clear" in each.data and each.node == "hnb"]

    assert (sent.link, sent.interface, sent.link_type) == (LINK, INTERFACE, LINK_TYPE_RAW_IP)
    assert [each.node for each in arrived if each.data == sent.data] == ["segw"]
    assert {each.link for each in frames if b"a word in clear" in each.data} == {LINK, "core"}


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], TunnelCause]] = {
    "wrong name": ({"identity": ROOT.issue("other.example")}, {}, "name"),
    "no name but the common one": ({"identity": ROOT.issue(SEGW_NAME, names=[])}, {}, "name"),
    "claims the name that the certificate lacks": (
        {"identity": ROOT.issue("other.example"), "name": SEGW_NAME},
        {},
        "name",
    ),
    "another root": ({"identity": OTHER_ROOT.issue(SEGW_NAME)}, {}, "chain"),
    "expired": (
        {"identity": ROOT.issue(SEGW_NAME, valid_from_s=-2 * DAY_S, valid_to_s=-DAY_S)},
        {},
        "expired",
    ),
    "not yet valid": (
        {"identity": ROOT.issue(SEGW_NAME, valid_from_s=DAY_S)},
        {},
        "not yet valid",
    ),
    "responder does not trust the initiator": ({"roots": (OTHER_ROOT.certificate,)}, {}, "peer"),
    "initiator trusts nobody": ({}, {"roots": ()}, "chain"),
    "initiator has expired": (
        {},
        {"identity": ROOT.issue(HNB_NAME, valid_from_s=-2 * DAY_S, valid_to_s=-DAY_S)},
        "peer",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
@on_wires
async def test_a_tunnel_is_refused(wires: Wires, case: str) -> None:
    of_policy, of_profile, cause = REFUSALS[case]
    at = operator(wires)
    await at.accept(**of_policy)
    with pytest.raises(TunnelRefused) as refused:
        await at.open(**of_profile)

    assert refused.value.cause == cause
    assert wires.crashes == []
    assert wires.netlinks["hnb"].addresses(INTERFACE) == []


@on_wires
async def test_a_tunnel_to_nobody_is_refused_when_all_tries_are_over(wires: Wires) -> None:
    at = operator(wires)
    with pytest.raises(TunnelRefused, match="nobody answers") as refused:
        await at.open()

    assert refused.value.cause == "no answer"


@on_wires
async def test_a_node_whose_clock_is_wrong_refuses_by_its_own_date(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    with pytest.raises(TunnelRefused) as refused:
        await at.open(moment=0.0)

    assert refused.value.cause == "not yet valid"

    with pytest.raises(TunnelRefused) as refused:
        await at.open(moment=time.time() + 3 * YEAR_S)

    assert refused.value.cause == "expired"

    tunnel = await at.open(moment=time.time() + 1.0)

    assert tunnel.is_up
    with pytest.raises(Unsupported, match="its date changes"):
        await at.open(moment=0.0)


@on_wires
async def test_a_name_that_is_not_checked_may_be_any_of_a_trusted_chain(wires: Wires) -> None:
    at = operator(wires)
    await at.accept(identity=ROOT.issue("other.example"))
    tunnel = await at.open(verifies_name=False)

    assert tunnel.is_up


@on_wires
async def test_a_responder_tells_whom_it_refuses(wires: Wires) -> None:
    at = operator(wires)
    await at.accept(roots=(OTHER_ROOT.certificate,))
    with pytest.raises(TunnelRefused):
        await at.open()
    await wires.until(lambda: "TUNNEL_FAILED" in [event for _, event, _ in wires.told])
    ((node, _, fields),) = [each for each in wires.told if each[1] == "TUNNEL_FAILED"]

    assert node == "segw"
    assert fields["remote"] == "203.0.113.7:4500"
    assert fields["cause"] == "chain"


@on_wires
async def test_a_closed_tunnel_is_deleted_and_the_responder_is_told(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open()
    up = await at.at_segw.next("up")
    stream = await tunnel.inside.connect(SERVER)
    await tunnel.close()
    down = await at.at_segw.next("down")

    assert (up.peer, up.remote, up.address) == (HNB_NAME, FROM_HOME, "10.20.0.1")
    assert (down.peer, down.address, down.cause) == (HNB_NAME, "10.20.0.1", "deleted")
    assert [(each.kind, each.cause) for each in at.at_hnb.all] == [("down", "closed")]
    assert not tunnel.is_up
    assert tunnel.inside.address_of(INTERFACE) is None
    with pytest.raises(ConnectionError):
        await stream.receive()
    with pytest.raises(ConnectionError, match="down"):
        await tunnel.inside.connect(SERVER)


@on_wires
async def test_a_second_tunnel_after_the_first_is_like_it(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    for _ in range(3):
        tunnel = await at.open()
        stream = await tunnel.inside.connect(SERVER)
        await stream.send(b"again")

        assert await stream.receive() == b"again"
        await tunnel.close()

    assert [each.kind for each in at.at_hnb.all] == ["down"] * 3


@on_wires
async def test_keys_are_changed_while_the_tunnel_is_up(wires: Wires) -> None:
    at = operator(wires)
    life = replace(SHORT, rekey_s=1.0)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open(life=life)
    stream = await tunnel.inside.connect(SERVER)
    await at.at_hnb.next("rekeyed")
    await at.at_segw.next("rekeyed")
    await stream.send(b"with new keys")

    assert await stream.receive() == b"with new keys"
    assert len({each.spi for each in wires.tunnel_keys if isinstance(each, EspKeys)}) >= 4


@on_wires
async def test_the_ike_keys_are_changed_while_the_tunnel_is_up(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open(life=replace(SHORT, ike_rekey_s=1.0))
    await at.at_hnb.next("ike rekeyed")
    await at.at_segw.next("ike rekeyed")
    stream = await tunnel.inside.connect(SERVER)
    await stream.send(b"as before")

    assert await stream.receive() == b"as before"
    await tunnel.close()

    assert (await at.at_segw.next("down")).cause == "deleted"


@on_wires
async def test_a_peer_that_is_silent_is_found_dead(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    tunnel = await at.open(life=replace(SHORT, dead_peer_s=1.0))
    wires.netlinks["gateway"].set_up("eth1", False)
    down = await at.at_hnb.next("down")

    assert down.cause == "dead"
    assert not tunnel.is_up


@on_wires
async def test_a_responder_without_power_says_nothing_and_begins_anew(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    tunnel = await at.open(life=replace(SHORT, dead_peer_s=1.0))
    await at.at_segw.next("up")
    capture, frames = wires.capture()
    at.segw.power_off()
    down = await at.at_hnb.next("down")
    await capture.flush()

    assert down.cause == "dead"
    assert [each for each in frames if each.node == "segw"] == []
    assert [each.kind for each in at.at_segw.all] == ["up"]

    at.segw.power_on()
    await at.accept()
    tunnel = await at.open(life=PATIENT)

    assert tunnel.is_up


@on_wires
async def test_an_initiator_without_power_leaves_its_inner_address(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    await at.open()
    at.hnb.power_off()
    at.hnb.power_on()

    assert INTERFACE not in wires.netlinks["hnb"].links()

    tunnel = await at.open()

    assert tunnel.address == "10.20.0.1"
    assert (await at.at_segw.next("down")).cause == "deleted"


@on_wires
async def test_a_responder_that_closes_dies_without_a_word(wires: Wires) -> None:
    at = operator(wires)
    listener = await at.accept()
    await at.open()
    capture, frames = wires.capture()
    listener.close()
    with pytest.raises(TunnelRefused) as refused:
        await at.open()
    await capture.flush()

    assert refused.value.cause in ("no answer", "peer")
    assert [each for each in frames if each.node == "segw" and each.data[23] == 17] == []
    assert wires.crashes == []


@on_wires
async def test_an_answer_is_not_waited_for_when_the_wait_is_cancelled(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    first = await at.open()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await at.open("203.0.113.99", life=TunnelLife())
    second = await at.open()

    assert first.is_up
    assert second.is_up


@on_wires
async def test_a_charon_that_dies_is_a_crash_and_its_tunnels_are_down(wires: Wires) -> None:
    at = operator(wires)
    await at.accept()
    tunnel = await at.open()
    os.kill(charon_of(wires, "hnb"), signal.SIGKILL)
    down = await at.at_hnb.next("down")
    await wires.until(lambda: bool(wires.crashes))
    ((node, error),) = wires.crashes

    assert down.cause == "dead"
    assert not tunnel.is_up
    assert (node, str(error)) == ("hnb", "hnb: charon ended with status -9, unasked")


@on_wires
async def test_two_tunnels_of_a_node_lead_to_two_operators(wires: Wires) -> None:
    at = operator(wires)
    serving_segw, serving_hms = second_operator(wires)
    await at.accept()
    identity = ROOT.issue("serving.example")
    await serving_segw.accept_tunnels(policy(identity=identity, pool="10.30.0.0/16"))
    for each in (at.hms, serving_hms):
        await each.listen(SERVER, functools.partial(tell_name, each.name))
    first = await at.open()
    second = await at.open(SERVING_SEGW, peer_name="serving.example")

    assert await name_told(first) == ("hms", "10.20.0.1")
    assert await name_told(second) == ("serving_hms", "10.30.0.1")

    await first.close()

    assert await name_told(second) == ("serving_hms", "10.30.0.1")


async def tell_name(name: str, stream: Stream) -> None:
    await stream.send(name.encode())


async def name_told(tunnel: Tunnel) -> tuple[str, str]:
    stream = await tunnel.inside.connect(SERVER)
    return (await stream.receive()).decode(), stream.local.address


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@on_wires
async def test_a_runs_keys_open_the_outside_to_tshark(wires: Wires, tmp_path: Path) -> None:
    at = operator(wires)
    capture, frames = wires.capture()
    await at.accept()
    await at.hms.listen(SERVER, echo)
    tunnel = await at.open(life=replace(SHORT, rekey_s=1.0, ike_rekey_s=2.0))
    stream = await tunnel.inside.connect(SERVER)
    for kind, word in (("", b"one"), ("rekeyed", b"two"), ("ike rekeyed", b"three")):
        if kind:
            await at.at_hnb.next(kind)
        await stream.send(b"a word for Wireshark: " + word)
        await stream.receive()
    await tunnel.close()
    await capture.flush()
    trace = Trace()
    writer = RunWriter(tmp_path, trace)
    for frame in frames:
        if frame.link == "internet":  # there all is protected
            trace.add_frame(frame)
    for keys in wires.tunnel_keys:
        trace.add_ike_keys(keys) if isinstance(keys, IkeKeys) else trace.add_esp_keys(keys)
    writer.close()

    in_esp = tshark(tmp_path, "-Y", "esp && tcp.payload", "-T", "fields", "-e", "tcp.payload")
    for word in (b"one", b"two", b"three"):
        assert (b"a word for Wireshark: " + word).hex() in in_esp

    exchanges = "isakmp && udp.port == 4500"
    fields = ["-e", "isakmp.exchangetype", "-e", "isakmp.typepayload", "-e", "isakmp.enc.decrypted"]
    for line in tshark(tmp_path, "-Y", exchanges, "-T", "fields", *fields).splitlines():
        assert line.split("\t")[2], line


def tshark(folder: Path, *options: str) -> str:
    """What tshark says of a run's capture with the run's own keys as its profile."""
    done = subprocess.run(
        ["tshark", "-r", str(folder / "trace.pcapng"), *options],
        env={**os.environ, "WIRESHARK_CONFIG_DIR": str(folder / "keys")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
