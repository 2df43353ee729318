"""A router that the testbed did not make is probed from behind it, brought home, and played."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulation.wires import Wires, on_wires

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SERVER, OTHER = "203.0.113.50", "203.0.113.51"
COMMAND = [sys.executable, "-m", "testbed", "probe-nat"]
FOREIGN = {
    "masquerading": (
        "table ip home { chain out { type nat hook postrouting priority srcnat; "
        'oifname "eth1" masquerade; }; chain own { type filter hook input priority filter; '
        'iifname "eth1" meta l4proto udp drop; }; }',
        (2, 4),
        {
            "name": '"home"',
            "translates": "true",
            "filtering": '"address-and-port-dependent"',
            "ports": '"overloading"',
            "lifetime_s": "2",
            "confirmed_lifetime_s": "4",
        },
    ),
    "symmetric": (
        "table ip home { chain out { type nat hook postrouting priority srcnat; "
        'oifname "eth1" masquerade fully-random; }; chain own { type filter hook input priority '
        'filter; iifname "eth1" meta l4proto udp drop; }; }',
        (2, 2),
        {
            "name": '"home"',
            "translates": "true",
            "mapping": '"address-and-port-dependent"',
            "filtering": '"address-and-port-dependent"',
            "ports": '"random"',
            "lifetime_s": "2",
        },
    ),
    "blocking": (
        "table ip home { chain way { type filter hook forward priority filter; "
        "meta l4proto udp reject with icmp admin-prohibited; }; }",
        (30, 120),
        {
            "name": '"home"',
            "translates": "true",
            "filtering": '"address-and-port-dependent"',
            "udp": '"rejected"',
        },
    ),
}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


def build(wires: Wires, rules: str, timeouts_s: tuple[int, int]) -> None:
    """A home, a router with rules of its own, and a server beyond."""
    wires.nodes("home", "router", "server")
    wires.wire("lan", ("home", "192.168.7.10/24"), ("router", "192.168.7.1/24"))
    wires.wire("internet", ("router", "203.0.113.99/24"), ("server", f"{SERVER}/24"))
    wires.netlinks["home"].add_address("eth0", "192.168.7.11", 24)
    wires.netlinks["server"].add_address("eth0", OTHER, 24)
    wires.netlinks["home"].set_default_route("192.168.7.1")
    wires.netlinks["server"].set_default_route("203.0.113.99")
    with wires.namespaces["router"]:
        nft = subprocess.Popen(["/usr/sbin/nft", rules])
        for name, value in (
            ("ipv4/ip_forward", 1),
            ("netfilter/nf_conntrack_udp_timeout", timeouts_s[0]),
            ("netfilter/nf_conntrack_udp_timeout_stream", timeouts_s[1]),
        ):
            Path("/proc/sys/net", name).write_text(str(value))
    assert nft.wait() == 0


def said(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("router", FOREIGN)
@on_wires
async def test_a_foreign_router_is_found_out_and_its_replay_gives_the_same_file(
    wires: Wires, router: str, tmp_path: Path
) -> None:
    rules, timeouts_s, expected = FOREIGN[router]
    build(wires, rules, timeouts_s)
    file = tmp_path / "home.toml"
    with wires.namespaces["server"]:
        server = said("--serve", f"{SERVER},{OTHER}")
    assert server.stdout is not None
    assert "serving at" in server.stdout.readline()
    with wires.namespaces["home"]:
        words = ("--interface", "eth0", "--server", SERVER, "--longest", "8", "--out", str(file))
        probe = said(*words)
    text, _ = probe.communicate()
    server.kill()
    server.communicate()

    assert probe.returncode == 0, text
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split(" = ") for line in lines) == expected
    for engine in ("simulation", "emulation"):
        again = tmp_path / engine / "home.toml"
        again.parent.mkdir()
        replay = said(
            *("--nat", str(file), "--engine", engine, "--longest", "8", "--out", str(again))
        )
        text, _ = replay.communicate()
        assert replay.returncode == 0, text
        assert again.read_text() == file.read_text()
