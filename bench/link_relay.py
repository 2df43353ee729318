"""What the relay of links is worth: how exactly it delays, how many packets a second it carries.

    .venv/bin/python bench/link_relay.py [--packets 2000] [--seconds 3] [--json FILE]

Two nodes on one link, in fresh namespaces (no root needed): a bare pair of interfaces with its
bridge, the relay, and the kernel's netem where there is one.  The delay is that of single UDP
datagrams, from before they are sent until the kernel has stamped their arrival; told is how much
longer it was than asked for.  The rate is that of requests and answers, as many on their way as the
delay needs, both counted: a second of the clock, which others on the machine slow down, and a
second of the relay's own processor time, which they do not.
Exit status: 1 if the relay delays every other packet by more than --most-ms too much.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.engines.emulation.carriage import Wanted, has_netem
from testbed.engines.emulation.lab import Lab, launch
from testbed.engines.emulation.network import Network
from testbed.topology import Quality, Topology

FAR = ("10.0.0.2", 5000)
WINDOW, DELAYED_WINDOW = 64, 2048
_SO_TIMESTAMPNS = 35
_WITHIN_S = 5.0


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        link: what carries it, and what was asked of it.
        figure: what was measured.
        values: by name.
    """

    link: str
    figure: str
    values: dict[str, float]


def two_nodes(quality: Quality) -> Topology:
    """near and far on one link."""
    net = Topology(two_nodes.__doc__)
    wire = net.link("wire", "10.0.0.0/24")
    wire.quality = quality
    net.node("near", wire.at(1))
    net.node("far", wire.at(2))
    return net


@contextmanager
def ends(
    quality: Quality, wanted: Wanted
) -> Iterator[tuple[socket.socket, socket.socket, Network]]:
    """A socket at each end of such a link, which have heard of each other."""
    network = Network(two_nodes(quality), "1", wanted)
    network.start()
    made = [
        network.nodes[node].namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for node in ("near", "far")
    ]
    near, far = made
    try:
        for each in made:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            each.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        far.bind(FAR)
        near.connect(FAR)
        near.send(bytes(16))
        _, _, _, address = far.recvmsg(100, 64)
        far.sendto(bytes(16), address)
        near.recv(100)
        yield near, far, network
    finally:
        for each in made:
            each.close()
        network.stop()


def delays_ms(near: socket.socket, far: socket.socket, packets: int, a_second: int) -> list[float]:
    """How long each datagram is on its way, at that pace."""
    found: list[float] = []
    begin = time.monotonic()
    sent = 0
    while len(found) < packets:
        due = begin + sent / a_second
        if sent < packets and time.monotonic() >= due:
            near.send(struct.pack("!QQ", sent, time.time_ns()))
            sent += 1
        wait_s = max(0.0, due - time.monotonic()) if sent < packets else _WITHIN_S
        while select.select([far], [], [], wait_s)[0]:
            data, ancillary, _, _ = far.recvmsg(100, 64)
            seconds, nanoseconds = struct.unpack_from("=qq", ancillary[0][2])
            sent_ns = struct.unpack("!QQ", data)[1]
            found.append((seconds * 1_000_000_000 + nanoseconds - sent_ns) / 1e6)
            wait_s = 0.0
            if len(found) == packets:
                break
    return found


def busy_s(network: Network) -> float:
    """The relay's processor time so far; 0 without one."""
    if network.relay is None:
        return 0.0
    return int(Path(f"/proc/{network.relay.pid}/schedstat").read_text().split()[0]) / 1e9


def packets_in(near: socket.socket, far: socket.socket, seconds: float, window: int) -> int:
    """Requests and answers that cross the link in that time, the window kept full."""
    child = os.fork()
    if child == 0:
        while True:
            data, address = far.recvfrom(100)
            far.sendto(data, address)
    try:
        for _ in range(window):
            near.send(bytes(64))
        answers, begin = 0, time.monotonic()
        while time.monotonic() < begin + seconds:
            near.recv(100)
            near.send(bytes(64))
            answers += 1
        return 2 * answers
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def measure(packets: int, seconds: float) -> Iterator[Row]:
    """All rows, in the lab."""
    plain, at_once = Quality(), Quality(delay_ms=0, jitter_ms=0, loss=1e-9)
    later = Quality(delay_ms=20, jitter_ms=0)
    kinds = [
        ("veth and bridge", plain, Wanted.RELAY, 0.0),
        ("relay, 0 ms", at_once, Wanted.RELAY, 0.0),
        ("relay, 20 ms", later, Wanted.RELAY, 20.0),
    ]
    probe = Network(two_nodes(plain))
    if has_netem(probe.mininet.netlink):
        kinds.append(("netem, 20 ms", later, Wanted.NETEM, 20.0))
    probe.stop()
    for name, quality, wanted, asked_ms in kinds:
        for a_second in (200, 5000):
            with ends(quality, wanted) as (near, far, _):
                over = [d - asked_ms for d in delays_ms(near, far, packets, a_second)]
            last = statistics.quantiles(over, n=100)[-1]
            figures = {"median": statistics.median(over), "p99": last, "most": max(over)}
            yield Row(name, f"ms too late at {a_second}/s", figures)
        with ends(quality, wanted) as (near, far, network):
            before_s = busy_s(network)
            count = packets_in(near, far, seconds, DELAYED_WINDOW if asked_ms else WINDOW)
            busy = busy_s(network) - before_s
        yield Row(name, "packets a second", {"clock": count / seconds})
        if busy:
            yield Row(name, "packets a second", {"processor": count / busy})


def shown(row: Row) -> str:
    """A row as text."""
    values = "  ".join(f"{name} {value:>10,.3f}" for name, value in row.values.items())
    return f"{row.link:<18}{row.figure:<26}{values}"


def main() -> int:
    """Measure in a lab, print a line for each row; gives the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packets", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--most-ms", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    def inside(lab: Lab) -> int:
        for row in measure(arguments.packets, arguments.seconds):
            lab.tell(asdict(row))
        return 0

    with launch(inside, "bench") as lab:
        end = lab.wait()
        told = lab.messages()
    rows = [Row(**each) for each in told if "link" in each]
    for each in told:
        if "link" not in each:
            print(*each.values(), file=sys.stderr)
    print(*map(shown, rows), sep="\n")
    result = {"kernel": platform.release(), "rows": [asdict(row) for row in rows]}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if end.status != 0:
        return end.status or 1
    relayed = (each.values for each in rows if each.link.startswith("relay"))
    late = [values["median"] for values in relayed if "median" in values]
    return int(max(late) > arguments.most_ms)


if __name__ == "__main__":
    sys.exit(main())
