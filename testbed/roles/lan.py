"""Step 1 of both discovery flows: LAN connectivity by DHCP, kept while the link lives.

Shared by every box behind a gateway.  The DHCP machine knows the protocol; this part gives its
lease to the host (address, default route) and starts it again when the cable comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from testbed.host import Drive, Host, Mend
from testbed.protocols import dhcp
from testbed.protocols.dhcp import client_events as events
from testbed.protocols.wire import Endpoint

CLIENT_PORT = 68
PROBES = 3
"""So often is asked who has a new address (RFC 5227, 1.1: PROBE_NUM)."""


class LanConnectivity:
    """The DHCP client of one interface.

    Args:
        host: the node.
        interface: where.
        policy: the client's timers and options.
        mend: the faults at work on what it sends.
        on_lease: called with each new lease that brings an address, and with None when it is gone.
        on_ack: called with every ACK that is taken, before `on_lease`.
        static_address: the interface's own; it is only told about (DHCPINFORM), never asked for.
        on_silence: called when no DHCP server answers an INFORM.
    """

    def __init__(
        self,
        host: Host,
        interface: str,
        policy: dhcp.ClientPolicy,
        on_lease: Callable[[dhcp.Lease | None], None],
        mend: Mend[dhcp.Message] | None = None,
        on_ack: Callable[[dhcp.Message], None] | None = None,
        static_address: str | None = None,
        on_silence: Callable[[], None] | None = None,
    ) -> None:
        self.host = host
        self.interface = interface
        self.policy = policy
        self.lease: dhcp.Lease | None = None
        self._on_lease = on_lease
        self._on_ack = on_ack
        self._static_address = static_address
        self._on_silence = on_silence
        self._checking: asyncio.Task[None] | None = None
        self._mend = mend
        self._drive: Drive[dhcp.Message, dhcp.ClientEvent] | None = None
        self._client: dhcp.DhcpClient | None = None

    async def start(self) -> None:
        """Ask for an address, and go on until `stop`."""
        hardware_address = self.host.interfaces[self.interface].hardware_address
        self._client = dhcp.DhcpClient(hardware_address, self.host.random, self.policy)
        self._drive = await Drive.open(
            self._client,
            self.host,
            Endpoint("0.0.0.0", CLIENT_PORT),
            self._happened,
            self._mend,
            interface=self.interface,
            broadcast=True,
        )
        self.host.on_carrier(self._carrier)
        if self.host.carrier(self.interface):
            if self._static_address is None:
                self._client.start(self.host.now())
                self._drive.flush()
            else:
                self._inform(self._static_address)

    def _inform(self, address: str) -> None:
        assert self._client is not None
        assert self._drive is not None
        self._client.inform(self.host.now(), address)
        self._drive.flush()

    def stop(self) -> None:
        """Forget the lease, without a word on the wire."""
        if self._drive is not None:
            self._drive.close()
        if self._checking is not None:
            self._checking.cancel()
        self._drive = self._client = self.lease = self._checking = None

    def release(self) -> None:
        """Give the address back (DHCPRELEASE) and be without."""
        if self._drive is not None and self._client is not None:
            self._client.release(self.host.now())
            self._drive.flush()
            self._gone("released")

    def _carrier(self, interface: str, up: bool) -> None:
        if interface != self.interface or self._drive is None or self._client is None:
            return
        self.host.tell("LINK", interface=interface, up=up)
        if up and self._static_address is not None:
            self._inform(self._static_address)
        elif up:
            self._client.restart(self.host.now())
            self._drive.flush()
        elif self._static_address is not None and self.lease is not None:
            # What an INFORM has brought has no lease to end with (AMB-P1-07).
            self.lease = None
            self._on_lease(None)

    def _happened(self, event: dhcp.ClientEvent) -> None:
        match event:
            case events.Bound(lease) if self._is_to_be_checked(lease):
                work = self._check(lease)
                self._checking = self.host.spawn(work, f"{self.host.name} checks its address")
            case events.Bound(lease) | events.Renewed(lease):
                self._leased(lease, renewed=isinstance(event, events.Renewed))
            case events.Informed(lease):
                self._informed(lease)
            case events.Refused(message):
                self.host.tell("REFUSED", by=message.server_identifier)
                self._gone("refused")
            case events.Expired(lease):
                self.host.tell("EXPIRED", address=lease.address)
                self._gone("expired")
            case events.NoOffer(attempts):
                cause = f"no DHCP offer to {attempts} attempts"
                self.host.tell("FAILED", step="1", cause=cause)
            case events.NoAnswer(state, attempts):
                self.host.tell("NO_ANSWER", state=state.name, attempts=attempts)
                is_silent = self._static_address is not None and self.lease is None
                if is_silent and self._on_silence is not None:
                    self._on_silence()
            case events.PassedOver(_, reason):
                self.host.tell("PASSED_OVER", reason=reason)
            case dhcp.Malformed(error, source):
                self.host.tell("MALFORMED", source=str(source), error=str(error))

    def _is_to_be_checked(self, lease: dhcp.Lease) -> bool:
        is_new = self.lease is None or self.lease.address != lease.address
        return is_new and self.policy.check_address_s > 0

    async def _check(self, lease: dhcp.Lease) -> None:
        """RFC 2131, 3.1.5: "the client MUST send a DHCPDECLINE message to the server" where it
        finds that the address is in use."""
        address = lease.address
        if not await self._is_in_use(address):
            self._leased(lease, renewed=False)
        elif self._client is not None and self._drive is not None:
            self.host.tell("DECLINED", address=address, cause="somebody answers for it by ARP")
            self._client.decline(self.host.now())
            self._drive.flush()

    async def _is_in_use(self, address: str) -> bool:
        """Whether somebody answers for the address; asked more than once, as an ARP request or its
        answer may be lost."""
        within_s = self.policy.check_address_s / PROBES
        for _ in range(PROBES):
            if await self.host.reaches(self.interface, address, within_s):
                return True
        return False

    def _informed(self, lease: dhcp.Lease) -> None:
        self.lease = lease
        self.host.tell("INFORMED", address=lease.address, dns_servers=list(lease.dns_servers))
        if self._on_ack is not None:
            self._on_ack(lease.ack)
        self._on_lease(lease)

    def _leased(self, lease: dhcp.Lease, renewed: bool) -> None:
        before, self.lease = self.lease, lease
        same = before is not None and before.address == lease.address
        if not same:
            self.host.set_address(self.interface, lease.address, lease.prefix_length)
        self.host.set_default_route(lease.routers[0] if lease.routers else None)
        self.host.tell(
            "RENEWED" if renewed else "CONNECTED",
            address=lease.address,
            router=lease.routers[0] if lease.routers else None,
            dns_servers=list(lease.dns_servers),
            lease_s=lease.lease_s,
        )
        if self._on_ack is not None:
            self._on_ack(lease.ack)
        if not (renewed and same):
            self._on_lease(lease)

    def _gone(self, cause: str) -> None:
        if self.lease is None:
            return
        self.lease = None
        self.host.set_default_route(None)
        self.host.clear_address(self.interface)
        self.host.tell("DISCONNECTED", cause=cause)
        self._on_lease(None)
