"""Tunnels of a node: charon in its namespace, told by vici what its role wants.

charon and what it says are in the other modules named `tunnel_...`; here a role's profile becomes a
tunnel, and charon's events become the role's.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from contextlib import suppress

from testbed.engines.emulation import tunnel_settings
from testbed.engines.emulation.forwarding import Forwarding
from testbed.engines.emulation.netlink import Netlink
from testbed.engines.emulation.tunnel_daemon import INTERFACE, Charon, CharonDied, Timers
from testbed.engines.emulation.tunnel_ends import (
    Accepted,
    OpenTunnel,
    Responder,
    TunnelGround,
    TunnelNode,
)
from testbed.engines.emulation.tunnel_keys import KeyReader
from testbed.engines.emulation.tunnel_log import (
    TOLD_LEVEL,
    LogLine,
    SaLog,
    cause_of,
    sentence_of,
)
from testbed.engines.emulation.tunnel_vici import Fields, ViciRefused
from testbed.engines.tunnel_inside import LINK, InsideHost
from testbed.errors import Unsupported
from testbed.host import (
    Interface,
    Tunnel,
    TunnelChange,
    TunnelHandler,
    TunnelKind,
    TunnelLife,
    TunnelListener,
    TunnelPolicy,
    TunnelProfile,
    TunnelRefused,
)
from testbed.protocols.pki import Identity
from testbed.protocols.wire import Endpoint
from testbed.topology import Esp

TABLE = 100
"""Of the routes of what has an inner address; not charon's own, which nothing looks up."""
_IKE_PORT, _NAT_PORT = 500, 4500
_SAME_DATE_S = 300.0
"""Dates that differ by no more than this are the same to certificates."""


class NodeTunnels:
    """All tunnels of one node, and its charon.

    Args:
        host: the node.
        netlink: configures its namespace.
        forwarding: its own.
        ground: what is the same for all nodes.
    """

    def __init__(
        self, host: TunnelNode, netlink: Netlink, forwarding: Forwarding, ground: TunnelGround
    ) -> None:
        self._host = host
        self._netlink = netlink
        self._forwarding = forwarding
        self._ground = ground
        self._charon: Charon | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._keys = KeyReader(ground.on_keys)
        self._log = SaLog()
        self._open: dict[str, OpenTunnel] = {}
        self._responders: dict[str, Responder] = {}
        self._accepted: dict[int, Accepted] = {}

    # Opening

    async def open(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None
    ) -> Tunnel:
        """Be an initiator."""
        charon = await self._running(profile.life, profile.moment)
        name = f"tunnel-{next(self._numbers)}"
        await self._load_identity(charon, profile.identity)
        kernel = self._ground.esp is Esp.KERNEL
        connection = tunnel_settings.initiator(name, remote, profile, kernel)
        await charon.commands.ask("load-conn", connection)
        told: list[Fields] = []
        try:
            await self._initiate(charon, name, told)
        except (ViciRefused, ConnectionError) as error:
            self._abandon(charon, name)
            lines = [each["msg"].decode(errors="replace") for each in told]
            if isinstance(error, ConnectionError):
                lines.append("charon has ended")
            cause, line = cause_of(lines, time.time() + charon.skew_s)
            sentence = sentence_of(cause, line, self._host.name, remote, profile.peer_name)
            raise TunnelRefused(cause, sentence) from None
        except BaseException:
            self._abandon(charon, name)
            raise
        sas: list[Fields] = []
        listing = await charon.connection()
        try:
            await listing.ask_told("list-sas", "list-sa", {"ike": name}, sas)
        finally:
            listing.close()
        sa = sas[0][name]
        if "local-vips" not in sa:
            self._abandon(charon, name)
            line = "its CFG_REQUEST was passed over: there is no inner address"
            sentence = sentence_of("peer", line, self._host.name, remote, profile.peer_name)
            raise TunnelRefused("peer", sentence)
        return self._opened(name, sa, told, on_change)

    async def _initiate(self, charon: Charon, name: str, told: list[Fields]) -> None:
        connection = await charon.connection()
        try:
            command = {"ike": name, "child": name, "timeout": 0, "loglevel": TOLD_LEVEL}
            await connection.ask_told("initiate", "control-log", command, told)
        finally:
            connection.close()

    def _opened(
        self, name: str, sa: Fields, told: list[Fields], on_change: TunnelHandler | None
    ) -> OpenTunnel:
        address = sa["local-vips"][0].decode()
        servers = []
        for each in told:
            words = each["msg"].decode(errors="replace").split()
            if words[:3] == ["installing", "DNS", "server"]:
                servers.append(words[3])
        number = len(self._open)
        interface = Interface(f"{INTERFACE}:{number}" if number else INTERFACE, LINK, "")
        self._netlink.add_route("0.0.0.0/0", device=INTERFACE, table=TABLE)
        self._netlink.add_rule(address, TABLE)
        self._host.tell(
            "ADDRESS",
            interface=interface.name,
            address=address,
            link=LINK,
            peer=_endpoint(sa).address,
        )

        def inside(tunnel: OpenTunnel) -> InsideHost:
            return InsideHost(self._host, interface, address, lambda: tunnel.is_up)

        remote = _endpoint(sa)
        peer = sa["remote-id"].decode(errors="replace")
        tunnel = OpenTunnel(self, name, inside, address, tuple(servers), remote, peer, on_change)
        self._open[name] = tunnel
        return tunnel

    def _abandon(self, charon: Charon, name: str) -> None:
        """Nobody waits for that tunnel any more."""

        async def unload() -> None:
            for command, message in (
                ("terminate", {"ike": name, "force": "yes"}),
                ("unload-conn", {"name": name}),
            ):
                with suppress(ViciRefused, ConnectionError):  # there may be none
                    await charon.commands.ask(command, message)

        if charon.is_running and self._host.powered:
            self._host.spawn(unload(), f"forgets {name}")

    async def close(self, tunnel: OpenTunnel) -> None:
        """Take an initiator's tunnel down in order."""
        charon = self._charon
        if charon is None:
            return
        connection = await charon.connection()
        try:
            command = {"ike": tunnel.name, "timeout": 0, "loglevel": 0}
            await connection.ask_told("terminate", "control-log", command, [])
            await charon.commands.ask("unload-conn", {"name": tunnel.name})
        except (ViciRefused, ConnectionError):
            pass  # it has gone already
        finally:
            connection.close()
            self._down(tunnel, "closed")

    # Accepting

    async def accept(self, policy: TunnelPolicy, on_change: TunnelHandler | None) -> TunnelListener:
        """Be a responder."""
        charon = await self._running(policy.life, policy.moment)
        name = f"accept-{next(self._numbers)}"
        kernel = self._ground.esp is Esp.KERNEL
        responder = Responder(self, policy, on_change)
        await self._load_identity(charon, policy.identity)
        await charon.commands.ask("load-pool", tunnel_settings.pool(name, policy))
        self._netlink.add_route(policy.pool, device=INTERFACE)
        self._forwarding.route()
        claims = {name: f"fqdn:{policy.name or policy.identity.name}"}
        if policy.name is None:
            # Whom it is not, it is asked for all the same; the certificate tells who it is.
            claims[f"{name}-any"] = "%any"
        for each, claimed in claims.items():
            self._responders[each] = responder
            connection = tunnel_settings.responder(each, name, claimed, policy, kernel)
            await charon.commands.ask("load-conn", connection)
        return responder

    async def delete(self, peer: str) -> None:
        """Take down in order what that peer has opened to a responder here."""
        charon = self._charon
        numbers = [number for number, each in self._accepted.items() if each.peer == peer]
        for number in numbers if charon is not None else ():
            assert charon is not None
            connection = await charon.connection()
            try:
                command = {"ike-id": str(number), "timeout": 0, "loglevel": 0}
                await connection.ask_told("terminate", "control-log", command, [])
            except (ViciRefused, ConnectionError):
                pass  # it has gone already
            finally:
                connection.close()

    def stop_accepting(self, responder: Responder) -> None:
        """The responder ends as a process that dies."""
        if responder in self._responders.values():
            self.end()

    # charon

    async def _running(self, life: TunnelLife, moment: float | None) -> Charon:
        """The node's charon, started if it does not run.

        Raises:
            Unsupported: it has tunnels, and another date than this one is to have.
        """
        timers, skew_s = Timers.of(life), _skew_s(moment)
        async with self._starting:
            self._host.require_power()
            if self._charon is not None and abs(self._charon.skew_s - skew_s) > _SAME_DATE_S:
                if self._open or self._responders:
                    raise Unsupported(
                        f"{self._host.name} has tunnels, and its date changes by "
                        f"{abs(self._charon.skew_s - skew_s)} s: charon cannot follow that"
                    )
                self.end()
            if self._charon is not None:
                await self._charon.set_timers(timers)
                return self._charon
            logs = self._ground.logs
            log = logs / f"{self._host.name}.charon.log" if logs is not None else None
            charon = Charon(self._host.name, self._ground.esp, log, self._line, self._event)
            self._charon = charon
            try:
                await charon.start(self._host.namespace, self._netlink, timers, skew_s)
                self._ground.versions["strongSwan"] = charon.version
            except BaseException:
                self.end()
                raise
            for port in (_IKE_PORT, _NAT_PORT):
                self._host.listens(port, None)
            self._host.spawn(self._watch(charon), "hears charon")
            return charon

    async def _watch(self, charon: Charon) -> None:
        status = await charon.live()
        if self._charon is not charon:
            return
        self.end()
        raise CharonDied(f"{self._host.name}: charon ended with status {status}, unasked")

    def end(self) -> None:
        """charon dies; nothing is said on the wire."""
        charon, self._charon = self._charon, None
        if charon is not None:
            charon.end()
        for tunnel in list(self._open.values()):
            self._down(tunnel, "dead")
        self._responders.clear()
        self._accepted.clear()

    def hear(self) -> None:
        """Take in what charon has said by now."""
        if self._charon is not None:
            self._charon.hear()

    @staticmethod
    async def _load_identity(charon: Charon, identity: Identity) -> None:
        await charon.commands.ask("load-key", {"type": "any", "data": identity.key})
        for issuer in identity.chain:
            await charon.commands.ask("load-cert", {"type": "X509", "flag": "NONE", "data": issuer})

    # What charon tells

    def _line(self, line: LogLine) -> None:
        self._keys.read(line)
        failed = self._log.add(line)
        if failed is not None and self._responders:
            skew_s = self._charon.skew_s if self._charon is not None else 0
            cause, reason = cause_of(failed.lines, time.time() + skew_s)
            self._host.tell("TUNNEL_FAILED", remote=failed.remote, cause=cause, reason=reason)

    def _event(self, name: str, fields: Fields) -> None:
        for connection, section in fields.items():
            if not isinstance(section, dict):
                continue
            if tunnel := self._open.get(connection):
                self._of_open(tunnel, name, fields, section)
            elif responder := self._responders.get(connection):
                self._of_accepted(responder, name, fields, section)

    def _of_open(self, tunnel: OpenTunnel, name: str, fields: Fields, section: Fields) -> None:
        if name == "child-rekey":
            self._told(tunnel, "rekeyed")
        elif name == "ike-rekey":
            self._told(tunnel, "ike rekeyed")
        elif name == "ike-update":  # the section tells of the ends before it
            tunnel.remote = _endpoint(fields)
            self._told(tunnel, "moved")
        elif name == "child-updown" and "up" not in fields:
            cause = "closed" if tunnel.closing else self._log.end_of(_number(section))
            self._down(tunnel, cause)

    def _told(self, tunnel: OpenTunnel, kind: TunnelKind, cause: str = "") -> None:
        if tunnel.on_change is not None:
            change = TunnelChange(kind, tunnel.peer, tunnel.remote, tunnel.address, cause)
            self._host.guard(tunnel.on_change, change)

    def _down(self, tunnel: OpenTunnel, cause: str) -> None:
        if not tunnel.is_up:
            return
        tunnel.is_up = False
        del self._open[tunnel.name]
        self._netlink.remove_rule(tunnel.address, TABLE)
        self._host.break_streams(tunnel.address)
        if self._host.powered:
            self._host.tell(
                "ADDRESS", interface=next(iter(tunnel.inside.interfaces)), address=None, link=LINK
            )
            self._told(tunnel, "down", cause)

    def _of_accepted(
        self, responder: Responder, name: str, fields: Fields, section: Fields
    ) -> None:
        if name == "ike-rekey":
            old, new = _number(section["old"]), _number(section["new"])
            if old in self._accepted:
                self._accepted[new] = self._accepted.pop(old)
                self._told_of(responder, new, "ike rekeyed")
            return
        number = _number(section)
        if name == "child-updown" and "up" in fields and number not in self._accepted:
            addresses: Sequence[bytes] = section.get("remote-vips", ())
            self._accepted[number] = Accepted(
                section["remote-id"].decode(errors="replace"),
                _endpoint(section),
                addresses[0].decode() if addresses else "",
            )
            self._told_of(responder, number, "up")
        elif number not in self._accepted:
            return
        elif name == "child-rekey":
            self._told_of(responder, number, "rekeyed")
        elif name == "ike-update":
            self._accepted[number].remote = _endpoint(fields)
            self._told_of(responder, number, "moved")
        elif name == "child-updown" and "up" not in fields:
            self._told_of(responder, number, "down", self._log.end_of(number))
            del self._accepted[number]

    def _told_of(
        self, responder: Responder, number: int, kind: TunnelKind, cause: str = ""
    ) -> None:
        if responder.on_change is not None:
            accepted = self._accepted[number]
            change = TunnelChange(kind, accepted.peer, accepted.remote, accepted.address, cause)
            self._host.guard(responder.on_change, change)


def _skew_s(moment: float | None) -> int:
    """By how much a node's date is ahead; a date that is nearly true is taken as true."""
    skew_s = 0.0 if moment is None else moment - time.time()
    return round(skew_s) if abs(skew_s) > _SAME_DATE_S else 0


def _number(sa: Fields) -> int:
    return int(sa["uniqueid"])


def _endpoint(sa: Fields) -> Endpoint:
    return Endpoint(sa["remote-host"].decode(), int(sa.get("remote-port", _NAT_PORT)))


class TunnelEnds:
    """What of a host has to do with tunnels."""

    _tunnels: NodeTunnels

    async def tunnel(
        self, remote: str, profile: TunnelProfile, on_change: TunnelHandler | None = None
    ) -> Tunnel:
        """Open a tunnel to the responder at that address.

        Raises:
            TunnelRefused: there is none; says why.
            MissingFeature: this machine cannot make tunnels.
            OSError: the node has no power.
        """
        return await self._tunnels.open(remote, profile, on_change)

    async def accept_tunnels(
        self, policy: TunnelPolicy, on_change: TunnelHandler | None = None
    ) -> TunnelListener:
        """Be the responder for whoever comes to this node's addresses, and forward for them.

        Raises:
            MissingFeature: this machine cannot make tunnels.
            OSError: the node has no power.
        """
        return await self._tunnels.accept(policy, on_change)
