"""Tunnels as a trace shows them: who opened them, with whom, what came of it and when they ended.

Read from the wire: IKE_SA_INIT and IKE_AUTH, by the initiator's SPI; what keys have opened is seen,
what is still encrypted is not guessed.  Knows no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from testbed.conformance.index import index_of, remembered
from testbed.conformance.reading import events_of, holder_of
from testbed.protocols import ike
from testbed.protocols.ike.names import IKE_PROTOCOL
from testbed.trace.opened import INSIDE
from testbed.trace.record import Event, Record
from testbed.trace.trace import Trace


@dataclass(slots=True)
class Attempt:
    """One try of a node to open a tunnel, and the tunnel that it may have become.

    Attributes:
        initiator: who tries.
        responder: who holds the address; None: nobody known.
        begun: the first IKE_SA_INIT.
        said: all IKE messages between the two from then on until the next attempt with the same
            peer, each where it was sent first.
        used: the first ESP packet that the initiator sends to the peer; None: it sends none.
    """

    initiator: str
    responder: str | None
    begun: Record
    said: list[Record] = field(default_factory=list)
    used: Record | None = None

    @property
    def address(self) -> str:
        """The peer's."""
        assert self.begun.destination is not None
        return self.begun.destination.address

    @property
    def answered(self) -> Record | None:
        """The responder's IKE_AUTH with which it accepts, as far as it can be read."""
        for each in self._answers():
            if isinstance(each.message, ike.Auth) and not each.message.errors:
                return each
        return None

    def _answers(self) -> Iterator[Record]:
        """The responder's answers; of one in fragments (RFC 7383) that by which it is whole."""
        fragments: dict[tuple[type, int], set[int]] = {}
        for each in self.said:
            message = each.message
            if each.sender == self.initiator or not message.is_response:
                continue
            if message.fragment is not None:
                number, total = message.fragment
                found = fragments.setdefault((type(message), message.message_id), set())
                found.add(number)
                if len(found) < total:
                    continue
            yield each

    @property
    def refused(self) -> Record | None:
        """The initiator's refusal: an error that it notifies, as AUTHENTICATION_FAILED."""
        for each in self.said:
            is_rekey = isinstance(each.message, ike.CreateChild)
            if each.sender == self.initiator and each.message.errors and not is_rekey:
                return each
        return None

    @property
    def unanswered(self) -> Record | None:
        """A request of the initiator's that it has sent again, and that nobody has answered."""
        sent: dict[tuple[type, int, object], int] = {}
        answered = {(type(each.message), each.message.message_id) for each in self._answers()}
        for each in self.said:
            message = each.message
            about = (type(message), message.message_id)
            key = (*about, message.fragment)  # a piece of a message repeats no other piece
            if each.sender == self.initiator and message.is_request and about not in answered:
                sent[key] = sent.get(key, 0) + 1
                if sent[key] > 1:
                    return each
        return None

    @property
    def is_up(self) -> bool:
        """Whether it has become a tunnel: accepted by one end, and not refused by the other."""
        return self.answered is not None and self.refused is None

    @property
    def deleted(self) -> Record | None:
        """Where one end says that it ends the tunnel; None: nobody has said so readably.

        An IKE association that another one has replaced ends, too (RFC 7296, 2.18): the tunnel ends
        with the last of them.
        """
        if not self.is_up:
            return None
        alive = {self.begun.message.initiator_spi}
        known = set(alive)
        offered: dict[tuple[bytes, int, bool], bytes] = {}
        for each in self.said:
            message = each.message
            spi, by_initiator = message.initiator_spi, message.is_from_initiator
            if isinstance(message, ike.CreateChild) and message.is_request:
                for proposal in message.proposals[:1]:
                    if proposal.protocol == IKE_PROTOCOL:
                        offered[spi, message.message_id, by_initiator] = proposal.spi
            elif isinstance(message, ike.CreateChild) and not message.errors:
                new = offered.pop((spi, message.message_id, not by_initiator), None)
                if new is not None:
                    alive.add(new)
                    known.add(new)
            if any(payload.label == "D(IKE)" for payload in message.inner or ()):
                alive.discard(spi)
                if not alive or spi not in known:  # one whose beginning nobody has seen
                    return each
        return None

    def may_have_ended_before(self, number: int) -> bool:
        """Whether something that no key opens, and that may have deleted the tunnel, comes before
        that record."""
        return any(
            isinstance(each.message, ike.Informational) and not each.message.is_opened
            for each in self.said
            if each.number < number
        )


@remembered
def attempts(trace: Trace, node: str) -> list[Attempt]:
    """A node's tries to open tunnels, in order; a repeated IKE_SA_INIT is no other one."""
    found: list[Attempt] = []
    by_spi: dict[bytes, Attempt] = {}
    latest: dict[str, Attempt] = {}
    for record in index_of(trace).of_node.get(node, ()):
        message = record.message
        if not isinstance(message, ike.IkeMessage | ike.EspPacket) or record.source is None:
            continue
        is_ours = record.sender == node
        peer = record.destination if is_ours else record.source
        assert peer is not None
        if isinstance(message, ike.EspPacket):
            attempt = latest.get(peer.address)
            if attempt is not None and is_ours and attempt.used is None:
                attempt.used = record
            continue
        opens = isinstance(message, ike.SaInit) and message.is_request and is_ours
        if opens and message.initiator_spi not in by_spi:
            attempt = Attempt(node, holder_of(trace, record), record)
            by_spi[message.initiator_spi] = latest[peer.address] = attempt
            found.append(attempt)
        # After the IKE keys were changed the SPIs are others: then the peer tells whose it is.
        attempt = by_spi.get(message.initiator_spi) or latest.get(peer.address)
        if attempt is not None:
            attempt.said.append(record)
    return found


def inner_addresses(trace: Trace, node: str) -> Iterator[tuple[Record | None, str]]:
    """The addresses that a node was given by IKE_AUTH, or says that it has inside."""
    for attempt in attempts(trace, node):
        answer = attempt.answered
        if answer is not None:
            for address in answer.message.addresses:
                yield answer, address
    for record in events_of(trace, node, "ADDRESS"):
        assert isinstance(record.message, Event)
        told = record.message.fields
        if told.get("link") == INSIDE and told.get("address"):
            yield record, str(told["address"])


def is_inside(record: Record) -> bool:
    """Whether a record is of a tunnel's inside."""
    return record.link == INSIDE
