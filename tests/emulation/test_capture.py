"""The capture: every frame of every link once, in the order of time, as it was on the wire."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import time

import pytest

from testbed.engines.emulation.capture import LINK_TYPE_RAW_IP, Capture
from testbed.engines.emulation.packets import checksum
from testbed.host import Stream
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat
from testbed.trace.record import Frame
from tests.emulation.wires import (
    ANY,
    HMS,
    SERVER,
    Received,
    Wires,
    echo,
    into,
    on_wires,
    serve_echo,
)

pytestmark = pytest.mark.emulation

TCP, UDP = 6, 17


def packets(frames: list[Frame], protocol: int) -> list[Frame]:
    return [
        each for each in frames if each.data[12:14] == b"\x08\x00" and each.data[23] == protocol
    ]


def payload(frame: Frame) -> bytes:
    return frame.data[42:]


def in_order_of_time(frames: list[Frame]) -> bool:
    stamps = [each.time_ns for each in frames]
    return stamps == sorted(stamps)


def right_checksums(frame: Frame) -> bool:
    packet = frame.data[14:]
    pseudo = packet[12:20] + struct.pack("!BBH", 0, packet[9], len(packet) - 20)
    return checksum(packet[:20]) == 0 and checksum(pseudo + packet[20:]) == 0


@on_wires
async def test_each_frame_is_recorded_once_as_its_sender_put_it_on_the_link(wires: Wires) -> None:
    hnb, hms = wires.pair()
    arrivals: list[Frame] = []
    capture, frames = wires.capture(arrivals)
    received: Received = asyncio.Queue()
    there = await hms.datagrams(HMS, into(received))
    port = await hnb.datagrams(ANY, into(received))
    for number in range(20):
        port.send(b"there %d" % number, HMS)
        _, source = await received.get()
        there.send(b"back %d" % number, source)
        await received.get()
    await capture.flush()
    recorded = packets(frames, UDP)

    assert [payload(each) for each in recorded] == [
        b"%s %d" % (way, number) for number in range(20) for way in (b"there", b"back")
    ]
    assert [each.node for each in recorded] == ["hnb", "hms"] * 20
    assert {(each.link, each.interface, each.link_type) for each in recorded} == {
        ("core", "eth0", 1)
    }
    assert in_order_of_time(frames)
    assert capture.late == 0

    arrived = packets(arrivals, UDP)

    assert [each.data for each in arrived] == [each.data for each in recorded]
    assert [each.node for each in arrived] == ["hms", "hnb"] * 20


@on_wires
async def test_a_frame_sent_before_a_flush_has_been_given_out_after_it(wires: Wires) -> None:
    hnb, _ = wires.pair()
    capture, frames = wires.capture()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()), broadcast=True)
    for number in range(100):
        port.send(bytes([number]), Endpoint("10.0.0.255", 9))
        await capture.flush()

        assert payload(frames[-1])[:1] == bytes([number])
    assert len(frames) == 100


@on_wires
async def test_frames_are_given_out_without_a_flush(wires: Wires) -> None:
    hnb, _ = wires.pair()
    given = asyncio.Event()
    capture = Capture(wires.namespaces, lambda node, interface: "core", lambda frame: given.set())
    capture.start()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    port.send(b"?", HMS)

    await given.wait()

    capture.stop()


@on_wires
async def test_the_first_frame_has_the_time_at_which_it_was_sent(wires: Wires) -> None:
    hnb, _ = wires.pair()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()), broadcast=True)
    capture, frames = wires.capture()
    before_ns = time.time_ns()
    port.send(b"?", Endpoint("10.0.0.255", 9))
    after_ns = time.time_ns()
    await capture.flush()

    assert before_ns <= frames[0].time_ns <= after_ns


@on_wires
async def test_twenty_thousand_datagrams_are_recorded_in_order_and_none_dropped(
    wires: Wires,
) -> None:
    hnb, hms = wires.pair()
    capture, frames = wires.capture()
    await serve_echo(hms, HMS)
    left = 10_000
    done = asyncio.Event()

    def answered(data: bytes, source: Endpoint) -> None:
        nonlocal left
        left -= 1
        if left >= 64:
            port.send(left.to_bytes(2, "big"), HMS)
        if left == 0:
            done.set()

    port = await hnb.datagrams(ANY, answered)
    for _ in range(64):
        port.send(b"", HMS)
    await done.wait()
    await capture.flush()
    asked = [each for each in packets(frames, UDP) if each.node == "hnb"]
    numbers = [int.from_bytes(payload(each), "big") for each in asked[64:]]

    assert capture.drops == {"hnb": 0, "hms": 0}
    assert len(packets(frames, UDP)) == 20_000
    assert numbers == sorted(numbers, reverse=True)
    assert in_order_of_time(frames)
    assert capture.late == 0


@on_wires
async def test_frames_that_the_capture_lost_are_counted_by_node(wires: Wires) -> None:
    hnb, _ = wires.pair()
    capture, frames = wires.capture(buffer_octets=1 << 16)
    port = await hnb.datagrams(ANY, into(asyncio.Queue()), broadcast=True)
    for _ in range(1000):  # in one turn of the loop: nobody reads meanwhile
        port.send(bytes(100), Endpoint("10.0.0.255", 9))
    await capture.flush()
    drops = capture.drops

    assert drops["hnb"] > 0
    assert drops["hms"] == 0
    assert drops["hnb"] + len(frames) == 1000
    assert capture.drops == drops

    capture.stop()

    assert capture.drops == drops


@on_wires
async def test_captured_checksums_and_lengths_are_those_of_a_wire(wires: Wires) -> None:
    hnb, hms = wires.pair()
    capture, frames = wires.capture()
    done = asyncio.Event()

    async def takes(stream: Stream) -> None:
        while await stream.receive():
            pass
        done.set()

    await hms.listen(HMS, takes)
    stream = await hnb.connect(HMS)
    await stream.send(bytes(range(256)) * 400)
    await stream.close()
    await done.wait()
    answers: Received = asyncio.Queue()
    await serve_echo(hms, HMS)
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"odd", HMS)
    await answers.get()
    await capture.flush()
    segments, datagrams = packets(frames, TCP), packets(frames, UDP)

    assert len(segments) > 70
    assert len(datagrams) == 2
    assert all(right_checksums(each) for each in segments + datagrams)
    assert max(len(each.data) for each in frames) == 1514


@on_wires
async def test_a_translated_message_is_recorded_on_both_links(wires: Wires) -> None:
    hnb, gateway, server = wires.home()
    gateway.translate(Nat.MASQUERADE, ["eth0"], "eth1")
    capture, frames = wires.capture()
    answers: Received = asyncio.Queue()
    await serve_echo(server, SERVER)
    port = await hnb.datagrams(ANY, into(answers))
    for _ in range(50):
        port.send(b"?", SERVER)
        await answers.get()
    await capture.flush()

    assert [(each.link, each.node) for each in packets(frames, UDP)] == [
        ("home", "hnb"),
        ("internet", "gateway"),
        ("internet", "server"),
        ("home", "gateway"),
    ] * 50
    assert in_order_of_time(frames)


@pytest.mark.skipif(
    not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="this user may not open /dev/net/tun"
)
@on_wires
async def test_a_tunnel_that_appears_later_is_recorded_as_raw_ip(wires: Wires) -> None:
    hnb, _ = wires.pair()
    capture, frames = wires.capture()
    with wires.namespaces["hnb"]:
        tunnel = os.open("/dev/net/tun", os.O_RDWR)
        without_header, kind = 0x1000, 1
        fcntl.ioctl(tunnel, 0x400454CA, struct.pack("16sH22x", b"ipsec0", kind | without_header))
    wires.links["hnb", "ipsec0"] = "tunnel"
    wires.netlinks["hnb"].set_up("ipsec0")
    wires.netlinks["hnb"].set_address("ipsec0", "10.20.0.1", 24)
    port = await hnb.datagrams(ANY, into(asyncio.Queue()))
    port.send(b"inside", Endpoint("10.20.0.2", 9))
    await capture.flush()
    (frame,) = frames

    assert (frame.link, frame.node, frame.interface) == ("tunnel", "hnb", "ipsec0")
    assert frame.link_type == LINK_TYPE_RAW_IP
    assert frame.data[0] == 0x45
    assert frame.data[28:] == b"inside"
    assert os.read(tunnel, 2000) == frame.data


@on_wires
async def test_interfaces_that_are_on_no_link_are_left_out(wires: Wires) -> None:
    hnb, _ = wires.pair()
    wires.netlinks["hnb"].set_up("lo")
    capture, frames = wires.capture()
    answers: Received = asyncio.Queue()
    await serve_echo(hnb, Endpoint("127.0.0.1", 7))
    port = await hnb.datagrams(ANY, into(answers))
    port.send(b"to itself", Endpoint("127.0.0.1", 7))
    await answers.get()
    await capture.flush()

    assert frames == []


@on_wires
async def test_a_sent_stream_is_recorded_by_whom_it_was_sent(wires: Wires) -> None:
    hnb, hms = wires.pair()
    await hms.listen(HMS, echo)
    capture, frames = wires.capture()
    stream = await hnb.connect(HMS)
    await stream.send(b"Inform")
    await stream.receive()
    await capture.flush()
    carried = [each.node for each in packets(frames, TCP) if each.data.endswith(b"Inform")]

    assert carried == ["hnb", "hms"]


@on_wires
async def test_after_stop_nothing_is_recorded_and_all_before_is(wires: Wires) -> None:
    hnb, _ = wires.pair()
    capture, frames = wires.capture()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()), broadcast=True)
    port.send(b"before", Endpoint("10.0.0.255", 9))
    capture.stop()
    port.send(b"after", Endpoint("10.0.0.255", 9))
    await capture.flush()

    assert [payload(each)[:6] for each in frames] == [b"before"]


@on_wires
async def test_a_link_that_goes_down_does_not_end_the_capture(wires: Wires) -> None:
    hnb, _ = wires.pair()
    capture, frames = wires.capture()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()), broadcast=True)
    hnb.power_off()
    hnb.power_on()
    port = await hnb.datagrams(ANY, into(asyncio.Queue()), broadcast=True)
    port.send(b"again", Endpoint("10.0.0.255", 9))
    await capture.flush()

    assert payload(frames[-1])[:5] == b"again"
