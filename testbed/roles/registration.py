"""The start of an HNB's registration, which is step 10 of TS 32.583, 5.1.1, and step 9 of 5.1.2.

To the serving SeGW, through it to the serving HMS, and to the HNB-GW: to which of several the HNB
gets through is tried in turn.  What follows the first contact is out of scope (AMB-3G-11).  Where
the serving side is dead the HNB forgets it and discovers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from testbed.datamodel.femto import FemtoPaths
from testbed.datamodel.tree import Tree
from testbed.host import Host, Tunnel
from testbed.protocols import dhcp, dns, sctp
from testbed.protocols.cwmp import rpc
from testbed.roles.cpe import Cpe
from testbed.roles.cpe_http import Resolve
from testbed.roles.cpe_policy import SessionReport
from testbed.roles.hnb_gw import knock
from testbed.roles.secure_connection import NotSecured, SecureConnection


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """How patient an HNB is with its serving side.

    Attributes:
        tries: how often in a row registration may fail before the HNB discovers again.
        knock_tries: how often an HNB-GW is sent an INIT.
        knock_wait_s: for the answer to each.
    """

    tries: int = 3
    knock_tries: int = 3
    knock_wait_s: float = 1.0


class Registering(Protocol):
    """The HNB, as far as its registration asks it; `Hnb` says what each is."""

    host: Host
    tree: Tree
    paths: FemtoPaths
    cpe: Cpe
    secure: SecureConnection
    registers_by_tunnel: bool
    leaves_tunnel: bool
    hnb_gw_of_discovery: str

    @property
    def is_public(self) -> bool:
        """Whether its HMS (initial) is on the public Internet."""
        ...

    @property
    def serving_segw(self) -> str:
        """The serving SeGW that it was told."""
        ...

    @property
    def hms_url(self) -> str:
        """Its HMS."""
        ...

    @property
    def hnb_gw(self) -> str:
        """The HNB-GW that it was told."""
        ...

    def values_of(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The values of these parameters, without empty ones."""
        ...

    def resolver_inside(self, tunnel: Tunnel) -> Resolve:
        """How names are resolved through a tunnel."""
        ...

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the CWMP client."""

    async def go_without_tunnel(self, lease: dhcp.Lease) -> None:
        """Have sessions go over the Internet."""

    async def go_through(self, tunnel: Tunnel, lease: dhcp.Lease) -> None:
        """Have sessions go through a tunnel."""

    def discover_again(self, cause: str) -> None:
        """The serving side is dead: begin with the factory data again."""


class Registration:
    """The first contacts with the serving side.

    Args:
        hnb: whose.

    Attributes:
        policy: may be changed at any time.
        failures: how often it has failed in a row.
        is_served: whether the serving HMS has been spoken to since the power came.
    """

    def __init__(self, hnb: Registering) -> None:
        self.policy = RegistrationPolicy()
        self.failures = 0
        self.is_served = False
        self._hnb = hnb

    def reset(self) -> None:
        """The power is about to go, or the serving side is another one."""
        self.failures = 0
        self.is_served = False

    @property
    def step(self) -> str:
        """Its number, in the flow of this HNB."""
        return "9" if self._hnb.is_public else "10"

    def tell_start(self) -> None:
        """The marker of the step."""
        hnb = self._hnb
        hnb.host.tell(
            "REGISTRATION_START", segw=hnb.serving_segw, hms_url=hnb.hms_url, hnb_gw=hnb.hnb_gw
        )

    async def begin(self, lease: dhcp.Lease) -> None:
        """Leave what discovery has built, and turn to the serving side."""
        hnb = self._hnb
        hnb.cpe.hold()
        names = hnb.values_of(hnb.paths.segws)
        stays = hnb.secure.is_up and hnb.secure.name in names
        if hnb.secure.is_up and not stays:
            if hnb.leaves_tunnel:
                await hnb.secure.close()
            else:
                hnb.secure.keep()
        self.tell_start()
        if not hnb.registers_by_tunnel:
            await hnb.go_without_tunnel(lease)
            return
        while True:
            try:
                tunnel = hnb.secure.tunnel if stays else None
                tunnel = tunnel or await hnb.secure.open(names, lease.dns_servers)
                break
            except NotSecured as failed:
                if not await self._wait_after(str(failed)):
                    return
        await hnb.go_through(tunnel, lease)
        if self.is_served:  # the tunnel was lost, the serving HMS knows the HNB
            await self.contact_gateway()

    def contacted(self, report: SessionReport) -> str | None:
        """A session with the serving HMS is over; a text: it counts as failed, for this cause."""
        hnb = self._hnb
        if report.failure is not None:
            return self._failed(str(report.failure))
        if not hnb.hnb_gw:
            hnb.cpe.start_over()
            return self._failed("neither HMS (initial) nor HMS (serving) has set an HNB-GW")
        self.failures = 0
        self._tell_overruled(report)
        hnb.host.tell("SERVED", hms_url=report.url, hnb_gw=hnb.hnb_gw)
        if hnb.registers_by_tunnel and not self.is_served:
            hnb.go_on(self.contact_gateway())
        self.is_served = True
        return None

    def _tell_overruled(self, report: SessionReport) -> None:
        """AMB-3G-06: the HNB-GW of HMS (serving) wins over that of HMS (initial)."""
        before, path = self._hnb.hnb_gw_of_discovery, self._hnb.paths.hnb_gw
        for each in report.served:
            if isinstance(each.call, rpc.SetParameterValues) and before:
                for value in each.call.parameters:
                    if value.name == path and value.value != before:
                        self._hnb.host.tell("HNB_GW_OVERRULED", was=before, hnb_gw=value.value)

    async def contact_gateway(self) -> None:
        """Turn to the first HNB-GW that answers, through the tunnel."""
        hnb = self._hnb
        while hnb.secure.tunnel is not None:
            cause = await self._knock()
            if cause is None:
                self.failures = 0
                return
            if not await self._wait_after(cause):
                return

    async def _knock(self) -> str | None:
        """One round of all HNB-GWs; why none was reached, or None: one was."""
        hnb, policy, cause = self._hnb, self.policy, "no HNB-GW is known"
        tunnel = hnb.secure.tunnel
        assert tunnel is not None
        find = hnb.resolver_inside(tunnel)
        port = int(hnb.tree.value(hnb.paths.hnb_gw_port) or sctp.IUH_PORT)
        for name in hnb.values_of(hnb.paths.hnb_gws):
            found = await find(name)
            if isinstance(found, dns.Failed):
                cause = f"{name}: {found.cause}, {found.detail}"
                continue
            for address in found.addresses:
                try:
                    answer = await knock(
                        tunnel.inside, address, port, policy.knock_tries, policy.knock_wait_s
                    )
                except OSError as error:
                    return str(error)  # the tunnel is down
                if isinstance(answer, sctp.InitAck):
                    hnb.host.tell("HNB_GW_CONTACTED", hnb_gw=name, address=address, port=port)
                    return None
                said = "does not answer" if answer is None else f"answers {answer.summary()}"
                cause = f"the HNB-GW {name} at {address} {said}"
        return cause

    async def _wait_after(self, cause: str) -> bool:
        """Tell of a failure and wait; False: enough, discovery begins again."""
        if self._failed(cause) is None:
            return False
        await asyncio.sleep(self._hnb.cpe.back_off_s(self.failures))
        return True

    def _failed(self, cause: str) -> str | None:
        """Tell of a failure and give its cause; None: it was one too many."""
        self.failures += 1
        hnb = self._hnb
        hnb.host.tell("FAILED", step=self.step, cause=cause)
        if self.failures < self.policy.tries or not hnb.registers_by_tunnel:
            return cause
        hnb.discover_again(cause)
        return None
