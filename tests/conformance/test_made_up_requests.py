"""The checks of UDP Connection Requests (TR-111 Part 2, 2.2.1.4, 2.2.2.3) against CPEs that tell
nothing of themselves, and ACSs that go wrong in another way than the faults do."""

from __future__ import annotations

import pytest
from discovery_story import ACK, RST, SYN
from stun_story import REQUESTED, CpeStory, reachable, request

FOLLOWING = ("TR111-2.2.1.4-C16", "TR111-2.1-1", "TR111-2.2.1-C5", "TR111-2.2.3-F7")


# What comes of a good one: 2.2.1.4-C16, 2.1-1, 2.2.1-C5, 2.2.3-F7


@pytest.mark.parametrize("requirement", FOLLOWING)
def test_a_good_request_brings_a_session(requirement: str) -> None:
    story = reachable().is_asked(request()).is_asked(request()).tells(REQUESTED)

    assert [each.ok for each in story.findings(requirement)] == [True]


@pytest.mark.parametrize("requirement", FOLLOWING)
def test_a_cpe_that_ignores_a_good_request_in_silence_is_blamed(requirement: str) -> None:
    assert len(reachable().is_asked(request()).waits(2).tells().faults(requirement)) == 1
    assert len(reachable().is_asked(request()).waits(31).faults(requirement)) == 1


def test_two_sessions_for_one_request_are_one_too_many() -> None:
    story = reachable().is_asked(request()).tells(REQUESTED).waits(1)

    assert len(story.tells(REQUESTED).faults("TR111-2.2.3-F7")) == 1


def test_two_sessions_for_two_requests_are_right() -> None:
    story = reachable().is_asked(request()).tells(REQUESTED).waits(1)
    story.is_asked(request(5, 2, "D")).tells(REQUESTED)

    assert story.faults("TR111-2.2.3-F7") == []


# What comes of a wrong one: 2.2.1.4-C3 to C8, C14, C15, C17


WRONG = {
    "TR111-2.2.1.4-C4": request().replace(b"Host:", b"Ghost:"),
    "TR111-2.2.1.4-C5": request().replace(b"GET ", b"POST ", 1),
    "TR111-2.2.1.4-C14": request(un="somebody"),
    "TR111-2.2.1.4-C15": request().replace(b"&cn=C", b"&cn=D"),
}


@pytest.mark.parametrize("common", ["TR111-2.2.1.4-C3", "TR111-2.2.1.4-C17"])
@pytest.mark.parametrize("requirement", WRONG)
def test_a_wrong_request_that_brings_a_session_is_seen(requirement: str, common: str) -> None:
    story = reachable().is_asked(WRONG[requirement]).tells(REQUESTED)

    assert len(story.faults(requirement)) == 1
    assert len(story.faults(common)) == 1


@pytest.mark.parametrize("requirement", WRONG)
def test_a_wrong_request_that_brings_none_is_ignored(requirement: str) -> None:
    story = reachable().is_asked(WRONG[requirement]).waits(2).tells()

    assert [each.ok for each in story.findings(requirement)] == [True]


@pytest.mark.parametrize("requirement", ["TR111-2.2.1.4-C6", "TR111-2.2.1.4-C7"])
def test_an_old_ts_that_brings_a_session_is_seen(requirement: str) -> None:
    story = reachable().is_asked(request()).tells(REQUESTED).waits(1)
    story.is_asked(request(-1, 2, "D")).tells(REQUESTED)

    assert len(story.faults(requirement)) == 1


def test_the_great_ts_of_a_forged_request_is_not_kept() -> None:
    forged = request(10**6).replace(b"&cn=C", b"&cn=D")
    deaf = reachable().is_asked(forged).waits(2).tells().is_asked(request()).waits(2).tells()
    right = reachable().is_asked(forged).waits(2).tells().is_asked(request()).tells(REQUESTED)

    assert len(deaf.faults("TR111-2.2.1.4-C8")) == 1
    assert [each.ok for each in right.findings("TR111-2.2.1.4-C8")] == [True]


def test_an_answer_to_a_wrong_request_is_a_word_too_many() -> None:
    story = reachable().is_asked(WRONG["TR111-2.2.1.4-C5"]).says(b"HTTP/1.1 401 No\r\n\r\n")

    assert len(story.waits(2).tells().faults("TR111-2.2.1.4-C17")) == 1
    assert len(story.faults("TR111-2.2.2.3-U5")) == 1


# How they are written: 2.2.2.3


def sent(*octets: bytes) -> CpeStory:
    """Requests to a CPE, one after the other."""
    story = reachable()
    for each in octets:
        story.is_asked(each)
    return story


def test_an_id_that_never_changes_is_seen() -> None:
    story = sent(request(1), request(2, cnonce="D"))

    assert len(story.faults("TR111-2.2.2.3-T-id")) == 1


def test_copies_with_an_id_each_are_seen() -> None:
    story = sent(request(1, 1), request(1, 2))

    assert len(story.faults("TR111-2.2.2.3-T-id")) == 1
    assert len(story.faults("TR111-2.2.2.3-U4")) == 1


def test_two_cpes_may_be_asked_under_the_same_id() -> None:
    story = sent(request(1), request(1, un="another"))

    assert story.faults("TR111-2.2.2.3-U4") == []
    assert story.faults("TR111-2.2.2.3-T-id") == []


@pytest.mark.parametrize("ahead_s", [3600, -7200, 2_208_988_800])
def test_a_ts_of_another_zone_or_epoch_is_seen(ahead_s: int) -> None:
    assert len(sent(request(ahead_s)).faults("TR111-2.2.2.3-T-ts")) == 1


def test_a_clock_that_is_minutes_off_is_none_of_another_zone() -> None:
    assert sent(request(-240)).faults("TR111-2.2.2.3-T-ts") == []


def test_the_address_of_another_cpe_is_no_authority() -> None:
    story = reachable().is_asked(request().replace(b"://203.0.113.100:", b"://198.51.100.9:"))

    assert len(story.faults("TR111-2.2.2.3-U13")) == 1
    assert story.faults("TR111-2.2.2.3-U14") == []


# Requests by TCP: 2.2.1.4-C2


URL = {"ConnectionRequestURL": "http://192.168.1.100:51005/x"}


def test_a_listener_that_refuses_or_is_silent_at_the_port_it_tells_is_seen() -> None:
    refusing = reachable().tells(**URL).is_called(51005, RST | ACK)
    silent = reachable().tells(**URL).is_called(51005).waits(4)

    assert len(refusing.faults("TR111-2.2.1.4-C2")) == 1
    assert len(silent.faults("TR111-2.2.1.4-C2")) == 1


def test_a_connection_that_is_reset_at_its_end_was_not_refused() -> None:
    story = reachable().tells(**URL).is_called(51005, SYN | ACK, RST).waits(4)

    assert story.faults("TR111-2.2.1.4-C2") == []


def test_another_port_than_it_tells_may_be_closed() -> None:
    story = reachable().tells(**URL).is_called(7547, RST | ACK)

    assert story.faults("TR111-2.2.1.4-C2") == []


# Bodies and escapes: 2.2.1.4-C18, 2.2.2.3-U16


def test_a_request_that_is_ignored_for_its_body_is_seen_by_what_follows() -> None:
    deaf = reachable().is_asked(request() + b"more").waits(2).tells()
    right = reachable().is_asked(request() + b"more").tells(REQUESTED)

    assert len(deaf.faults("TR111-2.2.1.4-C18")) == 1
    assert [each.ok for each in right.findings("TR111-2.2.1.4-C18")] == [True]


@pytest.mark.parametrize("cnonce", [b"a<b>", b"a%2", b"a%zz", b'"a"'])
def test_what_has_to_be_escaped_is_seen(cnonce: bytes) -> None:
    story = sent(request().replace(b"&cn=C", b"&cn=" + cnonce))

    assert len(story.faults("TR111-2.2.2.3-U16")) == 1
