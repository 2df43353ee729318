"""A lease, as a client holds it: the address, the parameters that came with it, and its times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Address

from testbed.protocols.dhcp.message import Message
from testbed.protocols.dhcp.options import INFINITE_S

T1_SHARE, T2_SHARE = 0.5, 0.875
"""RFC 2131 section 4.4.5: T1 defaults to (0.5 * duration_of_lease), T2 to 0.875 times it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What an ACK has given.

    Attributes:
        address: the client's.
        prefix_length: of its subnet; without a usable option 1 that of the address's class.
        routers: best first.
        dns_servers: best first.
        domain_name: None: not told.
        server: the server's identifier; "255.255.255.255" where it gave none.
        lease_s: how long it lasts; `math.inf` for ever, and after an INFORM.
        renewal_s: T1, seconds after `obtained_at`; the default where the server's is not usable.
        rebinding_s: T2, likewise.
        obtained_at: when the REQUEST was sent that this answers: the lease counts from there.
        ack: the message itself.
    """

    address: str
    prefix_length: int
    routers: tuple[str, ...]
    dns_servers: tuple[str, ...]
    domain_name: str | None
    server: str
    lease_s: float
    renewal_s: float
    rebinding_s: float
    obtained_at: float
    ack: Message

    @property
    def renewal_at(self) -> float:
        """When its client begins to ask its server for more time."""
        return self.obtained_at + self.renewal_s

    @property
    def rebinding_at(self) -> float:
        """When its client begins to ask any server."""
        return self.obtained_at + self.rebinding_s

    @property
    def expires_at(self) -> float:
        """When the address must no longer be used."""
        return self.obtained_at + self.lease_s

    def option(self, code: int) -> bytes | None:
        """The value of an option of the ACK, its instances joined; None: absent."""
        return self.ack.option(code)


def lease_of(ack: Message, address: str, lease_s: float, server: str, obtained_at: float) -> Lease:
    """The lease that an ACK gives.

    Args:
        ack: the message.
        address: the client's.
        lease_s: option 51's number, or `math.inf`.
        server: who gave it.
        obtained_at: when the REQUEST left.
    """
    if lease_s >= INFINITE_S:
        lease_s = math.inf
    renewal_s = ack.renewal_s or 0
    rebinding_s = ack.rebinding_s or 0
    # RFC 2131 section 4.4.5: T1 MUST be earlier than T2, which, in turn, MUST be earlier than the
    # time at which the client's lease will expire.
    if not 0 < rebinding_s < lease_s:
        rebinding_s = 0
    if not 0 < renewal_s < (rebinding_s or lease_s * T2_SHARE):
        renewal_s = 0
    t2 = rebinding_s or lease_s * T2_SHARE
    t1 = renewal_s or lease_s * T1_SHARE
    if t1 >= t2:  # an early T2 without a T1 of its own
        t1 = t2 * T1_SHARE / T2_SHARE
    return Lease(
        address=address,
        prefix_length=prefix_length_of(ack, address),
        routers=ack.routers,
        dns_servers=ack.dns_servers,
        domain_name=ack.domain_name,
        server=server,
        lease_s=lease_s,
        renewal_s=t1,
        rebinding_s=t2,
        obtained_at=obtained_at,
        ack=ack,
    )


def prefix_length_of(ack: Message, address: str) -> int:
    """The prefix length of option 1; where it is absent or no mask, that of the address's class."""
    if ack.subnet_mask is not None:
        hosts = ~int(IPv4Address(ack.subnet_mask)) & 0xFFFFFFFF
        if hosts & (hosts + 1) == 0:  # ones at the end only
            return 32 - hosts.bit_length()
    first = int(address.split(".")[0])
    return 8 if first < 128 else 16 if first < 192 else 24
