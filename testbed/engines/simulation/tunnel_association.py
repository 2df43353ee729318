"""One IKE association of a simulated node, from either side: its exchanges, and its pair of ESP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from testbed.engines.simulation.esp import Association
from testbed.engines.simulation.ike_messages import Side
from testbed.host import TunnelLife
from testbed.protocols.ike import PORT
from testbed.protocols.ike.message import IkeMessage
from testbed.protocols.ike.payloads import Payload
from testbed.protocols.wire import Endpoint

Send = Callable[[bytes, Endpoint, int], None]
_KEPT_ANSWERS = 4


class NoAnswer(Exception):
    """A request was sent as often as it may be, and nobody answered."""


@dataclass(slots=True)
class IkeAssociation:
    """One side of an association.

    Attributes:
        side: SPIs and keys.
        remote: where the other side is now.
        life: timers.
        send: puts a datagram on the wire, from that port of this side.
        random: of initialization vectors.
        nonces: the initiator's and the responder's.
        peer: who the other side is, once that is proved.
        address: the inner one.
        outgoing: seals what goes into the tunnel.
        incoming: opens what comes out of it.
        next_outgoing: seals in its place, once the other side gives up the old keys.
        heard_s: when the other side last said anything.
        said_s: when this side did.
        is_up: whether the tunnel carries.
        port: this side's, to which the other one has spoken: a NAT may have given that one any.
        asked_from: where the other side's last request came from: its answer goes there; None: to
            `remote`.
    """

    side: Side
    remote: Endpoint
    life: TunnelLife
    send: Send
    random: Random
    nonces: tuple[bytes, bytes] = (b"", b"")
    peer: str = ""
    address: str = ""
    outgoing: Association | None = None
    incoming: Association | None = None
    next_outgoing: Association | None = None
    heard_s: float = 0.0
    said_s: float = 0.0
    is_up: bool = False
    port: int = PORT
    asked_from: Endpoint | None = None
    _next: int = 0
    _waiting: dict[int, asyncio.Future[IkeMessage]] = field(default_factory=dict)
    _answers: dict[int, bytes] = field(default_factory=dict)
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def secret(self) -> bytes:
        """Of both ends, for ESP keys."""
        return b"".join(self.nonces)

    # Requests of this side

    async def ask(
        self,
        exchange: int,
        payloads: Sequence[Payload],
        in_clear: bool = False,
        also_to: Sequence[Endpoint] = (),
    ) -> IkeMessage:
        """Send a request until its response comes; gives the response, opened.

        Args:
            exchange: its type.
            payloads: of the request.
            in_clear: whether they are not encrypted.
            also_to: where else the other side may be: the same request goes there, too.

        Raises:
            NoAnswer: none comes.
        """
        async with self._busy:
            number, self._next = self._next, self._next + 1
            if in_clear:
                data = self.side.message(exchange, number, payloads, False).encode()
            else:
                data = self.side.sealed(exchange, number, payloads, False, self.random)
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[IkeMessage] = loop.create_future()
            self._waiting[number] = answer
            wait_s = self.life.retransmit_first_s
            try:
                for _ in range(self.life.retransmit_tries + 1):
                    self.said_s = loop.time()
                    for place in (self.remote, *also_to):
                        self.send(data, place, self.port)
                    await asyncio.wait([answer], timeout=wait_s)
                    if answer.done():
                        return answer.result()
                    wait_s *= self.life.retransmit_factor
            finally:
                del self._waiting[number]
            raise NoAnswer(f"giving up after {self.life.retransmit_tries} retransmits")

    def tell(self, exchange: int, payloads: Sequence[Payload]) -> None:
        """Send a request once, whatever comes of it."""
        number, self._next = self._next, self._next + 1
        data = self.side.sealed(exchange, number, payloads, False, self.random)
        self.send(data, self.remote, self.port)

    def answered(self, message: IkeMessage) -> None:
        """A response has come."""
        waiting = self._waiting.get(message.message_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    # Requests of the other side

    def answer_again(self, number: int) -> bool:
        """Whether that request was answered before; if so the answer goes out once more."""
        if number not in self._answers:
            return False
        self.send(self._answers[number], self.asked_from or self.remote, self.port)
        return True

    def answer(self, request: IkeMessage, payloads: Sequence[Payload], in_clear: bool) -> None:
        """Send the response to a request, and keep it for when the request comes again."""
        exchange, number = request.exchange, request.message_id
        if in_clear:
            data = self.side.message(exchange, number, payloads, True).encode()
        else:
            data = self.side.sealed(exchange, number, payloads, True, self.random)
        self._answers[number] = data
        for old in [each for each in self._answers if each < number - _KEPT_ANSWERS]:
            del self._answers[old]
        self.send(data, self.asked_from or self.remote, self.port)

    def begin_anew(self, side: Side) -> None:
        """New IKE keys: message numbers begin anew (RFC 7296, 2.8)."""
        self.side = side
        self._next = 0
        self._answers.clear()
