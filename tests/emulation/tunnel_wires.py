"""A home, the Internet and an operator's core for tests of tunnels, and who is who in them."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from testbed.engines.emulation.host import EmulatedHost
from testbed.engines.emulation.tunnel_daemon import INTERFACE
from testbed.engines.tunnel_inside import LINK
from testbed.host import (
    Tunnel,
    TunnelChange,
    TunnelLife,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
)
from testbed.protocols.pki import Authority
from testbed.protocols.wire import Endpoint
from testbed.topology import Nat
from tests.emulation.wires import Wires

HNB_NAME = "hnb1.operator.example"
SEGW_NAME = "segw.operator.example"
SEGW = "203.0.113.50"
FROM_HOME = Endpoint("203.0.113.7", 4500)
SERVING_SEGW = "198.51.100.51"
HMS = "10.10.0.20"
INNER_DNS = "10.10.0.53"

SHORT = TunnelLife(retransmit_first_s=0.05, retransmit_factor=1.0, retransmit_tries=2)
"""A life in which nobody waits for long."""
PATIENT = replace(SHORT, retransmit_first_s=0.5, retransmit_tries=10)
"""For a first message that is lost while the kernel asks for an address by ARP, once a second."""

ROOT = Authority("Operator root", "seed", time.time())
OTHER_ROOT = Authority("Another root", "seed", time.time())


def profile(**others: Any) -> TunnelProfile:
    """What the HNB asks for, unless said otherwise."""
    wanted: dict[str, Any] = {
        "identity": ROOT.issue(HNB_NAME),
        "roots": (ROOT.certificate,),
        "peer_name": SEGW_NAME,
        "protects": ("10.10.0.0/16",),
        "life": SHORT,
    }
    return TunnelProfile(**{**wanted, **others})


def policy(**others: Any) -> TunnelPolicy:
    """What the SeGW gives and accepts, unless said otherwise."""
    wanted: dict[str, Any] = {
        "identity": ROOT.issue(SEGW_NAME),
        "roots": (ROOT.certificate,),
        "pool": "10.20.0.0/16",
        "dns_servers": (INNER_DNS,),
        "protects": ("10.10.0.0/16",),
        "life": SHORT,
    }
    return TunnelPolicy(**{**wanted, **others})


@dataclass
class Changes:
    """What an end is told of its tunnels."""

    all: list[TunnelChange] = field(default_factory=list)
    waiting: asyncio.Queue[TunnelChange] = field(default_factory=asyncio.Queue)

    def __call__(self, change: TunnelChange) -> None:
        self.all.append(change)
        self.waiting.put_nowait(change)

    async def next(self, kind: str) -> TunnelChange:
        """The next change of that kind."""
        while True:
            change = await self.waiting.get()
            if change.kind == kind:
                return change


@dataclass
class Operator:
    """The nodes of a home and an operator."""

    hnb: EmulatedHost
    gateway: EmulatedHost
    segw: EmulatedHost
    hms: EmulatedHost
    at_hnb: Changes
    at_segw: Changes

    async def accept(self, **others: Any) -> TunnelListener:
        return await self.segw.accept_tunnels(policy(**others), self.at_segw)

    async def open(self, remote: str = SEGW, **others: Any) -> Tunnel:
        return await self.hnb.tunnel(remote, profile(**others), self.at_hnb)


def operator(wires: Wires, nat: Nat = Nat.MASQUERADE) -> Operator:
    """hnb (192.168.1.10), its gateway (203.0.113.7), segw (203.0.113.50, 10.10.0.1), hms."""
    wires.nodes("hnb", "gateway", "segw", "hms")
    wires.wire("home", ("hnb", "192.168.1.10/24"), ("gateway", "192.168.1.1/24"))
    wires.wire("internet", ("gateway", "203.0.113.7/24"), ("segw", f"{SEGW}/24"))
    wires.wire("core", ("segw", "10.10.0.1/16"), ("hms", f"{HMS}/16"))
    wires.netlinks["hnb"].set_default_route("192.168.1.1")
    wires.netlinks["hms"].set_default_route("10.10.0.1")
    for node in ("hnb", "gateway", "segw", "hms"):
        for interface in [name for owner, name in wires.links if owner == node]:
            assert wires.netlinks[node].link(interface).ready
    hosts = [wires.host(name) for name in ("hnb", "gateway", "segw", "hms")]
    for node in ("hnb", "segw"):
        wires.links[node, INTERFACE] = LINK
    made = Operator(*hosts, Changes(), Changes())
    made.gateway.translate(nat, ["eth0"], "eth1")
    return made


def second_operator(wires: Wires) -> tuple[EmulatedHost, EmulatedHost]:
    """Another SeGW (198.51.100.51), and behind it an HMS with the address of the first one's."""
    wires.nodes("serving_segw", "serving_hms")
    to_gateway = ("gateway", "198.51.100.7/24")
    wires.wire("other internet", to_gateway, ("serving_segw", f"{SERVING_SEGW}/24"))
    wires.wire("other core", ("serving_segw", "10.10.0.1/16"), ("serving_hms", f"{HMS}/16"))
    wires.netlinks["serving_segw"].set_default_route("198.51.100.7")
    wires.netlinks["serving_hms"].set_default_route("10.10.0.1")
    return wires.host("serving_segw"), wires.host("serving_hms")


def charon_of(wires: Wires, node: str) -> int:
    """The process that is the node's charon."""
    with wires.namespaces[node]:
        own = os.readlink("/proc/thread-self/ns/net")
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (pid,) = [int(each) for each in children if os.readlink(f"/proc/{each}/ns/net") == own]
    return pid
