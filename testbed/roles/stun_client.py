"""A CPE's part in UDP Connection Requests: its STUN client, and what that does to its parameters.

HNB, device and managed gateway share it (TR-111 Part 2, 2.2.1).  It reads what the ACS has set in
the object ManagementServer, runs the machine of `protocols.stun.binding`, and keeps
UDPConnectionRequestAddress and NATDetected true.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from testbed.datamodel.model import Notification
from testbed.datamodel.tree import Tree
from testbed.errors import BadInput
from testbed.host import Host, Mend, SidedDrive, Timer
from testbed.protocols import dns, stun
from testbed.protocols.http import Url
from testbed.protocols.stun import ClientSide
from testbed.protocols.wire import Endpoint

PORT = 7547
"""Where a CPE listens for UDP Connection Requests, unless told otherwise: as for those by TCP."""
IMPLICIT_PORT = 80
RESOLVE_AGAIN_S = 30.0

Resolve = Callable[[str], Awaitable[dns.Resolution]]
Drive = SidedDrive[stun.Message, stun.ClientEvent, ClientSide]


def authority(endpoint: Endpoint) -> str:
    """UDPConnectionRequestAddress: "host:port", or "host" where the port is 80."""
    return endpoint.address if endpoint.port == IMPLICIT_PORT else str(endpoint)


class StunClient:
    """One CPE's STUN client.

    Attributes:
        machine: the protocol.
        on_datagram: called with each datagram on the primary port that is no STUN.
        told_host: names the CPE in UDPConnectionRequestAddress instead of its public address, where
            its owner has a name that follows that; None: it has none.

    Args:
        host: all it may ask of the world.
        tree: the CPE's parameters.
        mend: the faults at work on what it sends.
        changed: called when it has changed the tree.
        port: the primary port.
    """

    def __init__(
        self,
        host: Host,
        tree: Tree,
        mend: Mend[stun.Message],
        changed: Callable[[], None],
        port: int = PORT,
    ) -> None:
        self.host = host
        self.tree = tree
        self.port = port
        self.machine = stun.BindingClient(host.random)
        self.on_datagram: Callable[[bytes, Endpoint], None] | None = None
        self.told_host: str | None = None
        self._mend = mend
        self._changed = changed
        self._drive: Drive | None = None
        self._resolve: Resolve | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._resolved: tuple[str, str] | None = None
        self._notified_at = -math.inf
        self._ladder: SidedDrive[stun.Message, stun.LadderEnded, int] | None = None
        self._raising: asyncio.Task[None] | None = None
        self._held: Timer | None = None
        self._again: Timer | None = None

    @property
    def policy(self) -> stun.ClientPolicy:
        """Of its machine."""
        return self.machine.policy

    def set_policy(self, **changes: Any) -> None:
        """Change the machine's policy; holds from the next request.

        Names of `LifetimePolicy` are understood too.
        """
        known = {field.name for field in dataclasses.fields(stun.LifetimePolicy)}
        of_search = {name: changes.pop(name) for name in set(changes) & known}
        lifetime = dataclasses.replace(self.policy.lifetime, **of_search)
        self.machine.policy = dataclasses.replace(self.policy, **{"lifetime": lifetime, **changes})

    # What the box tells it.

    async def start(self) -> None:
        """Listen: TR-111 2.2.1.4 has a CPE listen "whether or not the use of STUN is enabled".

        Raises:
            OSError: the port is taken.
        """
        if self._drive is not None:
            return
        local = {
            ClientSide.PRIMARY: Endpoint("0.0.0.0", self.port),
            ClientSide.SECONDARY: Endpoint("0.0.0.0", 0),
        }
        self._drive = await SidedDrive.open(self.machine, self.host, local, self._took, self._mend)

    async def move(self, host: Host) -> None:
        """Listen there and nowhere else: on the inside of a tunnel.

        Raises:
            OSError: the port is taken.
        """
        if host is self.host and self._drive is not None:
            return
        self.close()
        self.host = host
        await self.start()

    def close(self) -> None:
        """Power is about to go; the parameters stay."""
        self.disconnected()
        self._take_down()
        drive, self._drive = self._drive, None
        if drive is not None:
            drive.close()
        if self._held is not None:
            self._held.cancel()
            self._held = None
        self.tree.held.discard(self._path("UDPConnectionRequestAddress"))
        self.machine = stun.BindingClient(self.host.random, self.policy)

    def connected(self, address: str, resolve: Resolve) -> None:
        """The box has this address, and names can be resolved."""
        self._resolve = resolve
        self._resolved = None
        self.machine.set_local(Endpoint(address, self.port), self.host.now())
        self.reconsider()

    def disconnected(self) -> None:
        """The box has no address any more."""
        self._resolve = None
        self._stop_resolving()
        self.machine.set_local(None, self.host.now())
        self._flush()

    def reconsider(self) -> None:
        """The ACS, or the box, may have changed parameters that matter here."""
        wanted = (self._server_name(), self._value("STUNServerPort"))
        if self._value("STUNEnable") == "1" and wanted != self._resolved:
            self._stop_resolving()
            self._resolved = wanted
            if self._resolve is not None:
                work = self._find_server(wanted[0], self._resolve)
                self._resolving = self.host.spawn(work, f"{self.host.name} finds its STUN server")
        self._configure(self.machine.settings.server)

    def notified(self, paths: Iterable[str]) -> None:
        """The ACS has been told of changes of these parameters."""
        if self._path("UDPConnectionRequestAddress") in paths:
            self._notified_at = self.host.now()

    # Parameters.

    def _path(self, leaf: str) -> str:
        return f"{self.tree.model.root}ManagementServer.{leaf}"

    def _value(self, leaf: str) -> str:
        return self.tree.value(self._path(leaf))

    def _server_name(self) -> str:
        """STUNServerAddress; empty: "the host portion of the ACS URL" (TR-111 2.2.1.1)."""
        name = self._value("STUNServerAddress")
        if name:
            return name
        try:
            return Url.parse(self._value("URL")).host
        except BadInput:
            return ""

    def _configure(self, server: Endpoint | None) -> None:
        enabled = self._value("STUNEnable") == "1"
        settings = stun.ClientSettings(
            enabled=enabled,
            server=server if enabled else None,
            username=self._value("STUNUsername"),
            password=self._value("STUNPassword"),
            minimum_s=int(self._value("STUNMinimumKeepAlivePeriod")),
            maximum_s=int(self._value("STUNMaximumKeepAlivePeriod")),
        )
        if not enabled:
            self._resolved = None
            self._stop_resolving()
        self.machine.configure(settings, self.host.now())
        self._flush()

    def _flush(self) -> None:
        if self._drive is not None:
            self._drive.flush()

    # The server's name.

    def _stop_resolving(self) -> None:
        task, self._resolving = self._resolving, None
        if task is not None:
            task.cancel()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    async def _find_server(self, name: str, resolve: Resolve) -> None:
        """Resolve the name, and go on with what it gives."""
        number = int(self._value("STUNServerPort")) or stun.PORT  # AMB-P2-13
        cause = "neither STUNServerAddress nor the ACS's URL names one"
        if name:
            result = await resolve(name)
            if isinstance(result, dns.Resolved):
                self._configure(Endpoint(result.addresses[0], number))
                return
            cause = f"{name}: {result.cause}, {result.detail}"
        self.host.tell("STUN_SERVER_UNKNOWN", cause=cause)
        self._again = self.host.call_at(self.host.now() + RESOLVE_AGAIN_S, self._try_again)

    def _try_again(self) -> None:
        self._again = self._resolved = None
        self.reconsider()

    # What the machine tells.

    def _took(self, event: stun.ClientEvent) -> None:
        tell = self.host.tell
        match event:
            case stun.BindingDetermined(endpoint, is_translated):
                self._determined(endpoint, is_translated)
            case stun.PhaseChanged(phase, lifetime_s, interval_s):
                told = {"lifetime_s": round(lifetime_s, 3), "interval_s": round(interval_s, 3)}
                tell("STUN_PHASE", phase=phase.value, **told)
            case stun.LadderWanted(rungs_s):
                self._take_down()
                if rungs_s:
                    work = self._raise_ladder(rungs_s)
                    self._raising = self.host.spawn(work, f"{self.host.name} raises a ladder")
            case stun.Probed(idle_s, alive):
                tell("STUN_PROBED", idle_s=round(idle_s, 3), alive=alive)
            case stun.NoAnswer(purpose):
                tell("STUN_NO_ANSWER", purpose=purpose.value)
            case stun.Rejected(purpose, code):
                tell("STUN_REJECTED", purpose=purpose.value, code=code)
            case stun.Discarded(reason, source):
                tell("STUN_DISCARDED", reason=reason, source=str(source))
            case stun.ClientMalformed(error, source):
                tell("MALFORMED", protocol="STUN", source=str(source), error=str(error))
            case stun.NotStun(data, source):
                if self.on_datagram is not None:
                    self.on_datagram(data, source)

    # The ladder.

    async def _raise_ladder(self, rungs_s: tuple[float, ...]) -> None:
        """A port for each rung, and one that asks for them."""
        server = self.machine.settings.server
        assert server is not None
        policy = self.policy.lifetime
        ladder = stun.Ladder(self.host.random, server, rungs_s, policy)
        anywhere = dict.fromkeys(ladder.sides, Endpoint("0.0.0.0", 0))
        try:
            drive = await SidedDrive.open(ladder, self.host, anywhere, self._climbed, self._mend)
        except OSError as error:
            self.host.tell("STUN_LADDER", rungs=0, cause=str(error))
            self.machine.ladder_ended(0.0, math.inf, self.host.now())
            self._flush()
            return
        self._ladder = drive
        ladder.begin(self.host.now())
        drive.flush()

    def _climbed(self, found: stun.LadderEnded) -> None:
        alive_s, dead_s = found.alive_s, found.dead_s
        rungs = 0 if self._ladder is None else len(self._ladder.ports) - 1
        told = {} if dead_s == math.inf else {"dead_s": round(dead_s, 3)}
        self.host.tell("STUN_LADDER", rungs=rungs, alive_s=round(alive_s, 3), **told)
        self._take_down()
        self.machine.ladder_ended(alive_s, dead_s, self.host.now())
        self._flush()

    def _take_down(self) -> None:
        """Give the ladder's ports back."""
        raising, self._raising = self._raising, None
        if raising is not None and not raising.done():
            raising.cancel()
        ladder, self._ladder = self._ladder, None
        if ladder is not None:
            ladder.close()

    def _determined(self, endpoint: Endpoint, is_translated: bool) -> None:
        """TR-111 2.2.1.3: both parameters say at once what was found; the ACS is told in time."""
        if is_translated and self.told_host is not None:
            endpoint = Endpoint(self.told_host, endpoint.port)
        path, value = self._path("UDPConnectionRequestAddress"), authority(endpoint)
        self.host.tell("STUN_BINDING", address=value, nat_detected=is_translated)
        self.tree.assign(self._path("NATDetected"), "1" if is_translated else "0")
        if self.tree.value(path) != value and self._held is None:
            limit_s = int(self._value("UDPConnectionRequestAddressNotificationLimit"))
            until = self._notified_at + limit_s
            is_active = self.tree.notification(path) is Notification.ACTIVE
            if is_active and self.host.now() < until:
                # "the Notification MUST be delayed until the specified minimum time period is met"
                self.tree.held.add(path)
                self._held = self.host.call_at(until, self._release)
        self.tree.assign(path, value)
        self._changed()

    def _release(self) -> None:
        self._held = None
        self.tree.held.discard(self._path("UDPConnectionRequestAddress"))
        self._changed()
