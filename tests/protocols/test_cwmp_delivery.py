"""Events reach the ACS once, in order; failed sessions are tried again at TR-069's intervals."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols.cwmp.delivery import (
    MOST_EVENTS,
    EventQueue,
    periodic_wait_s,
    retry_wait_s,
    retry_window_s,
    rule_of,
)
from testbed.protocols.cwmp.rpc import Event


def queue(*codes: str) -> EventQueue:
    events = EventQueue()
    for code in codes:
        events.happened(code)
    return events


def codes(events: EventQueue) -> list[str]:
    return [each.code for each in events.pending()]


@pytest.mark.parametrize(
    ("attempt", "window"),
    [
        *((1, (5, 10)), (2, (10, 20)), (3, (20, 40)), (4, (40, 80)), (5, (80, 160))),
        *((6, (160, 320)), (7, (320, 640)), (8, (640, 1280)), (9, (1280, 2560))),
        *((10, (2560, 5120)), (11, (2560, 5120)), (1000, (2560, 5120))),
    ],
)
def test_retry_windows_are_those_of_tr_069s_table(attempt: int, window: tuple[int, int]) -> None:
    assert retry_window_s(attempt) == window


@given(st.integers(1, 30), st.integers(), st.integers(1, 65535), st.integers(1000, 65535))
def test_a_wait_lies_within_its_window(
    attempt: int, seed: int, minimum_s: int, multiplier: int
) -> None:
    low, high = retry_window_s(attempt, minimum_s, multiplier)

    assert low <= retry_wait_s(attempt, Random(seed), minimum_s, multiplier) <= high


def test_the_same_seed_gives_the_same_wait() -> None:
    assert retry_wait_s(3, Random("1/hnb")) == retry_wait_s(3, Random("1/hnb"))


def test_events_are_told_in_their_order() -> None:
    assert codes(queue("1 BOOT", "2 PERIODIC", "4 VALUE CHANGE")) == [
        *("1 BOOT", "2 PERIODIC", "4 VALUE CHANGE")
    ]


def test_several_occurrences_of_a_single_event_count_as_one() -> None:
    assert codes(queue("2 PERIODIC", "4 VALUE CHANGE", "2 PERIODIC")) == [
        *("4 VALUE CHANGE", "2 PERIODIC")
    ]


def test_each_occurrence_of_a_method_is_told_with_its_key() -> None:
    events = EventQueue()
    events.happened("M Reboot", "a")
    events.happened("M Reboot", "b")

    assert events.pending() == (Event("M Reboot", "a"), Event("M Reboot", "b"))


def test_a_bootstrap_discards_what_came_before() -> None:
    assert codes(queue("2 PERIODIC", "M Reboot", "0 BOOTSTRAP", "1 BOOT")) == [
        *("0 BOOTSTRAP", "1 BOOT")
    ]


def test_an_inform_response_delivers_all_but_transfers() -> None:
    events = queue("1 BOOT", "7 TRANSFER COMPLETE", "M Download", "4 VALUE CHANGE")
    told = events.pending()

    events.delivered(told)
    assert codes(events) == ["7 TRANSFER COMPLETE", "M Download"]

    events.delivered(told, by="TransferCompleteResponse")
    assert codes(events) == []


def test_what_happens_during_a_session_waits_for_the_next() -> None:
    events = queue("1 BOOT")
    told = events.pending()
    events.happened("4 VALUE CHANGE")
    events.delivered(told)

    assert codes(events) == ["4 VALUE CHANGE"]


def test_a_failed_session_drops_the_connection_request_only() -> None:
    events = queue("1 BOOT", "6 CONNECTION REQUEST")
    events.failed(events.pending())

    assert codes(events) == ["1 BOOT"]


def test_a_connection_request_during_the_failed_sessions_own_is_kept() -> None:
    events = queue("1 BOOT")
    told = events.pending()
    events.happened("6 CONNECTION REQUEST")
    events.failed(told)

    assert codes(events) == ["1 BOOT", "6 CONNECTION REQUEST"]


def test_a_reboot_keeps_what_it_does_not_make_meaningless() -> None:
    events = queue("0 BOOTSTRAP", "1 BOOT", "4 VALUE CHANGE", "6 CONNECTION REQUEST", "M Reboot")
    events.rebooted()

    assert codes(events) == ["0 BOOTSTRAP", "M Reboot"]


def test_an_inform_tells_64_events_at_most() -> None:
    events = EventQueue()
    for number in range(70):
        events.happened("M Reboot", str(number))

    assert len(events.pending()) == MOST_EVENTS


@pytest.mark.parametrize(
    ("code", "multiple", "retried", "survives_reboot"),
    [
        ("0 BOOTSTRAP", False, True, True),
        ("1 BOOT", False, True, False),
        ("2 PERIODIC", False, True, True),
        ("3 SCHEDULED", False, True, True),
        ("4 VALUE CHANGE", False, True, False),
        ("6 CONNECTION REQUEST", False, False, False),
        ("7 TRANSFER COMPLETE", False, True, True),
        ("8 DIAGNOSTICS COMPLETE", False, True, False),
        ("M Reboot", True, True, True),
        ("M ScheduleInform", True, True, True),
        ("M Download", True, True, True),
    ],
)
def test_the_rules_are_those_of_tr_069s_table(
    code: str, multiple: bool, retried: bool, survives_reboot: bool
) -> None:
    rule = rule_of(code)

    assert (rule.multiple, rule.retried, rule.survives_reboot) == (
        multiple,
        retried,
        survives_reboot,
    )


def test_a_vendors_event_is_told_each_time() -> None:
    assert rule_of("X 00D0C9 Sun").multiple


def test_a_queue_outlives_its_program() -> None:
    assert EventQueue(queue("0 BOOTSTRAP").pending()).pending() == (Event("0 BOOTSTRAP"),)


NOON = 1_795_262_400.0
"""2026-11-21T12:00:00Z."""


@pytest.mark.parametrize(
    ("reference", "date", "wait_s"),
    [
        ("2026-11-21T12:00:00Z", NOON + 10, 290),
        ("2026-11-21T12:00:00Z", NOON - 10, 10),
        ("2026-11-21T12:00:00Z", NOON, 300),
        ("2026-11-21T12:01:00", NOON, 60),
        ("2026-11-21T17:31:00+05:30", NOON, 60),
        ("1970-01-01T00:00:07.5Z", NOON, 7.5),
        ("9999-12-31T23:59:00Z", NOON, 240),
        ("0001-01-01T00:00:00Z", NOON, 300),
        ("0001-01-01T00:00:00", NOON, 300),
        ("", NOON, 300),
        ("2026-11-21T12:00:00Z", None, 300),
    ],
    ids=[
        *("past", "future", "now", "no-zone", "offset", "far-past", "far-future"),
        *("unknown-time", "unknown-time-without-zone", "never-set", "no-clock"),
    ],
)
def test_periodic_informs_keep_the_phase_of_their_reference(
    reference: str, date: float | None, wait_s: float
) -> None:
    assert periodic_wait_s(300, reference, date) == wait_s
