"""Client and server back to back, in virtual time."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from testbed.protocols import dhcp
from testbed.protocols.dhcp import client_events as client
from testbed.protocols.dhcp import server_events as server
from testbed.protocols.wire import Endpoint

BROADCAST_68 = Endpoint("255.255.255.255", 68)


def kinds(events) -> list[type]:
    return [type(event) for event in events]


def bound(lan, **policy):
    """A client that has got its address from the link's server."""
    device = lan.client(**policy)
    device.start(lan.now)
    lan.run()
    assert device.state is dhcp.State.BOUND
    return device


def test_a_client_gets_address_and_parameters(lan, policy):
    lan.server()
    device = lan.client()

    device.start(lan.now)
    lan.run()

    assert lan.words == ["DISCOVER", "OFFER", "REQUEST", "ACK"]
    [event] = lan.client_events
    assert isinstance(event, client.Bound)
    lease = event.lease
    assert device.lease is lease
    assert lease.address == "192.168.1.100"
    assert lease.prefix_length == 24
    assert lease.routers == ("192.168.1.1",)
    assert lease.dns_servers == ("192.168.1.1", "9.9.9.9")
    assert lease.domain_name == "home.example"
    assert lease.server == "192.168.1.1"
    assert (lease.lease_s, lease.renewal_s, lease.rebinding_s) == (3600, 1800, 3150)
    assert lease.obtained_at == lan.now
    assert lease.option(dhcp.Code.SUBNET_MASK) == bytes((255, 255, 255, 0))


def test_all_messages_of_one_exchange_share_a_transaction(lan):
    lan.server()
    bound(lan)

    assert len({message.transaction for _, message, _ in lan.log}) == 1


def test_the_request_names_the_server_and_holds_no_address(lan):
    lan.server()
    bound(lan)

    request = lan.log[2][1]
    assert request.server_identifier == "192.168.1.1"
    assert request.requested_address == "192.168.1.100"
    assert request.client_address is None


def test_two_clients_get_two_addresses(lan):
    lan.server()
    one, two = lan.client(1), lan.client(2)

    one.start(lan.now)
    two.start(lan.now)
    lan.run()

    assert {one.lease.address, two.lease.address} == {"192.168.1.100", "192.168.1.101"}


def test_a_lease_is_renewed_at_t1_by_unicast(lan):
    lan.server()
    device = bound(lan)
    first = device.lease

    lan.run(1800)

    assert lan.words[4:] == ["REQUEST", "ACK"]
    time, request, to = lan.log[4]
    assert time == first.renewal_at
    assert to == Endpoint("192.168.1.1", 67)
    assert request.client_address == "192.168.1.100"
    assert request.requested_address is None
    assert request.server_identifier is None
    assert not request.broadcast
    assert isinstance(lan.client_events[-1], client.Renewed)
    assert isinstance(lan.server_events[-1], server.Renewed)
    assert device.lease.obtained_at == first.renewal_at


def test_a_lease_is_renewed_for_days(lan):
    lan.server()
    bound(lan)

    lan.run(3 * 86400)

    assert kinds(lan.client_events) == [client.Bound] + [client.Renewed] * 144


def test_a_dead_server_is_replaced_at_rebinding(lan, policy):
    gateway = lan.server()
    device = bound(lan)
    lan.servers[:] = [dhcp.DhcpServer(policy, bindings=gateway.bindings)]
    lan.lost = lambda number, message: device.state is dhcp.State.RENEWING

    lan.run(3150)

    assert device.state is dhcp.State.BOUND
    assert isinstance(lan.client_events[-1], client.Renewed)
    # T1 at 1800 s, then half the time to T2 (3150 s) while that is a minute or more.
    requests = [time - 1000 for time, message, _ in lan.log[4:] if message.WORD == "REQUEST"]
    assert requests == [1800, 2475, 2812.5, 2981.25, 3065.625, 3125.625, 3150]
    assert lan.log[-2][2] == Endpoint("255.255.255.255", 67)


def test_a_lease_expires_when_nobody_answers(lan):
    lan.server()
    device = bound(lan)
    lease = device.lease
    lan.servers.clear()

    lan.run(3600)

    assert lan.client_events[-1] == client.Expired(lease)
    assert device.lease is None
    assert device.state is dhcp.State.SELECTING
    discover = lan.log[-1][1]
    assert isinstance(discover, dhcp.Discover)
    assert discover.requested_address == lease.address


def test_expiry_frees_the_address_on_the_server(lan):
    gateway = lan.server()
    device = bound(lan)
    device.stop(lan.now)

    lan.run(3600)

    assert kinds(lan.server_events) == [server.Leased, server.Expired]
    assert gateway.bindings == ()


def test_a_lease_for_ever_has_no_deadline(lan, policy):
    gateway = lan.server(replace(policy, lease_s=math.inf))
    device = bound(lan)

    assert device.lease.lease_s == math.inf
    assert device.deadline() is None
    assert gateway.deadline() is None


def test_the_same_client_gets_the_same_address_again(lan):
    gateway = lan.server()
    two = lan.client(2)
    device = bound(lan)
    two.start(lan.now)
    lan.run()
    device.release(lan.now)
    lan.run()
    assert len(gateway.bindings) == 1

    device.start(lan.now)
    lan.run()

    assert device.lease.address == "192.168.1.100"


def test_release_is_told_to_the_server_by_unicast(lan):
    gateway = lan.server()
    device = bound(lan)

    device.release(lan.now)
    lan.run(100000)

    _, message, to = lan.log[-1]
    assert isinstance(message, dhcp.Release)
    assert to == Endpoint("192.168.1.1", 67)
    assert message.client_address == "192.168.1.100"
    assert kinds(lan.server_events) == [server.Leased, server.Released]
    assert gateway.bindings == ()
    assert device.state is dhcp.State.OFF


def test_a_declined_address_is_given_to_nobody_for_a_while(lan, policy):
    lan.server(replace(policy, pool=("192.168.1.100", "192.168.1.101"), decline_hold_s=500))
    device = bound(lan)

    device.decline(lan.now)
    lan.run(9.9)
    assert lan.words[4:] == ["DECLINE"]
    lan.run(0.1)

    assert device.lease.address == "192.168.1.101"
    assert server.Declined("192.168.1.100", lan.log[4][1]) in lan.server_events
    other = lan.client(2)
    other.start(lan.now)
    lan.run()
    assert kinds(lan.server_events)[-1] is server.PoolEmpty
    lan.run(500)
    assert other.state is dhcp.State.OFF
    other.start(lan.now)
    lan.run()
    assert other.lease.address == "192.168.1.100"


def test_inform_gives_parameters_without_address_and_lease(lan):
    lan.server()
    device = lan.client()

    device.inform(lan.now, "192.168.1.50")
    lan.run()

    assert lan.words == ["INFORM", "ACK"]
    answer, to = lan.log[1][1:]
    assert to == Endpoint("192.168.1.50", 68)
    assert answer.address is None
    assert answer.lease_s is None
    [event] = lan.client_events
    assert isinstance(event, client.Informed)
    assert event.lease.address == "192.168.1.50"
    assert event.lease.dns_servers == ("192.168.1.1", "9.9.9.9")
    assert event.lease.lease_s == math.inf
    assert device.state is dhcp.State.INFORMED
    assert device.deadline() is None
    assert lan.server_events == [server.InformAnswered("192.168.1.50", lan.log[0][1], answer)]


def test_an_informing_client_informs_again_when_the_link_is_up_again(lan):
    lan.server()
    device = lan.client()
    device.inform(lan.now, "192.168.1.50", server="192.168.1.1")
    lan.run()

    device.restart(lan.now)
    lan.run()

    assert lan.words == ["INFORM", "ACK"] * 2
    assert lan.log[2][2] == Endpoint("192.168.1.1", 67)


def test_a_restarted_client_verifies_its_address(lan):
    lan.server()
    device = bound(lan)

    device.restart(lan.now)
    lan.run()

    assert lan.words[4:] == ["REQUEST", "ACK"]
    request = lan.log[4][1]
    assert request.requested_address == "192.168.1.100"
    assert request.server_identifier is None
    assert request.client_address is None
    assert kinds(lan.client_events) == [client.Bound, client.Bound]


def test_a_client_without_power_remembers_its_address_while_the_lease_lasts(lan):
    lan.server()
    device = bound(lan)
    device.stop(lan.now)
    assert device.lease is None
    lan.run(100)

    device.start(lan.now)
    lan.run()

    assert lan.words[4:] == ["REQUEST", "ACK"]


def test_a_client_without_power_for_longer_than_its_lease_begins_anew(lan):
    lan.server()
    device = bound(lan)
    device.stop(lan.now)
    lan.run(3600)

    device.start(lan.now)
    lan.run()

    assert lan.words[4:] == ["DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert lan.log[4][1].requested_address == "192.168.1.100"


def test_a_remembered_address_of_another_network_is_refused_and_replaced(lan):
    lan.server()
    device = lan.client(remembered="10.0.0.9")

    device.start(lan.now)
    lan.run()

    assert lan.words == ["REQUEST", "NAK", "DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert kinds(lan.client_events) == [client.Refused, client.Bound]
    assert lan.client_events[0].message.error_message == "10.0.0.9 is of another network"
    assert lan.log[1][2] == BROADCAST_68


def test_a_client_whose_reboot_stays_unanswered_asks_anew(lan, policy):
    lan.server(replace(policy, authoritative=False))
    device = lan.client(remembered="10.0.0.9")

    device.start(lan.now)
    lan.run(60)

    assert lan.words == ["REQUEST", "REQUEST", "DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert lan.client_events[0] == client.NoAnswer(dhcp.State.REBOOTING, 2)
    assert device.lease.address == "192.168.1.100"


def test_a_held_lease_is_used_on_when_its_verification_stays_unanswered(lan):
    lan.server()
    device = bound(lan)
    lease = device.lease
    lan.servers.clear()

    device.restart(lan.now)
    lan.run(60)

    assert lan.client_events[-2:] == [
        client.NoAnswer(dhcp.State.REBOOTING, 2),
        client.Bound(lease),
    ]
    assert device.state is dhcp.State.BOUND
    assert device.deadline() == lease.renewal_at


def test_a_lease_that_ends_while_it_is_verified_has_expired(lan, policy):
    lan.server(replace(policy, lease_s=10))
    device = bound(lan)
    lan.run(4)
    lan.servers.clear()

    device.restart(lan.now)
    lan.run(7)

    assert kinds(lan.client_events) == [client.Bound, client.Expired]
    assert device.state is dhcp.State.SELECTING


def test_a_refused_renewal_ends_the_lease(lan, policy):
    gateway = lan.server()
    device = bound(lan)
    gateway.policy = replace(policy, nak_requests=1)

    lan.run(1800)

    assert kinds(lan.client_events) == [client.Bound, client.Refused, client.Bound]
    assert lan.words[4:] == ["REQUEST", "NAK", "DISCOVER", "OFFER", "REQUEST", "ACK"]
    assert device.state is dhcp.State.BOUND


def test_a_server_that_refuses_everything_is_not_asked_as_fast_as_it_answers(lan, policy):
    lan.server(replace(policy, nak_requests=math.inf))
    device = lan.client()

    device.start(lan.now)
    lan.run(300)

    refused = [time - 1000 for time, message, _ in lan.log if message.WORD == "NAK"]
    assert refused[:2] == [0, 0]
    waits = [later - earlier for earlier, later in pairwise(refused[1:])]
    assert waits == [
        pytest.approx(expected, abs=1) for expected in (4, 8, 16, 32, 64, 64, 64)[: len(waits)]
    ]
    assert device.lease is None


def test_a_server_that_offers_without_ack_is_given_up_and_asked_anew(lan, policy):
    lan.server(replace(policy, withholds_ack=True))
    device = lan.client()

    device.start(lan.now)
    lan.run(70)

    assert lan.words[:7] == ["DISCOVER", "OFFER"] + ["REQUEST"] * 4 + ["DISCOVER"]
    assert lan.client_events == [client.NoAnswer(dhcp.State.REQUESTING, 4)]


def test_without_any_server_a_client_backs_off_and_gives_up(lan):
    device = lan.client()

    device.start(lan.now)
    lan.run(1000)

    times = [time - 1000 for time, _, _ in lan.log]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == [pytest.approx(expected, abs=1) for expected in (4, 8, 16, 32)]
    assert len(set(waits)) == 4
    assert all(wait != round(wait) for wait in waits)
    assert lan.client_events == [client.NoOffer(5)]
    assert device.state is dhcp.State.OFF
    assert device.deadline() is None


def test_the_seconds_of_a_discover_count_from_its_first(lan):
    device = lan.client()

    device.start(lan.now)
    lan.run(1000)

    assert [message.secs for _, message, _ in lan.log] == [
        int(time - 1000) for time, _, _ in lan.log
    ]


def test_a_silent_server_is_as_good_as_none(lan, policy):
    lan.server(replace(policy, silent=True))
    device = lan.client(attempts=2)

    device.start(lan.now)
    lan.run(100)

    assert lan.words == ["DISCOVER", "DISCOVER"]
    assert lan.client_events == [client.NoOffer(2)]
    assert lan.server_events == []


def test_a_persistent_client_gets_its_address_when_a_server_comes(lan):
    device = lan.client(attempts=2, keeps_trying=True, pause_s=30)
    device.start(lan.now)
    lan.run(20)
    assert lan.client_events == [client.NoOffer(2)]

    lan.server()
    lan.run(30)

    assert device.lease.address == "192.168.1.100"


def test_an_inform_without_answer_ends_or_is_repeated_as_policy_says(lan):
    gives_up, persists = (
        lan.client(1, attempts=2),
        lan.client(2, attempts=2, keeps_trying=True, pause_s=30),
    )

    gives_up.inform(lan.now, "192.168.1.50")
    persists.inform(lan.now, "192.168.1.51")
    lan.run(20)
    assert lan.client_events == [client.NoAnswer(dhcp.State.INFORMING, 2)] * 2
    lan.server()
    lan.run(60)

    assert gives_up.state is dhcp.State.OFF
    assert persists.state is dhcp.State.INFORMED


@pytest.mark.parametrize("number", range(10))
def test_the_loss_of_any_one_message_is_recovered(lan, number):
    """The exchange, two renewals, and a restart are ten messages, where none is lost."""
    lan.server()
    device = lan.client()
    lost = []

    def lose(each: int, message: dhcp.Message) -> bool:
        if each == number:
            lost.append(message)
        return each == number

    lan.lost = lose

    device.start(lan.now)
    lan.run(4000)
    device.restart(lan.now)
    lan.run(30)

    assert len(lost) == 1
    assert device.state is dhcp.State.BOUND
    assert device.lease.address == "192.168.1.100"
    assert not any(isinstance(event, client.Expired) for event in lan.client_events)


def test_a_city_does_not_speak_at_once(lan):
    for number in range(1, 21):
        lan.client(number, start_delay_s=10, attempts=1).start(lan.now)
    lan.run(10)

    times = [time - 1000 for time, _, _ in lan.log]
    assert len(set(times)) == 20
    assert 0 < min(times) < 3
    assert 7 < max(times) < 10


def test_the_longest_lease_is_chosen_where_policy_says_so(lan, policy):
    lan.server(replace(policy, lease_s=100))
    lan.server(replace(policy, address="192.168.1.2", lease_s=900))
    device = lan.client(collect_offers_s=2, prefers_longest_lease=True)

    device.start(lan.now)
    lan.run(2)

    assert device.lease.server == "192.168.1.2"
    assert device.lease.lease_s == 900


def test_of_collected_offers_the_first_is_chosen_by_default(lan, policy):
    first = lan.server(replace(policy, lease_s=100))
    second = lan.server(replace(policy, address="192.168.1.2", lease_s=900))
    device = lan.client(collect_offers_s=2)

    device.start(lan.now)
    lan.run(2)

    assert device.lease.server == "192.168.1.1"
    assert len(first.bindings) == 1
    assert second.bindings == ()


def test_offers_that_do_not_suit_are_passed_over_with_the_reason(lan, policy):
    lan.server(replace(policy, lease_s=100))
    lan.server(replace(policy, address="192.168.1.2", domain_name="other.example"))
    lan.server(replace(policy, address="192.168.1.3"))
    device = lan.client(minimum_lease_s=600, domain_wanted="home.example")

    device.start(lan.now)
    lan.run()

    assert device.lease.server == "192.168.1.3"
    assert [event.reason for event in lan.client_events[:2]] == [
        "leases for 100 s, 600 s are wanted",
        "is of domain 'other.example', 'home.example' is wanted",
    ]


def test_identity_travels_both_ways_in_option_125(lan, policy):
    identity = dhcp.vendor_identity((3561, ((1, b"00D09E"), (2, b"SERIAL"))))
    gateway = dhcp.vendor_identity((9, ((1, b"x"),)), (3561, ((4, b"00AA11"), (5, b"GW"))))
    lan.server(answer_options=lambda request: [gateway] if request.vendor_identity else [])
    device = lan.client(1, vendor_identity=identity.value)
    plain = lan.client(2)

    device.start(lan.now)
    lan.run()
    device.inform(lan.now, "192.168.1.50")
    lan.run()
    plain.start(lan.now)
    lan.run()

    answers = [
        message.vendor_identity for _, message, _ in lan.log if message.WORD in ("OFFER", "ACK")
    ]
    expected = ((9, ((1, b"x"),)), (3561, ((4, b"00AA11"), (5, b"GW"))))
    assert answers == [expected] * 3 + [()] * 2
    requests = [message for _, message, _ in lan.log if message.op == 1][:3]
    assert [each.WORD for each in requests] == ["DISCOVER", "REQUEST", "INFORM"]
    assert all(each.option(125) == identity.value for each in requests)


def test_release_and_decline_say_nothing_but_who_they_are(lan):
    lan.server()
    device = bound(
        lan, client_identifier=b"\0box", vendor_identity=b"\0\0\x0d\xe9\0", host_name="box"
    )

    device.decline(lan.now)
    lan.run(10)
    device.release(lan.now)
    lan.run()

    decline, release = lan.log[4][1], lan.log[-1][1]
    assert [option.code for option in decline.options] == [53, 61, 50, 54, 255]
    assert [option.code for option in release.options] == [53, 61, 54, 255]


def test_a_client_tells_all_that_its_policy_says(lan, policy):
    lan.server()
    bound(
        lan,
        client_identifier=b"\0box",
        host_name="box",
        vendor_class=b"dslforum.org",
        wanted_lease_s=600,
        options=(dhcp.Option(77, b"user"),),
        maximum_message_size=None,
        broadcast=False,
        parameter_request_list=(),
    )

    discover, offer = lan.log[0][1], lan.log[1][1]
    assert not discover.broadcast
    assert discover.client_identifier == b"\0box"
    assert discover.host_name == "box"
    assert discover.option(60) == b"dslforum.org"
    assert discover.lease_s == 600
    assert discover.option(77) == b"user"
    assert discover.maximum_message_size is None
    assert discover.parameter_request_list == ()
    assert offer.lease_s == 600
    assert offer.client_identifier == b"\0box"
    assert lan.log[1][2] == Endpoint("192.168.1.100", 68)
