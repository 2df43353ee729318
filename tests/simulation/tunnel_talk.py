"""What the ends of a tunnel say to each other by the clock, or by who is first: not compared.

- A question whether the other end lives, answered like the last one before it, on the same way: how
  many there are depends on how long a run lasts.
- What addresses an end has, told once more (MOBIKE): charon does so 100 ms after the kernel has
  told it of a change, to whatever tunnel is up by then.
- Of two changes of ESP keys that cross, that of the end which has opened the association: whether
  it still asks when the other one has asked already is decided by microseconds.

Requests that are compared are numbered as if those had not been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from testbed.protocols import ike
from testbed.protocols.ike.message import IkeMessage
from testbed.trace.arrow import Arrow

_ADDRESSES = {"N(NO_ADDITIONAL_ADDRESSES)", "N(ADDITIONAL_IP4_ADDRESS)"}
_PLACES = {"N(NAT_DETECTION_SOURCE_IP)", "N(NAT_DETECTION_DESTINATION_IP)"}

Side = tuple[bytes, bool]
"""An association's initiator's SPI, and whether it is that end which asks."""


def side_of(message: IkeMessage) -> Side:
    """Whose exchange it belongs to."""
    return message.initiator_spi, message.is_from_initiator == message.is_request


@dataclass(frozen=True)
class Exchange:
    """A request with its copies, and what answered it."""

    request: list[Arrow]
    response: list[Arrow]

    @property
    def number(self) -> int:
        message: IkeMessage = self.request[0].message
        return message.message_id

    @property
    def says(self) -> list[str] | None:
        """What the request says, where it could be opened and was answered."""
        inner = self.request[0].message.inner
        return [each.label for each in inner] if inner is not None and self.response else None

    @property
    def way(self) -> list[object]:
        """From where to where it went, on each link."""
        return [(hop.link, hop.source, hop.destination) for hop in self.request[0].hops]

    @property
    def is_question(self) -> bool:
        """Whether it asks nothing but whether the other end lives."""
        return self._informs_of(_PLACES)

    @property
    def is_list(self) -> bool:
        """Whether it tells nothing but addresses."""
        return self._informs_of(_ADDRESSES) and bool(self.says)

    @property
    def changes_esp(self) -> bool:
        """Whether it changes ESP keys."""
        is_of_a_child = isinstance(self.request[0].message, ike.CreateChild)
        return is_of_a_child and "N(REKEY_SA)" in (self.says or ())

    @property
    def ends_esp(self) -> bool:
        """Whether it gives ESP keys up."""
        return any(each.startswith("D(ESP") for each in self.says or ())

    def _informs_of(self, known: set[str]) -> bool:
        is_informational = isinstance(self.request[0].message, ike.Informational)
        return is_informational and self.says is not None and set(self.says) <= known

    def repeats(self, other: Exchange) -> bool:
        """Whether it says the same on the same way."""
        return other.is_question and (self.says, self.way) == (other.says, other.way)

    def crosses(self, other: Exchange) -> bool:
        """Whether each was begun before the other had its answer."""
        return self._begins_before(other) and other._begins_before(self)

    def _begins_before(self, other: Exchange) -> bool:
        return self.request[0].first.number < other.response[0].last.number


class TunnelTalk:
    """The exchanges of all associations in one trace.

    Attributes:
        by_chance: arrows that are not compared, by the number of their first record.
    """

    def __init__(self, arrows: Iterable[Arrow]) -> None:
        self._sides: dict[Side, dict[int, Exchange]] = {}
        for arrow in arrows:
            if isinstance(message := arrow.message, IkeMessage):
                number = message.message_id
                exchanges = self._sides.setdefault(side_of(message), {})
                exchange = exchanges.setdefault(number, Exchange([], []))
                (exchange.request if message.is_request else exchange.response).append(arrow)
        self._left_out = {side: list(self._of(side)) for side in self._sides}
        self.by_chance = {
            arrow.first.number
            for found in self._left_out.values()
            for each in found
            for arrow in (*each.request, *each.response)
        }

    def number(self, message: IkeMessage) -> int:
        """The message's own, as if what is not compared had not been."""
        left_out = self._left_out[side_of(message)]
        return message.message_id - sum(each.number < message.message_id for each in left_out)

    def _asked(self, side: Side) -> list[Exchange]:
        found = self._sides.get(side, {})
        return [found[number] for number in sorted(found) if found[number].request]

    def _of(self, side: Side) -> Iterator[Exchange]:
        asked = self._asked(side)
        before: Exchange | None = None
        for place, each in enumerate(asked):
            if each.is_list:
                yield each
                continue
            if each.is_question and before is not None and each.repeats(before):
                yield each
            elif each.changes_esp and self._is_crossed(side, each):
                yield each
                if not each.response[0].message.errors:
                    yield from [later for later in asked[place:] if later.ends_esp][:1]
            before = each if each.is_question else before

    def _is_crossed(self, side: Side, exchange: Exchange) -> bool:
        spi, is_by_initiator = side
        others = self._asked((spi, False)) if is_by_initiator else []
        return any(each.changes_esp and each.crosses(exchange) for each in others)
