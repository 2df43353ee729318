"""A box that is wired and answers pings, and says nothing of its own."""

from __future__ import annotations

from testbed.roles.role import Role


class Bystander(Role):
    """Plays nobody: its kernel answers ARP and ICMP, and refuses the rest."""
