"""The responder of modelled tunnels: a Security Gateway's side of IKEv2."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network
from typing import Literal

from testbed.engines.simulation import ike_messages as messages
from testbed.engines.simulation.certificate_checks import shown
from testbed.engines.simulation.ike_messages import NONCE_OCTETS, Side
from testbed.engines.simulation.packets import address_octets
from testbed.engines.simulation.tunnel_association import IkeAssociation, NoAnswer
from testbed.engines.simulation.tunnel_owner import TunnelOwner
from testbed.engines.simulation.tunnel_rekey import SPI_OCTETS, TunnelEnd, pause
from testbed.engines.simulation.tunnel_trust import Disbelieved, check
from testbed.host import TunnelCause, TunnelHandler, TunnelPolicy
from testbed.protocols import ike
from testbed.protocols.ike import names
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.payloads import Delete, Nonce, Notify, Payload
from testbed.protocols.wire import Endpoint
from testbed.topology import Algorithms


class Responder:
    """Accepts tunnels.  Fits `testbed.host.TunnelListener`.

    Args:
        owner: the node's tunnels.
        policy: what it gives and accepts.
        on_change: told of all tunnels.
    """

    def __init__(
        self, owner: TunnelOwner, policy: TunnelPolicy, on_change: TunnelHandler | None
    ) -> None:
        self.policy = policy
        self.on_change = on_change
        self._owner = owner
        self._begun: dict[bytes, Responding] = {}
        self._addresses = (str(each) for each in IPv4Network(policy.pool).hosts())
        self._leases: dict[str, str] = {}
        self._free: list[str] = []

    def begin(self, message: IkeMessage, source: Endpoint, local: Endpoint) -> None:
        """Somebody's IKE_SA_INIT."""
        before = self._begun.get(message.initiator_spi)
        if before is not None:
            before.association.answer_again(message.message_id)
            return
        owner, nonce = self._owner, next(message.every(Nonce), None)
        if nonce is None:
            return
        spi = owner.random.randbytes(SPI_OCTETS)
        ours = owner.random.randbytes(NONCE_OCTETS)
        keys = messages.ike_keys(message.initiator_spi, spi, nonce.data, ours)
        side = Side(message.initiator_spi, spi, False, keys)
        association = owner.association(side, source, self.policy.life)
        association.nonces = (nonce.data, ours)
        association.port = local.port
        made = Responding(owner, self, association)
        self._begun[message.initiator_spi] = owner.ends[spi] = made
        if self.policy.algorithms is Algorithms.OTHER_IKE:
            failed = [Notify(messages.NO_PROPOSAL_CHOSEN)]
            association.answer(message, failed, in_clear=True)
            made.failed("proposal", "received proposals unacceptable")
            return
        answer = messages.sa_init(
            *(True, owner.random, ours, (message.initiator_spi, spi), (local, source)),
            self.policy.roots,
        )
        association.answer(message, answer, in_clear=True)

    def forget(self, responding: Responding) -> None:
        """An association is no more."""
        self._begun.pop(responding.first_spi, None)
        self._owner.ends.pop(responding.association.side.own_spi, None)

    def lease(self, peer: str, held: set[str]) -> str | None:
        """An inner address: the one that the peer had before, if nobody has it now."""
        before = self._leases.get(peer)
        if before is not None and before not in held:
            return before
        address = next(self._addresses, None)
        if address is None:
            address = next((each for each in self._leases.values() if each not in held), None)
        if address is not None:
            self._leases[peer] = address
        return address

    async def delete(self, peer: str) -> None:
        """Take that peer's tunnel down in order."""
        for each in self.tunnels():
            if each.association.peer == peer:
                await each.delete()

    def tunnels(self) -> list[Responding]:
        """All that it has accepted, or is about to."""
        return [each for each in self._owner.ends.values() if isinstance(each, Responding)]

    def close(self) -> None:
        """Accept no more; all tunnels end without a word."""
        self._owner.stop_accepting(self)


class Responding(TunnelEnd):
    """One association at a responder.

    Args:
        owner: the node's tunnels.
        responder: whose policy holds.
        association: this side of it.
    """

    def __init__(
        self, owner: TunnelOwner, responder: Responder, association: IkeAssociation
    ) -> None:
        super().__init__(owner, association)
        self.first_spi = association.side.initiator_spi
        self._responder = responder

    def heard_from(self, source: Endpoint, local: Endpoint) -> None:
        """Where an authenticated message of the initiator came from, and whom it asked.

        With MOBIKE nothing moves by that alone, as charon has it: the initiator is to say so.
        """
        association = self.association
        association.asked_from, association.port = source, local.port
        if not (association.is_up and self._responder.policy.life.mobile):
            self._moved()

    def _moved(self) -> bool:
        """Follow the initiator to where it has asked from; whether that is another place."""
        association = self.association
        if association.asked_from in (None, association.remote):
            return False
        assert association.asked_from is not None
        association.remote = association.asked_from
        if association.is_up:
            self._owner.told(self._responder.on_change, association, "moved")
        return True

    def asked(self, message: IkeMessage) -> None:
        """A request of the initiator, opened."""
        if isinstance(message, ike.Auth):
            self._authenticate(message)
        elif isinstance(message, ike.CreateChild):
            self.create(message)
        elif isinstance(message, ike.Informational):
            self._inform(message)

    # IKE_AUTH

    def _authenticate(self, message: IkeMessage) -> None:
        policy, association = self._responder.policy, self.association
        try:
            if policy.name is not None and message.idr not in (None, policy.name):
                raise Disbelieved("name", f"no matching peer config found for '{message.idr}'")
            check(message.certificates, policy.roots, message.idi, policy.moment)
        except Disbelieved as error:
            failed = [Notify(messages.AUTHENTICATION_FAILED)]
            association.answer(message, failed, in_clear=False)
            self.failed(error.cause, str(error))
            return
        association.peer = message.idi or ""
        self._end_others()
        held = set(self._owner.host.stack.tunnels.others)
        association.address = self._responder.lease(association.peer, held) or ""
        self._accept(message)

    def failed(self, cause: TunnelCause, reason: str) -> None:
        """It has come to nothing."""
        remote = str(self.association.remote)
        self._owner.host.tell("TUNNEL_FAILED", remote=remote, cause=cause, reason=reason)
        self._responder.forget(self)

    def _end_others(self) -> None:
        """INITIAL_CONTACT: what the peer had before is no more."""
        for other in self._responder.tunnels():
            if other is not self and other.association.peer == self.association.peer:
                other.down("deleted")

    def _accept(self, message: IkeMessage) -> None:
        owner, policy, association = self._owner, self._responder.policy, self.association
        spi = owner.random.randrange(1 << 31, 1 << 32)
        offered = next(each for each in message.proposals if each.protocol == names.ESP_PROTOCOL)
        claimed = policy.name or message.idr or policy.identity.name
        payloads: list[Payload] = [
            messages.identity(claimed, False),
            *messages.certificates(shown(policy.identity)),
            messages.authentication(owner.random),
            messages.given_addresses(association.address, policy.dns_servers),
        ]
        fits = policy.algorithms is not Algorithms.OTHER_ESP
        if fits:
            payloads += [
                messages.esp_proposals(spi, True),
                messages.selectors(True, [messages.single(association.address)]),
                messages.selectors(False, messages.ranges(policy.protects)),
            ]
        if policy.life.mobile:
            payloads.append(Notify(messages.MOBIKE))
            payloads += [
                Notify(messages.ADDITIONAL_ADDRESS, address_octets(each.address))
                for each in list(owner.host.stack.interfaces.values())[1:]
                if each.address is not None
            ]
        if not fits:
            # The IKE SA is there, and its child is not: the initiator ends it.
            payloads.append(Notify(messages.NO_PROPOSAL_CHOSEN))
            association.answer(message, payloads, in_clear=False)
            return
        association.is_up = True
        owner.carry(association, int.from_bytes(offered.spi, "big"), spi)
        way = partial(owner.into, association)
        owner.host.stack.tunnels.others[association.address] = way
        association.answer(message, payloads, in_clear=False)
        self.arm_esp(has_asked=False)
        self.arm_ike(has_asked=False)
        owner.told(self._responder.on_change, association, "up")
        owner.host.spawn(self._live(), f"keeps the tunnel of {association.address}")

    # After that

    async def _live(self) -> None:
        """New keys in their time."""
        association = self.association
        try:
            while association.is_up and (due := self.first_due()) is not None:
                await pause(due - self._owner.host.now())
                if association.is_up:
                    await self.change_keys()
        except NoAnswer:
            self.down("dead")

    def changed(self, kind: Literal["rekeyed", "ike rekeyed"]) -> None:
        """Tell the role."""
        self._owner.told(self._responder.on_change, self.association, kind)

    def protects(self) -> tuple[str, ...]:
        """The prefixes behind this node."""
        return self._responder.policy.protects

    def is_initiator(self) -> bool:
        """The other end has opened the tunnel."""
        return False

    def _inform(self, message: IkeMessage) -> None:
        answer = self.deleted(message)
        told = {each.number for each in message.every(Notify)}
        has_moved = messages.UPDATE_ADDRESSES in told and self._moved()
        if messages.NAT_SOURCE in told:
            answer += self._places()
        answer += [each for each in message.every(Notify) if each.number == messages.COOKIE2]
        if has_moved:  # charon asks for other keys while it reads the request, and then answers
            host = self._owner.host
            host.spawn(self.rekey_moved(), "changes the keys of a tunnel that has moved")
            host.call_at(
                host.now(), partial(self.association.answer, message, answer, in_clear=False)
            )
            return
        self.association.answer(message, answer, in_clear=False)
        if self.end_old(message) or message.errors:
            self.down("deleted")

    async def delete(self) -> None:
        """Take it down in order, and wait for the answer."""
        try:
            await self.association.ask(names.INFORMATIONAL, [Delete(names.IKE_PROTOCOL, 0)])
        except NoAnswer:
            pass  # it has gone already
        finally:
            self.down("deleted")

    def _places(self) -> list[Payload]:
        """Where this side is, and where it sees the initiator (RFC 4555, 3.8)."""
        association = self.association
        spis = (association.side.initiator_spi, association.side.responder_spi)
        seen = association.asked_from or association.remote
        here = Endpoint(self._owner.host.stack.source_for(seen.address), ike.NAT_PORT)
        return [
            Notify(messages.NAT_SOURCE, messages.nat_digest(*spis, here)),
            Notify(messages.NAT_DESTINATION, messages.nat_digest(*spis, seen)),
        ]

    def down(self, cause: str) -> None:
        """The tunnel is no more."""
        association, owner = self.association, self._owner
        self._responder.forget(self)
        if not association.is_up:
            return
        association.is_up = False
        if association.incoming is not None:
            owner.forget_incoming(association.incoming.spi)
        owner.host.stack.tunnels.others.pop(association.address, None)
        owner.told(self._responder.on_change, association, "down", cause)
