"""How long a network takes to start and to stop, ours against stock Mininet with LinuxBridge.

    python bench/lab_start.py [--hosts 100,400] [--rounds 1] [--json FILE]

Both build the same Mininet `Topo`, one after the other, each in fresh namespaces (no root needed).
Start is from the topology to a network whose frames pass, interpreter and imports left out.
Stop is told twice: until `stop()` returns, and until the kernel, which works on after ours has
returned, has freed the last namespace, and so the last interface.
Memory is that of all processes (their proportional set) and of the kernel (slabs, per-CPU areas,
stacks and page tables of the whole machine, so a busy machine blurs it), for each host.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from testbed.engines.emulation.network import Network, to_mininet
from testbed.topology import Topology

KINDS = ("stock", "ours")
CLONE_NEWNET = 0x40000000


def one_link(hosts: int) -> Topology:
    """All hosts on one link."""
    topology = Topology(one_link.__doc__)
    link = topology.link("lan1", "10.0.0.0/16")
    for number in range(1, hosts + 1):
        topology.node(f"h{number}", link.at(number))
    return topology


def homes(hosts: int) -> Topology:
    """Homes of two hosts, a gateway and an HNB, each with a link of its own."""
    topology = Topology(homes.__doc__)
    internet = topology.link("internet", "10.0.0.0/16")
    for home in topology.repeat("home", hosts // 2):
        lan = home.link("home", "192.168.1.0/24")
        home.node("gateway", internet.next_free(), lan.at(1))
        home.node("hnb", lan.at(2), router="192.168.1.1")
    return topology


SHAPES = {"one link": one_link, "homes": homes}


def stock_network(topology: Topology) -> Any:
    """Mininet's own classes for the topology."""
    from mininet.net import Mininet
    from mininet.node import Host
    from mininet.nodelib import LinuxBridge

    Mininet.inited = True
    return Mininet(to_mininet(topology), host=Host, switch=LinuxBridge, controller=None)


def processes_kib() -> int:
    """Memory of all processes of this process namespace."""
    total = 0
    for rollup in Path("/proc").glob("[0-9]*/smaps_rollup"):
        with contextlib.suppress(OSError):
            lines = rollup.read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def kernel_kib() -> int:
    """Memory of the kernel that grows with interfaces, namespaces and processes."""
    wanted = ("Slab:", "Percpu:", "KernelStack:", "PageTables:")
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(wanted))


def await_namespaces_gone() -> None:
    """Wait until only this namespace is left, which is when the kernel would make a second one."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    Path("/proc/sys/user/max_net_namespaces").write_text("2")
    while libc.unshare(CLONE_NEWNET) != 0:
        time.sleep(0.001)
    libc.setns(here, CLONE_NEWNET)
    os.close(here)


def measure(kind: str, shape: str, hosts: int) -> dict[str, float]:
    """Start and stop one network in this process, which is in fresh namespaces."""
    topology = SHAPES[shape](hosts)
    processes, kernel = processes_kib(), kernel_kib()
    began = time.perf_counter()
    if kind == "ours":
        ours = Network(topology)
        ours.start()
        network = ours.mininet
    else:
        network = stock_network(topology)
        network.start()
    started = time.perf_counter()
    figures = {
        "start_s": started - began,
        "processes_kib_each": (processes_kib() - processes) / hosts,
        "kernel_kib_each": (kernel_kib() - kernel) / hosts,
    }
    if network.ping(network.hosts[:2], timeout="2") != 0:
        raise SystemExit(f"{kind}, {shape}, {hosts} hosts: the network does not carry a ping")
    began = time.perf_counter()
    (ours if kind == "ours" else network).stop()
    figures["stop_s"] = time.perf_counter() - began
    while len(socket.if_nameindex()) > 1:
        time.sleep(0.001)
    await_namespaces_gone()
    figures["gone_s"] = time.perf_counter() - began
    return figures


def measure_apart(kind: str, shape: str, hosts: int) -> dict[str, float]:
    """Measure in a process of its own, in fresh namespaces."""
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork"),
            *("--mount-proc", "--kill-child", sys.executable, "-W", "ignore", __file__),
            *("--measure", kind, shape, str(hosts)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{kind}, {shape}, {hosts} hosts: {done.stderr.strip()[-500:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure what the command line says and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", default="100,400")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, shape, hosts = arguments.measure
        print(json.dumps(measure(kind, shape, int(hosts))))
        return
    rows = []
    header = f"{'topology':<10}{'hosts':>6}  {'':<18}{'stock':>9}{'ours':>9}{'ratio':>8}"
    print(header, "-" * len(header), sep="\n")
    for shape in SHAPES:
        for hosts in map(int, arguments.hosts.split(",")):
            runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
            for _ in range(arguments.rounds):
                for kind in KINDS:
                    runs[kind].append(measure_apart(kind, shape, hosts))
            for figure in runs["ours"][0]:
                stock, ours = (
                    statistics.median(run[figure] for run in runs[kind]) for kind in KINDS
                )
                ratio = stock / ours if ours > 0 else float("nan")
                print(
                    f"{shape:<10}{hosts:>6}  {figure:<18}{stock:>9.3f}{ours:>9.3f}{ratio:>8.1f}",
                    flush=True,
                )
                rows.append(
                    {"topology": shape, "hosts": hosts, "figure": figure}
                    | {"stock": stock, "ours": ours, "ratio": ratio}
                )
    result = {"kernel": platform.release(), "rounds": arguments.rounds, "figures": rows}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
