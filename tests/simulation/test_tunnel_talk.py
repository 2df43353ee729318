"""What of the talk between a tunnel's ends is chance is left out, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from testbed.protocols import ike
from testbed.protocols.ike import names
from testbed.protocols.ike.message import FROM_INITIATOR, RESPONSE
from testbed.protocols.ike.payloads import Delete, Notify, Payload
from testbed.protocols.wire import Endpoint
from testbed.registry import find_scenario
from testbed.simulate import simulate
from testbed.trace.record import Event, Record
from tests.simulation.labels import Labels
from tests.simulation.parity import first_difference
from tests.simulation.tunnel_talk import TunnelTalk

REKEY = Notify(16393, protocol=names.ESP_PROTOCOL, spi=bytes(4))
NO_ADDITIONAL, UPDATE = Notify(16399), Notify(16400)
ENDS = Delete(names.ESP_PROTOCOL, 4, bytes(4))
REFUSED = Notify(43)
QUESTION: list[Payload] = []


class Talk:
    """An association, each exchange in one arrow to and one fro.

    Attributes:
        arrows: in their order.
    """

    def __init__(self) -> None:
        self.arrows: list[Any] = []
        self._next = {True: 0, False: 0}

    def ask(self, by_initiator: bool, *inner: Payload, port: int = 4500) -> int:
        """A request; gives its number."""
        number, self._next[by_initiator] = self._next[by_initiator], self._next[by_initiator] + 1
        self._put(number, FROM_INITIATOR if by_initiator else 0, inner, port)
        return number

    def answer(self, by_initiator: bool, number: int, *inner: Payload) -> None:
        """The response of that end to the other one's request."""
        self._put(number, RESPONSE | (FROM_INITIATOR if by_initiator else 0), inner, 4500)

    def asked(self, by_initiator: bool, *inner: Payload, port: int = 4500) -> None:
        """A request, and its response."""
        self.answer(not by_initiator, self.ask(by_initiator, *inner, port=port))

    def _put(self, number: int, flags: int, inner: tuple[Payload, ...], port: int) -> None:
        message: ike.IkeMessage = ike.Informational(
            bytes(8), bytes(8), names.INFORMATIONAL, number, flags, inner=inner
        )
        if REKEY in inner:
            message = ike.CreateChild(
                bytes(8), bytes(8), names.CREATE_CHILD_SA, number, flags, inner=inner
            )
        hop = SimpleNamespace(
            number=len(self.arrows),
            link="home",
            source=Endpoint("192.0.2.1", port),
            destination=None,
        )
        arrow = SimpleNamespace(message=message, first=hop, last=hop, hops=[hop])
        self.arrows.append(arrow)

    @property
    def left_out(self) -> list[int]:
        """Which arrows are not compared."""
        return sorted(TunnelTalk(self.arrows).by_chance)


def test_a_question_more_on_the_same_way_is_left_out() -> None:
    talk = Talk()
    for _ in range(2):
        talk.asked(True, *QUESTION)
    talk.asked(True, UPDATE)
    talk.asked(True, *QUESTION)

    assert talk.left_out == [2, 3, 6, 7]


def test_a_question_from_another_place_and_one_of_the_other_end_count() -> None:
    talk = Talk()
    talk.asked(True, *QUESTION)
    talk.asked(True, *QUESTION, port=11000)
    talk.asked(False, *QUESTION)

    assert talk.left_out == []


def test_a_question_that_nobody_answers_counts() -> None:
    talk = Talk()
    talk.asked(True, *QUESTION)
    talk.ask(True, *QUESTION)

    assert talk.left_out == []


def test_a_list_of_addresses_is_left_out_and_a_move_is_not() -> None:
    talk = Talk()
    talk.asked(True, NO_ADDITIONAL)
    talk.asked(True, UPDATE, NO_ADDITIONAL)

    assert talk.left_out == [0, 1]


def test_of_two_changes_of_keys_that_cross_the_initiators_is_left_out_with_its_end() -> None:
    talk = Talk()
    theirs, ours = talk.ask(False, REKEY), talk.ask(True, REKEY)
    talk.answer(True, theirs)
    talk.answer(False, ours)
    talk.asked(False, ENDS)
    talk.asked(True, ENDS)
    talk.asked(True, ENDS)

    assert talk.left_out == [1, 3, 6, 7]


def test_a_change_of_keys_that_was_refused_has_no_end() -> None:
    talk = Talk()
    theirs, ours = talk.ask(False, REKEY), talk.ask(True, REKEY)
    talk.answer(True, theirs)
    talk.answer(False, ours, REFUSED)
    talk.asked(True, ENDS)

    assert talk.left_out == [1, 3]


def test_changes_of_keys_after_each_other_count() -> None:
    talk = Talk()
    talk.asked(False, REKEY)
    talk.asked(False, ENDS)
    talk.asked(True, REKEY)
    talk.asked(True, ENDS)

    assert talk.left_out == []


def test_what_counts_is_numbered_as_if_there_were_nothing_else() -> None:
    talk = Talk()
    talk.asked(True, NO_ADDITIONAL)
    talk.asked(True, UPDATE)
    numbers = [TunnelTalk(talk.arrows).number(each.message) for each in talk.arrows[2:]]

    assert numbers == [0, 0]


def test_how_often_a_peer_is_asked_is_no_difference_and_whether_at_all_is_one() -> None:
    scenario = find_scenario("tunnel_life")
    often, seldom, never = (
        simulate(scenario, "esp_rekey", settings={"rekey_s": "9", "dead_peer_s": each}).trace
        for each in ("1", "4", "0")
    )

    assert first_difference(often, seldom) == ""
    assert first_difference(often, never).startswith("hnb and serving_segw by udp 4500")


def inner(*held: tuple[str, str], peer: str = "203.0.113.50") -> Labels:
    return Labels(
        Record(
            *(number, 0, "", node, None, "event", None, None),
            message=Event("ADDRESS", {"address": address, "peer": peer}),
        )
        for number, (node, address) in enumerate(held)
    )


def test_inner_addresses_of_several_nodes_are_told_by_who_has_them() -> None:
    one = inner(("hnb", "10.0.0.1"), ("hnb2", "10.0.0.2"))
    other = inner(("hnb2", "10.0.0.1"), ("hnb", "10.0.0.2"))

    for ours, theirs in ((b"10.0.0.1", b"10.0.0.2"), (b"\x0a\0\0\1", b"\x0a\0\0\2")):
        assert one.in_text(ours) == other.in_text(theirs) != ours
        assert one.in_text(ours) != other.in_text(ours)
    assert one.endpoint(Endpoint("10.0.0.1", 7547)) == other.endpoint(Endpoint("10.0.0.2", 7547))
    assert one.in_text(b"http://10.0.0.1:7547/") == other.in_text(b"http://10.0.0.2:7547/")
    assert one.in_text(b"110.0.0.1") == b"110.0.0.1"


def test_inner_addresses_of_one_node_are_told_as_they_are() -> None:
    alone = inner(("hnb", "10.0.0.1"), ("hnb", "10.0.0.2"))

    assert alone.in_text(b"at 10.0.0.2") == b"at 10.0.0.2"
