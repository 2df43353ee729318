"""Whose copy a copy is, where frames with equal octets are on their way."""

from __future__ import annotations

from testbed.trace.delivery import Deliveries

MS = 1_000_000


def test_the_copy_is_of_the_frame_that_was_sent_as_long_ago_as_copies_take() -> None:
    deliveries = Deliveries(recorded=True)
    deliveries.sent("home", b"before", 0)
    deliveries.arrived("home", b"before", "hnb", 20 * MS)
    lost, repeated = (deliveries.sent("home", b"same", at * MS) for at in (100, 600))
    deliveries.arrived("home", b"same", "hnb", 620 * MS)
    deliveries.is_closed = True

    assert [deliveries.delivered(each, "hnb") for each in (lost, repeated)] == [False, True]


def test_a_second_copy_is_not_that_of_a_frame_that_was_lost() -> None:
    deliveries = Deliveries(recorded=True)
    deliveries.sent("home", b"before", 0)
    deliveries.arrived("home", b"before", "hnb", 20 * MS)
    lost, doubled = (deliveries.sent("home", b"same", at * MS) for at in (100, 600))
    for _ in range(2):
        deliveries.arrived("home", b"same", "hnb", 620 * MS)

    assert [lost.arrivals, doubled.arrivals] == [{}, {"hnb": 2}]


def test_equal_frames_in_a_row_arrive_in_a_row() -> None:
    deliveries = Deliveries(recorded=True)
    frames = [deliveries.sent("home", b"same", at * MS) for at in (0, 1, 2)]
    for at in (20, 21, 22):
        deliveries.arrived("home", b"same", "hnb", at * MS)

    assert [each.arrivals for each in frames] == [{"hnb": 1}] * 3
