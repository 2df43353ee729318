"""The checks of public discovery against traces in which one thing is otherwise."""

from __future__ import annotations

import pytest
from discovery_story import (
    ADDRESSES,
    GATEWAY,
    HMS,
    HNB_GW,
    SEGW,
    SERVING,
    Story,
    good,
    inform,
    serving,
)

from testbed.conformance import load_checks
from testbed.protocols import dhcp
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request, Response

OF_THE_FLOW = [each for each in load_checks() if each.startswith(("32583-5.1-", "32583-5.1.2-"))]
NOT_SHOWN_BY_ONE_GOOD_HNB = {
    "32583-5.1-P2": "it takes two places",
    "32583-5.1-P7": "no Security Gateway takes part",
    "32583-5.1.2-6-note": "the initial HMS names an HNB-GW",
    "32583-5.1.2-1": "the made-up lease has no router",
}
INITIAL, SERVER = ADDRESSES["initial_hms"], ADDRESSES["serving_hms"]


@pytest.mark.parametrize("requirement", sorted({*OF_THE_FLOW} - {*NOT_SHOWN_BY_ONE_GOOD_HNB}))
def test_a_good_discovery_pleases_every_check(requirement: str) -> None:
    findings = good().findings(requirement)

    assert findings
    assert all(each.ok for each in findings)


@pytest.mark.parametrize("requirement", OF_THE_FLOW)
def test_nothing_seen_is_nothing_found(requirement: str) -> None:
    assert Story(factory=False).findings(requirement) == []


@pytest.mark.parametrize("requirement", sorted({*OF_THE_FLOW} - {"32583-5.1.2-1"}))
def test_a_foreign_hnb_that_tells_nothing_is_not_blamed(requirement: str) -> None:
    story = Story(factory=False, certificate=False)
    story.asks("time.example", ADDRESSES["time_server"])
    connection = story.asks(HMS, INITIAL).connects().hello()
    connection.posts(inform(), by_server=True).answers(rpc.InformResponse(), by_server=True)
    connection.posts(by_server=True).answers(serving(), "2", by_server=True)
    connection.posts(rpc.SetParameterValuesResponse(), "2", by_server=True)
    connection.answers(by_server=True).closed()
    story.asks(SERVING, SERVER).connects("serving_hms").hello(SERVING).closed()

    assert story.faults(requirement) == []


def test_what_a_servers_tap_tells_of_a_foreign_hnb_is_judged() -> None:
    story = Story(factory=False)
    connection = story.reaches()
    connection.posts(inform(place=None), by_server=True)

    assert len(story.faults("32583-5.1.2-4")) == 1


# 5.1-P1


@pytest.mark.parametrize("contact", ["serving_hms", "serving_segw", "hnb_gw"])
def test_the_serving_side_before_the_set_is_too_early(contact: str) -> None:
    story = Story()
    story.connects(contact)
    story.reaches().discovered()

    assert len(story.faults("32583-5.1-P1")) == 1


@pytest.mark.parametrize(("port", "protocol"), [(500, 0), (4500, 0), (0, 50), (0, 132)])
def test_every_kind_of_contact_counts(port: int, protocol: int) -> None:
    story = Story()
    story.datagram("serving_segw", port, b"x") if port else story.packet("serving_segw", protocol)

    assert len(story.faults("32583-5.1-P1")) == 1


def test_a_reboot_does_not_make_an_hnb_fresh_and_a_factory_reset_does() -> None:
    story = good()
    story.connects("serving_hms")

    assert story.faults("32583-5.1-P1") == []

    story.tell("hnb", "FACTORY_RESET").connects("serving_hms")

    assert len(story.faults("32583-5.1-P1")) == 1


# 5.1-P2


def two_places(second: str, place: tuple[int, int] = (53_551000, 9_993000)) -> Story:
    story = Story().factory("hnb2")
    story.reaches().discovered()
    url = f"https://{second}/acs"
    story.reaches(hnb="hnb2").discovered(inform("2", place), segw=f"segw.{second}", hms=url)
    return story


def test_two_places_are_to_have_two_sets() -> None:
    assert [each.ok for each in two_places("north.example").findings("32583-5.1-P2")] == [True] * 2

    same = Story().factory("hnb2")
    same.reaches().discovered()
    same.reaches(hnb="hnb2").discovered(inform("2", (53_551000, 9_993000)))

    assert len(same.faults("32583-5.1-P2")) == 2


def test_neighbours_may_share_their_set() -> None:
    story = Story()
    story.reaches().discovered(inform())
    story.reaches(hnb="hnb2").discovered(inform("2", (48_139000, 11_580000)))

    assert story.findings("32583-5.1-P2") == []


def test_two_hnbs_in_one_place_show_nothing_of_places() -> None:
    story = Story().factory("hnb2")
    story.reaches().discovered()
    story.reaches(hnb="hnb2").discovered(inform("2"))

    assert story.findings("32583-5.1-P2") == []


def test_a_set_for_an_hnb_that_has_not_informed_is_too_early() -> None:
    story = Story()
    story.reaches().posts().answers(serving(), "2").posts(rpc.SetParameterValuesResponse(), "2")

    assert len(story.faults("32583-5.1-P2")) == 1
    assert len(story.faults("32583-5.1.2-6")) == 1


# 5.1-P4 and 5.1.2-P1


def test_a_name_from_dhcp_is_no_factory_data() -> None:
    story = Story(factory=False).leased(dhcp.Option(43, b"\1\x20https://acs.provider.example/x"))
    story.reaches("acs.provider.example")

    assert "DHCP" in story.faults("32583-5.1-P4")[0]


def test_a_time_servers_name_is_the_hnbs_own_business() -> None:
    story = Story().asks("time.example", ADDRESSES["time_server"])
    story.reaches().discovered()

    assert story.faults("32583-5.1-P4") == []
    assert story.faults("32583-5.1.2-P1") == []


def test_another_name_is_noticed_though_it_leads_nowhere() -> None:
    story = Story().asks("acs.example", code="NXDOMAIN")

    assert len(story.faults("32583-5.1-P4")) == 1
    assert len(story.faults("32583-5.1.2-P1")) == 1


@pytest.mark.parametrize("url", ["http://hms.operator.example/acs", "", None, "https:///acs"])
def test_a_factory_url_is_to_be_https(url: str | None) -> None:
    assert len(Story(hms_url=url).faults("32583-5.1.2-P1")) == 1


def test_where_a_redirect_leads_is_asked_for_too() -> None:
    story = Story()
    connection = story.reaches()
    connection.posts(inform())
    connection.clear(False, Response((("Location", "https://b.example/acs"),), status=307))
    connection.closed()
    story.asks("b.example", INITIAL)
    story.connects().hello("b.example").discovered()

    for requirement in ("32583-5.1-P4", "32583-5.1.2-2", "32583-5.1.2-5", "32583-5.1.2-F1"):
        assert story.faults(requirement) == []


# 5.1-P5, 5.1-P8 and 5.1.2-3


def test_a_foreign_root_is_to_be_refused() -> None:
    story = Story(certificate=False).certificate(issuer="bb22")
    story.reaches().alert(48)

    assert [each.ok for each in story.findings("32583-5.1-P5")] == [True]

    story.reaches().posts(inform())

    assert len(story.faults("32583-5.1-P5")) == 1
    assert len(story.faults("32583-5.1.2-3")) == 1


def test_the_operators_root_is_not_to_be_refused() -> None:
    story = Story()
    story.reaches().alert(48)

    assert len(story.faults("32583-5.1-P5")) == 1


def test_a_certificate_that_nobody_has_told_of_says_nothing() -> None:
    story = Story(certificate=False)
    story.reaches().posts(inform())

    assert story.findings("32583-5.1-P5") == []
    assert story.findings("32583-5.1-P8") == []


def test_a_wildcard_names_a_host() -> None:
    story = Story(certificate=False).certificate("*.operator.example")
    story.reaches().posts(inform())

    assert story.faults("32583-5.1-P8") == []


def test_another_name_is_the_hms_fault_unless_it_is_meant() -> None:
    story = Story(certificate=False).certificate("www.example")
    story.reaches().alert(42)

    assert len(story.faults("32583-5.1-P8")) == 1

    meant = Story(certificate=False).certificate("www.example", is_meant=True)
    meant.reaches().alert(42)

    assert [each.ok for each in meant.findings("32583-5.1-P8")] == [True]


def test_a_request_to_another_name_is_the_fault_of_a_strict_hnb_only() -> None:
    for is_strict in (True, False):
        story = Story(certificate=False, is_strict=is_strict)
        story.certificate("www.example", is_meant=True)
        story.reaches().posts(inform())

        assert bool(story.faults("32583-5.1-P8")) is is_strict
        assert bool(story.faults("32583-5.1.2-3")) is is_strict


def test_an_address_that_no_certificate_names_is_to_be_refused() -> None:
    story = Story(hms_url=f"https://{INITIAL}/acs")
    story.connects().hello(None).alert(42)

    assert [each.ok for each in story.findings("32583-5.1-P8")] == [True]
    assert story.faults("32583-5.1.2-2") == []


def test_tls_is_to_be_new_enough() -> None:
    story = Story()
    story.asks(HMS, INITIAL).connects().hello(version=0x0302).posts(inform())

    assert "1.1" in story.faults("32583-5.1.2-3")[0]


def test_http_in_clear_is_a_violation_though_the_server_does_not_answer() -> None:
    story = Story()
    connection = story.asks(HMS, INITIAL).connects()
    connection.segment(True, 16, Request((("Host", "h"),), b"", target="/acs").encode())

    assert "in clear" in story.faults("32583-5.1.2-3")[0]


def test_octets_that_are_neither_tls_nor_http_are_no_way_to_begin() -> None:
    story = Story()
    story.asks(HMS, INITIAL).connects().segment(True, 16, b"SSH-2.0-x\r\n")

    assert "ClientHello" in story.faults("32583-5.1.2-3")[0]


def test_a_connection_that_carries_nothing_says_nothing() -> None:
    story = Story()
    story.asks(HMS, INITIAL).connects().closed()

    assert story.findings("32583-5.1.2-3") == []


# 5.1-P9 and 5.1.2-F1


def test_a_tunnel_is_not_for_the_public_mode() -> None:
    story = Story().datagram("segw", 500, b"x")

    assert len(story.faults("32583-5.1-P9")) == 1
    assert len(story.faults("32583-5.1.2-F1")) == 1


def test_no_tunnel_is_not_for_the_intranet_mode() -> None:
    story = Story(segw="segw.operator.example")
    story.reaches().discovered()

    assert len(story.faults("32583-5.1-P9")) == 1
    assert story.findings("32583-5.1.2-F1") == []


def test_a_tunnel_after_step_9_is_registration() -> None:
    story = Story().leased()
    story.reaches().discovered()
    story.tell("hnb", "REGISTRATION_START").asks(SEGW, ADDRESSES["serving_segw"])
    story.datagram("serving_segw", 500, b"x")

    for requirement in ("32583-5.1-P9", "32583-5.1.2-F1", "32583-5.1.2-9", "32583-5.1.2-8"):
        assert [each.ok for each in story.findings(requirement)] == [True]


def test_the_inner_dns_has_no_part_in_the_public_mode() -> None:
    story = Story().asks(HMS, INITIAL, server="inner_dns")

    assert len(story.faults("32583-5.1.2-2")) == 1
    assert len(story.faults("32583-5.1.2-F1")) == 1


def test_a_lease_after_the_first_query_is_out_of_order() -> None:
    story = Story().asks(HMS, INITIAL).leased()

    assert "step 1" in story.faults("32583-5.1.2-F1")[0]


def test_a_step_left_out_is_noticed_by_the_next_one() -> None:
    story = Story().leased()
    story.connects().hello()

    assert "without step 2" in story.faults("32583-5.1.2-F1")[0]


# 5.1.2-P2 and 5.1.2-2


def test_no_ipv6_address_is_no_missing_name() -> None:
    story = Story().asks(HMS, kind="AAAA").asks(HMS, INITIAL)

    assert [each.ok for each in story.findings("32583-5.1.2-P2")] == [True]


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.7.7", "100.64.1.1", "127.0.0.1"])
def test_a_private_address_is_no_publication(address: str) -> None:
    assert len(Story().asks(HMS, address).faults("32583-5.1.2-P2")) == 1


@pytest.mark.parametrize("code", ["NXDOMAIN", "SERVFAIL", "NOERROR"])
def test_a_name_without_address_is_the_operators_fault(code: str) -> None:
    assert len(Story().asks(HMS, code=code).faults("32583-5.1.2-P2")) == 1


def test_a_name_that_the_scenario_hides_is_not_the_operators_fault() -> None:
    story = Story().tell("outer_dns", "STAGED", name=HMS).asks(HMS, code="NXDOMAIN")

    assert [each.ok for each in story.findings("32583-5.1.2-P2")] == [True]
    assert [each.ok for each in story.findings("32583-5.1.2-2")] == [True]

    story.connects()

    assert len(story.faults("32583-5.1.2-P2")) == 1
    assert len(story.faults("32583-5.1.2-2")) == 1


def test_what_was_contacted_before_the_answer_does_not_follow_from_it() -> None:
    story = Story().datagram("segw", 500, b"x")
    story.tell("outer_dns", "STAGED", name=HMS).asks(HMS, code="NXDOMAIN")

    assert story.faults("32583-5.1.2-P2") == []


def test_an_address_that_comes_after_the_connection_does_not_count() -> None:
    story = Story()
    story.connects()
    story.asks(HMS, INITIAL)

    assert len(story.faults("32583-5.1.2-2")) == 1


# 5.1.2-4


@pytest.mark.parametrize(
    ("name", "value", "is_place"),
    [
        ("Device.LAN.IPAddress", "192.168.1.100", False),
        ("Device.LAN.IPAddress", "198.51.100.7", True),
        ("Device.Services.FAPService.1.REM.WCDMAFDD.Cell.1.BCCH.PLMNID", "26201", True),
        ("Device.Services.FAPService.1.REM.WCDMAFDD.Cell.1.BCCH.PLMNID", " ", False),
        ("Device.Services.FAPService.1.GPS.LockedLatitude", "48137000", False),
    ],
)
def test_what_tells_a_place(name: str, value: str, is_place: bool) -> None:
    story = Story()
    story.reaches().posts(inform(place=None, **{name: value}))

    assert [each.ok for each in story.findings("32583-5.1.2-4")] == [is_place]


# 5.1.2-5


def test_a_challenge_and_an_unavailable_hms_are_no_violations() -> None:
    story = Story().leased()
    connection = story.reaches()
    connection.posts(inform()).answers(status=401).posts(inform(), "9").answers(status=503)
    connection.closed()
    story.connects().hello().discovered()
    story.registers()

    for requirement in OF_THE_FLOW:
        if requirement != "32583-5.1.2-1":
            assert story.faults(requirement) == []


def test_values_after_a_refusal_are_not_to_be_taken() -> None:
    story = Story()
    connection = story.reaches().posts(inform()).answers(rpc.fault(8001))
    connection.posts().answers(serving(), "2").posts(rpc.SetParameterValuesResponse(), "2")

    assert len(story.faults("32583-5.1.2-5")) == 1


def test_an_empty_body_answers_no_inform() -> None:
    story = Story()
    story.reaches().posts(inform()).answers()

    assert len(story.faults("32583-5.1.2-5")) == 1


# 5.1.2-6 and 5.1.2-6-hnbgw


def test_a_serving_set_may_come_in_two_calls_with_others_between() -> None:
    story = Story().leased()
    connection = story.reaches().posts(inform()).answers(rpc.InformResponse()).posts()
    connection.answers(rpc.GetParameterNames("Device.", True), "2")
    connection.posts(rpc.GetParameterNamesResponse(), "2")
    connection.answers(serving(hms=None), "3").posts(rpc.SetParameterValuesResponse(), "3")
    connection.closed()
    again = story.connects().hello()
    again.answers(serving(segw=None, gw=None), "4").posts(rpc.SetParameterValuesResponse(), "4")
    again.answers().closed()
    story.registers()

    for requirement in OF_THE_FLOW:
        if requirement != "32583-5.1.2-1":
            assert story.faults(requirement) == []


@pytest.mark.parametrize("lacking", ["segw", "hms"])
def test_half_a_serving_set_is_none_unless_the_scenario_wants_it(lacking: str) -> None:
    story = Story()
    story.reaches().discovered(**{lacking: None})

    assert len(story.faults("32583-5.1.2-6")) == 1
    story.tell("initial_hms", "STAGED", adds="x")

    assert len(story.faults("32583-5.1.2-6")) == 1
    assert story.tell("initial_hms", "STAGED", omits=lacking).faults("32583-5.1.2-6") == []


def test_a_session_without_any_set_is_noticed_at_its_end() -> None:
    story = Story()
    story.reaches().posts(inform()).answers(rpc.InformResponse()).posts().answers()

    assert len(story.faults("32583-5.1.2-6")) == 1


def test_another_value_read_back_is_a_violation_until_it_is_set_anew() -> None:
    other = rpc.GetParameterValuesResponse((rpc.ParameterValue(f"{GATEWAY}SecGWServer1", "x"),))
    story = Story()
    story.reaches().discovered()
    connection = story.reaches(SERVING, "serving_hms").posts(inform())
    connection.answers(rpc.InformResponse()).posts()
    connection.answers(rpc.GetParameterValues((GATEWAY,)), "3").posts(other, "3")

    assert len(story.faults("32583-5.1.2-6")) == 1

    connection.answers(serving(segw="x"), "4").posts(rpc.SetParameterValuesResponse(), "4")

    assert story.faults("32583-5.1.2-6") == []


@pytest.mark.parametrize(("blamed", "is_ours"), [("FAPGWServer1", True), ("X_Other", False)])
def test_only_a_fault_about_the_set_counts_against_the_hnb(blamed: str, is_ours: bool) -> None:
    refusal = rpc.fault(9003, parameters=(rpc.ParameterFault(f"{GATEWAY}{blamed}", 9005, ""),))
    story = Story()
    connection = story.reaches().posts(inform()).answers(rpc.InformResponse()).posts()
    connection.answers(serving(), "2").posts(refusal, "2")

    assert bool(story.faults("32583-5.1.2-6-hnbgw")) is is_ours


# 5.1.2-7 to 5.1.2-9


def test_a_shared_hms_gets_a_new_connection() -> None:
    shared = f"https://{HMS}/acs"
    story = Story()
    connection = story.reaches()
    connection.posts(inform()).answers(rpc.InformResponse()).posts()
    connection.answers(serving(hms=shared), "2").posts(rpc.SetParameterValuesResponse(), "2")
    connection.answers()
    connection.posts(inform()).answers(rpc.InformResponse()).posts().answers()

    assert len(story.faults("32583-5.1.2-8")) == 1
    assert story.faults("32583-5.1-P6") == []


def test_a_session_that_was_not_released_does_not_lead_to_registration() -> None:
    story = Story()
    connection = story.reaches()
    connection.posts(inform()).answers(rpc.InformResponse()).posts()
    connection.answers(serving(), "2").posts(rpc.SetParameterValuesResponse(), "2").closed()
    story.registers()

    for requirement in ("32583-5.1.2-7", "32583-5.1.2-8", "32583-5.1.2-9"):
        assert len(story.faults(requirement)) == 1


def test_a_session_that_broke_off_may_be_tried_again() -> None:
    story = Story().leased()
    connection = story.reaches()
    connection.posts(inform()).answers(rpc.InformResponse()).posts()
    connection.answers(serving(), "2").posts(rpc.SetParameterValuesResponse(), "2").closed()
    story.connects().hello().discovered()
    story.registers()

    for requirement in OF_THE_FLOW:
        if requirement != "32583-5.1.2-1":
            assert story.faults(requirement) == []


def test_an_address_that_was_set_needs_no_query() -> None:
    story = Story()
    story.reaches().discovered(hms=f"https://{SERVER}/acs")
    story.tell("hnb", "REGISTRATION_START").connects("serving_hms")

    assert [each.ok for each in story.findings("32583-5.1.2-9")] == [True]


def test_somebody_of_the_operator_who_was_not_set_is_not_for_registration() -> None:
    story = Story()
    story.reaches().discovered(segw="segw.north.example", hms="https://hms.north.example/acs")
    story.tell("hnb", "REGISTRATION_START").connects("serving_hms")

    assert len(story.faults("32583-5.1.2-9")) == 1


# 5.1-P3 and 5.1.2-6-note


def test_without_any_hnb_gw_both_are_to_blame() -> None:
    story = good(gw=None)

    assert len(story.faults("32583-5.1-P3")) == 1
    assert len(story.faults("32583-5.1.2-6-note")) == 1


def test_the_serving_hms_may_name_the_hnb_gw() -> None:
    story = Story()
    story.reaches().discovered(gw=None)
    connection = story.tell("hnb", "REGISTRATION_START").reaches(SERVING, "serving_hms")
    connection.posts(inform()).answers(rpc.InformResponse()).posts()
    connection.answers(serving(None, None), "2").posts(rpc.SetParameterValuesResponse(), "2")
    connection.answers().closed()

    assert [each.ok for each in story.findings("32583-5.1-P3")] == [True]
    assert [each.ok for each in story.findings("32583-5.1.2-6-note")] == [True]


def test_an_hnb_gw_that_nobody_has_named_is_not_to_be_contacted() -> None:
    story = Story()
    story.reaches().discovered(gw=None)
    story.packet("hnb_gw", 132)

    assert len(story.faults("32583-5.1-P3")) == 1


def test_another_hnb_gw_than_was_set_is_not_to_be_contacted() -> None:
    story = Story()
    story.reaches().discovered()
    story.asks(HNB_GW, ADDRESSES["time_server"])
    story.packet("hnb_gw", 132)

    (fault,) = story.faults("32583-5.1-P3")
    assert fault == "SCTP to hnb_gw, and another HNB-GW is set"


def test_where_the_hnb_gw_is_that_was_set_is_not_known_nothing_is_found() -> None:
    story = Story()
    story.reaches().discovered()
    story.packet("hnb_gw", 132)

    assert story.faults("32583-5.1-P3") == []
