"""A device on the bench plays a node: it is behind an interface of the machine, outside the lab."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 -- nothing else happens in these loops meanwhile

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.engines.emulation.device import close_wires, open_wires
from testbed.errors import BadInput
from testbed.host import Interface
from testbed.roles import make_role
from testbed.run.credentials import equip
from testbed.trace.folder import load
from tests.emulation.as_user import ROOT, verdicts
from tests.emulation.wires import Wires, on_wires
from topologies.homes import home_on_internet
from topologies.public import hms_on_internet

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

SOON = ("--set", "engine.settled_s=1")
UDHCPC = ["busybox", "udhcpc", "-f", "-i", "eth0", "-t", "99", "-T", "1", "-A", "1"]
UDHCPC_SCRIPT = """\
#!/bin/sh
case $1 in bound)
    ip address add $ip/$mask dev eth0
    ip route replace default via $router
    busybox nslookup -type=a segw.operator.example $dns
esac
"""
ROUTER_RULES = (
    "table ip home { chain out { type nat hook postrouting priority srcnat; "
    'oifname "eth1" masquerade; }; }'
)


def started(wires: Wires, *words: str | Path, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """`testbed run` on the machine "bench"."""
    with wires.namespaces["bench"]:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "testbed", "run", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


async def said(wires: Wires, *words: str | Path, before: Sequence[str] = ()) -> tuple[int, str]:
    """Status and words of `testbed run` on the machine "bench"."""
    running = started(wires, *words, before=before)
    text, _ = await asyncio.to_thread(running.communicate)
    return running.returncode, text


def bench(wires: Wires, device: str = "device") -> None:
    """A machine whose eth0 has no address, and a device behind it."""
    wires.nodes("bench", device)
    wires.wire("cable", ("bench", ""), (device, ""))
    own_hardware_address(wires, device, "eth0", 1)


def own_hardware_address(wires: Wires, node: str, interface: str, number: int) -> None:
    """One of a maker's, as devices have it: the wires' are those of the lab's own nodes."""
    netlink = wires.netlinks[node]
    netlink.set_up(interface, False)
    netlink.set_hardware_address(interface, f"00:00:5e:00:53:{number:02x}")  # RFC 7042
    netlink.set_up(interface)
    while not netlink.link(interface).ready:
        os.sched_yield()


def run_of(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return told


@on_wires
async def test_a_foreign_device_gets_its_lease_and_resolves_through_the_nat(
    wires: Wires, tmp_path: Path
) -> None:
    bench(wires)
    script = tmp_path / "script"
    script.write_text(UDHCPC_SCRIPT)
    script.chmod(0o755)
    with wires.namespaces["device"]:
        command = [
            "busybox",
            "udhcpc",
            "-f",
            "-i",
            "eth0",
            "-s",
            str(script),
            "-t",
            "99",
            "-T",
            "1",
        ]
        device = subprocess.Popen([*command, "-A", "1"], stdout=subprocess.DEVNULL)
    out = tmp_path / "out"
    status, text = await said(wires, "lan_connectivity/", "--dut", "hnb=eth0", *SOON, "--out", out)
    device.kill()
    device.wait()

    assert status == 0, text
    assert "hnb: give the device at eth0 power now" in text
    assert "NOT_TOLD awaited=CONNECTED" in text
    folder = out / "lan_connectivity"
    assert run_of(folder)["cast"]["hnb"] == {"program": "device", "version": "at eth0"}
    assert "FAIL" not in verdicts(folder).values()
    again = subprocess.run(
        [sys.executable, "-m", "testbed", "judge", str(folder), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    judged = json.loads(again.stdout)["verdicts"]
    assert {each["requirement"]: each["verdict"] for each in judged} == verdicts(folder)
    assert set(verdicts(folder).values()) == {"PASS"}


@on_wires
async def test_a_home_nodeb_on_the_bench_discovers_its_hms_over_tls(
    wires: Wires, tmp_path: Path
) -> None:
    bench(wires)
    topology = hms_on_internet()
    equip(topology, "7", time.time())
    factory = topology.nodes["hnb"]
    settings = {**factory.settings, "serial_number": "4711"}
    node = dataclasses.replace(factory, name="device", settings=settings)
    host = wires.host("device")
    host.interfaces = {"eth0": Interface("eth0", "cable", "00:00:5e:00:53:01")}
    role = make_role(node, host)
    out = tmp_path / "out"
    running = asyncio.ensure_future(
        said(
            *(wires, "discovery_public/", "--dut", "hnb=eth0", "--set", "hnb.serial_number=4711"),
            *(*SOON, "--seed", "7", "--out", out),
        )
    )
    await role.start()
    status, text = await running

    folder = out / "discovery_public"
    assert status == 0, text
    assert b"BEGIN CERTIFICATE" in (folder / "keys/roots.pem").read_bytes()
    assert (folder / "keys/hnb.key").stat().st_mode & 0o777 == 0o600
    judged = verdicts(folder)
    assert "FAIL" not in judged.values()
    assert judged["32583-5.1.2-4"] == "PASS"
    names = {each.sender for each in load(folder)} & {"hnb", "initial_hms"}
    assert names == {"hnb", "initial_hms"}


@on_wires
async def test_a_router_on_the_bench_is_the_gateway_of_an_emulated_home(
    wires: Wires, tmp_path: Path
) -> None:
    wires.nodes("bench", "router")
    wires.wire("inside", ("bench", ""), ("router", "192.168.1.1/24"))
    wires.wire("outside", ("bench", ""), ("router", "203.0.113.100/24"))
    for number, interface in enumerate(("eth0", "eth1")):
        own_hardware_address(wires, "router", interface, number)
    with wires.namespaces["router"]:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        subprocess.run(["/usr/sbin/nft", ROUTER_RULES], check=True)
        leases = ["--dhcp-range=192.168.1.100,192.168.1.150", "--dhcp-option=6,203.0.113.53"]
        server = subprocess.Popen(
            [
                *("/usr/sbin/dnsmasq", "-d", "-p0", "-ieth0", "-C/dev/null", "--no-ping", *leases),
                *("--dhcp-authoritative", f"--dhcp-leasefile={tmp_path}/leases"),
            ],
            stderr=subprocess.DEVNULL,
        )
    out = tmp_path / "out"
    status, text = await said(
        *(wires, "lan_connectivity/", "--dut", "gateway=eth0,eth1", *SOON, "--out", out)
    )
    server.kill()
    server.wait()

    assert status == 0, text
    assert "it has 192.168.1.1/24 on its link 'home', 203.0.113.100/24" in text
    assert "became 203.0.113.100:" in text, "what the device's own NAT does is on the ladder"
    assert set(verdicts(out / "lan_connectivity").values()) == {"PASS"}


@on_wires
async def test_a_run_that_is_killed_leaves_the_interface_as_it_was(
    wires: Wires, tmp_path: Path
) -> None:
    bench(wires)
    before = wires.netlinks["bench"].links()
    running = started(wires, "lan_connectivity/", "--dut", "hnb=eth0", "--out", tmp_path / "out")
    assert running.stdout is not None
    while "give the device" not in await asyncio.to_thread(running.stdout.readline):
        pass
    running.kill()
    await asyncio.to_thread(running.communicate)

    assert wires.netlinks["bench"].links() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hnb=eth9"], "interface of this machine (--dut hnb=eth9)"),
        (["hnb=eth0"], "address 192.0.2.7"),
        (["hnb=eth1"], "the interface is down"),
        (["hnb=eth0,eth1"], "hnb has 1 interfaces, on the links home"),
        (["gateway=eth0"], "give one interface of this machine for each"),
        (["femto=eth0"], "femto"),
        (["hnb"], "--dut takes ROLE=INTERFACE"),
        (["gateway=eth0,eth0"], "given twice"),
        (["hnb=eth0", "--jobs", "2"], "one run at a time"),
        (["hnb=eth0", "--engine", "simulation"], "real wires"),
        (["outer_dns=eth0", "--cast", "outer_dns=bind"], "by a program and by a device"),
        (["hnb=eth0", "--fault", "hnb:connectivity.asks-before-lease"], "a device"),
        (["hnb=eth0", "--set", "engine.patience=0"], "a number above 0"),
    ],
)
@on_wires
async def test_a_device_that_cannot_play_is_refused_before_anything_is_made(
    wires: Wires, words: list[str], told: str, tmp_path: Path
) -> None:
    wires.nodes("bench", "device")
    wires.wire("cable", ("bench", "192.0.2.7/24"), ("device", ""))
    wires.wire("other", ("bench", ""), ("device", ""))
    wires.netlinks["bench"].set_up("eth1", False)
    status, text = await said(
        wires, "lan_connectivity/", "--dut", *words, "--out", tmp_path / "out"
    )

    assert status == 2, text
    assert told in text
    assert len(text.strip().splitlines()) <= 3
    assert not (tmp_path / "out/lan_connectivity").exists()


@on_wires
async def test_an_address_of_the_link_on_another_interface_is_refused_unless_linux_keeps_quiet(
    wires: Wires,
) -> None:
    bench(wires)
    wires.wire("office", ("bench", "192.168.1.7/24"), ("device", ""))
    devices = {"hnb": ("eth0",)}
    with wires.namespaces["bench"]:
        with pytest.raises(BadInput, match=r"eth1 has 192\.168\.1\.7.*answer for it on eth0"):
            open_wires(devices, home_on_internet())
        Path("/proc/sys/net/ipv4/conf/eth0/arp_ignore").write_text("1")
        close_wires(open_wires(devices, home_on_internet()))


@on_wires
async def test_who_may_not_read_an_interface_is_told_to_be_root(
    wires: Wires, tmp_path: Path
) -> None:
    bench(wires)
    status, text = await said(
        *(wires, "lan_connectivity/", "--dut", "hnb=eth0", "--out", tmp_path / "out"),
        before=["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"],
    )

    assert status == 3, text
    assert "only root may carry frames" in text


@on_wires
async def test_a_device_with_an_address_of_the_lab_is_told(wires: Wires, tmp_path: Path) -> None:
    bench(wires)
    netlink = wires.netlinks["device"]
    netlink.set_up("eth0", False)
    netlink.set_hardware_address("eth0", "02:00:00:00:01:00")
    netlink.set_up("eth0")
    with wires.namespaces["device"]:
        device = subprocess.Popen([*UDHCPC, "-s", "/bin/true"], stderr=subprocess.DEVNULL)
    status, text = await said(
        wires, "lan_connectivity/", "--dut", "hnb=eth0", "--out", tmp_path / "out"
    )
    device.kill()
    device.wait()

    assert status == 1, text
    assert "which the testbed has given its" in text
