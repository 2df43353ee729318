"""The kernel's netem on an interface, by route netlink: tc-netem(8) without tc."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.rtnetlink import CREATE, REPLACE, attribute, text_attribute

# linux/rtnetlink.h, linux/pkt_sched.h
_NEW_QDISC, _DELETE_QDISC = 36, 37
_KIND, _OPTIONS = 1, 2
_ROOT, _HANDLE = 0xFFFFFFFF, 0x00010000
_REORDER, _RATE, _RATE64, _LATENCY64, _JITTER64, _SEED = 3, 6, 8, 10, 11, 14
_ALWAYS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Netem:
    """What netem is told.

    Attributes:
        latency_us: of each frame, on the average.
        jitter_us: more or less of that, evenly spread.
        limit: frames that wait at most.
        loss: probability.
        duplication: probability.
        reordering: probability that a frame is not delayed at all.
        rate_kbps: kilobits a second.
        seed: of its randomness, where the kernel takes one (Linux 6.6); others leave it unread.
    """

    latency_us: float
    jitter_us: float = 0.0
    limit: int = 1000
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    rate_kbps: float = 0.0
    seed: int = 0


def set_netem(netlink: Netlink, interface: str, netem: Netem | None) -> None:
    """Have netem on what the interface sends, in the place of what was there; None: no more.

    Raises:
        NetlinkError: the kernel has no netem (ENOENT), or there is none to take away.
    """
    header = struct.pack(
        "=BxxxiIII",
        0,
        netlink.index(interface),
        _HANDLE if netem is not None else 0,
        _ROOT,
        0,
    )
    if netem is None:
        netlink.request(_DELETE_QDISC, 0, header, f"take netem off {interface}")
        return
    body = header + text_attribute(_KIND, "netem") + attribute(_OPTIONS, _options(netem))
    netlink.request(_NEW_QDISC, CREATE | REPLACE, body, f"have netem on {interface}")


def _options(netem: Netem) -> bytes:
    # struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter; times come in attributes.
    options = struct.pack(
        "=IIIIII",
        0,
        netem.limit,
        _probability(netem.loss),
        1 if netem.reordering else 0,
        _probability(netem.duplication),
        0,
    )
    options += attribute(_LATENCY64, struct.pack("=q", round(netem.latency_us * 1000)))
    options += attribute(_JITTER64, struct.pack("=q", round(netem.jitter_us * 1000)))
    if netem.reordering:
        options += attribute(_REORDER, struct.pack("=II", _probability(netem.reordering), 0))
    if netem.rate_kbps:
        octets = round(netem.rate_kbps * 1000 / 8)
        # struct tc_netem_rate: rate, packet overhead, cell size, cell overhead.
        options += attribute(_RATE, struct.pack("=IiIi", min(octets, _ALWAYS), 0, 0, 0))
        if octets > _ALWAYS:
            options += attribute(_RATE64, struct.pack("=Q", octets))
    if netem.seed:
        options += attribute(_SEED, struct.pack("=Q", netem.seed))
    return options


def _probability(value: float) -> int:
    return round(value * _ALWAYS)
