"""A carrier's NAT between the homes and the Internet: it translates, and knows nobody by name."""

from __future__ import annotations

from testbed.roles.role import Role
from testbed.topology import Nat

INSIDE, OUTSIDE = "eth0", "eth1"


class Carrier(Role):
    """Interface eth0 is the access network, eth1 the Internet."""

    async def start(self) -> None:
        """Power is on: translate."""
        self.host.translate(self.node.nat or Nat.NONE, [INSIDE], OUTSIDE, self.node.pool)
