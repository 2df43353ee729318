"""A LAN device behind a gateway: connectivity, and one name resolved to prove it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

from testbed.host import Host
from testbed.protocols import dhcp, dns
from testbed.roles.lan import LanConnectivity
from testbed.roles.resolve import resolve
from testbed.roles.role import Role
from testbed.topology import Node

INTERFACE = "eth0"


class Device(Role):
    """DHCP on its only interface; then resolves `first_name`, where it has one.

    Where the interface has a static address, DHCP is an INFORM about that.

    Attributes:
        dhcp_policy: may be changed before power is given.
        lan: its connectivity.
        first_name: the name it resolves once it is connected; None: none.
    """

    starts_off = True

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.first_name: str | None = node.settings.get("first_name")
        self.dhcp_policy = dhcp.ClientPolicy(host_name=node.name)
        self.resolver_policy = dns.ResolverPolicy()
        self.lan = LanConnectivity(
            *(host, INTERFACE, self.dhcp_policy, self._lease_changed, self.mend_of("dhcp")),
            on_ack=self.acknowledged,
            static_address=node.address,
            on_silence=self.unanswered,
        )
        self._contact: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Power is on: get connected."""
        await self.lan.start()

    def stop(self) -> None:
        """Power is about to go."""
        self.lan.stop()
        self._contact = None

    def set_dhcp(self, **changes: Any) -> None:
        """Change the DHCP client's policy; holds from the next start."""
        self.lan.policy = self.dhcp_policy = dataclasses.replace(self.dhcp_policy, **changes)

    def set_resolver(self, **changes: Any) -> None:
        """Change how names are asked for; holds from the next name."""
        self.resolver_policy = dataclasses.replace(self.resolver_policy, **changes)

    def release(self) -> None:
        """Give the address back."""
        self.lan.release()

    def acknowledged(self, ack: dhcp.Message) -> None:
        """A DHCP server has answered by an ACK that is taken."""

    def unanswered(self) -> None:
        """No DHCP server has answered an INFORM: the box has its address all the same."""

    def _lease_changed(self, lease: dhcp.Lease | None) -> None:
        if self._contact is not None:
            self._contact.cancel()
            self._contact = None
        if lease is not None:
            self._contact = self.host.spawn(self.first_contact(lease), f"{self.name} contacts")

    async def first_contact(self, lease: dhcp.Lease) -> None:
        """What the box does as soon as it is connected: resolve its first name."""
        await self.ask_first_name(lease.dns_servers)

    async def ask_first_name(self, dns_servers: Sequence[str]) -> None:
        """Resolve `first_name` at these servers, and tell what came of it."""
        if self.first_name is None:
            return
        result = await resolve(
            self.host, dns_servers, self.first_name, "A", self.resolver_policy, self.mend_of("dns")
        )
        if isinstance(result, dns.Resolved):
            self.host.tell("RESOLVED", name=self.first_name, addresses=list(result.addresses))
        else:
            self.host.tell(
                "FAILED", step="2", cause=f"{self.first_name}: {result.cause}, {result.detail}"
            )
