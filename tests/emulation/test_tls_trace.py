"""A run over TLS, behind a NAT: its clear messages in the trace, its secrets in the capture."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from testbed.engines.emulation.world import EmulationWorld
from testbed.host import Stream, TlsProfile, TlsVersion
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import Envelope
from testbed.protocols.pki import Authority
from testbed.protocols.tls import ClientHello
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat, Topology, places, static_addresses
from testbed.trace.arrow import end_to_end
from testbed.trace.folder import EVENTS, RunWriter, load
from testbed.trace.ladder import LadderPrinter, draw
from testbed.trace.record import Record
from testbed.trace.select import matches
from testbed.trace.trace import Trace
from tests.emulation.inside import in_lab

http = pytest.importorskip("testbed.protocols.http")

pytestmark = pytest.mark.emulation

ROOT = Authority("operator", "seed", time.time())
HMS = Endpoint("203.0.113.20", 443)
CLIENT = TlsProfile(roots=(ROOT.certificate,), server_name="hms.example")
SERVER = TlsProfile(ROOT.issue("hms.example"))
INFORM = Envelope(rpc.Inform(events=(rpc.Event("0 BOOTSTRAP", ""), rpc.Event("1 BOOT", ""))), "1")
ANSWER = Envelope(rpc.InformResponse(), "1")
XML = (("Host", "hms.example"), ("Content-Type", "text/xml; charset=utf-8"))


def homes(count: int = 1) -> Topology:
    net = Topology("Homes and an HMS on the Internet.")
    internet = net.link("internet", "203.0.113.0/24")
    net.node("initial_hms", internet.at(20))
    for home in net.repeat("home", count):
        lan = home.link("home", "192.168.1.0/24")
        home.node("gateway", lan.at(1), internet.next_free(), nat=Nat.MASQUERADE)
        home.node("hnb", lan.at(10), router="192.168.1.1")
    return net


async def serve(stream: Stream) -> None:
    """Answers each request, the Inform with its response and what is empty with 204."""
    decoder = http.Decoder(to_server=True)
    while data := await stream.receive():
        for request in decoder.feed(data):
            if request.is_empty:
                response = http.Response(status=204)
            else:
                response = http.Response(XML, ANSWER.encode())
            await stream.send(response.encode())


async def session(stream: Stream) -> None:
    decoder = http.Decoder(to_server=False)
    for body in (INFORM.encode(), b""):
        await stream.send(http.Request(XML, body, target="/acs").encode())
        while not decoder.feed(await stream.receive()):
            pass
    await stream.close()


@dataclass
class Run:
    trace: Trace
    folder: Path
    lines: list[str]


async def play(
    folder: Path,
    topology: Topology,
    script: Callable[[EmulationWorld], Awaitable[None]],
    foreign: Collection[str] = (),
) -> Run:
    trace = Trace(arrivals=True)
    trace.set_nodes(places(topology), static_addresses(topology))
    printer = LadderPrinter(trace, list(topology.nodes), 120)
    lines: list[str] = []
    trace.listeners.append(lambda record: lines.extend(printer.record(record)))
    writer = RunWriter(folder, trace)
    world = EmulationWorld(topology, trace, "seed", foreign=foreign)
    try:
        for name, node in topology.nodes.items():
            if node.nat is not None:
                world.hosts[name].translate(node.nat, ["eth0"], "eth1")
        await script(world)
        await world.flush()
    finally:
        world.stop()
        trace.close()
        writer.close((world.key_log,))
    assert world.crashes == []
    return Run(trace, folder, [*lines, *printer.finish()])


async def one_session(world: EmulationWorld) -> None:
    await world.hosts["initial_hms"].listen(HMS, serve, SERVER)
    await session(await world.hosts["hnb"].connect(HMS, CLIENT))


def told(record: Record) -> tuple[str, str | None, str]:
    return record.sender, record.receiver, record.summary()


def clear(trace: Trace) -> list[Record]:
    return [record for record in trace if "tap" in record.marks]


INFORM_TOLD = ("hnb", "initial_hms", "CWMP Inform 0 BOOTSTRAP,1 BOOT")
SESSION = [
    INFORM_TOLD,
    ("initial_hms", "hnb", "CWMP InformResponse"),
    ("hnb", "initial_hms", "HTTP POST /acs 0 octets"),
    ("initial_hms", "hnb", "HTTP 204 No Content 0 octets"),
]


@in_lab
def test_each_clear_message_is_told_once_between_its_ends() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = asyncio.run(play(Path(folder), homes(), one_session))
    records = clear(run.trace)

    assert [told(each) for each in records] == SESSION
    assert {each.transport for each in records} == {"tls"}
    assert {each.link for each in records} == {"home"}
    (inform,) = run.trace.all(rpc.Inform)
    assert matches(inform, http.Request, target="/acs", port=443)
    assert matches(inform, Envelope, id="1")
    assert end_to_end(run.trace.arrow_of(inform), "hnb", "initial_hms")
    assert not end_to_end(run.trace.arrow_of(inform), "hnb", "gateway")
    numbers = [each.number for each in records]
    times = [each.time_ns for each in run.trace]
    hello = next(run.trace.all(ClientHello, server_name="hms.example"))
    last = max(each.number for each in run.trace if "FIN" in each.marks)
    assert times == sorted(times)
    assert hello.number < numbers[0]
    assert numbers[-1] < last
    ladder = "\n".join(draw(run.trace, width=160))
    for line in (ladder, "\n".join(run.lines)):
        assert line.count("CWMP Inform 0 BOOTSTRAP,1 BOOT (TLS)") == 1
        assert line.count("TLS ClientHello for hms.example") == 1
        assert line.count("TLS ServerHello 1.3") == 1


@in_lab
def test_a_folder_loads_to_an_equal_trace() -> None:
    with tempfile.TemporaryDirectory() as name:
        run = asyncio.run(play(Path(name), homes(), one_session))
        again = load(Path(name))
        lines = [json.loads(each) for each in (Path(name) / EVENTS).read_text().splitlines()]

    assert again.records == run.trace.records
    assert [each.carried for each in again] == [each.carried for each in run.trace]
    assert draw(again) == draw(run.trace)
    assert [str(each) for each in again.arrows] == [str(each) for each in run.trace.arrows]
    assert sum(each["event"] == "CLEAR" for each in lines) >= len(SESSION)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@in_lab
def test_tshark_opens_the_capture_without_being_told_a_key(version: TlsVersion) -> None:
    async def script(world: EmulationWorld) -> None:
        await world.hosts["initial_hms"].listen(HMS, serve, SERVER)
        client = replace(CLIENT, maximum_version=version)
        await session(await world.hosts["hnb"].connect(HMS, client))

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(play(Path(name), homes(), script))
        command = ["tshark", "-r", f"{name}/trace.pcapng", "-Y", "http && ip.addr==192.168.1.10"]
        fields = ["-e", "ip.src", "-e", "http.request.method", "-e", "http.response.code"]
        shown = subprocess.run(
            [*command, "-T", "fields", *fields], capture_output=True, text=True, check=True
        )

    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["192.168.1.10", "POST", ""],
        [HMS.address, "", "200"],
        ["192.168.1.10", "POST", ""],
        [HMS.address, "", "204"],
    ]


@in_lab
def test_a_node_that_is_not_ours_is_told_by_whom_it_connects_to() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = asyncio.run(play(Path(folder), homes(), one_session, foreign=["hnb"]))
        again = load(Path(folder))
    records = clear(run.trace)

    assert [told(each) for each in records] == SESSION
    assert {each.link for each in records} == {"internet"}
    assert again.records == run.trace.records


@in_lab
def test_two_homes_with_the_same_addresses_are_told_apart() -> None:
    async def script(world: EmulationWorld) -> None:
        await world.hosts["initial_hms"].listen(HMS, serve, SERVER)
        nodes = [world.hosts[each] for each in ("hnb", "hnb2", "hnb")]
        streams = [await node.connect(HMS, CLIENT) for node in nodes]
        await asyncio.gather(*(session(stream) for stream in streams))

    with tempfile.TemporaryDirectory() as folder:
        run = asyncio.run(play(Path(folder), homes(2), script))
    informs = [told(each)[:2] for each in run.trace.all(rpc.Inform)]
    answers = [told(each)[:2] for each in run.trace.all(rpc.InformResponse)]

    assert sorted(informs) == [("hnb", "initial_hms")] * 2 + [("hnb2", "initial_hms")]
    assert sorted(answers) == [("initial_hms", "hnb")] * 2 + [("initial_hms", "hnb2")]
