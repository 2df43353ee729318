"""New keys of a modelled tunnel, in their time: what both of its ends have in common.

As charon has it, each end's timers begin when it has its keys: whoever answers an exchange has them
first, and so is first to change them.  Whoever has asked waits somewhat longer, and changes them
where the other end does not.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Literal

from testbed.engines.simulation import ike_messages as messages
from testbed.engines.simulation.ike_messages import NONCE_OCTETS, Side
from testbed.engines.simulation.tunnel_association import IkeAssociation, NoAnswer
from testbed.engines.simulation.tunnel_owner import TunnelOwner
from testbed.protocols.ike import names
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.payloads import Delete, Nonce, Notify, Payload, TrafficSelectors
from testbed.protocols.wire import Endpoint

SPI_OCTETS = 8
_PATIENCE = 1.5
"""How many first waits for an answer longer whoever has asked waits for the other end."""


class TunnelEnd(ABC):
    """One end of a tunnel that is up.

    Args:
        owner: the node's tunnels.
        association: this side of it.

    Attributes:
        esp_due: when the ESP keys are to be changed; None: never.
        ike_due: likewise of IKE.
    """

    def __init__(self, owner: TunnelOwner, association: IkeAssociation) -> None:
        self.association = association
        self.esp_due: float | None = None
        self.ike_due: float | None = None
        self._owner = owner
        self._asks_for_keys = False
        self._next_side: Side | None = None
        self._old_spi: int | None = None

    @abstractmethod
    def heard_from(self, source: Endpoint, local: Endpoint) -> None:
        """Where an authenticated message of the other end came from, and whom it asked."""

    @abstractmethod
    def asked(self, message: IkeMessage) -> None:
        """A request of the other end, opened."""

    @abstractmethod
    def changed(self, kind: Literal["rekeyed", "ike rekeyed"]) -> None:
        """Tell the role."""

    @abstractmethod
    def protects(self) -> tuple[str, ...]:
        """The prefixes behind the responder."""

    @abstractmethod
    def is_initiator(self) -> bool:
        """Whether this end has opened the tunnel."""

    @abstractmethod
    def down(self, cause: str) -> None:
        """The tunnel is no more."""

    # Timers

    def _patience_s(self, has_asked: bool) -> float:
        return _PATIENCE * self.association.life.retransmit_first_s if has_asked else 0.0

    def arm_esp(self, has_asked: bool) -> None:
        """New ESP keys are there."""
        wait_s = self.association.life.rekey_s
        due = self._owner.host.now() + wait_s + self._patience_s(has_asked)
        self.esp_due = due if wait_s else None

    def arm_ike(self, has_asked: bool) -> None:
        """New IKE keys are there."""
        wait_s = self.association.life.ike_rekey_s
        due = self._owner.host.now() + wait_s + self._patience_s(has_asked)
        self.ike_due = due if wait_s else None

    # This end changes keys

    def _selectors(self) -> list[Payload]:
        """TSi and TSr of an exchange that this end begins."""
        inner = [messages.single(self.association.address)]
        behind = messages.ranges(self.protects())
        first, second = (inner, behind) if self.is_initiator() else (behind, inner)
        return [messages.selectors(True, first), messages.selectors(False, second)]

    def _narrowed(self, asked: IkeMessage) -> list[Payload]:
        """TSi and TSr of an exchange that the other end has begun."""
        if self.is_initiator():  # what a responder protects is less than what is asked of it
            return list(asked.every(TrafficSelectors))
        inner = [messages.single(self.association.address)]
        return [
            messages.selectors(True, inner),
            messages.selectors(False, messages.ranges(self.protects())),
        ]

    async def _ask_for_keys(self, payloads: list[Payload]) -> IkeMessage:
        self._asks_for_keys = True
        try:
            return await self.association.ask(names.CREATE_CHILD_SA, payloads)
        finally:
            self._asks_for_keys = False

    async def rekey_esp(self) -> None:
        """Change the ESP keys.

        Raises:
            NoAnswer: the other end is not there.
        """
        association, owner = self.association, self._owner
        assert association.incoming is not None
        old, random = association.incoming.spi, owner.random
        nonce, spi = random.randbytes(NONCE_OCTETS), random.randrange(1 << 31, 1 << 32)
        payloads: list[Payload] = [
            Notify(messages.REKEY_SA, protocol=names.ESP_PROTOCOL, spi=old.to_bytes(4, "big")),
            messages.esp_proposals(spi, False),
            Nonce(nonce),
            *self._selectors(),
        ]
        answer = await self._ask_for_keys(payloads)
        self.arm_esp(has_asked=True)
        if answer.errors:
            return
        association.nonces = (nonce, next(answer.every(Nonce)).data)
        owner.carry(association, int.from_bytes(answer.proposals[0].spi, "big"), spi)
        ended = Delete(names.ESP_PROTOCOL, 4, old.to_bytes(4, "big"))
        await association.ask(names.INFORMATIONAL, [ended])
        owner.forget_incoming(old)
        self.changed("rekeyed")

    async def rekey_ike(self) -> None:
        """Change the IKE keys: this end is the new association's initiator (RFC 7296, 2.18).

        Raises:
            NoAnswer: the other end is not there.
        """
        association, random, owner = self.association, self._owner.random, self._owner
        nonce, spi = random.randbytes(NONCE_OCTETS), random.randbytes(SPI_OCTETS)
        payloads: list[Payload] = [
            messages.ike_proposals(False, spi),
            Nonce(nonce),
            messages.public_value(random),
        ]
        answer = await self._ask_for_keys(payloads)
        self.arm_ike(has_asked=True)
        if answer.errors:
            return
        theirs = answer.proposals[0].spi
        keys = messages.ike_keys(spi, theirs, nonce, next(answer.every(Nonce)).data)
        owner.on_keys(keys)
        with suppress(NoAnswer):  # the old association ends all the same (RFC 7296, 1.4.1)
            await association.ask(names.INFORMATIONAL, [Delete(names.IKE_PROTOCOL, 0)])
        self._begin_anew(Side(spi, theirs, True, keys))

    def _begin_anew(self, side: Side) -> None:
        owner, association = self._owner, self.association
        owner.ends.pop(association.side.own_spi, None)
        owner.ends[side.own_spi] = self
        association.begin_anew(side)
        self.changed("ike rekeyed")

    async def rekey_moved(self) -> None:
        """The tunnel has moved: an ESP association of charon's own cannot, so it is replaced."""
        try:
            await self.rekey_esp()
        except NoAnswer:
            self.down("dead")

    # The other end changes keys

    def create(self, message: IkeMessage) -> None:
        """Answer a CREATE_CHILD_SA.

        Where both ends ask at once, the one that has opened the association has its way.
        """
        owner, association = self._owner, self.association
        if not association.is_up:  # the answer to IKE_AUTH is still being read; it is asked again
            return
        offered = next(iter(message.proposals), None)
        theirs = next(message.every(Nonce), None)
        refusal = messages.NO_PROPOSAL_CHOSEN
        if self._asks_for_keys and association.side.is_initiator:
            offered, refusal = None, messages.TEMPORARY_FAILURE
        if offered is None or theirs is None:
            association.answer(message, [Notify(refusal)], in_clear=False)
            return
        nonce = owner.random.randbytes(NONCE_OCTETS)
        if offered.protocol == names.IKE_PROTOCOL:
            spi = owner.random.randbytes(SPI_OCTETS)
            keys = messages.ike_keys(offered.spi, spi, theirs.data, nonce)
            self._next_side = Side(offered.spi, spi, False, keys)
            payloads: list[Payload] = [
                messages.ike_proposals(True, spi),
                Nonce(nonce),
                messages.public_value(owner.random),
            ]
            self.arm_ike(has_asked=False)
            association.answer(message, payloads, in_clear=False)
            return
        number = owner.random.randrange(1 << 31, 1 << 32)
        payloads = [messages.esp_proposals(number, True), Nonce(nonce), *self._narrowed(message)]
        self._old_spi = association.incoming.spi if association.incoming is not None else None
        association.nonces = (theirs.data, nonce)
        owner.carry(association, int.from_bytes(offered.spi, "big"), number, is_asked=True)
        self.arm_esp(has_asked=False)
        association.answer(message, payloads, in_clear=False)

    def deleted(self, message: IkeMessage) -> list[Payload]:
        """What answers the DELETE payloads of an INFORMATIONAL.

        Only when the old ESP keys are given up does charon tell that there are new ones.
        """
        esp = any(each.protocol == names.ESP_PROTOCOL for each in message.every(Delete))
        if not esp or self._old_spi is None:
            return []
        association, old, self._old_spi = self.association, self._old_spi, None
        self._owner.forget_incoming(old)
        association.outgoing = association.next_outgoing or association.outgoing
        association.next_outgoing = None
        self.changed("rekeyed")
        # The other half of the pair (RFC 7296, 1.4.1).
        return [Delete(names.ESP_PROTOCOL, 4, old.to_bytes(4, "big"))]

    def end_old(self, message: IkeMessage) -> bool:
        """Whether an INFORMATIONAL ends the tunnel; old IKE keys may end by it, too."""
        if not any(each.protocol == names.IKE_PROTOCOL for each in message.every(Delete)):
            return False
        side, self._next_side = self._next_side, None
        if side is None:
            return True
        self._begin_anew(side)
        return False

    def first_due(self) -> float | None:
        """When any keys are to be changed."""
        return min(
            (each for each in (self.esp_due, self.ike_due) if each is not None), default=None
        )

    async def change_keys(self) -> None:
        """Change those whose time has come.

        Raises:
            NoAnswer: the other end is not there.
        """
        now = self._owner.host.now()
        if self.esp_due is not None and self.esp_due <= now:
            await self.rekey_esp()
        elif self.ike_due is not None and self.ike_due <= now:
            await self.rekey_ike()


async def pause(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(max(0.0, seconds))
