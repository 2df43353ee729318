"""The initiator of a modelled tunnel: opens it, keeps it alive, changes its keys, closes it."""

from __future__ import annotations

from typing import Literal

from testbed.engines.simulation import ike_messages as messages
from testbed.engines.simulation.certificate_checks import shown
from testbed.engines.simulation.ike_messages import NONCE_OCTETS, Side
from testbed.engines.simulation.packets import ANY_ADDRESS, address_of
from testbed.engines.simulation.tunnel_association import NoAnswer
from testbed.engines.simulation.tunnel_owner import TunnelOwner
from testbed.engines.simulation.tunnel_rekey import SPI_OCTETS, TunnelEnd, pause
from testbed.engines.simulation.tunnel_trust import Disbelieved, check
from testbed.engines.tunnel_inside import LINK, InsideHost
from testbed.host import (
    Host,
    Interface,
    Tunnel,
    TunnelCause,
    TunnelHandler,
    TunnelProfile,
    TunnelRefused,
)
from testbed.protocols import ike
from testbed.protocols.ike import names
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.payloads import Delete, Nonce, Notify, Payload
from testbed.protocols.wire import Endpoint

COOKIE_OCTETS = 16
NOWHERE = ANY_ADDRESS
"""The own address of a node that has no way to the responder."""
_NOBODY = bytes(SPI_OCTETS)
_SENTENCES: dict[TunnelCause, str] = {
    "no answer": "nobody answers there",
    "proposal": "no proposal suits both sides",
    "name": "the responder cannot show that it is {name}",
    "chain": "the responder's certificate does not lead to a trusted root",
    "expired": "the responder's certificate has expired",
    "not yet valid": "the responder's certificate is not yet valid",
    "peer": "the responder refuses",
    "other": "it is given up",
}


class OpenTunnel:
    """An initiator's tunnel.  Fits `testbed.host.Tunnel`."""

    def __init__(self, initiator: Initiator, dns_servers: tuple[str, ...]) -> None:
        association = initiator.association
        self.address = association.address
        self.dns_servers = dns_servers
        self.remote = association.remote
        self.interface = ""
        self.inside: Host
        self._initiator = initiator

    @property
    def is_up(self) -> bool:
        """Whether anything goes through."""
        return self._initiator.association.is_up

    async def close(self) -> None:
        """Take it down in order (INFORMATIONAL with DELETE), and wait for the answer."""
        await self._initiator.close()


class Initiator(TunnelEnd):
    """Opens one tunnel and keeps it.

    Args:
        owner: the node's tunnels.
        remote: the responder's address.
        profile: what is asked for and checked.
        on_change: told of all that happens to the tunnel after it is up.
    """

    def __init__(
        self,
        owner: TunnelOwner,
        remote: str,
        profile: TunnelProfile,
        on_change: TunnelHandler | None,
    ) -> None:
        side = Side(owner.random.randbytes(SPI_OCTETS), _NOBODY, True)
        super().__init__(owner, owner.association(side, Endpoint(remote, ike.PORT), profile.life))
        self._remote = remote
        self._profile = profile
        self._on_change = on_change
        self._tunnel: OpenTunnel | None = None
        self._is_closing = False
        self._outer = ""
        self._is_behind_nat = False
        self._seen_as = b""
        self._others: tuple[Endpoint, ...] = ()

    async def open(self) -> Tunnel:
        """IKE_SA_INIT and IKE_AUTH.

        Raises:
            TunnelRefused: there is none.
        """
        side = self.association.side
        self._owner.ends[side.own_spi] = self
        try:
            await self._agree()
            answer = await self._authenticate()
            return self._up(answer)
        except NoAnswer as error:
            raise self._refused("no answer", str(error)) from None
        finally:
            if not self.association.is_up:
                self._owner.ends.pop(self.association.side.own_spi, None)

    def _refused(self, cause: TunnelCause, line: str) -> TunnelRefused:
        name = self._profile.peer_name
        reason = _SENTENCES[cause].format(name=name)
        node = self._owner.host.name
        return TunnelRefused(
            cause, f"{node} has no tunnel to {name} at {self._remote}: {reason} ({line})"
        )

    def _own_address(self) -> str:
        try:
            return self._owner.host.stack.source_for(self._remote)
        except OSError:
            return NOWHERE

    async def _agree(self) -> None:
        association, random = self.association, self._owner.random
        self._outer = self._own_address()
        here = Endpoint(self._outer, ike.PORT)
        nonce = random.randbytes(NONCE_OCTETS)
        spi = association.side.initiator_spi
        asked = messages.sa_init(
            False, random, nonce, (spi, _NOBODY), (here, association.remote), ()
        )
        answer = await association.ask(names.IKE_SA_INIT, asked, in_clear=True)
        if answer.errors:
            cause: TunnelCause = "proposal" if "NO_PROPOSAL_CHOSEN" in answer.errors else "peer"
            raise self._refused(cause, f"received {answer.errors[0]} notify error")
        theirs = next(answer.every(Nonce)).data
        association.nonces = (nonce, theirs)
        keys = messages.ike_keys(spi, answer.responder_spi, *association.nonces)
        association.side = Side(spi, answer.responder_spi, True, keys)
        digest = messages.nat_digest(spi, answer.responder_spi, here)
        told = [
            each.data for each in answer.every(Notify) if each.number == messages.NAT_DESTINATION
        ]
        self._is_behind_nat = digest not in told
        association.remote = Endpoint(self._remote, ike.NAT_PORT)
        association.port = ike.NAT_PORT
        self._owner.on_keys(keys)

    async def _authenticate(self) -> IkeMessage:
        profile, association, random = self._profile, self.association, self._owner.random
        self._spi = random.randrange(1 << 31, 1 << 32)
        payloads: list[Payload] = [
            messages.identity(profile.identity.name, True),
            *messages.certificates(shown(profile.identity)),
        ]
        if profile.verifies_name:  # charon says so only to a peer that it can name
            payloads.append(Notify(messages.INITIAL_CONTACT))
        payloads.append(messages.certificate_request(profile.roots))
        if profile.verifies_name:
            payloads.append(messages.identity(profile.peer_name, False))
        payloads += [
            messages.authentication(random),
            messages.asked_addresses(),
            messages.esp_proposals(self._spi, False),
            messages.selectors(True),
            messages.selectors(False, messages.ranges(profile.protects)),
        ]
        if profile.life.mobile:
            payloads += [Notify(messages.MOBIKE), Notify(messages.NO_ADDITIONAL)]
        payloads += [
            Notify(messages.MULTIPLE_AUTH),
            Notify(messages.EAP_ONLY),
            Notify(messages.MESSAGE_ID_SYNC),
        ]
        answer = await association.ask(names.IKE_AUTH, payloads)
        if answer.errors and answer.idr is not None:
            # Both have proved who they are: the IKE SA is there, and of no use without a child.
            association.tell(names.INFORMATIONAL, [Delete(names.IKE_PROTOCOL, 0)])
        if answer.errors:
            cause: TunnelCause = "proposal" if "NO_PROPOSAL_CHOSEN" in answer.errors else "peer"
            raise self._refused(cause, f"received {answer.errors[0]} notify error")
        self._check(answer)
        return answer

    def _check(self, answer: IkeMessage) -> None:
        profile = self._profile
        wanted = profile.peer_name if profile.verifies_name else answer.idr
        try:
            if profile.verifies_name and answer.idr != wanted:
                raise Disbelieved("name", f"constraint check failed: identity '{wanted}' required")
            check(answer.certificates, profile.roots, wanted, profile.moment)
        except Disbelieved as error:
            failed = [Notify(messages.AUTHENTICATION_FAILED)]
            self.association.tell(names.INFORMATIONAL, failed)
            raise self._refused(error.cause, str(error)) from None

    def _up(self, answer: IkeMessage) -> OpenTunnel:
        owner, association = self._owner, self.association
        association.peer = answer.idr or ""
        association.address = answer.addresses[0] if answer.addresses else ""
        chosen = next(each for each in answer.proposals if each.protocol == names.ESP_PROTOCOL)
        association.is_up = True
        self._others = tuple(
            Endpoint(address_of(each.data), ike.NAT_PORT)
            for each in answer.every(Notify)
            if each.number == messages.ADDITIONAL_ADDRESS
        )
        owner.carry(association, int.from_bytes(chosen.spi, "big"), self._spi)
        self.arm_esp(has_asked=True)
        self.arm_ike(has_asked=True)
        tunnel = self._tunnel = OpenTunnel(self, answer.dns_servers)
        tunnel.interface = owner.opened(association)
        interface = Interface(tunnel.interface, LINK, "")
        tunnel.inside = InsideHost(
            owner.host, interface, association.address, lambda: association.is_up
        )
        owner.host.tell(
            "ADDRESS",
            interface=tunnel.interface,
            address=association.address,
            link=LINK,
            peer=self._remote,
        )
        owner.host.spawn(self._live(), f"keeps the tunnel of {association.address}")
        return tunnel

    # Its life

    async def _live(self) -> None:
        """Keep-alives, questions whether the peer lives, new keys: each in its time."""
        association, life, host = self.association, self._profile.life, self._owner.host
        try:
            while association.is_up and not self._is_closing:
                now = host.now()
                alive = association.said_s + life.keepalive_s
                dead = association.heard_s + life.dead_peer_s
                keys = self.first_due()
                due = [keys] if keys is not None else []
                due += [alive] if life.keepalive_s and self._is_behind_nat else []
                due += [dead] if life.dead_peer_s else []
                if not due:
                    return
                if min(due) > now:
                    await pause(min(due) - now)
                elif keys is not None and keys <= now:
                    await self.change_keys()
                elif life.dead_peer_s and dead <= now:
                    answer = await association.ask(names.INFORMATIONAL, self._places())
                    if self._has_other_mapping(answer):
                        await self._move(is_elsewhere=False)
                else:
                    association.said_s = now
                    self._owner.send(ike.NatKeepalive().encode(), association.remote)
        except NoAnswer:
            self.down("dead")

    def changed(self, kind: Literal["rekeyed", "ike rekeyed"]) -> None:
        """Tell the role."""
        self._owner.told(self._on_change, self.association, kind)

    def protects(self) -> tuple[str, ...]:
        """The prefixes behind the responder."""
        return self._profile.protects

    def is_initiator(self) -> bool:
        """It has opened the tunnel."""
        return True

    def heard_from(self, source: Endpoint, local: Endpoint) -> None:
        """A responder stays where it is."""

    def asked(self, message: IkeMessage) -> None:
        """The responder asks something."""
        if isinstance(message, ike.CreateChild):
            self.create(message)
            return
        self.association.answer(message, self.deleted(message), in_clear=False)
        if self.end_old(message):
            self.down("deleted")

    # Where it is (RFC 4555)

    def roam(self) -> None:
        """This node's outer addresses or routes have changed: the tunnel moves with them.

        Where there is no way for now the tunnel stays as it is: one may come.
        """
        address = self._own_address()
        if not (self.association.is_up and self._profile.life.mobile) or address == NOWHERE:
            return
        is_new, self._outer = address != self._outer, address
        work = self._try_ways() if is_new else self._tell_addresses()
        self._owner.host.spawn(work, f"roams to {address}")

    async def _tell_addresses(self) -> None:
        """All that the other end knows of this one's addresses is still true."""
        try:
            await self.association.ask(names.INFORMATIONAL, [Notify(messages.NO_ADDITIONAL)])
        except NoAnswer:
            self.down("dead")

    async def _try_ways(self) -> None:
        """Ask all addresses of the responder from the new one, and move when one has answered."""
        try:
            await self.association.ask(names.INFORMATIONAL, [], also_to=self._others)
        except NoAnswer:
            self.down("dead")
            return
        await self._move(is_elsewhere=True)

    def _places(self) -> list[Payload]:
        """Where both ends are, so that a NAT's new mapping is noticed (RFC 4555, 3.8)."""
        if not (self._profile.life.mobile and self._is_behind_nat):
            return []
        association = self.association
        spis = (association.side.initiator_spi, association.side.responder_spi)
        here = Endpoint(self._outer, ike.NAT_PORT)
        return [
            Notify(messages.NAT_SOURCE, messages.nat_digest(*spis, here)),
            Notify(messages.NAT_DESTINATION, messages.nat_digest(*spis, association.remote)),
        ]

    def _has_other_mapping(self, answer: IkeMessage) -> bool:
        """Whether the NAT has given this side another outside end since the answer before.

        As charon has it: the first answer is only kept, so a change before it is never noticed.
        """
        told = [
            each.data for each in answer.every(Notify) if each.number == messages.NAT_DESTINATION
        ]
        if not told:
            return False
        before, self._seen_as = self._seen_as, told[0]
        return before not in (b"", told[0])

    async def _move(self, is_elsewhere: bool) -> None:
        """Tell that this end has another address, or that a NAT has given it another one."""
        association = self.association
        cookie = Notify(messages.COOKIE2, self._owner.random.randbytes(COOKIE_OCTETS))
        payloads = [Notify(messages.UPDATE_ADDRESSES), *self._places(), cookie]
        if is_elsewhere:
            payloads.append(Notify(messages.NO_ADDITIONAL))
        before = association.incoming
        try:
            await association.ask(names.INFORMATIONAL, payloads)
        except NoAnswer:
            self.down("dead")
            return
        if is_elsewhere:
            self._owner.told(self._on_change, association, "moved")
        if association.incoming is before:  # else the responder was first
            await self.rekey_moved()

    # Its end

    async def close(self) -> None:
        """Take it down in order, and wait for the answer."""
        if not self.association.is_up or self._is_closing:
            return
        self._is_closing = True
        try:
            await self.association.ask(names.INFORMATIONAL, [Delete(names.IKE_PROTOCOL, 0)])
        except NoAnswer:
            pass  # it has gone already
        finally:
            self.down("closed")

    def down(self, cause: str) -> None:
        """The tunnel is no more."""
        association, owner, tunnel = self.association, self._owner, self._tunnel
        if not association.is_up or tunnel is None:
            return
        association.is_up = False
        owner.ends.pop(association.side.own_spi, None)
        if association.incoming is not None:
            owner.forget_incoming(association.incoming.spi)
        owner.host.stack.tunnels.own.pop(association.address, None)
        owner.host.break_streams(association.address)
        if owner.host.powered:
            owner.host.tell("ADDRESS", interface=tunnel.interface, address=None, link=LINK)
            owner.told(self._on_change, association, "down", cause)
