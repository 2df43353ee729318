"""Runs as the first process of private namespaces: our machine on a real socket, a foreign peer.

`python foreign_lab.py CASE FOLDER` wires two network namespaces by a veth pair, runs the case and
writes what happened to its standard output as JSON.  Each wait ends with what it waits for, or
after `PATIENCE_S`.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testbed.engines.emulation.namespace import Namespace
from testbed.protocols import dhcp
from testbed.protocols.wire import Endpoint

PATIENCE_S = 20
CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:fe"
SO_BINDTODEVICE = 25
DEVICE = (3561, ((1, b"00D09E"), (2, b"SERIAL")))
GATEWAY = (3561, ((4, b"00D09E"), (5, b"GWSERIAL1")))


class Lab:
    """Two namespaces, a machine in one, a foreign program in the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Namespace.create("server")
        self.client = Namespace.create("client")
        with self.server:
            self.run("ip", "link", "set", "lo", "up")
            self.run(
                *("ip", "link", "add", "eth0", "address", SERVER_MAC, "type", "veth"),
                *("peer", "name", "wire", "address", CLIENT_MAC),
            )
            self.run("ip", "link", "set", "wire", "netns", self.client.path)
            self.run("ip", "address", "add", "192.168.7.1/24", "dev", "eth0")
            self.run("ip", "link", "set", "eth0", "up")
        with self.client:
            self.run("ip", "link", "set", "lo", "up")
            self.run("ip", "link", "set", "wire", "name", "eth0")
            self.run("ip", "link", "set", "eth0", "up")
        self.machine: dhcp.DhcpServer | dhcp.DhcpClient
        self.socket: socket.socket
        self.where: Namespace
        self.peer: subprocess.Popen[bytes]
        self.said = ""
        self.events: list[object] = []
        self.skipped_s = 0.0

    def run(self, *command: str) -> None:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def start(self, where: Namespace, *command: str) -> None:
        """Start the foreign program; what it says is kept."""
        with where:
            self.peer = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

    def stop(self) -> None:
        self.peer.terminate()
        self.peer.communicate(timeout=PATIENCE_S)

    def drive(
        self, machine: dhcp.DhcpServer | dhcp.DhcpClient, where: Namespace, port: int
    ) -> None:
        """Put our machine on a socket bound to the interface, with or without address."""
        self.machine, self.where = machine, where
        self.socket = where.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind(("0.0.0.0", port))

    def now(self) -> float:
        return time.monotonic() + self.skipped_s

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Drive the machine until `done`."""
        end = time.monotonic() + PATIENCE_S
        while True:
            self.flush()
            if done():
                return
            rest = end - time.monotonic()
            if rest <= 0:
                raise SystemExit(
                    f"{what} did not happen; {self.events}; the peer said:\n{self.said}"
                )
            deadline = self.machine.deadline()
            pause = rest if deadline is None else min(rest, max(deadline - self.now(), 0))
            readable, _, _ = select.select([self.socket, self.peer.stdout], [], [], pause)
            if self.socket in readable:
                data, (address, port) = self.socket.recvfrom(65536)
                self.machine.receive(data, Endpoint(address, port), self.now())
            if self.peer.stdout in readable:
                heard = os.read(self.peer.stdout.fileno(), 65536)
                if not heard:
                    raise SystemExit(f"the peer ended before {what}; it said:\n{self.said}")
                self.said += heard.decode("utf-8", "replace")
            self.machine.tick(self.now())

    def wait_for(self, name: str) -> None:
        """Wait for an event of our machine."""
        seen = len(self.events)
        self.wait(lambda: name in [type(each).__name__ for each in self.events[seen:]], name)

    def flush(self) -> None:
        for outgoing in self.machine.to_send():
            if outgoing.hardware_address is None:
                to = (outgoing.destination.address, outgoing.destination.port)
                self.socket.sendto(outgoing.message.encode(), to)
            else:
                self.send_frame(outgoing)
        for event in self.machine.events():
            self.events.append(event)
            if isinstance(event, dhcp.client_events.Bound):
                with self.where:
                    address = f"{event.lease.address}/{event.lease.prefix_length}"
                    self.run("ip", "address", "replace", address, "dev", "eth0")

    def send_frame(self, outgoing) -> None:
        """To an address that its client does not hold yet: without ARP."""
        frame = (
            Ether(src=SERVER_MAC, dst=outgoing.hardware_address)
            / IP(src="192.168.7.1", dst=outgoing.destination.address)
            / UDP(sport=67, dport=68)
            / outgoing.message.encode()
        )
        with self.where.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(bytes(frame))

    def script(self, variable: str, address: str, up: str, down: str) -> str:
        """A script for the foreign client that sets the address and says what it was told."""
        path = self.folder / "script"
        path.write_text(
            "#!/bin/sh\n"
            f'case "{variable}" in\n'
            f'{up}) ip address replace "{address}/24" dev eth0 ;;\n'
            f"{down}) ip address flush dev eth0; ip link set eth0 up ;;\n"
            "esac\n"
            f'echo "SCRIPT {variable} {address}"\n'
        )
        path.chmod(0o755)
        return str(path)


def our_server() -> dhcp.DhcpServer:
    policy = dhcp.ServerPolicy(
        address="192.168.7.1",
        prefix_length=24,
        pool=dhcp.address_range("192.168.7.100", "192.168.7.110"),
        routers=("192.168.7.1",),
        dns_servers=("192.168.7.1",),
    )
    gateway = dhcp.vendor_identity(GATEWAY)
    return dhcp.DhcpServer(
        policy, answer_options=lambda request: [gateway] if request.vendor_identity else []
    )


def udhcpc(lab: Lab) -> None:
    """Lease, renewal and release, as udhcpc is told by signals."""
    lab.drive(our_server(), lab.server, 67)
    identity = dhcp.vendor_identity(DEVICE).value.hex()
    script = lab.script("$1", "$ip", up="bound|renew", down="deconfig")
    program = ["udhcpc"] if shutil.which("udhcpc") else ["busybox", "udhcpc"]
    options = ["-f", "-i", "eth0", "-s", script, "-t", "5", "-T", "1", "-x", f"125:{identity}"]
    lab.start(lab.client, *program, *options)
    lab.wait(lambda: "SCRIPT bound" in lab.said, "bound")
    lab.peer.send_signal(signal.SIGUSR1)
    lab.wait(lambda: "SCRIPT renew" in lab.said, "renew")
    lab.peer.send_signal(signal.SIGUSR2)
    lab.wait_for("Released")
    lab.stop()


def dhclient(lab: Lab) -> None:
    """Lease, and the same address after a restart."""
    lab.drive(our_server(), lab.server, 67)
    value = dhcp.vendor_identity(DEVICE).value.hex(":")
    (lab.folder / "conf").write_text(
        f"option vivso code 125 = string;\nsend vivso {value};\n"
        "request subnet-mask, routers, domain-name-servers, vivso;\n"
    )
    script = lab.script("$reason", "$new_ip_address", up="BOUND|REBOOT", down="RELEASE")
    leases = lab.folder / "leases"
    leases.touch()
    command = ["dhclient", "-4", "-v", "-d", "-1", "-sf", script, "-cf", str(lab.folder / "conf")]
    command += ["-lf", str(leases), "-pf", str(lab.folder / "pid"), "eth0"]
    lab.start(lab.client, *command)
    # It says so when it has written the lease down, which is after its script has run.
    lab.wait(lambda: "bound to 192.168.7.100" in lab.said, "bound")
    lab.stop()
    lab.start(lab.client, *command)
    lab.wait(lambda: "SCRIPT REBOOT" in lab.said, "REBOOT")
    lab.stop()


def our_client_with(lab: Lab) -> None:
    """Lease, renewal at T1 (to which the machine's clock is put forward) and verification."""
    client = dhcp.DhcpClient(
        CLIENT_MAC,
        Random(1),
        dhcp.ClientPolicy(
            first_timeout_s=0.2,
            attempts=20,
            longest_timeout_s=1,
            vendor_identity=dhcp.vendor_identity(DEVICE).value,
        ),
    )
    lab.drive(client, lab.client, 68)
    client.start(lab.now())
    lab.wait_for("Bound")
    assert client.lease is not None
    lab.skipped_s += client.lease.renewal_s
    lab.wait_for("Renewed")
    client.restart(lab.now())
    lab.wait_for("Bound")
    client.release(lab.now())


def dnsmasq(lab: Lab) -> None:
    """Our client at dnsmasq, which knows TR-111."""
    lab.start(
        lab.server,
        *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root"),
        *("--group=", "--interface=eth0", "--bind-interfaces", "--no-ping", "--log-dhcp"),
        *("--dhcp-authoritative", "--dhcp-range=192.168.7.100,192.168.7.110,255.255.255.0,10m"),
        f"--dhcp-leasefile={lab.folder / 'leases'}",
        "--dhcp-option=tag:cpewan-id,vi-encap:3561,4,00D09E",
        "--dhcp-option=tag:cpewan-id,vi-encap:3561,5,GWSERIAL1",
    )
    our_client_with(lab)
    lab.wait(lambda: "DHCPRELEASE(eth0) 192.168.7.1" in lab.said, "DHCPRELEASE")
    lab.stop()


def udhcpd(lab: Lab) -> None:
    """Our client at busybox's udhcpd."""
    leases, configuration = lab.folder / "leases", lab.folder / "conf"
    leases.touch()
    configuration.write_text(
        "start 192.168.7.100\nend 192.168.7.110\ninterface eth0\n"
        f"lease_file {leases}\npidfile {lab.folder / 'pid'}\n"
        "option subnet 255.255.255.0\noption router 192.168.7.1\noption lease 600\n"
    )
    lab.start(lab.server, "busybox", "udhcpd", "-f", str(configuration))
    our_client_with(lab)
    lab.flush()
    lab.stop()


def told(event: object) -> dict[str, object]:
    """An event, as JSON can say it."""
    lease = getattr(event, "lease", None) or getattr(event, "binding", None)
    message = getattr(event, "request", None) or getattr(lease, "ack", None)
    return {
        "event": type(event).__name__,
        "address": getattr(lease, "address", None),
        "identity": [
            [enterprise, [[code, value.decode()] for code, value in values]]
            for enterprise, values in (message.vendor_identity if message else ())
        ],
    }


if __name__ == "__main__":
    case, folder = sys.argv[1:]
    laboratory = Lab(Path(folder))
    cases = {each.__name__: each for each in (udhcpc, dhclient, dnsmasq, udhcpd)}
    cases[case](laboratory)
    sys.stdout.write(json.dumps([told(event) for event in laboratory.events]))
