"""Links that misbehave, on the kernel: what the relay does to packets of real stacks."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from testbed.engines.emulation.carriage import BackEnd, Wanted
from testbed.engines.emulation.network import Network
from testbed.engines.emulation.relay_process import RelayProcess
from testbed.errors import BadInput, LocalError, MissingFeature
from testbed.topology import Passage, Quality, Topology
from tests.emulation.inside import in_lab

pytestmark = pytest.mark.emulation

WITHIN_S = 10
COUNT = 1000
_IP_MTU_DISCOVER, _PMTUDISC_DO, _PMTUDISC_DONT, _IP_RECVERR = 10, 2, 0, 11


def near_and_far(**quality: object) -> Topology:
    """near at 10.0.0.1 and far at 10.0.0.2 on one link, and a witness at 10.0.0.3."""
    net = Topology("two hosts")
    wire = net.link("wire", "10.0.0.0/24", **{"delay_ms": 0.0, "jitter_ms": 0.0, **quality})
    net.node("near", wire.at(1))
    net.node("far", wire.at(2))
    net.node("witness", wire.at(3))
    return net


def routed(inside: Quality, outside: Quality) -> Topology:
    """near behind a router that far is on the other side of."""
    net = Topology("a router between")
    lan, wan = net.link("lan", "10.0.0.0/24"), net.link("wan", "10.0.1.0/24")
    lan.quality, wan.quality = inside, outside
    net.node("near", lan.at(2), router="10.0.0.1")
    net.node("router", lan.at(1), wan.at(1))
    net.node("far", wan.at(2), router="10.0.1.1")
    return net


_opened: list[socket.socket] = []


@contextmanager
def running(
    topology: Topology, seed: str = "1", wanted: Wanted = Wanted.RELAY
) -> Iterator[Network]:
    """The topology on the kernel; what `opened` has opened in it is closed with it."""
    network = Network(topology, seed, wanted)
    try:
        network.start()
        yield network
    finally:
        while _opened:
            _opened.pop().close()
        network.stop()


def opened(network: Network, node: str, kind: int, *arguments: int) -> socket.socket:
    family = socket.AF_PACKET if arguments else socket.AF_INET
    _opened.append(network.nodes[node].namespace.socket(family, kind, *arguments))
    return _opened[-1]


def relay_of(network: Network) -> RelayProcess:
    assert network.relay is not None
    return network.relay


def udp(network: Network, node: str, address: str, port: int = 5000) -> socket.socket:
    made = opened(network, node, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((address, port))
    return made


def introduced(network: Network) -> tuple[socket.socket, socket.socket]:
    """A socket at each end, which know each other's link-layer address without asking."""
    addresses = {"near": "10.0.0.1", "far": "10.0.0.2", "witness": "10.0.0.3"}
    for node, other in (("near", "far"), ("far", "near"), ("near", "witness")):
        address = addresses[other]
        hardware = network.nodes[other].MAC()
        said = network.nodes[node].cmd(f"ip neighbour replace {address} lladdr {hardware} dev eth0")
        assert said == ""
    return udp(network, "near", "10.0.0.1"), udp(network, "far", "10.0.0.2")


class Receiver:
    """Takes the numbered datagrams that are sent here, while they are sent: an ordinary user's
    socket holds some hundred."""

    def __init__(self, network: Network) -> None:
        near, self.far = introduced(network)
        self.came: list[int] = []
        # The last is one of a crowd, as any single one may be lost.
        for number in [*range(COUNT), *[COUNT] * 20]:
            near.sendto(struct.pack("!I", number), ("10.0.0.2", 5000))
            if number % 50 == 0:
                while select.select([self.far], [], [], 0)[0]:
                    self.take()

    def take(self) -> int:
        """The next number."""
        assert select.select([self.far], [], [], WITHIN_S)[0], f"after {len(self.came)} no more"
        self.came.append(struct.unpack("!I", self.far.recv(100))[0])
        return self.came[-1]


def carried(network: Network) -> list[int]:
    """The numbers of the datagrams that came, in the order in which they came."""
    receiver = Receiver(network)
    while COUNT not in receiver.came[-1:]:
        receiver.take()
    return [number for number in receiver.came if number < COUNT]


def outcome(seed: str, **quality: object) -> list[int]:
    with running(near_and_far(**quality), seed) as network:
        return carried(network)


@in_lab
def test_a_wire_has_no_relay() -> None:
    with running(near_and_far(delay_ms=0.2, jitter_ms=0.1)) as network:
        assert network.relay is None
        assert network.back_ends == {"wire": BackEnd.VETH}


@in_lab
def test_the_same_seed_loses_the_same_of_a_thousand_frames() -> None:
    one, again, other = outcome("1", loss=0.2), outcome("1", loss=0.2), outcome("2", loss=0.2)

    assert one == again
    assert one != other
    assert one == sorted(one)
    assert 740 <= len(one) <= 860  # five deviations of 12.6 around 800


@in_lab
def test_frames_are_doubled() -> None:
    came = outcome("1", duplication=0.1)

    assert came == sorted(came)
    assert set(came) == set(range(COUNT))
    assert 50 <= len(came) - COUNT <= 150


@in_lab
def test_frames_are_overtaken_and_none_is_lost() -> None:
    with running(near_and_far(delay_ms=5, reordering=0.1)) as network:
        receiver = Receiver(network)
        while len(receiver.came) < COUNT + 20:
            receiver.take()
        came = receiver.came
        overtaken = relay_of(network).finish()["wire"]["overtaken"]

    assert sum(one > other for one, other in pairwise(came)) > 0
    assert sorted(came) == [*range(COUNT), *[COUNT] * 20]
    assert 50 <= overtaken <= 150


@in_lab
def test_jitter_keeps_the_order() -> None:
    assert outcome("1", delay_ms=2, jitter_ms=10) == list(range(COUNT))


@in_lab
def test_what_became_of_frames_is_told() -> None:
    with running(near_and_far(loss=0.2)) as network:
        came = carried(network)
        counts = relay_of(network).finish()["wire"]

    assert counts["frames"] == COUNT + 20
    assert COUNT - len(came) <= counts["lost"] <= COUNT - len(came) + 20
    assert counts["spoilt"] == counts["overflowed"] == 0


@in_lab
def test_an_mtu_needs_no_relay_and_cuts_packets() -> None:
    with running(near_and_far(delay_ms=0.2, jitter_ms=0.1, mtu=600)) as network:
        assert network.relay is None
        near, far = introduced(network)
        heard = opened(network, "far", socket.SOCK_RAW, socket.htons(0x0800))
        near.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        near.sendto(bytes(1400), ("10.0.0.2", 5000))
        assert len(far.recv(2000)) == 1400
        lengths = [len(heard.recv(2000)) - 14 for _ in range(3)]

    assert lengths == [596, 596, 276]  # 576 octets of payload, a multiple of 8, behind each header


@in_lab
def test_dropped_fragments_let_whole_packets_pass() -> None:
    with running(near_and_far(mtu=600, fragments=Passage.DROPPED)) as network:
        near, far = introduced(network)
        near.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        for octets in (1400, 500):
            near.sendto(bytes(octets), ("10.0.0.2", 5000))
        assert len(far.recv(2000)) == 500
        assert relay_of(network).finish()["wire"]["refused"] == 3


def near_heard(near: socket.socket) -> bytes | None:
    """The next datagram; None: it was an error that the socket was told."""
    assert select.select([near], [], [], WITHIN_S)[0]
    try:
        return near.recv(2000)
    except OSError:
        return None


def send_after_errors(sender: socket.socket, data: bytes) -> None:
    """An error that is told meanwhile, on whichever call, takes that call's place."""
    while True:
        with suppress(OSError):
            sender.send(data)
            return


def told_mtu(network: Network) -> bool:
    """Whether near is told of the MTU behind its router, on sending a packet that is too long."""
    with network.nodes["router"].namespace:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    near, far = udp(network, "near", "10.0.0.2"), udp(network, "far", "10.0.1.2")
    near.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    near.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)
    near.connect(("10.0.1.2", 5000))
    near.send(bytes(1400))
    send_after_errors(near, b"short")
    assert select.select([far], [], [], WITHIN_S)[0]
    far.sendto(b"later", ("10.0.0.2", 5000))
    # What there is to be told of the long one has gone before that, on the same way.
    while (data := near_heard(near)) != b"later":
        assert data is None, data
    try:
        near.send(bytes(1400))
    except OSError as error:
        return error.errno == errno.EMSGSIZE
    return False


@in_lab
def test_who_sends_too_long_packets_is_told_the_mtu() -> None:
    with running(routed(Quality(loss=0.0, delay_ms=0), Quality(mtu=1000))) as network:
        assert told_mtu(network)


@in_lab
def test_without_icmp_nobody_is_told_the_mtu() -> None:
    with running(routed(Quality(delay_ms=0, icmp=Passage.DROPPED), Quality(mtu=1000))) as network:
        assert not told_mtu(network)
        assert relay_of(network).finish()["lan"]["refused"] in (1, 2)  # one for each long packet


@in_lab
def test_a_delay_is_in_every_round_trip() -> None:
    with running(near_and_far(delay_ms=30)) as network:
        introduced(network)
        said = network.nodes["near"].cmd("ping -c 3 -i 0.01 10.0.0.2")

    assert float(said.split("rtt min")[1].split("=")[1].split("/")[0]) >= 60


@in_lab
def test_a_cable_is_pulled_and_put_back_on_a_relayed_link() -> None:
    with running(near_and_far(delay_ms=1)) as network:
        near, far = introduced(network)
        network.set_link("far", "eth0", False)
        near.sendto(b"lost", ("10.0.0.2", 5000))
        witness = udp(network, "witness", "10.0.0.3")
        near.sendto(b"seen", ("10.0.0.3", 5000))
        assert select.select([witness], [], [], WITHIN_S)[0]
        network.set_link("far", "eth0", True)
        near.sendto(b"came", ("10.0.0.2", 5000))
        assert select.select([far], [], [], WITHIN_S)[0]
        assert far.recv(100) == b"came"
        with pytest.raises(BadInput, match="keeps its ports"):
            network.mininet["wire"].detach("wire-eth1")


@in_lab
def test_a_relay_that_is_killed_says_so() -> None:
    with running(near_and_far(delay_ms=1)) as network:
        relay = relay_of(network)
        os.kill(relay.pid, 9)
        with pytest.raises(LocalError, match=r"relay of the links failed: .* status 9"):
            relay.finish()


@in_lab
def test_a_relay_ends_with_whoever_made_it() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        network = Network(near_and_far(delay_ms=1), "1", Wanted.RELAY)
        network.start()
        os.write(writer, str(relay_of(network).pid).encode())
        os.kill(os.getpid(), 9)
    watched = os.pidfd_open(int(os.read(reader, 20)))
    os.waitpid(child, 0)

    assert select.select([watched], [], [], WITHIN_S)[0]
    assert not Path(f"/proc/{child}").exists()


@in_lab
def test_netem_is_the_kernels_or_missing() -> None:
    topology = near_and_far(delay_ms=5, jitter_ms=5, loss=0.2)
    with running(topology, wanted=Wanted.AUTO) as network:
        back_end = network.back_ends["wire"]
        came = carried(network)

    assert came == sorted(came)
    assert 740 <= len(came) <= 860
    if back_end is BackEnd.RELAY:
        with pytest.raises(MissingFeature, match="modprobe sch_netem"):
            Network(topology, "1", Wanted.NETEM)
