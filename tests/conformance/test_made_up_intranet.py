"""The checks of discovery over IPsec against traces in which one thing is otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from discovery_story import ADDRESSES, HMS, SEGW, SERVING, inform, serving
from intranet_story import BEHIND, INITIAL_SEGW, OWN, REFUSED, IntranetStory, good

from testbed.conformance import load_checks
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request
from testbed.protocols.ike import names

OF_THE_FLOW = [each for each in load_checks() if each.startswith("32583-5.1.1-")]
NOT_SHOWN_BY_ONE_GOOD_HNB = {
    "32583-5.1.1-1": "the made-up lease has no router",
    "32583-5.1.1-6-note": "the initial HMS names an HNB-GW",
    "32583-5.1.1-7-shared": "another HMS serves",
}
TUNNEL, ONE, END, SHARED = (
    f"32583-5.1.1-{each}" for each in ("2.3", "2.3-residue", "9", "7-shared")
)
NAME = "32583-5.1-P7"
INNER_HMS = BEHIND["initial_hms"]
INITIAL = ADDRESSES["segw"]

Told = Callable[[], IntranetStory]


@pytest.mark.parametrize("requirement", sorted({*OF_THE_FLOW, NAME} - {*NOT_SHOWN_BY_ONE_GOOD_HNB}))
def test_a_good_discovery_pleases_every_check(requirement: str) -> None:
    findings = good().findings(requirement)

    assert findings
    assert all(each.ok for each in findings), [each.text for each in findings]


@pytest.mark.parametrize(
    "requirement", sorted(NOT_SHOWN_BY_ONE_GOOD_HNB.keys() - {"32583-5.1.1-1"})
)
def test_what_a_good_discovery_does_not_show_is_not_found(requirement: str) -> None:
    assert good().findings(requirement) == []


@pytest.mark.parametrize("requirement", [*OF_THE_FLOW, NAME])
def test_nothing_seen_is_nothing_found(requirement: str) -> None:
    assert IntranetStory().findings(requirement) == []


def start() -> IntranetStory:
    return IntranetStory()


def named() -> IntranetStory:
    return IntranetStory().named()


def tunnelled() -> IntranetStory:
    return named().tunnels().uses()


def reached() -> IntranetStory:
    return IntranetStory().reached()


def in_session() -> IntranetStory:
    """The set is there, and nobody has released the session."""
    story = IntranetStory()
    connection = story.informs().answers(serving(), "2")
    connection.posts(rpc.SetParameterValuesResponse(), "2")
    return story


def told(story: IntranetStory, then: Callable[[IntranetStory], object]) -> IntranetStory:
    """The story, and one thing more."""
    then(story)
    return story


BROKEN: dict[str, tuple[str, Told]] = {
    "IKE to an address of no answer": (
        "2",
        lambda: told(start(), lambda at: at.asks(INITIAL_SEGW, "203.0.113.99")).tunnels(),
    ),
    "IKE without any query": ("2", lambda: start().tunnels()),
    "the inner DNS without a tunnel": ("2", lambda: named().asks_inside(HMS, INNER_HMS)),
    "the HMS's name outside": (
        "2.1",
        lambda: told(start(), lambda at: at.asks(HMS, INNER_HMS)),
    ),
    "the inner DNS outside": (
        "2.1",
        lambda: told(start(), lambda at: at.asks(INITIAL_SEGW, INITIAL, server="inner_dns")),
    ),
    "no SeGW of that name": (
        "2.2",
        lambda: told(start(), lambda at: at.asks(INITIAL_SEGW, code="NXDOMAIN")),
    ),
    "IKE before the answer": (
        "2.2",
        lambda: told(
            told(start(), lambda at: at.asks(INITIAL_SEGW)).tunnels(),
            lambda at: at.asks(INITIAL_SEGW, INITIAL),
        ),
    ),
    "the HMS's name outside, beside the tunnel": (
        "2.4",
        lambda: told(tunnelled(), lambda at: at.asks(HMS, INNER_HMS)),
    ),
    "the outer DNS, through the tunnel": (
        "2.4",
        lambda: tunnelled().asks_inside(HMS, INNER_HMS, server=ADDRESSES["outer_dns"]),
    ),
    "no HMS of that name": ("2.5", lambda: tunnelled().asks_inside(HMS, code="NXDOMAIN")),
    "a connection to another address": (
        "2.5",
        lambda: told(reached(), lambda at: at.connects_inside("10.10.0.99")),
    ),
    "a session with another address": (
        "3",
        lambda: told(reached(), lambda at: at.connects_inside("10.10.0.99")),
    ),
    "a connection outside": ("3", lambda: told(reached(), lambda at: at.connects(port=80))),
    "a connection of the HMS": ("3", lambda: reached().opened_by_hms()),
    "another request than an Inform": (
        "3",
        lambda: told(
            reached(),
            lambda at: at.connects_inside().clear(
                True, Request((("Host", "h"),), b"", method="GET", target="/")
            ),
        ),
    ),
    "a packet in clear to what is behind": (
        "2.3",
        lambda: told(tunnelled(), lambda at: at.connects(port=80)),
    ),
    "no inner address": ("2.3", lambda: named().tunnels(address=None).uses()),
    "a refusal": ("2.3", lambda: named().tunnels("segw", REFUSED)),
    "no answer": (
        "2.3",
        lambda: told(
            named(),
            lambda at: [at.ike("segw", names.IKE_SA_INIT, 0, is_answered=False) for _ in range(2)],
        ),
    ),
    "a second tunnel": ("2.3-residue", lambda: tunnelled().tunnels(tunnel=2)),
    "the tunnel's end before the session's": ("9", lambda: in_session().deletes()),
    "registration without a set": ("10", lambda: reached().begins()),
    "registration with somebody else": (
        "10",
        lambda: told(
            IntranetStory().discovered().deletes(),
            lambda at: at.tell("hnb", "REGISTRATION_START").connects("initial_hms"),
        ),
    ),
    "a tunnel before its name": (
        "F1",
        lambda: (
            told(
                told(start(), lambda at: at.leased()).tunnels(),
                lambda at: at.asks(INITIAL_SEGW, INITIAL),
            )
            .uses()
            .asks_inside(HMS, INNER_HMS)
        ),
    ),
    "no Inform before the set": (
        "F1",
        lambda: told(
            reached(),
            lambda at: at.connects_inside().posts().answers(serving(), "2"),
        ),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_story_fails_its_check(name: str) -> None:
    step, tell = BROKEN[name]

    assert tell().faults(f"32583-5.1.1-{step}")


def test_every_step_of_the_tunnel_has_a_broken_story() -> None:
    own = {
        "1",
        "4",
        "5",
        "6",
        "6-note",
        "6-hnbgw",
        "7",
        "8",
    }  # those of public discovery, judged alike
    steps = {each.removeprefix("32583-5.1.1-") for each in OF_THE_FLOW} - own - {"7-shared"}

    assert steps == {step for step, _ in BROKEN.values()}


# 2.3


def test_a_tunnel_that_is_refused_by_intent_is_nobody_s_fault() -> None:
    story = IntranetStory().shows("www.example", is_meant=True).named().tunnels("segw", REFUSED)

    assert story.faults(TUNNEL) == []


def test_an_hnb_that_is_meant_to_live_in_1970_is_to_refuse() -> None:
    story = named().tunnels("segw", REFUSED)
    late = IntranetStory()
    late.tell("hnb", "STAGED", clock="1970")
    late.named().tunnels("segw", REFUSED)

    assert len(story.faults(TUNNEL)) == 1
    assert late.faults(TUNNEL) == []


def test_a_request_that_is_repeated_and_then_answered_is_no_failure() -> None:
    story = named().ike("segw", names.IKE_SA_INIT, 0, is_answered=False).tunnels().uses()

    assert [each.ok for each in story.findings(TUNNEL)] == [True]


def test_what_comes_from_the_inner_address_outside_is_a_leak() -> None:
    story = tunnelled()
    story.own = "192.168.1.100"
    connection = story.connects("outer_dns", 80)
    connection.here = connection.outside = (OWN, 41000)
    connection.segment(True, 2)

    assert "inner address" in story.faults(TUNNEL)[0]


# 2.3, "one tunnel"


def test_a_tunnel_after_one_that_has_ended_is_no_second_one() -> None:
    story = tunnelled().deletes().tunnels(tunnel=2).uses()

    assert [each.ok for each in story.findings(ONE)] == [True, True]


def test_a_try_that_failed_is_no_tunnel() -> None:
    story = named().tunnels("segw", REFUSED).tunnels(tunnel=2).uses()

    assert [each.ok for each in story.findings(ONE)] == [True]


# 9


def test_a_tunnel_may_be_kept() -> None:
    assert [each.ok for each in IntranetStory().discovered().begins().findings(END)] == [True]


def test_a_tunnel_is_not_to_end_while_its_connection_is_open() -> None:
    story = IntranetStory()
    connection = story.informs().answers(serving(), "2")
    connection.posts(rpc.SetParameterValuesResponse(), "2").answers()
    story.deletes()
    connection.closed()

    assert "open" in story.faults(END)[0]


# 7, shared


def shared(is_released: bool = False) -> IntranetStory:
    story = IntranetStory()
    connection = story.informs().answers(serving(hms=f"http://{HMS}/acs"), "2")
    connection.posts(rpc.SetParameterValuesResponse(), "2")
    if is_released:
        connection.answers().closed()
    story.tell("hnb", "REGISTRATION_START")
    return story


def test_registration_with_a_shared_hms_begins_in_the_session() -> None:
    assert [each.ok for each in shared().findings(SHARED)] == [True]
    assert len(shared(is_released=True).faults(SHARED)) == 1


def test_an_alias_of_the_same_host_and_port_is_the_same_hms() -> None:
    """AMB-3G-03: it is the address that the name resolves to that counts, not the name."""
    story = IntranetStory()
    connection = story.informs().answers(serving(hms=f"http://{SERVING}/acs"), "2")
    connection.posts(rpc.SetParameterValuesResponse(), "2")
    story.asks_inside(SERVING, INNER_HMS)
    story.tell("hnb", "REGISTRATION_START")

    assert [each.ok for each in story.findings(SHARED)] == [True]


def test_another_port_of_the_same_host_is_another_hms() -> None:
    story = IntranetStory()
    connection = story.informs().answers(serving(hms=f"http://{HMS}:8080/acs"), "2")
    connection.posts(rpc.SetParameterValuesResponse(), "2")
    story.tell("hnb", "REGISTRATION_START")

    assert "another HMS serves" in story.faults(SHARED)[0]


# P7


def test_another_name_is_the_segw_s_fault_unless_it_is_meant() -> None:
    def story(is_meant: bool) -> IntranetStory:
        shown = IntranetStory().shows("www.example", is_meant=is_meant).named()
        return shown.tunnels("segw", REFUSED)

    accepted = IntranetStory().shows("www.example", is_meant=True).named()
    accepted.tunnels(idr="www.example").uses()

    assert story(is_meant=True).faults(NAME) == []
    assert len(accepted.faults(NAME)) == 1


@pytest.mark.parametrize("shown", ["*.operator.example", INITIAL_SEGW.upper()])
def test_a_certificate_names_a_segw_as_tls_does(shown: str) -> None:
    story = IntranetStory().shows(shown).named().tunnels().uses()

    assert [each.ok for each in story.findings(NAME)] == [True]


# What is read off a capture that nobody comments


def test_a_set_is_followed_where_nobody_says_who_is_who() -> None:
    """Without its own words an HNB is at step 10 when it turns to whom the set names."""
    story = IntranetStory().discovered()
    story.asks(SEGW, ADDRESSES["serving_segw"])
    story.ike("serving_segw", names.IKE_SA_INIT, 0, tunnel=9)

    assert story.faults(ONE) == story.faults("32583-5.1.1-F1") == []


def test_an_inform_is_due_by_the_tunnel_and_not_by_its_absence() -> None:
    story = start()
    story.leased()
    story.asks(HMS, ADDRESSES["initial_hms"])
    story.connects(port=80).posts(inform())

    assert story.faults("32583-5.1.1-F1")
