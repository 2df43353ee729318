"""A home gateway: DHCP server and DNS proxy inside, translation to the outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from ipaddress import IPv4Interface
from typing import Any

from testbed.host import Drive, Host
from testbed.protocols import dhcp
from testbed.protocols.wire import Endpoint
from testbed.roles.dns_proxy import DnsProxy
from testbed.roles.role import Role
from testbed.topology import Nat, Node

SERVER_PORT = 67
INSIDE, OUTSIDE = "eth0", "eth1"
FIRST_NUMBER, LAST_NUMBER = 100, 199
"""Host numbers of the addresses that it leases."""


class Gateway(Role):
    """Interface eth0 is its home, eth1 the outside.

    Settings of the node: `lease_s`, `dns_servers` (what it names to its clients), `dns_proxy` (it
    names itself and forwards to the first of them), `domain_name`.

    Attributes:
        dhcp_policy: may be changed while it runs (`set_dhcp`).
    """

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        inside = node.attachments[0]
        assert inside.address is not None, f"{node.name} needs a fixed address inside"
        self.inside_address = inside.address
        self.upstream: tuple[str, ...] = tuple(node.settings.get("dns_servers", ()))
        self.is_proxy: bool = bool(node.settings.get("dns_proxy", False))
        self.nat = node.nat or Nat.NONE
        self.dhcp_policy = dhcp.ServerPolicy(
            address=inside.address,
            prefix_length=inside.prefix_length,
            routers=(inside.address,),
            dns_servers=(inside.address,) if self.is_proxy else self.upstream,
            domain_name=node.settings.get("domain_name"),
            pool=_pool(inside.address, inside.prefix_length),
            lease_s=float(node.settings.get("lease_s", 3600)),
            minimum_lease_s=0,
        )
        self.server: dhcp.DhcpServer | None = None
        self._drive: Drive[dhcp.Message, dhcp.ServerEvent] | None = None
        self._proxy: DnsProxy | None = None

    async def start(self) -> None:
        """Power is on: translate, lease, forward."""
        self.host.translate(self.nat, [INSIDE], OUTSIDE, self.node.pool)
        self.server = dhcp.DhcpServer(self.dhcp_policy, self.answer_options)
        self._drive = await Drive.open(
            self.server,
            self.host,
            Endpoint("0.0.0.0", SERVER_PORT),
            self.happened,
            self.mend_of("dhcp"),
            interface=INSIDE,
            broadcast=True,
        )
        if self.is_proxy:
            self._proxy = DnsProxy(self.host, self.node, self.inside_address, self.upstream)
            await self._proxy.start()

    def stop(self) -> None:
        """Power is about to go: leases are forgotten, as in a gateway without memory for them."""
        if self._drive is not None:
            self._drive.close()
        if self._proxy is not None:
            self._proxy.stop()
        self._drive = self._proxy = self.server = None

    def set_dhcp(self, **changes: Any) -> None:
        """Change the DHCP server's policy, now."""
        self.dhcp_policy = dataclasses.replace(self.dhcp_policy, **changes)
        if self.server is not None:
            self.server.policy = self.dhcp_policy
        # Told, so that a judge does not blame it for what the scenario makes it do.
        self.host.tell("STAGED", **{name: str(value) for name, value in changes.items()})

    def renumber(self, address: str) -> None:
        """The provider gives it another outside address: what is translated is bound anew.

        Args:
            address: of the same subnet as the one it had.
        """
        self.host.set_address(OUTSIDE, address, self.node.attachments[1].prefix_length)

    def forget_after(self, lifetime_s: float) -> None:
        """From now on bindings live so long: those that there were are forgotten, as if its owner
        had set it up anew.

        Raises:
            BadInput: the kind of its NAT has a second lifetime, which would be shorter.
        """
        self.nat = self.nat.with_knobs({"lifetime_s": lifetime_s})
        self.host.tell("STAGED", lifetime_s=lifetime_s)
        self.host.translate(self.nat, [INSIDE], OUTSIDE, self.node.pool)
        self.host.rebind()  # a kernel tracks flows by itself too

    def answer_options(self, request: dhcp.Message) -> Sequence[dhcp.Option]:
        """More options for the answer to a DISCOVER, REQUEST or INFORM."""
        return ()

    def happened(self, event: dhcp.ServerEvent) -> None:
        """The DHCP server reports."""
        match event:
            case dhcp.Malformed(error, source):
                self.host.tell("MALFORMED", source=str(source), error=str(error))
            case _:
                pass


def _pool(address: str, prefix_length: int) -> tuple[str, ...]:
    """What a home gateway leases: the host numbers from 100 on, but its own.

    A subnet too small for that is leased whole.
    """
    subnet = IPv4Interface(f"{address}/{prefix_length}").network
    last = min(subnet.num_addresses - 2, LAST_NUMBER)
    first = FIRST_NUMBER if last >= FIRST_NUMBER else 1
    return tuple(
        each
        for each in dhcp.address_range(str(subnet[first]), str(subnet[last]))
        if each != address
    )
