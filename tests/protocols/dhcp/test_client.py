"""The client alone: what it does with answers that no good server gives."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import BadInput
from testbed.protocols import dhcp
from testbed.protocols.dhcp import client_events as client
from testbed.protocols.dhcp import options
from testbed.protocols.dhcp.client_states import Cause
from testbed.protocols.wire import Endpoint

MAC = "02:00:00:00:00:01"
SERVER = Endpoint("192.168.1.1", 67)


class Alone:
    """A client and what it has sent and reported."""

    def __init__(self, **policy: object) -> None:
        self.client = dhcp.DhcpClient(MAC, Random(1), dhcp.ClientPolicy(**policy))
        self.sent: list[dhcp.Message] = []

    def told(self) -> list[dhcp.ClientEvent]:
        self.sent += [outgoing.message for outgoing in self.client.to_send()]
        return list(self.client.events())

    def answer(self, kind, now: float, more=(), **changes) -> list[dhcp.ClientEvent]:
        """Give the client an answer to what it sent last; what it reports."""
        self.told()
        header = {"xid": self.sent[-1].xid, "yiaddr": "192.168.1.100"} | changes
        hardware = header.pop("hardware_address", MAC)
        server = header.pop("server", "192.168.1.1")
        lease_s = header.pop("lease_s", 100)
        given_options = [*more]
        if server is not None:
            given_options.append(options.addresses(54, server))
        if lease_s is not None:
            given_options.append(options.seconds(51, lease_s))
        message = kind.build(hardware_address=hardware, options=given_options, **header)
        self.client.receive(message.encode(), SERVER, now)
        return self.told()

    def bind(self, **changes) -> None:
        """Start at 0 and be bound at once."""
        self.client.start(0)
        self.answer(dhcp.Offer, 0, **changes)
        self.answer(dhcp.Ack, 0, **changes)
        assert self.client.state is dhcp.State.BOUND


def test_a_datagram_that_is_no_message_is_an_event():
    alone = Alone()
    alone.client.start(0)

    alone.client.receive(b"\x02\x01", SERVER, 0)

    [event] = alone.told()
    assert isinstance(event, dhcp.Malformed)
    assert event.source == SERVER
    assert str(event.error) == "DHCP message: header at offset 0 needs 236 octets, 2 remain"
    assert alone.client.state is dhcp.State.SELECTING


@pytest.mark.parametrize(
    "changes",
    [
        {"xid": 1},
        {"hardware_address": "02:00:00:00:00:02"},
        {"hardware_address": "02:00:00:00:00:01:00"},
        {"op": 1},
    ],
    ids=["transaction", "hardware address", "its length", "request"],
)
def test_what_is_meant_for_others_is_ignored(changes):
    alone = Alone()
    alone.client.start(0)
    alone.told()
    made = dhcp.Offer.build(
        hardware_address=changes.get("hardware_address", MAC),
        xid=changes.get("xid", alone.sent[-1].xid),
        yiaddr="192.168.1.100",
        options=[options.addresses(54, "192.168.1.1"), options.seconds(51, 100)],
    )
    octets = bytearray(made.encode())
    octets[0] = changes.get("op", 2)

    alone.client.receive(bytes(octets), SERVER, 0)

    assert alone.told() == []
    assert alone.client.state is dhcp.State.SELECTING


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"yiaddr": "0.0.0.0"}, "names no address (yiaddr is 0.0.0.0)"),
        ({"lease_s": None}, "names no lease time (option 51)"),
        ({"lease_s": 0}, "leases for 0 s, 1 s are wanted"),
        ({"server": None}, "names no server (option 54)"),
    ],
    ids=["no address", "no lease", "lease of nothing", "no server"],
)
def test_an_unusable_offer_is_passed_over_with_the_reason(changes, reason):
    alone = Alone()
    alone.client.start(0)

    [event] = alone.answer(dhcp.Offer, 0, **changes)

    assert isinstance(event, client.PassedOver)
    assert event.reason == reason
    assert alone.client.state is dhcp.State.SELECTING


def test_an_unusable_ack_is_passed_over_and_the_request_repeated():
    alone = Alone()
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0)

    [event] = alone.answer(dhcp.Ack, 0, lease_s=None)
    alone.client.tick(5.1)

    assert event.reason == "names no lease time (option 51)"
    assert alone.told() == []
    assert [message.WORD for message in alone.sent] == ["DISCOVER", "REQUEST", "REQUEST"]


@pytest.mark.parametrize("kind", [dhcp.Ack, dhcp.Nak])
def test_an_answer_of_a_server_that_was_not_asked_is_ignored(kind):
    alone = Alone()
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0)

    assert alone.answer(kind, 0, server="192.168.1.2") == []
    assert alone.client.state is dhcp.State.REQUESTING


def test_while_renewing_only_its_server_counts_while_rebinding_any():
    alone = Alone()
    alone.bind()

    alone.client.tick(50)
    assert alone.client.state is dhcp.State.RENEWING
    assert alone.answer(dhcp.Ack, 50, server="192.168.1.2") == []
    alone.client.tick(87.5)
    assert alone.client.state is dhcp.State.REBINDING
    [event] = alone.answer(dhcp.Ack, 88, server="192.168.1.2")

    assert isinstance(event, client.Renewed)
    assert event.lease.server == "192.168.1.2"
    assert event.lease.obtained_at == 87.5


def test_an_ack_without_server_identifier_is_the_servers_that_was_asked():
    alone = Alone()
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0)
    [bound] = alone.answer(dhcp.Ack, 0, server=None)
    alone.client.tick(50)

    [renewed] = alone.answer(dhcp.Ack, 50, server=None)

    assert bound.lease.server == "192.168.1.1"
    assert renewed.lease.server == "192.168.1.1"


def test_an_ack_without_server_identifier_at_reboot_leaves_the_server_unknown():
    alone = Alone()
    alone.client = dhcp.DhcpClient(MAC, Random(1), remembered_address="192.168.1.100")
    alone.client.start(0)

    [event] = alone.answer(dhcp.Ack, 0, server=None)

    assert event.lease.server == "255.255.255.255"


def test_another_address_at_renewal_is_a_new_binding():
    alone = Alone()
    alone.bind()
    alone.client.tick(50)

    [event] = alone.answer(dhcp.Ack, 50, yiaddr="192.168.1.101")

    assert isinstance(event, client.Bound)
    assert event.lease.address == "192.168.1.101"


@pytest.mark.parametrize("kind", [dhcp.Offer, dhcp.Ack, dhcp.Nak, dhcp.Discover])
def test_a_bound_client_ignores_what_it_did_not_ask_for(kind):
    alone = Alone()
    alone.bind()
    lease = alone.client.lease

    assert alone.answer(kind, 1) == []
    assert alone.client.lease is lease


def test_a_second_offer_is_not_chosen():
    alone = Alone()
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0)

    assert alone.answer(dhcp.Offer, 0, server="192.168.1.2") == []
    assert [message.WORD for message in alone.sent] == ["DISCOVER", "REQUEST"]


def test_times_of_the_server_hold():
    alone = Alone()
    times = [options.seconds(58, 10), options.seconds(59, 20)]
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0)
    [event] = alone.answer(dhcp.Ack, 0, times)

    assert (event.lease.renewal_at, event.lease.rebinding_at, event.lease.expires_at) == (
        10,
        20,
        100,
    )


@pytest.mark.parametrize(
    ("renewal_s", "rebinding_s", "expected"),
    [
        (0, 0, (50, 87.5)),
        (200, 300, (50, 87.5)),
        (90, 60, (50, 60)),
        (90, 35, (20, 35)),
        (20, 0xFFFFFFFF, (20, 87.5)),
        (95, 0, (50, 87.5)),
    ],
)
def test_times_that_contradict_each_other_give_way_to_the_defaults(
    renewal_s, rebinding_s, expected
):
    alone = Alone()
    times = [options.seconds(58, renewal_s), options.seconds(59, rebinding_s)]
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0)

    [event] = alone.answer(dhcp.Ack, 0, times)

    assert (event.lease.renewal_s, event.lease.rebinding_s) == expected


@pytest.mark.parametrize(
    ("mask", "address", "expected"),
    [
        ("255.255.255.0", "10.0.0.1", 24),
        ("255.255.240.0", "10.0.0.1", 20),
        ("0.0.0.0", "10.0.0.1", 0),
        ("255.255.255.255", "10.0.0.1", 32),
        ("255.0.255.0", "10.0.0.1", 8),
        (None, "10.0.0.1", 8),
        (None, "172.16.0.1", 16),
        (None, "192.168.1.1", 24),
    ],
)
def test_the_prefix_length_is_the_masks_or_the_classs(mask, address, expected):
    alone = Alone()
    more = [] if mask is None else [options.addresses(1, mask)]
    alone.client.start(0)
    alone.answer(dhcp.Offer, 0, yiaddr=address)

    [event] = alone.answer(dhcp.Ack, 0, more, yiaddr=address)

    assert event.lease.prefix_length == expected


def test_a_lease_of_one_second_runs_its_whole_course():
    alone = Alone()
    alone.bind(lease_s=1)

    alone.client.tick(0.5)
    alone.client.tick(0.875)
    alone.client.tick(1)

    assert [type(event) for event in alone.told()] == [client.Expired]
    assert [message.WORD for message in alone.sent[2:]] == ["REQUEST", "REQUEST", "DISCOVER"]


def test_a_client_that_slept_beyond_its_lease_has_lost_it():
    alone = Alone()
    alone.bind()

    alone.client.tick(1000)

    assert [type(event) for event in alone.told()] == [client.Expired]
    assert alone.client.state is dhcp.State.SELECTING


def test_a_client_that_slept_beyond_t2_asks_everybody():
    alone = Alone()
    alone.bind()

    alone.client.tick(90)

    assert alone.client.state is dhcp.State.REBINDING
    assert len(alone.client.to_send()) == 1


def test_without_a_lease_there_is_nothing_to_decline_or_release():
    alone = Alone()
    alone.client.decline(0)
    alone.client.release(0)
    alone.client.start(0)
    alone.client.decline(1)

    assert [outgoing.message.WORD for outgoing in alone.client.to_send()] == ["DISCOVER"]
    assert alone.client.state is dhcp.State.SELECTING


def test_a_stopped_client_wants_nothing_more():
    alone = Alone()
    alone.client.start(0)
    alone.told()

    alone.client.stop(1)

    assert alone.client.deadline() is None
    assert alone.answer(dhcp.Offer, 2) == []


def test_an_inform_answered_without_server_identifier_counts():
    alone = Alone()
    alone.client.inform(0, "192.168.1.50")

    [event] = alone.answer(dhcp.Ack, 0, server=None, yiaddr="0.0.0.0", lease_s=None)

    assert isinstance(event, client.Informed)
    assert event.lease.server == "255.255.255.255"
    assert event.lease.expires_at == math.inf


def test_start_after_inform_asks_for_an_address():
    alone = Alone()
    alone.client.inform(0, "192.168.1.50")
    alone.client.start(1)
    alone.client.restart(2)
    alone.told()

    assert [message.WORD for message in alone.sent] == ["INFORM", "DISCOVER", "DISCOVER"]


def test_an_old_exchange_is_not_mistaken_for_the_new_one():
    alone = Alone()
    alone.client.start(0)
    alone.told()
    old = alone.sent[-1].xid
    alone.client.restart(1)

    assert alone.answer(dhcp.Offer, 1, xid=old) == []


@pytest.mark.parametrize(
    "policy", [{"attempts": 0}, {"first_timeout_s": 0}, {"minimum_lease_s": 0}], ids=str
)
def test_a_policy_that_cannot_make_progress_is_refused(policy):
    [name] = policy

    with pytest.raises(BadInput, match=f"^DHCP client policy: {name} is 0, "):
        dhcp.ClientPolicy(**policy)


def test_the_table_leads_only_to_states_that_it_knows():
    assert set(dhcp.TRANSITIONS) == set(dhcp.State)
    reached = {state for row in dhcp.TRANSITIONS.values() for state in row.values()}
    assert reached == set(dhcp.State)
    assert {cause for row in dhcp.TRANSITIONS.values() for cause in row} == set(Cause)


steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("start", "restart", "stop", "release", "decline", "inform", "tick"),
                *(dhcp.Offer, dhcp.Ack, dhcp.Nak),
            ]
        ),
        st.floats(0, 200),
    ),
    max_size=30,
)


@given(steps)
def test_no_order_of_commands_and_answers_confuses_it(given_steps):
    """Whatever comes: it holds a lease only where it may, and its deadline is never behind."""
    alone = Alone(keeps_trying=True)
    now = 0.0
    alone.client.inform(now, "192.168.1.50")
    for step, pause in given_steps:
        now += pause
        if step == "inform":
            alone.client.inform(now, "192.168.1.50")
        elif isinstance(step, str):
            getattr(alone.client, step)(now)
        else:
            alone.answer(step, now)
        alone.client.tick(now)
        alone.told()

        due = alone.client.deadline()
        assert due is None or due > now
        holds = alone.client.lease is not None
        allowed = Cause.EXPIRY in dhcp.TRANSITIONS[alone.client.state]
        must = alone.client.state in (
            dhcp.State.BOUND,
            dhcp.State.RENEWING,
            dhcp.State.REBINDING,
        )
        assert must <= holds <= allowed
