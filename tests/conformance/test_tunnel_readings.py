"""What checks read of tunnels, in what two charons have said."""

from __future__ import annotations

import pytest

from testbed.conformance.tunnels import Attempt, attempts
from testbed.registry import find_scenario
from testbed.simulate import simulate
from testbed.trace.record import Frame
from testbed.trace.trace import Trace
from tests.protocols.ike import charons

ADDRESSES = {
    ("hnb", "eth0"): "192.168.1.10",
    ("gw", "lan"): "192.168.1.1",
    ("gw", "wan"): "203.0.113.7",
    ("segw", "eth0"): "203.0.113.50",
}


def the_attempt(frames: list[Frame], name: str, has_keys: bool = True) -> Attempt:
    nodes = {
        frame.data[6:12].hex(":"): (frame.node, frame.interface, frame.link)
        for frame in charons.frames(name)
        if frame.link_type == 1
    }
    keys = charons.keys(name)[0] if has_keys else ()
    trace = Trace.from_frames(frames, nodes, addresses=ADDRESSES, keys=keys)
    (attempt,) = attempts(trace, "hnb")
    return attempt


@pytest.mark.parametrize("name", charons.NAMES)
def test_an_answer_is_read_where_it_is_whole(name: str) -> None:
    attempt = the_attempt(charons.frames(name), name)
    answer = attempt.answered

    assert answer is not None
    assert answer.message.addresses == ("10.20.0.1",)
    assert attempt.responder == "segw"
    assert attempt.unanswered is None
    assert attempt.is_up
    assert attempt.used is not None
    assert attempt.deleted is not None


def test_an_answer_of_which_a_fragment_is_lost_is_none() -> None:
    """The request's three fragments come again, as they do where nobody answers."""
    frames = charons.frames("gcm")
    requests, answers = frames[8:14], frames[14:18]
    attempt = the_attempt([*frames[:8], *requests, *answers, *requests], "gcm")

    assert attempt.answered is None
    assert not attempt.is_up
    assert attempt.unanswered is not None


@pytest.mark.parametrize("name", charons.NAMES)
def test_without_keys_an_answer_is_there_and_says_nothing(name: str) -> None:
    attempt = the_attempt(charons.frames(name), name, has_keys=False)

    assert attempt.answered is not None
    assert not attempt.answered.message.is_opened
    assert attempt.deleted is None


def test_a_tunnel_lives_on_when_other_ike_keys_replace_its_own() -> None:
    """The ladder takes long enough for that before the HNB leaves its first tunnel."""
    slow = {"link.delay_ms": "80", "ike_rekey_s": "1"}
    result = simulate(find_scenario("tunnel_life"), "ike_rekey", settings=slow)
    first = attempts(result.trace, "hnb")[0]
    ends = [
        each
        for each in first.said
        if any(payload.label == "D(IKE)" for payload in each.message.inner or ())
    ]

    assert result.is_completed, result.missed
    assert [each.message.initiator_spi == first.begun.message.initiator_spi for each in ends] == [
        True,
        False,
    ]
    assert first.deleted is ends[1]
