"""Keeps the kernel's own SCTP quiet where a role speaks SCTP by a raw socket.

A kernel that has SCTP (the module is loaded as soon as anyone on the machine asks for it) knows
nothing of a raw socket's associations, and answers each packet of theirs by an ABORT (RFC 9260,
8.4).
"""

from __future__ import annotations

from testbed.engines.emulation import nft
from testbed.engines.emulation.namespace import Namespace
from testbed.errors import MissingFeature

PROTOCOL = 132
MARK = 0x53435450
"""What marks the packets of raw sockets; the kernel's own have none."""

_PROTOCOLS = "/proc/net/protocols"
# To name a table makes it, so that the deletion after it cannot fail.
RULES = f"""\
table ip testbed_sctp
delete table ip testbed_sctp
table ip testbed_sctp {{
  chain output {{
    type filter hook output priority filter; policy accept;
    meta l4proto {PROTOCOL} meta mark != {MARK} drop
  }}
}}
"""


def kernel_has_it() -> bool:
    """Whether this kernel speaks SCTP by itself, now."""
    with open(_PROTOCOLS) as listing:
        return any(line.startswith("SCTP ") for line in listing)


def silence(namespace: Namespace) -> None:
    """Let no SCTP out of the namespace but that of marked sockets.

    Raises:
        MissingFeature: nft is not on this machine, or the kernel does not take the rule.
    """
    complaint = nft.load(namespace, RULES, "whoever keeps this kernel's own SCTP quiet")
    if complaint:
        raise MissingFeature(
            f"{namespace.name}: this kernel's own SCTP cannot be kept quiet: "
            f"{complaint.splitlines()[0]} (as root: modprobe -r sctp)"
        )
