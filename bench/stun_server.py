"""Binding Requests a second of our STUN server, beside coturn in the same run.

    .venv/bin/python bench/stun_server.py [--seconds 3] [--rounds 3] [--least 0.5] [--json FILE]

The server is the testbed's own role on its own sockets: every datagram is decoded whole and every
response encoded whole.  Server and generator have a core each where the machine has two.  The
generator keeps 64 requests with CONNECTION-REQUEST-BINDING and USERNAME on their way.  Told are
responses a second, which is what this machine does now, and responses in a second of the server's
own processor time, which is what it does when nobody else uses it: the ratio is taken of these.
Then it is told where our server's time goes.
Exit status: 1 if our server's part of coturn's rate is less than --least; 3 without coturn.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import multiprocessing
import os
import platform
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ADDRESS = "127.0.0.1"
PORTS = {"ours": 34780, "coturn": 34790}
WINDOW = 64
LOST_AFTER_S = 0.3
AIM = 0.5
START_WITHIN_S = 10.0
LEAST_SHARE = 0.2
"""Of a measurement's time a server must have had the processor, to be measured."""
_WAIT_FOR_ONE = 0x10000  # linux/socket.h: MSG_WAITFORONE


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        server: "ours" or "coturn".
        responses: that came.
        lost: requests without one.
        seconds: that it took.
        processor_seconds: of the server.
    """

    server: str
    responses: int
    lost: int
    seconds: float
    processor_seconds: float

    @property
    def rate(self) -> float:
        """Responses a second."""
        return self.responses / self.seconds

    @property
    def rate_of_core(self) -> float:
        """Responses in a second of the server's processor time."""
        return self.responses / self.processor_seconds


def request() -> bytes:
    """A keep-alive of TR-111, with twelve octets of its ID to be filled in."""
    from testbed.protocols import stun
    from testbed.protocols.stun.attributes import Attribute, username

    mark = Attribute(0xC001, stun.CONNECTION_REQUEST_BINDING_VALUE)
    return stun.BindingRequest(bytes(16), (mark, username("cpe-0001"))).encode()


def _structure(name: str, /, **fields: Any) -> Any:
    """A structure of the C library."""
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


_Vector = _structure("iovec", base=ctypes.c_void_p, length=ctypes.c_size_t)
_Header = _structure(
    "mmsghdr",
    name=ctypes.c_void_p,
    name_length=ctypes.c_uint32,
    vectors=ctypes.c_void_p,
    vector_count=ctypes.c_size_t,
    control=ctypes.c_void_p,
    control_length=ctypes.c_size_t,
    flags=ctypes.c_int,
    gap=ctypes.c_int,  # msghdr ends on 8 octets
    received=ctypes.c_uint32,
)


class Batch:
    """A window of datagrams, for sendmmsg and recvmmsg."""

    def __init__(self, octets: int) -> None:
        self.room = (ctypes.c_char * octets * WINDOW)()
        self.vectors = (_Vector * WINDOW)()
        self.headers = (_Header * WINDOW)()
        for number in range(WINDOW):
            vector, header = self.vectors[number], self.headers[number]
            vector.base, vector.length = ctypes.addressof(self.room[number]), octets
            header.vectors, header.vector_count = ctypes.addressof(vector), 1


def load(port: int, seconds: float) -> tuple[int, int, float]:
    """Keep a window of requests on their way; responses, lost ones, and the time it took."""
    libc = ctypes.CDLL(None, use_errno=True)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((ADDRESS, port))
    wait = struct.pack("@ll", 0, int(LOST_AFTER_S * 1e6))
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
    octets = request()
    outgoing, incoming = Batch(len(octets)), Batch(512)
    for number in range(WINDOW):
        outgoing.room[number].raw = octets[:8] + struct.pack("!QI", number, 0) + octets[20:]
    responses = lost = on_their_way = 0
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        free = WINDOW - on_their_way
        on_their_way += max(libc.sendmmsg(sender.fileno(), outgoing.headers, free, 0), 0)
        came = libc.recvmmsg(sender.fileno(), incoming.headers, WINDOW, _WAIT_FOR_ONE, None)
        if came <= 0:
            lost += on_their_way
            on_their_way = 0
        else:
            responses += came
            on_their_way = max(on_their_way - came, 0)
    sender.close()
    return responses, lost, now - began


# The servers


def serve(pipe: Connection, core: int | None) -> None:
    """Our server's process: tells its processor time when asked, and where that goes."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    from testbed.engines.emulation.host import EmulatedHost
    from testbed.engines.emulation.namespace import Namespace
    from testbed.engines.tls_policy import TlsContexts
    from testbed.roles.stun_server import StunServer
    from testbed.topology import Attachment, By, Node

    host = EmulatedHost(
        *("stun_server", Namespace.current("stun_server"), {}, "bench"),
        *(lambda *told: None, _crashed, TlsContexts(Path(os.devnull))),
    )
    node = Node(
        *("stun_server", "stun_server", (Attachment("lo", By.STATIC, ADDRESS, 8),)),
        settings={"port": PORTS["ours"]},
    )
    server = StunServer(host, node)
    await server.start()
    pipe.send(None)
    while await asyncio.to_thread(pipe.recv):
        pipe.send(time.process_time())


def _crashed(node: str, error: BaseException) -> None:
    sys.stderr.write(f"{node}: {error!r}\n")
    os._exit(1)


@contextmanager
def ours(core: int | None) -> Iterator[Callable[[], float]]:
    """Our server; gives how much processor time it has used."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, core), daemon=True)
    process.start()
    here.recv()

    def used() -> float:
        here.send(True)
        seconds: float = here.recv()
        return seconds

    try:
        yield used
    finally:
        process.terminate()
        process.join()


@contextmanager
def coturn(core: int | None, program: str) -> Iterator[Callable[[], float]]:
    """coturn with one relay thread, as STUN server only."""
    words = [program, "-n", "-S", "-m", "1", "-L", ADDRESS, "-p", str(PORTS["coturn"])]
    words += ["--no-cli", "--no-tcp", "--no-tls", "--no-dtls", "--log-file", os.devnull]
    if core is not None:
        words = ["taskset", "-c", str(core), *words]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def used() -> float:
        threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    try:
        _wait_for(PORTS["coturn"])
        yield used
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    """Until somebody answers there.

    Raises:
        TimeoutError: nobody does.
    """
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.settimeout(0.1)
    probe.connect((ADDRESS, port))
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until:
        try:
            probe.send(request())
            probe.recv(512)
            probe.close()
            return
        except TimeoutError:
            continue
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody answers at {ADDRESS}:{port} within {START_WITHIN_S:g} s")


def measure(name: str, used: Callable[[], float], seconds: float) -> Row:
    """One row of the table: of so many seconds, or of more where others have the machine."""
    before = used()
    responses, lost, passed = load(PORTS[name], seconds)
    until = time.monotonic() + START_WITHIN_S
    while used() - before < LEAST_SHARE * seconds and time.monotonic() < until:
        more = load(PORTS[name], seconds)
        responses, lost, passed = responses + more[0], lost + more[1], passed + more[2]
    return Row(name, responses, lost, passed, used() - before)


# Where the time goes


def stages(times: int = 20_000) -> dict[str, float]:
    """Microseconds of processor time of each stage of one request and its response."""
    from testbed.protocols import stun
    from testbed.protocols.stun import ServerSide
    from testbed.protocols.wire import Endpoint

    data, source = request(), Endpoint("192.0.2.1", 40000)
    machine = stun.StunServer({ServerSide.MAIN: Endpoint("192.0.2.2", 3478)})

    def answer() -> Any:
        machine.receive(data, source, 0.0)
        machine.events()
        return machine.to_send()

    response = answer()[0].message
    one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    one.bind((ADDRESS, 0))
    place = one.getsockname()
    octets = response.encode()

    def by_socket() -> None:
        other.sendto(octets, place)
        one.recvfrom(65535)

    work: dict[str, Callable[[], Any]] = {
        "decode the request": lambda: stun.decode(data),
        "decode, decide and build the response": answer,
        "encode the response": response.encode,
        "a datagram out and one in, by the kernel": by_socket,
    }
    told = {}
    for name, call in work.items():
        began = time.process_time()
        for _ in range(times):
            call()
        told[name] = (time.process_time() - began) / times * 1e6
    return told


def run(options: argparse.Namespace, program: str) -> list[Row]:
    """All rows: each round measures both, one after the other."""
    cores = sorted(os.sched_getaffinity(0))
    core = cores[0] if len(cores) > 1 else None
    if core is not None:
        os.sched_setaffinity(0, set(cores[1:]))
    rows = []
    with ours(core) as used, coturn(core, program) as used_by_coturn:
        for name, meter in (("ours", used), ("coturn", used_by_coturn)):
            measure(name, meter, min(options.seconds, 0.5))  # what is first is slow
        for _ in range(options.rounds):
            rows.append(measure("ours", used, options.seconds))
            rows.append(measure("coturn", used_by_coturn, options.seconds))
    return rows


def table(rows: list[Row]) -> str:
    """The rows for a reader."""
    lines = [f"{'server':8} {'responses/s':>12} {'/s of a core':>13} {'us each':>8} {'lost':>6}"]
    lines += [
        f"{row.server:8} {row.rate:12,.0f} {row.rate_of_core:13,.0f} "
        f"{1e6 / row.rate_of_core:8.1f} {row.lost:6}"
        for row in rows
    ]
    return "\n".join(lines)


def ratio(rows: list[Row]) -> float:
    """Our median rate of a core by coturn's."""
    ours_rate, theirs = (
        statistics.median(row.rate_of_core for row in rows if row.server == name)
        for name in ("ours", "coturn")
    )
    return ours_rate / theirs


def main() -> int:
    """Run, tell, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of both servers")
    parser.add_argument("--least", type=float, default=AIM, help="part of coturn's rate")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/stun_server.json"))
    options = parser.parse_args()
    program = shutil.which("turnserver", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if program is None:
        print("coturn is not installed (Debian package coturn): there is nothing to compare with")
        return 3
    rows = run(options, program)
    part, where = ratio(rows), stages()
    print(table(rows))
    print(f"ours is {part:.2f} of coturn, by a core's time; the aim is {options.least:g}")
    for name, taken in where.items():
        print(f"  {taken:5.1f} us  {name}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "kernel": platform.release()}
    told = {"rows": [asdict(row) for row in rows], "ratio": part, "stages_us": where, **machine}
    options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if part >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
