"""The server alone: whom it answers, with what, and where to."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import BadInput
from testbed.protocols import dhcp
from testbed.protocols.dhcp import options
from testbed.protocols.dhcp import server_events as server
from testbed.protocols.wire import Endpoint

ANYBODY = Endpoint("0.0.0.0", 68)


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


class Alone:
    """A server, and requests for it."""

    def __init__(self, policy: dhcp.ServerPolicy, **more) -> None:
        self.server = dhcp.DhcpServer(policy, **more)

    def ask(self, kind, now: float = 0, number: int = 1, more=(), **given):
        """Give it a request; the one thing that it sends for it, or None."""
        wanted = given.pop("wanted", None)
        server_identifier = given.pop("server", None)
        asked = [*more]
        if wanted is not None:
            asked.append(options.addresses(50, wanted))
        if server_identifier is not None:
            asked.append(options.addresses(54, server_identifier))
        message = kind.build(hardware_address=mac(number), options=asked, xid=number, **given)
        self.server.receive(message.encode(), ANYBODY, now)
        sent = self.server.to_send()
        assert len(sent) <= 1
        return sent[0] if sent else None

    def lease(self, now: float = 0, number: int = 1, **given) -> str:
        """Lease an address to client `number`."""
        offer = self.ask(dhcp.Discover, now, number, **given).message
        ack = self.ask(
            dhcp.Request, now, number, wanted=offer.address, server="192.168.1.1", **given
        )
        assert isinstance(ack.message, dhcp.Ack)
        self.server.events()
        return ack.message.address


@pytest.fixture
def alone(policy) -> Alone:
    return Alone(policy)


# Where answers go (RFC 2131 section 4.1)


def test_an_answer_goes_to_the_new_address_at_its_hardware_address(alone):
    offer = alone.ask(dhcp.Discover)

    assert offer.destination == Endpoint("192.168.1.100", 68)
    assert offer.hardware_address == mac(1)


def test_an_answer_is_broadcast_where_the_client_asks_for_it(alone):
    offer = alone.ask(dhcp.Discover, flags=0x8000)

    assert offer.destination == Endpoint("255.255.255.255", 68)
    assert offer.hardware_address is None
    assert offer.message.broadcast


def test_an_answer_goes_to_the_relay(alone):
    offer = alone.ask(dhcp.Discover, giaddr="192.168.1.5", more=[dhcp.Option(82, b"\1\1x")])

    assert offer.destination == Endpoint("192.168.1.5", 67)
    assert offer.message.relay == "192.168.1.5"
    assert offer.message.options[-2] == dhcp.Option(82, b"\1\1x")


def test_a_relayed_refusal_is_to_be_broadcast(alone):
    nak = alone.ask(dhcp.Request, wanted="10.0.0.1", giaddr="192.168.1.5")

    assert nak.destination == Endpoint("192.168.1.5", 67)
    assert nak.message.broadcast


def test_a_refusal_is_broadcast(alone):
    nak = alone.ask(dhcp.Request, ciaddr="10.0.0.1")

    assert isinstance(nak.message, dhcp.Nak)
    assert nak.destination == Endpoint("255.255.255.255", 68)


def test_a_renewal_is_answered_to_the_clients_address(alone):
    address = alone.lease()

    ack = alone.ask(dhcp.Request, 10, ciaddr=address)

    assert ack.destination == Endpoint(address, 68)
    assert ack.message.client_address == address
    [event] = alone.server.events()
    assert isinstance(event, server.Renewed)
    assert event.binding.expires_at == 3610
    assert event.answer is ack.message


def test_an_inform_is_answered_to_the_clients_address_even_when_relayed(alone):
    ack = alone.ask(dhcp.Inform, ciaddr="192.168.1.50", giaddr="192.168.1.5")

    assert ack.destination == Endpoint("192.168.1.50", 68)


# What answers say


def test_an_offer_says_all_that_the_policy_says(policy):
    alone = Alone(
        replace(policy, renewal_s=900, rebinding_s=1800, options=(dhcp.Option(42, bytes(4)),))
    )

    offer = alone.ask(dhcp.Discover).message

    assert [option.code for option in offer.options] == [53, 54, 51, 58, 59, 1, 3, 6, 15, 42, 255]
    assert (offer.lease_s, offer.renewal_s, offer.rebinding_s) == (3600, 900, 1800)
    assert offer.subnet_mask == "255.255.255.0"


def test_a_bare_policy_gives_a_bare_offer():
    alone = Alone(dhcp.ServerPolicy("192.168.1.1", 24, pool=("192.168.1.9",), lease_s=math.inf))

    offer = alone.ask(dhcp.Discover).message

    assert [option.code for option in offer.options] == [53, 54, 51, 1, 255]
    assert offer.lease_s == 0xFFFFFFFF


def test_options_come_in_the_order_in_which_they_are_requested(alone):
    offer = alone.ask(dhcp.Discover, more=[dhcp.Option(55, bytes((15, 6, 15, 200)))]).message

    assert [option.code for option in offer.options] == [53, 54, 51, 15, 6, 1, 3, 255]


def test_an_answer_repeats_what_identifies_the_exchange(alone):
    offer = alone.ask(
        dhcp.Discover, htype=6, flags=0x1234, more=[options.client_identifier(b"\0box")]
    ).message

    assert (offer.op, offer.xid, offer.flags, offer.htype) == (2, 1, 0x1234, 6)
    assert offer.hardware_address == mac(1)
    assert offer.client_identifier == b"\0box"


def test_an_answer_larger_than_its_client_takes_overloads(policy):
    alone = Alone(
        replace(policy, options=(dhcp.Option(43, bytes(200)), dhcp.Option(60, bytes(100))))
    )

    default = alone.ask(dhcp.Discover).message
    large = alone.ask(dhcp.Discover, more=[dhcp.Option(57, (1500).to_bytes(2))]).message

    assert len(default.encode()) <= 548
    assert default.overload == 1
    assert default.option(60) == bytes(100)
    assert large.overload == 0


def test_a_shorter_lease_is_given_to_who_asks_for_it(policy):
    alone = Alone(replace(policy, renewal_s=900, rebinding_s=1800))

    def lease_s(asked_s: int) -> tuple[int | None, int | None, int | None]:
        offer = alone.ask(dhcp.Discover, more=[options.seconds(51, asked_s)]).message
        return offer.lease_s, offer.renewal_s, offer.rebinding_s

    assert lease_s(1200) == (1200, 900, None)
    assert lease_s(5) == (60, None, None)
    assert lease_s(99999) == (3600, 900, 1800)


def test_the_hook_sees_the_request_and_adds_to_offers_and_acks_only(policy):
    seen = []

    def more(request: dhcp.Message) -> list[dhcp.Option]:
        seen.append(request.WORD)
        return [dhcp.Option(125, b"abc")]

    alone = Alone(policy, answer_options=more)

    answers = [
        alone.ask(dhcp.Discover),
        alone.ask(dhcp.Request, wanted="192.168.1.100", server="192.168.1.1"),
        alone.ask(dhcp.Inform, ciaddr="192.168.1.50"),
        alone.ask(dhcp.Request, wanted="10.0.0.1"),
    ]

    assert seen == ["DISCOVER", "REQUEST", "INFORM"]
    assert [answer.message.option(125) for answer in answers] == [b"abc"] * 3 + [None]


# Addresses


def test_an_offered_address_is_kept_for_its_client_for_a_while(policy):
    alone = Alone(replace(policy, pool=("192.168.1.100",)))
    alone.ask(dhcp.Discover, 0, 1)

    assert alone.ask(dhcp.Discover, 59, 2) is None
    assert isinstance(alone.server.events()[-1], server.PoolEmpty)
    assert alone.ask(dhcp.Discover, 60, 2).message.address == "192.168.1.100"
    nak = alone.ask(dhcp.Request, 61, 1, wanted="192.168.1.100", server="192.168.1.1")
    assert isinstance(nak.message, dhcp.Nak)


def test_a_client_is_offered_the_same_address_again(alone):
    first = alone.ask(dhcp.Discover, 0).message
    alone.ask(dhcp.Discover, 1, 2)

    assert alone.ask(dhcp.Discover, 2).message.address == first.address


def test_an_offer_that_is_turned_down_is_free_again(policy):
    alone = Alone(replace(policy, pool=("192.168.1.100",)))
    alone.ask(dhcp.Discover, 0, 1)

    assert alone.ask(dhcp.Request, 1, 1, wanted="192.168.1.200", server="192.168.1.2") is None
    assert alone.ask(dhcp.Discover, 2, 2).message.address == "192.168.1.100"


def test_an_offer_that_has_lapsed_is_still_honoured_while_the_address_is_free(alone):
    offer = alone.ask(dhcp.Discover).message

    ack = alone.ask(dhcp.Request, 500, wanted=offer.address, server="192.168.1.1")

    assert isinstance(ack.message, dhcp.Ack)


def test_a_requested_address_is_given_if_it_is_free(alone):
    assert alone.ask(dhcp.Discover, wanted="192.168.1.102").message.address == "192.168.1.102"
    assert (
        alone.ask(dhcp.Discover, number=2, wanted="192.168.1.102").message.address
        == "192.168.1.100"
    )
    assert (
        alone.ask(dhcp.Discover, number=3, wanted="192.168.1.1").message.address == "192.168.1.101"
    )


def test_addresses_that_nobody_has_had_go_first(policy):
    alone = Alone(replace(policy, pool=policy.pool[:2]))
    former = alone.lease(0, 1)
    alone.ask(dhcp.Release, 1, 1, ciaddr=former)

    assert alone.lease(2, 2) == "192.168.1.101"
    assert alone.lease(3, 3) == former
    assert alone.ask(dhcp.Discover, 4, 1) is None


def test_a_reserved_address_is_its_owners_alone(policy):
    alone = Alone(
        replace(
            policy,
            pool=("192.168.1.100", "192.168.1.101"),
            reservations={mac(9).upper(): "192.168.1.100", mac(8): "192.168.1.8"},
        )
    )

    assert alone.lease(0, 1) == "192.168.1.101"
    nak = alone.ask(dhcp.Request, 0, 2, wanted="192.168.1.8", server="192.168.1.1")
    assert isinstance(nak.message, dhcp.Nak)
    assert alone.lease(0, 9) == "192.168.1.100"
    assert alone.lease(0, 8) == "192.168.1.8"


def test_the_servers_own_address_is_given_to_nobody(policy):
    alone = Alone(replace(policy, pool=("192.168.1.1", "192.168.1.2")))

    assert alone.ask(dhcp.Discover).message.address == "192.168.1.2"


def test_a_client_is_known_by_its_identifier_not_its_card(alone):
    box = [options.client_identifier(b"\0box")]
    first = alone.lease(0, 1, more=box)

    assert alone.lease(1, 2, more=box) == first
    assert alone.lease(2, 1) != first
    assert len(alone.server.bindings) == 2


def test_a_client_that_takes_another_address_has_released_the_first(alone):
    alone.lease(0, 1)

    alone.ask(dhcp.Request, 1, 1, wanted="192.168.1.103", server="192.168.1.1")

    before, after = alone.server.events()
    assert isinstance(before, server.Released)
    assert before.binding.address == "192.168.1.100"
    assert isinstance(after, server.Leased)
    assert [binding.address for binding in alone.server.bindings] == ["192.168.1.103"]


def test_bindings_outlive_a_restart(alone, policy):
    address = alone.lease()
    again = Alone(policy, bindings=alone.server.bindings)

    assert isinstance(again.ask(dhcp.Request, 10, ciaddr=address).message, dhcp.Ack)
    assert again.server.deadline() == 3610


def test_bindings_expire_in_their_order_and_are_remembered(alone):
    first = alone.lease(0, 1)
    second = alone.lease(100, 2)
    assert alone.server.deadline() == 3600

    alone.server.tick(4000)

    events = alone.server.events()
    assert [event.binding.address for event in events] == [first, second]
    assert {type(event) for event in events} == {server.Expired}
    assert alone.server.deadline() is None
    ack = alone.ask(dhcp.Request, 4001, 2, ciaddr=second)
    assert isinstance(ack.message, dhcp.Ack)


def test_a_host_is_known_by_its_name(alone):
    alone.lease(0, 1, more=[options.text(12, "box")])

    [binding] = alone.server.bindings
    assert binding.host_name == "box"
    assert binding.hardware_address == mac(1)


# Refusals


@pytest.mark.parametrize(
    ("given_request", "reason"),
    [
        ({"wanted": "10.0.0.1"}, "10.0.0.1 is of another network"),
        ({"ciaddr": "10.0.0.1"}, "10.0.0.1 is of another network"),
        ({"wanted": "192.168.1.100"}, "192.168.1.100 is not leased to this client"),
        ({"ciaddr": "192.168.1.100"}, "192.168.1.100 is not leased to this client"),
    ],
    ids=["reboot elsewhere", "renewal elsewhere", "reboot unknown", "renewal unknown"],
)
def test_strangers_are_refused_with_authority_or_met_with_silence(policy, given_request, reason):
    sure, unsure = Alone(policy), Alone(replace(policy, authoritative=False))

    nak = sure.ask(dhcp.Request, **given_request).message

    assert isinstance(nak, dhcp.Nak)
    assert nak.error_message == reason
    assert nak.address is None
    assert nak.server_identifier == "192.168.1.1"
    assert [event.reason for event in sure.server.events()] == [reason]
    assert unsure.ask(dhcp.Request, **given_request) is None
    assert [event.reason for event in unsure.server.events()] == [reason]


def test_a_client_that_claims_another_address_than_its_own_is_refused(policy):
    alone = Alone(replace(policy, authoritative=False))
    alone.lease()

    nak = alone.ask(dhcp.Request, wanted="192.168.1.102").message

    assert nak.error_message == "this client's address is 192.168.1.100, not 192.168.1.102"


def test_a_former_client_whose_address_is_kept_for_another_is_refused(policy):
    alone = Alone(replace(policy, pool=("192.168.1.100",)))
    alone.lease(0, 1)
    alone.server.tick(3600)
    alone.ask(dhcp.Discover, 3600, 2)

    nak = alone.ask(dhcp.Request, 3601, 1, wanted="192.168.1.100").message

    assert nak.error_message == "192.168.1.100 is not available any more"


def test_an_offered_address_must_be_one_of_ours(alone):
    nak = alone.ask(dhcp.Request, wanted="192.168.1.77", server="192.168.1.1").message

    assert nak.error_message == "192.168.1.77 is not available"


@pytest.mark.parametrize(
    ("kind", "given_request", "reason"),
    [
        (dhcp.Request, {}, "asks for no address (option 50, ciaddr)"),
        (dhcp.Inform, {}, "informs without its address (ciaddr)"),
        (
            dhcp.Decline,
            {"wanted": "192.168.1.100"},
            "declines 192.168.1.100, which is not leased to it",
        ),
        (
            dhcp.Release,
            {"ciaddr": "192.168.1.100"},
            "releases 192.168.1.100, which is not leased to it",
        ),
        (
            dhcp.Discover,
            {"giaddr": "10.0.0.5"},
            "is relayed by 10.0.0.5, which is outside 192.168.1.0/24",
        ),
        (dhcp.Message, {}, "is no message that a DHCP server answers"),
    ],
    ids=["request", "inform", "decline", "release", "relay", "bootp"],
)
def test_what_makes_no_sense_is_reported_and_not_answered(alone, kind, given_request, reason):
    assert alone.ask(kind, **given_request) is None
    [event] = alone.server.events()
    assert isinstance(event, server.Refused)
    assert event.reason == reason


@pytest.mark.parametrize("hlen", [0, 17, 255])
def test_a_client_without_a_usable_hardware_address_is_not_answered(alone, hlen):
    message = replace(dhcp.Discover.build(hardware_address=mac(1)), hlen=hlen)

    alone.server.receive(message.encode(), ANYBODY, 0)

    [event] = alone.server.events()
    assert event.reason == f"says {hlen} octets of hardware address, 1 to 16 are possible"
    assert alone.server.to_send() == []


@pytest.mark.parametrize("code", [61, 82])
def test_a_giant_that_would_have_to_be_repeated_is_not_answered(alone, code):
    giant = dhcp.Option(code, bytes(60000))

    assert alone.ask(dhcp.Discover, more=[giant]) is None
    [event] = alone.server.events()
    assert event.reason == f"has 60000 octets of option {code}, 255 are taken"
    assert alone.ask(dhcp.Discover).message.address == "192.168.1.100"


def test_what_is_told_to_another_server_is_not_ours(alone):
    address = alone.lease()

    for kind in (dhcp.Decline, dhcp.Release):
        assert alone.ask(kind, ciaddr=address, wanted=address, server="192.168.1.2") is None

    assert alone.server.events() == []
    assert len(alone.server.bindings) == 1


def test_answers_of_others_are_ignored(alone):
    offer = dhcp.Offer.build(hardware_address=mac(1))

    alone.server.receive(offer.encode(), ANYBODY, 0)

    assert alone.server.events() == []
    assert alone.server.to_send() == []


def test_after_a_malformed_datagram_the_next_client_is_served(alone):
    alone.server.receive(b"\1" * 240, ANYBODY, 0)
    alone.server.receive(bytes(10), ANYBODY, 0)

    events = alone.server.events()
    assert [type(event) for event in events] == [server.Refused, dhcp.Malformed]
    assert events[1].source == ANYBODY
    assert alone.ask(dhcp.Discover).message.address == "192.168.1.100"


# Misbehaviours


def test_requests_are_refused_as_often_as_policy_says(policy):
    alone = Alone(replace(policy, nak_requests=2))
    alone.ask(dhcp.Discover)

    answers = [
        alone.ask(dhcp.Request, wanted="192.168.1.100", server="192.168.1.1") for _ in range(3)
    ]

    assert [answer.message.WORD for answer in answers] == ["NAK", "NAK", "ACK"]
    assert answers[0].message.error_message == "refused by policy"


# The policy


def test_a_range_names_every_address():
    assert dhcp.address_range("10.0.0.254", "10.0.1.1") == (
        "10.0.0.254",
        "10.0.0.255",
        "10.0.1.0",
        "10.0.1.1",
    )


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        ("10.0.0.2", "10.0.0.1", "the last comes before the first"),
        ("10.0.0", "10.0.0.1", "Expected 4 octets in '10.0.0'"),
    ],
)
def test_a_range_that_is_none_is_told(first, last, error):
    with pytest.raises(BadInput, match=f"^DHCP address range {first} to {last}: {error}"):
        dhcp.address_range(first, last)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"pool": ("192.168.2.1",)}, r"192\.168\.2\.1 is outside 192\.168\.1\.0/24"),
        ({"reservations": {mac(1): "10.0.0.1"}}, r"10\.0\.0\.1 is outside 192\.168\.1\.0/24"),
        ({"prefix_length": 33}, "'33' is not a valid netmask"),
        ({"pool": ("here",)}, "Expected 4 octets in 'here'"),
    ],
    ids=["pool", "reservation", "prefix length", "address"],
)
def test_a_policy_that_cannot_be_is_told(policy, changes, error):
    with pytest.raises(BadInput, match=f"^DHCP server policy: {error}"):
        replace(policy, **changes)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6), st.floats(0, 2000)), max_size=40))
def test_no_address_is_ever_held_by_two(steps):
    """Five clients at three addresses, in any order of requests and pauses."""
    alone = Alone(
        dhcp.ServerPolicy("192.168.1.1", 24, dhcp.address_range("192.168.1.2", "192.168.1.4"))
    )
    now = 0.0
    wanted = ("192.168.1.2", "192.168.1.3", "192.168.1.4")
    for number, action, pause in steps:
        now += pause
        address = wanted[action % 3]
        if action < 3:
            offer = alone.ask(dhcp.Discover, now, number, wanted=address)
            if offer is not None:
                alone.ask(
                    dhcp.Request, now, number, wanted=offer.message.address, server="192.168.1.1"
                )
        elif action == 3:
            alone.ask(dhcp.Release, now, number, ciaddr=address)
        elif action == 4:
            alone.ask(dhcp.Decline, now, number, wanted=address)
        else:
            alone.ask(dhcp.Request, now, number, ciaddr=address)
        held = [binding.address for binding in alone.server.bindings]

        assert len(held) == len(set(held))
        assert set(held) <= set(wanted)
        assert all(binding.expires_at > now for binding in alone.server.bindings)
