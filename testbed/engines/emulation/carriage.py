"""Who carries the frames of each link: a bridge alone, a bridge with netem behind its ports, or the
relay.

A link that nobody asks anything of, but an MTU, costs nothing.  The kernel's netem does what it can
do where the kernel has it; what depends on what is in a frame, and all else on other kernels, is
the relay's.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import StrEnum
from random import Random

from testbed.engines.conveyance import QUEUE_OCTETS
from testbed.engines.emulation.netlink import Netlink, NetlinkError
from testbed.engines.emulation.traffic import Netem, set_netem
from testbed.errors import MissingFeature
from testbed.topology import Quality, Topology

_LONGEST_FRAME = 1514
_MANY_FRAMES = 100_000
_NO_BOUND_KBPS = 100_000_000
"""With a rate netem keeps the order of frames whatever their jitter; this one bounds nothing."""
_NETEM_OF_OTHERS = (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL)


class BackEnd(StrEnum):
    """Who carries the frames of a link."""

    VETH = "veth"
    """Nobody but the kernel's pairs of interfaces and its bridge."""
    NETEM = "netem"
    RELAY = "relay"


class Wanted(StrEnum):
    """`--set engine.links=...`: who carries where a link is no mere wire."""

    AUTO = "auto"
    """netem where the kernel has it, else the relay."""
    NETEM = "netem"
    RELAY = "relay"


def choose(topology: Topology, wanted: Wanted, netlink: Netlink) -> dict[str, BackEnd]:
    """Who carries each link.

    Args:
        topology: whose links.
        wanted: by the user.
        netlink: of a namespace in which netem may be tried.

    Raises:
        MissingFeature: netem is wanted, and this kernel has none.
    """
    shaped = [link for link in topology.links.values() if not link.quality.is_a_wire]
    kernels = [link for link in shaped if not link.quality.is_selective]
    by_kernel = bool(kernels) and wanted is not Wanted.RELAY and has_netem(netlink)
    if kernels and wanted is Wanted.NETEM and not by_kernel:
        raise MissingFeature(
            f"link {kernels[0].name}: this kernel has no netem, and --set engine.links=netem asks "
            "for it: `sudo modprobe sch_netem`, or leave it to the relay (engine.links=relay)"
        )
    return {
        link.name: BackEnd.VETH
        if link not in shaped
        else BackEnd.NETEM
        if by_kernel and link in kernels
        else BackEnd.RELAY
        for link in topology.links.values()
    }


def has_netem(netlink: Netlink) -> bool:
    """Whether the kernel has netem: tried on the namespace's loopback, and taken away again.

    Raises:
        NetlinkError: the kernel refuses for another reason than that it has none.
    """
    try:
        set_netem(netlink, "lo", Netem(latency_us=1000))
    except NetlinkError as error:
        if error.errno in _NETEM_OF_OTHERS:
            return False
        raise
    set_netem(netlink, "lo", None)
    return True


def as_netem(quality: Quality, seed: str) -> Netem:
    """The quality in netem's words.

    netem's jitter is around the delay, and ours on top of it; who is overtaken is who is not
    delayed; and probabilities are of each copy of a broadcast.
    """
    delay_us, jitter_us = quality.delay_ms * 1000, quality.jitter_ms * 1000
    room = _MANY_FRAMES
    if quality.rate_kbps:
        on_way = quality.rate_kbps * (quality.delay_ms + quality.jitter_ms) / 8
        room = round((QUEUE_OCTETS + on_way) / _LONGEST_FRAME) + 1
    return Netem(
        latency_us=delay_us + jitter_us / 2,
        jitter_us=jitter_us / 2,
        limit=room,
        loss=quality.loss,
        duplication=quality.duplication,
        reordering=quality.reordering,
        rate_kbps=quality.rate_kbps or _NO_BOUND_KBPS,
        seed=Random(seed).getrandbits(63),
    )


def told(
    topology: Topology, back_ends: Mapping[str, BackEnd], counts: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, object]]:
    """What run.json tells of each link beside its subnet."""
    return {
        name: {"back_end": str(back_ends[name]), "counts": dict(counts.get(name, {}))}
        for name in topology.links
    }
