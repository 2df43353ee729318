"""IKE and ESP in a trace: arrows through a NAT, opened when keys come, in ladders and folders."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from testbed.errors import StepMissed
from testbed.protocols import ike
from testbed.roles.role import Role
from testbed.scenario import Stage
from testbed.topology import Topology
from testbed.trace.folder import KEY_TABLES, RunWriter, load
from testbed.trace.ladder import LadderPrinter, draw
from testbed.trace.opened import INSIDE, OPENED, inside_too
from testbed.trace.record import Frame
from testbed.trace.trace import Trace
from tests.fake_host import FakeNetwork
from tests.protocols.ike import charons
from tests.virtual_time import virtual_time

ENDS = [
    (("hnb", "eth0"), "192.168.1.10"),
    (("gw", "lan"), "192.168.1.1"),
    (("gw", "wan"), "203.0.113.7"),
    (("segw", "eth0"), "203.0.113.50"),
]


def begun(name: str = "cbc") -> Trace:
    """A trace that knows who is where, and has no frame yet."""
    nodes = {}
    for frame in charons.frames(name):
        if frame.link_type == 1:
            nodes[frame.data[6:12].hex(":")] = (frame.node, frame.interface, frame.link)
    trace = Trace()
    trace.set_nodes(nodes, dict(ENDS))
    return trace


def whole(name: str = "cbc") -> Trace:
    trace = begun(name)
    for frame in charons.frames(name):
        trace.add_frame(frame)
    return trace


def auths(trace: Trace) -> list[ike.Auth]:
    return [each.message for each in trace.all(ike.Auth)]


def test_a_message_is_one_arrow_through_the_nat() -> None:
    trace = whole()
    arrows = [each for each in trace.arrows if isinstance(each.message, ike.IkeMessage)]

    assert len(arrows) == 14
    assert {(len(each.hops), {each.origin, each.end} == {"hnb", "segw"}) for each in arrows} == {
        (2, True)
    }


def test_keys_open_what_has_come_before_them() -> None:
    trace = whole()
    before = list(trace.records)
    seen: list[int] = []
    trace.opened_listeners.append(lambda record: seen.append(record.number))
    opened = trace.add_ike_keys(charons.keys("cbc")[0][0])

    assert [each.idi for each in auths(trace)[:2]] == ["hnb1.operator.example"] * 2
    assert seen == [each.number for each in opened]
    assert trace.opened == len(opened) == 20
    for old, new in zip(before, trace.records, strict=True):
        assert dataclasses.replace(new, message=old.message, marks=old.marks) == old
    for record in opened:
        assert OPENED in record.marks
        assert trace.records[record.number] is record
        assert record in trace.arrow_of(record).hops


def test_keys_open_what_comes_after_them() -> None:
    trace = begun()
    for keys in charons.keys("cbc")[0]:
        trace.add_ike_keys(keys)
    for frame in charons.frames("cbc"):
        trace.add_frame(frame)

    assert trace.opened == 0
    assert all(each.message.is_opened for each in trace.all(ike.IkeMessage))
    assert [each.message for each in trace] == [each.message for each in charons.opened("cbc")]


def test_the_last_fragment_on_each_link_has_what_is_inside() -> None:
    trace = whole("gcm")
    for keys in charons.keys("gcm")[0]:
        trace.add_ike_keys(keys)
    opened = [each for each in trace.all(ike.Auth) if OPENED in each.marks]

    assert [each.link for each in opened] == ["home", "internet", "internet", "home"]
    assert [each.message.fragment for each in opened] == [(3, 3)] * 4
    assert {each.message.idr for each in opened} == {"segw.operator.example"}


def test_wrong_keys_are_told_at_the_record() -> None:
    trace = whole()
    keys = charons.keys("cbc")[0][0]
    trace.add_ike_keys(dataclasses.replace(keys, sk_ai=bytes(32)))
    (request, *_) = trace.all(ike.Auth, is_request=True)

    assert not request.message.is_opened
    assert str(request.error) == "IKE_AUTH: its integrity check value is of other keys"


class Wires:
    """All that a scenario asks of a world that switches nothing."""

    async def flush(self) -> None: ...


def stage(trace: Trace) -> Stage:
    net = Topology("the golden capture's")
    home, internet = net.link("home", "192.168.1.0/24"), net.link("internet", "203.0.113.0/24")
    net.node("hnb", home.at(10))
    net.node("segw", internet.at(50))
    network = FakeNetwork()
    roles = {name: Role(network.host(node), node) for name, node in net.nodes.items()}
    return Stage(Wires(), net, trace, roles)  # type: ignore[arg-type]  # nobody switches anything


@virtual_time
async def test_sees_waits_for_the_keys_of_what_it_has_passed_over() -> None:
    trace = whole()
    at = stage(trace)
    with pytest.raises(StepMissed):
        await at.sees(at.hnb, "->", at.segw, ike.Auth, idr="segw.operator.example", within_s=1)
    asyncio.get_running_loop().call_later(3, lambda: trace.add_ike_keys(charons.keys("cbc")[0][0]))
    record = await at.sees(at.hnb, "->", at.segw, ike.Auth, idr="segw.operator.example", port=4500)

    assert record.message.certificates
    assert asyncio.get_running_loop().time() == 1004


def lines(trace: Trace, everything: bool = False) -> str:
    return "\n".join(draw(trace, width=400, everything=everything))


def test_a_ladder_tells_what_is_inside_or_how_long_it_is() -> None:
    trace = whole()

    assert "IKE_AUTH request (encrypted, 800 octets)" in lines(trace)

    for keys in charons.keys("cbc")[0]:
        trace.add_ike_keys(keys)

    told = lines(trace)
    assert "IKE_AUTH request IDi=hnb1.operator.example IDr=segw.operator.example CERT" in told
    assert "IKE_AUTH response IDr=segw.operator.example CERT address=10.20.0.1" in told
    assert "encrypted" not in told


def test_a_ladder_draws_the_first_packet_of_an_esp_association_unless_all_is_asked_for() -> None:
    trace = whole()

    assert lines(trace).count("ESP 0x") == 2
    assert "ESP 0x832b2b64 number 1, 88 octets" in lines(trace)
    assert lines(trace, everything=True).count("ESP 0x") == 6


def test_a_lost_esp_packet_is_drawn() -> None:
    trace = begun()
    for frame in charons.frames("cbc")[:40]:
        trace.add_frame(frame)
        if b"\x83\x2b\x2b\x64\0\0\0\2" not in frame.data or frame.link != "internet":
            trace.arrived(dataclasses.replace(frame, node="segw", time_ns=frame.time_ns + 1))
    trace.close()

    assert "ESP 0x832b2b64 number 2, 88 octets" in lines(trace)


def is_arp(frame: Frame) -> bool:
    return frame.data[12:14] == b"\x08\x06"


def test_a_growing_ladder_waits_for_keys() -> None:
    trace = begun()
    printer = LadderPrinter(trace, ["hnb", "gw", "segw"], is_terminal=False)
    told: list[str] = []
    trace.listeners.append(lambda record: told.extend(printer.record(record)))
    for frame in charons.frames("cbc")[:12]:
        if is_arp(frame):
            continue
        (record,) = trace.add_frame(frame)
        after = frame.time_ns + 1
        trace.arrived(dataclasses.replace(frame, node=str(record.receiver), time_ns=after))
        told += printer.passed(after)
    assert [each.split()[4] for each in told if "IKE" in each] == ["IKE_SA_INIT"] * 2

    trace.add_ike_keys(charons.keys("cbc")[0][0])
    told += printer.finish()

    assert any("IKE_AUTH request IDi=hnb1.operator.example" in each for each in told)


def test_a_folder_keeps_the_keys_and_opens_by_them(tmp_path) -> None:
    trace = begun()
    writer = RunWriter(tmp_path, trace)
    for frame in charons.frames("cbc"):
        trace.add_frame(frame)
    ike_keys, esp_keys = charons.keys("cbc")
    for each in ike_keys:
        trace.add_ike_keys(each)
    for each in esp_keys:
        trace.add_esp_keys(each)
    writer.close()
    again = load(tmp_path)

    for name, table in zip(("ikev2_decryption_table", "esp_sa"), KEY_TABLES, strict=True):
        assert (tmp_path / table).read_text() == charons.path("cbc", name).read_text()
    assert [each.message for each in again] == [each.message for each in trace]
    assert again.esp_keys == trace.esp_keys


def test_a_second_run_in_a_folder_has_its_own_keys_only(tmp_path) -> None:
    for name in charons.NAMES:
        trace = begun(name)
        writer = RunWriter(tmp_path, trace)
        for keys in charons.keys(name)[0]:
            trace.add_ike_keys(keys)
        writer.close()

    assert list(load(tmp_path).ike_keys) == charons.keys("gcm")[0]


@pytest.mark.parametrize("name", charons.NAMES)
def test_a_field_captures_esp_gives_what_is_inside_once(name: str) -> None:
    outside = [each for each in charons.frames(name) if each.link != INSIDE]
    frames = list(inside_too(outside, charons.keys(name)[1]))
    inside = [each for each in frames if each.link == INSIDE]
    core = [each.data[42:] for each in outside if each.link == "core" and each.data[23] == 17]

    assert [each.data[28:] for each in inside] == core
    assert len(frames) == len(outside) + 6


def test_a_capture_that_has_the_inside_is_not_opened_twice() -> None:
    frames = charons.frames("cbc")

    assert list(inside_too(frames, charons.keys("cbc")[1])) == frames


def test_esp_without_udp_is_read_too() -> None:
    """Protocol 50, as between ends without a NAT."""
    packet = bytes.fromhex("45000024000040004032b86f cb007107 cb007132") + bytes.fromhex(
        "00c0ffee 00000007"
    )
    (record,) = Trace().add_frame(Frame(1, "internet", "hnb", "eth0", packet + bytes(8), 101))

    assert record.transport == "esp"
    assert record.message == ike.EspPacket(0xC0FFEE, 7, bytes(8))
