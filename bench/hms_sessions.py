"""CWMP sessions a second that one HMS on one core serves, in clear and by TLS.

    .venv/bin/python bench/hms_sessions.py [--seconds 5] [--connections 4] [--json FILE]

A session is the smallest there is: Inform, InformResponse, empty POST, 204.  The HMS is the
testbed's own role on its own sockets, in a process of its own, on a core of its own where the
machine has two; the CPEs are octets made beforehand, so that they cost little.  "kept": each
connection carries one session after the other; "new": each session has a connection of its own.
Both the rate and the sessions in a second of the HMS's own processor time are told: the first is
what this machine does now, the second is what it does when nobody else uses it.
Exit status: 1 if the sessions in clear, kept, are fewer than --least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import socket
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SEED = "bench"
NAME = "hms.operator.example"
ADDRESS = "127.0.0.1"
PORTS = {"clear": 80, "TLS": 443}
INSIDE = "HMS_SESSIONS_INSIDE"


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        protection: "clear" or "TLS".
        connections: "kept" or "new".
        sessions: that were served.
        seconds: that it took.
        processor_seconds: of the HMS.
    """

    protection: str
    connections: str
    sessions: int
    seconds: float
    processor_seconds: float

    @property
    def rate(self) -> float:
        """Sessions a second."""
        return self.sessions / self.seconds

    @property
    def rate_of_core(self) -> float:
        """Sessions in a second of the HMS's processor time."""
        return self.sessions / self.processor_seconds


def serve(pipe: Connection, core: int | None) -> None:
    """The HMS's process: tells its root certificate, then its processor time when asked."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    from testbed.engines.emulation.host import EmulatedHost
    from testbed.engines.emulation.namespace import Namespace
    from testbed.engines.tls_policy import TlsContexts
    from testbed.protocols.pki import Authority
    from testbed.roles.hms import Hms
    from testbed.topology import Attachment, By, Node

    authority = Authority("Operator Root", SEED, time.time())
    contexts = TlsContexts(Path(os.devnull))
    for protection, port in PORTS.items():
        scheme = "https" if protection == "TLS" else "http"
        host = EmulatedHost(
            *("hms", Namespace.current("hms"), {}, SEED),
            *(lambda *told: None, _crashed, contexts),
        )
        node = Node(
            *("hms", "hms", (Attachment("lo", By.STATIC, ADDRESS, 8),)),
            settings={"url": f"{scheme}://{NAME}:{port}/acs", "identity": authority.issue(NAME)},
        )
        await Hms(host, node).start()
    pipe.send(authority.certificate)
    while await asyncio.to_thread(pipe.recv):
        pipe.send(time.process_time())


def _crashed(node: str, error: BaseException) -> None:
    sys.stderr.write(f"{node}: {error!r}\n")
    os._exit(1)


def inform(serial: str) -> bytes:
    """The body of the smallest Inform of an HNB."""
    from testbed.protocols.cwmp import rpc
    from testbed.protocols.cwmp.envelope import Envelope

    names = ("DeviceInfo.SoftwareVersion", "ManagementServer.ParameterKey", "LAN.IPAddress")
    parameters = tuple(rpc.ParameterValue(f"Device.{name}", "1") for name in names)
    who = rpc.DeviceId("Testbed", "00005E", "HNB", serial)
    return Envelope(
        rpc.Inform(who, (rpc.Event("2 PERIODIC"),), parameters=parameters), "1"
    ).encode()


class Caller:
    """One CPE after the other on one connection, or each on its own."""

    def __init__(self, protection: str, keeps: bool, trust: ssl.SSLContext, serial: str) -> None:
        self.sessions = 0
        self._protection, self._keeps, self._trust = protection, keeps, trust
        body = inform(serial)
        self._head = b"POST /acs HTTP/1.1\r\nHost: %s\r\n" % NAME.encode()
        self._inform = (
            self._head
            + b'SOAPAction: ""\r\nContent-Type: text/xml; charset="utf-8"\r\n'
            + b"Content-Length: %d\r\n\r\n" % len(body)
            + body
        )

    def run(self, until: float) -> None:
        """Sessions until that time of `time.monotonic`."""
        while time.monotonic() < until:
            with self._connect() as stream:
                while True:
                    self._session(stream)
                    self.sessions += 1
                    if not self._keeps or time.monotonic() >= until:
                        break

    def _connect(self) -> socket.socket:
        stream = socket.create_connection((ADDRESS, PORTS[self._protection]))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._protection == "TLS":
            return self._trust.wrap_socket(stream, server_hostname=NAME)
        return stream

    def _session(self, stream: socket.socket) -> None:
        stream.sendall(self._inform)
        head = self._response(stream, b"HTTP/1.1 200")
        cookie = head.partition(b"Set-Cookie: ")[2].partition(b";")[0]
        stream.sendall(self._head + b"Cookie: " + cookie + b"\r\nContent-Length: 0\r\n\r\n")
        self._response(stream, b"HTTP/1.1 204")

    def _response(self, stream: socket.socket, wanted: bytes) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += stream.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0] or 0)
        while len(body) < length:
            body += stream.recv(65536)
        if not head.startswith(wanted):
            raise RuntimeError(f"the HMS answered {head!r}")
        return head


def measure(
    protection: str, keeps: bool, connections: int, seconds: float, root: str, pipe: Connection
) -> Row:
    """One row of the table."""
    trust = ssl.create_default_context(cadata=root)
    callers = [Caller(protection, keeps, trust, str(number)) for number in range(connections)]
    used = _processor_seconds(pipe)
    began = time.monotonic()
    threads = [threading.Thread(target=each.run, args=(began + seconds,)) for each in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.monotonic() - began
    used = _processor_seconds(pipe) - used
    sessions = sum(each.sessions for each in callers)
    return Row(protection, "kept" if keeps else "new", sessions, passed, used)


def _processor_seconds(pipe: Connection) -> float:
    pipe.send(True)
    seconds: float = pipe.recv()
    return seconds


def run(options: argparse.Namespace) -> list[Row]:
    """All rows, against one HMS."""
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(
        target=serve, args=(theirs, cores[-1] if len(cores) > 1 else None), daemon=True
    )
    process.start()
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[:-1]))
    root = pipe.recv().decode()
    rows = []
    for protection in PORTS:
        for keeps in (True, False):
            measure(protection, keeps, options.connections, 0.5, root, pipe)  # warms up
            rows.append(
                measure(protection, keeps, options.connections, options.seconds, root, pipe)
            )
    pipe.send(False)
    process.join()
    return rows


def table(rows: Sequence[Row]) -> str:
    """For people."""
    lines = [f"{'':7}{'connections':13}{'sessions':>10}{'per second':>12}{'per core second':>18}"]
    lines += [
        f"{row.protection:7}{row.connections:13}{row.sessions:10}{row.rate:12.0f}"
        f"{row.rate_of_core:18.0f}"
        for row in rows
    ]
    return "\n".join(lines)


def as_json(rows: Sequence[Row], options: argparse.Namespace) -> dict[str, Any]:
    """For programs."""
    return {
        "benchmark": "hms_sessions",
        "connections": options.connections,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "rows": [
            {**asdict(row), "rate": round(row.rate, 1), "rate_of_core": round(row.rate_of_core, 1)}
            for row in rows
        ],
    }


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line, read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    parser.add_argument("--connections", type=int, default=4, help="at a time")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--least", type=float, default=0.0, help="sessions a second, clear, kept")
    return parser.parse_args(words)


def main() -> int:
    """Measure in a network namespace of its own, so that nobody's port 80 is in the way."""
    options = arguments()
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        here = [sys.executable, *sys.argv]
        os.execvp("unshare", ["unshare", "--map-root-user", "--net", "--", *here])
    from testbed.engines.emulation.namespace import Namespace
    from testbed.engines.emulation.netlink import Netlink

    Netlink(Namespace.current("bench")).set_up("lo")
    rows = run(options)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, options), indent=2) + "\n")
    return 0 if rows[0].rate >= options.least else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
