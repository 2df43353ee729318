"""The checks of TR-111 Part 2 against traces in which a CPE goes wrong in another way than the
faults do, or is right in a way that is rare."""

from __future__ import annotations

import pytest
from discovery_story import ADDRESSES, WAN
from stun_story import (
    CHANGE,
    MARK,
    OBJECT,
    OUTSIDE,
    PRIMARY,
    SECONDARY,
    SERVER,
    VALUE_CHANGE,
    CpeStory,
    switched_on,
)

from testbed.protocols import stun
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.structs import AttributeChange
from testbed.protocols.stun import Attribute, Kind
from testbed.protocols.stun.attributes import address_value, error_code, username
from testbed.protocols.wire import Endpoint

BINDING = f"{WAN}:{OUTSIDE}"
SIGNED = Attribute(Kind.MESSAGE_INTEGRITY, bytes(20))
ANOTHER = "192.168.1.177"


def refused(number: int) -> stun.Message:
    """A 401 to the transaction of that number."""
    return stun.BindingErrorResponse(number.to_bytes(16, "big"), (error_code(401, "Unauthorized"),))


# STUNEnable: 2.2-P4, 2.2.4-T6-3


def test_a_cpe_that_goes_on_when_stun_is_off_is_blamed() -> None:
    story = switched_on().is_set(STUNEnable=0).keeps_alive(2, 5)

    assert len(story.faults("TR111-2.2.4-T6-3")) == 1
    assert len(story.faults("TR111-2.2-P4")) == 2


def test_a_cpe_that_stops_when_stun_is_off_is_not_blamed() -> None:
    story = switched_on().binds(MARK, answered=False, number=900)
    story.is_set(STUNEnable=0).waits(5)

    assert [each.ok for each in story.findings("TR111-2.2.4-T6-3")] == [True, True]
    assert story.faults("TR111-2.2-P4") == []


def test_copies_of_an_open_request_end_with_stun() -> None:
    story = switched_on().binds(MARK, answered=False, number=900)
    story.is_set(STUNEnable=0).waits(2).binds(MARK, answered=False, number=900)

    assert len(story.faults("TR111-2.2.4-T6-3")) == 1


def test_a_cpe_whose_stun_is_on_when_it_leaves_the_factory_is_not_blamed() -> None:
    story = CpeStory().tells(STUNEnable=1).binds(MARK).binds(MARK, CHANGE)
    story.is_set(STUNEnable=1, STUNServerAddress=ADDRESSES["time_server"])

    assert story.faults("TR111-2.2-P4") == []


# Where requests go: 2.2.1.1-C2, 2.2.4-T6-4b


def test_another_acs_is_another_stun_server() -> None:
    new = f"https://{ADDRESSES['time_server']}/acs"
    story = CpeStory().is_set(STUNEnable=1).is_set(URL=new).waits(10).binds(MARK)

    assert [each.ok for each in story.findings("TR111-2.2.4-T6-4b")] == [True]


def test_the_acs_of_before_is_no_stun_server_any_more() -> None:
    new = f"https://{ADDRESSES['initial_hms']}/acs"
    story = CpeStory().is_set(STUNEnable=1).is_set(URL=new).waits(10).binds(MARK)

    assert len(story.faults("TR111-2.2.4-T6-4b")) == 1


# The primary endpoint: 2.2.1.1-C3, 2.2.1.3-C3, C12


def test_requests_from_elsewhere_than_where_it_listens_are_seen() -> None:
    story = CpeStory().tells(UDPConnectionRequestAddress=f"192.168.1.100:{PRIMARY + 9}")
    story.binds(MARK)

    assert len(story.faults("TR111-2.2.1.1-C3")) == 1


def test_another_address_of_its_own_makes_no_other_port() -> None:
    story = switched_on().tell("hnb", "ADDRESS", interface="eth0", address=ANOTHER)
    story.binds(own=ANOTHER)

    assert len(story.faults("TR111-2.2.1.3-C3")) == 1


def test_an_old_binding_is_not_told_after_the_address_has_changed() -> None:
    story = switched_on().tell("hnb", "ADDRESS", interface="eth0", address=ANOTHER)
    story.binds(MARK, own=ANOTHER, outside=OUTSIDE + 1)
    story.waits(1).tells(UDPConnectionRequestAddress=BINDING)

    assert len(story.faults("TR111-2.2.1.3-C12")) == 1


# A STUN server that says what the NAT has not done: 2.2-P3, 2.2.1-C2, 2.2.4-T6-1a

OWN_FAULT = ("TR111-2.2-P3", "TR111-2.2.1-C2", "TR111-2.2.4-T6-1a", "TR111-2.2.1-C4")


def misled() -> CpeStory:
    """A CPE whose STUN server says another port than the NAT has given, and that believes it."""
    lie = (WAN, OUTSIDE + 1)
    story = CpeStory().is_set(STUNEnable=1, STUNServerAddress=SERVER[0])
    story.binds(MARK, sees=lie).binds(MARK, CHANGE, sees=lie).waits(1)
    return story.tells(UDPConnectionRequestAddress=f"{WAN}:{OUTSIDE + 1}")


@pytest.mark.parametrize("requirement", OWN_FAULT)
def test_a_cpe_is_not_blamed_for_a_server_that_lies(requirement: str) -> None:
    assert misled().faults(requirement) == []


def test_nothing_is_said_for_a_cpe_that_tells_a_lie() -> None:
    assert misled().findings("TR111-2.2-P3") == []


def test_a_cpe_that_tells_what_the_server_said_has_recorded_it() -> None:
    assert [each.ok for each in misled().findings("TR111-2.2.1.1-C5")] == [True]


def test_a_server_that_lies_is_blamed() -> None:
    assert len(misled().faults("TR111-2.2.2.1-S1")) == 2


# Shared secrets: 2.2.1.1-C12


def test_a_connection_to_the_stun_port_by_tcp_is_for_a_secret() -> None:
    story = switched_on()
    story.connects("time_server", SERVER[1])

    assert len(story.faults("TR111-2.2.1.1-C12")) == 1


def test_a_connection_to_another_port_there_may_be_for_anything() -> None:
    story = switched_on()
    story.connects("time_server", 443).hello("acs.operator.example")

    assert story.faults("TR111-2.2.1.1-C12") == []


# BINDING-CHANGE: 2.2.1.3-C6, C8


def test_switched_on_again_the_binding_is_a_first_one_again() -> None:
    story = switched_on().is_set(STUNEnable=0).waits(5).is_set(STUNEnable=1)
    story.binds(MARK).waits(5).binds(MARK)

    assert len(story.faults("TR111-2.2.1.3-C6")) == 1


@pytest.mark.parametrize(("after_s", "blamed"), [(0.1, 0), (0.5, 1)])
def test_a_keep_alive_that_was_just_due_crosses_the_response(after_s: float, blamed: int) -> None:
    outside = OUTSIDE + 1
    story = switched_on().waits(5).binds(MARK, outside=outside)
    story.waits(after_s).binds(MARK, outside=outside).binds(MARK, CHANGE, outside=outside)

    assert len(story.faults("TR111-2.2.1.3-C6")) == blamed


def test_who_tells_a_first_binding_again_is_not_blamed() -> None:
    story = switched_on().is_set(STUNEnable=0).waits(5).is_set(STUNEnable=1)
    story.binds(MARK).binds(MARK, CHANGE)

    assert story.faults("TR111-2.2.1.3-C6") == []
    assert story.faults("TR111-2.2.1.3-C8") == []


def test_an_answer_to_a_challenge_tells_no_change_of_its_own() -> None:
    story = switched_on(STUNUsername="n", STUNPassword="p")
    story.binds(MARK, number=900, answer=refused(900)).binds(MARK, CHANGE, SIGNED)

    assert len(story.faults("TR111-2.2.1.3-C8")) == 1


# MESSAGE-INTEGRITY: 2.2.1.1-C10


def test_copies_of_a_401_ask_for_one_signed_request() -> None:
    story = switched_on().binds(MARK, number=900, answer=refused(900))
    story.binds(MARK, number=900, answer=refused(900)).binds(MARK, SIGNED).binds(MARK, SIGNED)

    assert len(story.faults("TR111-2.2.1.1-C10")) == 1


# All that is told: 2.2.1-C4


def test_a_binding_that_stun_tells_and_the_parameter_does_not_is_half_the_duty() -> None:
    story = switched_on().waits(1).tells(UDPConnectionRequestAddress="192.168.1.100:30005")

    assert len(story.faults("TR111-2.2.1-C4")) == 1


# Keep-alives: 2.2.1.2-C1 to C4, 2.2.4-T6-8b, T6-9b

PERIODS = {"STUNMinimumKeepAlivePeriod": 2, "STUNMaximumKeepAlivePeriod": 4}


@pytest.mark.parametrize("requirement", ["TR111-2.2.1.2-C1", "TR111-2.2.1.2-C3"])
def test_a_cpe_that_sends_no_more_keep_alives_is_blamed(requirement: str) -> None:
    story = switched_on(**PERIODS).keeps_alive(2, 3).waits(10).tells()

    assert len(story.faults(requirement)) == 1


@pytest.mark.parametrize("requirement", ["TR111-2.2.1.2-C1", "TR111-2.2.1.2-C3"])
def test_a_cpe_that_says_nothing_at_all_any_more_is_not_blamed(requirement: str) -> None:
    story = switched_on(**PERIODS).keeps_alive(2, 3).waits(10)

    assert story.findings(requirement)
    assert story.faults(requirement) == []


def test_a_change_keeps_the_binding_alive_as_well() -> None:
    story = switched_on(**PERIODS).waits(3).binds(MARK, CHANGE).waits(3).binds(MARK)

    assert [each.ok for each in story.findings("TR111-2.2.1.2-C3")] == [True]


@pytest.mark.parametrize(("late_s", "blamed"), [(0.0, 1), (0.4, 1), (0.6, 0)])
def test_a_keep_alive_may_be_as_late_as_the_machine_was(late_s: float, blamed: int) -> None:
    story = switched_on(**PERIODS).waits(4.7)
    story.trace.lateness.add(story.now_ns - 10**9, late_s)
    story.binds(MARK)

    assert len(story.faults("TR111-2.2.1.2-C3")) == blamed


def test_a_request_that_opens_another_binding_is_no_keep_alive_from_elsewhere() -> None:
    story = switched_on().binds(port=SECONDARY, outside=OUTSIDE + 1)

    assert story.faults("TR111-2.2.1.2-C1") == []


def test_a_start_between_two_keep_alives_lifts_the_minimum() -> None:
    story = switched_on(**PERIODS).keeps_alive(1, 2).waits(1).binds(MARK).tells("1 BOOT")

    assert story.faults("TR111-2.2.1.2-C2") == []


def test_no_maximum_is_not_zero() -> None:
    story = switched_on(STUNMaximumKeepAlivePeriod=-1).keeps_alive(3, 0.1)

    assert story.faults("TR111-2.2.4-T6-8b")


def test_the_test_of_a_binding_that_was_just_used_finds_no_lifetime() -> None:
    target = Attribute(Kind.RESPONSE_ADDRESS, address_value(Endpoint(WAN, OUTSIDE)))
    story = switched_on(**PERIODS)
    for _ in range(3):
        story.keeps_alive(1, 3).binds(target, port=SECONDARY, outside=OUTSIDE + 1)

    assert len(story.faults("TR111-2.2.1.2-C4")) == 1


def test_a_copy_that_waits_for_the_minimum_is_late() -> None:
    story = switched_on(**PERIODS).binds(MARK, number=900, answered=False)
    story.waits(2).binds(MARK, number=900, answered=False)

    assert len(story.faults("TR111-2.2.4-T6-9b")) == 1


# What is told of a change: 2.2.1.3-C10, C11, C14, C15, 2.2.3-F6, 2.2.1.1-C9

ACTIVELY = AttributeChange(f"{OBJECT}UDPConnectionRequestAddress", True, 2)
ASKED = (rpc.SetParameterAttributes((ACTIVELY,)), rpc.SetParameterAttributesResponse())
MOVED = f"{WAN}:{OUTSIDE + 1}"


def moved(**more: object) -> CpeStory:
    """A CPE that is to notify its binding, which has just changed."""
    story = CpeStory().session(ASKED)
    story.is_set(STUNEnable=1, STUNServerAddress=ADDRESSES["time_server"], **more)
    story.binds(MARK).binds(MARK, CHANGE).tells(VALUE_CHANGE, UDPConnectionRequestAddress=BINDING)
    story.waits(1).binds(MARK, outside=OUTSIDE + 1)
    return story.binds(MARK, CHANGE, outside=OUTSIDE + 1)


@pytest.mark.parametrize("requirement", ["TR111-2.2.1.3-C14", "TR111-2.2.3-F6"])
def test_an_inform_that_tells_the_old_binding_notifies_nothing(requirement: str) -> None:
    story = moved().tells(VALUE_CHANGE, UDPConnectionRequestAddress=BINDING).waits(5)

    assert len(story.faults(requirement)) == 1


@pytest.mark.parametrize("requirement", ["TR111-2.2.1.3-C14", "TR111-2.2.3-F6"])
def test_an_inform_that_tells_the_new_binding_is_right(requirement: str) -> None:
    story = moved().tells(VALUE_CHANGE, UDPConnectionRequestAddress=MOVED).waits(5)

    assert story.findings(requirement)
    assert story.faults(requirement) == []


def test_an_inform_about_something_else_may_come_within_the_limit() -> None:
    limit = {"UDPConnectionRequestAddressNotificationLimit": 9}
    story = moved(**limit).waits(9).tells(VALUE_CHANGE, UDPConnectionRequestAddress=MOVED)
    story.waits(1).tells(VALUE_CHANGE, UDPConnectionRequestAddress=MOVED)

    assert [each.ok for each in story.findings("TR111-2.2.1.3-C15")] == [True]


def test_what_is_given_up_stays_so_for_a_while_before_that_counts() -> None:
    story = switched_on().binds(MARK, CHANGE, answered=False).waits(9.6)

    assert story.waits(1).findings("TR111-2.2.1.3-C11")
    assert switched_on().binds(MARK, CHANGE, answered=False).findings("TR111-2.2.1.3-C11") == []


def test_another_lease_is_another_binding_whoever_tells_so_or_not() -> None:
    story = switched_on().leased().tells()
    story.tell("hnb", "ADDRESS", interface="eth0", address=ANOTHER)
    story.leases(ANOTHER).sends_from(ANOTHER).waits(5)

    assert len(story.faults("TR111-2.2.1.1-C9")) == 1


# What an unproven response says: 2.2.1.1-C8


def signed(number: int, *attributes: Attribute) -> stun.Message:
    """A response to the transaction of that number that STUNPassword proves."""
    seen = Attribute(Kind.MAPPED_ADDRESS, address_value(Endpoint(WAN, OUTSIDE)))
    return stun.sign(stun.BindingResponse(number.to_bytes(16, "big"), (seen,)), b"p")


def test_a_lie_that_is_told_was_believed_though_it_is_asked_again() -> None:
    story = switched_on(STUNUsername="n", STUNPassword="p")
    story.binds(MARK, SIGNED, number=900, sees=("198.51.100.1", 9))
    story.binds(MARK, SIGNED, number=900, answer=signed(900))
    assert story.faults("TR111-2.2.1.1-C8") == []

    story.tells(UDPConnectionRequestAddress="198.51.100.1:9")
    assert len(story.faults("TR111-2.2.1.1-C8")) == 1


# Names that nobody was seen to set: 2.2.1.3-C5, 2.2.4-T6-6


@pytest.mark.parametrize("requirement", ["TR111-2.2.1.3-C5", "TR111-2.2.4-T6-6"])
def test_a_name_that_a_capture_does_not_show_set_is_no_wrong_one(requirement: str) -> None:
    story = CpeStory().binds(MARK, username("somebody", "nul"))

    assert story.findings(requirement) == []


# Table 6 over CWMP: 2.2.4-FN, T6-5, T6-8; 2.2.3-0


def answered_by_fault(code: int, **values: object) -> CpeStory:
    """A CPE that has periods, and answers a setting by a fault."""
    story = CpeStory().is_set(STUNMaximumKeepAlivePeriod=30)
    parameters = tuple(rpc.ParameterValue(f"{OBJECT}{n}", str(v)) for n, v in values.items())
    return story.session((rpc.SetParameterValues(parameters), rpc.Fault(code, "no")))


@pytest.mark.parametrize(
    ("leaf", "value"),
    [("STUNServerPort", 65536), ("STUNMaximumKeepAlivePeriod", -2), ("STUNUsername", "n" * 257)],
)
def test_a_cpe_may_refuse_what_a_type_does_not_hold(leaf: str, value: object) -> None:
    assert answered_by_fault(9007, **{leaf: value}).faults("TR111-2.2.4-FN") == []


def test_a_cpe_may_refuse_a_minimum_above_the_maximum() -> None:
    story = answered_by_fault(9007, STUNMinimumKeepAlivePeriod=60)

    assert story.faults("TR111-2.2.4-FN") == []


def test_a_cpe_may_not_refuse_a_minimum_below_the_maximum() -> None:
    story = answered_by_fault(9007, STUNMinimumKeepAlivePeriod=20)

    assert len(story.faults("TR111-2.2.4-FN")) == 1


def test_a_port_that_opens_a_binding_and_then_tests_is_one_port_still() -> None:
    target = Attribute(Kind.RESPONSE_ADDRESS, address_value(Endpoint(WAN, OUTSIDE)))
    story = switched_on().binds(port=SECONDARY, outside=OUTSIDE + 1)
    story.binds(target, port=SECONDARY, outside=OUTSIDE + 1)

    faults = [text for text in story.faults("TR111-2.2.3-0") if "endpoint" in text]
    assert faults == []


# Notification: 2.2.4.1-N1


def test_one_parameter_that_is_notified_says_nothing_of_the_others() -> None:
    assert CpeStory().session(ASKED).findings("TR111-2.2.4.1-N1") == []
