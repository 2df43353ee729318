"""`NatTable`: mappings, filters, ports, lifetimes, as RFC 4787 names them."""

from __future__ import annotations

from random import Random

import pytest

from testbed.errors import BadInput
from testbed.nat import Forwarded, Happening, NatTable, Reason, Refused, asks_for_long_binding
from testbed.protocols.wire import Endpoint
from testbed.topology import (
    KINDS,
    Hairpinning,
    Nat,
    Ports,
    Rebinding,
    Refresh,
    Udp,
    find_nat,
)

HNB = Endpoint("192.168.1.100", 5000)
DEVICE = Endpoint("192.168.1.101", 5000)
OUTSIDE = ("203.0.113.7", "203.0.113.8", "203.0.113.9")
ONE = Endpoint("203.0.113.50", 3478)
OTHER_PORT = Endpoint("203.0.113.50", 3479)
OTHER_ADDRESS = Endpoint("203.0.113.51", 3478)
OTHER_BOTH = Endpoint("203.0.113.51", 3479)
REMOTES = (ONE, OTHER_PORT, OTHER_ADDRESS, OTHER_BOTH)
BINDING_REQUEST = (
    b"\x00\x01\x00\x20" + bytes(16) + b"\xc0\x02\x00\x00" + b"\xc0\x01\x00\x14dslforum.org/TR-111 "
)

MAPPED_KINDS = [
    each
    for each in KINDS.values()
    if each.filtering is not None and each.udp is Udp.PASSED and each.carrier is None
]


def table(nat: Nat | str, now: float = 0.0, seed: int = 1) -> NatTable:
    kind = find_nat(nat) if isinstance(nat, str) else nat
    return NatTable(kind, OUTSIDE[: kind.addresses], Random(seed), now)


def sent(of: NatTable, source: Endpoint, destination: Endpoint, now: float) -> Endpoint:
    """The outside endpoint of a datagram that must pass."""
    passed = of.outbound(source, destination, "udp", now)
    assert isinstance(passed, Forwarded)
    return passed.source


def comes_in(of: NatTable, source: Endpoint, outside: Endpoint, now: float) -> bool:
    return isinstance(of.inbound(source, outside, "udp", now), Forwarded)


# Mapping and filtering: written by hand from RFC 4787, 4.1 and 5

SAME_FOR = {
    "endpoint-independent": (True, True, True),
    "address-dependent": (True, False, False),
    "address-and-port-dependent": (False, False, False),
}
"""Whether a mapping made for ONE serves another port, another address, both."""

LETS_IN = {
    "endpoint-independent": (True, True, True, True),
    "address-dependent": (True, True, False, False),
    "address-and-port-dependent": (True, False, False, False),
}
"""Whether ONE, another port, another address, both others come in by a mapping made for ONE."""

NINE = [
    (f"{mapping}-{filtering}", maps, filters)
    for mapping, maps in zip(("eim", "adm", "apdm"), SAME_FOR.values(), strict=True)
    for filtering, filters in zip(("eif", "adf", "apdf"), LETS_IN.values(), strict=True)
]


@pytest.mark.parametrize(("kind", "maps", "filters"), NINE)
def test_each_of_the_nine_kinds_maps_as_its_name_says(kind, maps, filters):
    of = table(kind)
    first = sent(of, HNB, ONE, 0.0)

    same = tuple(sent(of, HNB, remote, 0.1) == first for remote in REMOTES[1:])

    assert same == maps


@pytest.mark.parametrize(("kind", "maps", "filters"), NINE)
def test_each_of_the_nine_kinds_filters_as_its_name_says(kind, maps, filters):
    of = table(kind)
    outside = sent(of, HNB, ONE, 0.0)

    assert tuple(comes_in(of, remote, outside, 0.1) for remote in REMOTES) == filters


def test_a_packet_for_no_binding_is_refused_and_told():
    of = table("full-cone")

    assert of.inbound(ONE, Endpoint(OUTSIDE[0], 5000), "udp", 0.0) == Refused(Reason.NO_BINDING)
    (event,) = of.events()
    assert event.happening is Happening.REFUSED
    assert event.fields() == {
        "protocol": "udp",
        "outside": "203.0.113.7:5000",
        "remote": "203.0.113.50:3478",
        "reason": "no binding",
    }


# Ports and addresses


def test_a_preserving_nat_keeps_the_port_until_another_inside_has_it():
    of = table("full-cone")

    assert sent(of, HNB, ONE, 0.0) == Endpoint(OUTSIDE[0], 5000)
    assert sent(of, DEVICE, ONE, 0.0) == Endpoint(OUTSIDE[0], 10000)


def test_a_contiguous_nat_gives_one_port_after_the_other():
    of = table("symmetric-contiguous")

    assert [sent(of, HNB, remote, 0.0).port for remote in REMOTES] == [10000, 10001, 10002, 10003]


def test_a_contiguous_nat_passes_over_a_port_that_is_still_taken_and_refuses_without_any():
    of = table(Nat(name="n", ports=Ports.CONTIGUOUS, lifetime_s=10))
    for number in range(20_000):
        sent(of, Endpoint("192.168.1.2", number), ONE, number / 10_000)

    assert of.outbound(HNB, ONE, "udp", 2.0) == Refused(Reason.NO_PORT)
    assert sent(of, HNB, ONE, 10.0) == Endpoint(OUTSIDE[0], 10000)


def test_a_random_nat_gives_the_ports_of_its_seed():
    tables = [table("symmetric", seed=seed) for seed in (1, 1, 2)]

    ports = [[sent(of, HNB, remote, 0.0).port for remote in REMOTES] for of in tables]

    assert ports[0] == ports[1] != ports[2]
    assert ports[0] != sorted(ports[0])


def test_masquerade_shares_a_port_until_two_insides_speak_to_the_same_remote():
    of = table("masquerade")

    assert sent(of, HNB, ONE, 0.0) == sent(of, DEVICE, OTHER_ADDRESS, 0.0)
    conflict = sent(of, DEVICE, ONE, 0.0)

    assert conflict.port != 5000
    assert of.inbound(ONE, conflict, "udp", 0.0) == Forwarded(ONE, DEVICE, to_inside=True)


def test_paired_pooling_gives_all_of_one_inside_the_same_address():
    of = table("pool-paired")

    found = {
        inside: {sent(of, Endpoint(inside, port), ONE, 0.0).address for port in range(1, 9)}
        for inside in ("192.168.1.2", "192.168.1.3", "192.168.1.4")
    }

    assert list(found.values()) == [{OUTSIDE[0]}, {OUTSIDE[1]}, {OUTSIDE[0]}]


def test_arbitrary_pooling_gives_mappings_the_addresses_in_turn():
    of = table("pool-arbitrary")

    found = [sent(of, HNB, remote, 0.0).address for remote in REMOTES]

    assert found == [OUTSIDE[0], OUTSIDE[1], OUTSIDE[0], OUTSIDE[1]]


# Lifetime


@pytest.mark.parametrize("kind", MAPPED_KINDS, ids=str)
def test_a_binding_dies_when_its_lifetime_is_over_and_tells_when(kind):
    of = table(kind)
    outside = sent(of, HNB, ONE, 100.0) if kind.rebinding is Rebinding.NEVER else None
    if outside is None:
        return
    end = 100.0 + kind.lifetime_s

    assert of.deadline() == end
    of.tick(end)
    assert not comes_in(of, ONE, outside, end)
    assert [(e.happening, e.time_s) for e in of.events()] == [
        (Happening.CREATED, 100.0),
        (Happening.EXPIRED, end),
        (Happening.REFUSED, end),
    ]


@pytest.mark.parametrize(
    ("refresh", "by_outbound", "by_inbound"),
    [
        (Refresh.OUTBOUND, True, False),
        (Refresh.INBOUND, False, True),
        (Refresh.BOTH, True, True),
    ],
)
def test_only_packets_of_the_declared_direction_keep_a_binding_alive(
    refresh, by_outbound, by_inbound
):
    nat = Nat(name="n", refresh=refresh, lifetime_s=10)
    kept = table(nat)
    outside = sent(kept, HNB, ONE, 0.0)
    sent(kept, HNB, ONE, 8.0)
    answered = table(nat)
    sent(answered, HNB, ONE, 0.0)
    comes_in(answered, ONE, outside, 8.0)

    assert comes_in(kept, ONE, outside, 12.0) is by_outbound
    assert comes_in(answered, ONE, outside, 12.0) is by_inbound


@pytest.mark.parametrize("ports", [Ports.OVERLOADING, Ports.PRESERVING])
def test_two_stages_need_an_answer_and_a_packet_later_than_two_seconds(ports):
    nat = Nat(name="n", ports=ports, lifetime_s=4, confirmed_lifetime_s=8)
    once, twice = table(nat), table(nat)
    outside = sent(once, HNB, ONE, 0.0)
    sent(twice, HNB, ONE, 0.0)
    comes_in(once, ONE, outside, 0.1)
    comes_in(twice, ONE, outside, 0.1)
    sent(twice, HNB, ONE, 2.5)

    assert not comes_in(once, ONE, outside, 4.3)
    assert comes_in(twice, ONE, outside, 10.4)
    assert [e.happening for e in twice.events()] == [Happening.CREATED, Happening.CONFIRMED]


def test_a_gateway_that_knows_tr111_lengthens_the_lifetime_of_who_asks():
    of = table("tr111-aware")
    of.outbound(HNB, ONE, "udp", 0.0, BINDING_REQUEST)
    sent(of, DEVICE, ONE, 0.0)

    of.tick(31.0)

    assert [inside for inside, _ in of.bindings()] == [HNB]
    assert of.deadline() == 600.0


@pytest.mark.parametrize(
    ("payload", "asks"),
    [
        (BINDING_REQUEST, True),
        (b"\x01\x01" + BINDING_REQUEST[2:], False),
        (BINDING_REQUEST[:20] + b"\0\0" + BINDING_REQUEST[20:], False),
        (BINDING_REQUEST[:24], False),
        (b"", False),
    ],
)
def test_only_a_binding_request_with_the_attribute_asks_for_a_long_binding(payload, asks):
    assert asks_for_long_binding(payload) is asks


# Hairpinning, rebinding, blocking, routing


@pytest.mark.parametrize(
    ("hairpinning", "source"),
    [
        (Hairpinning.EXTERNAL, Endpoint(OUTSIDE[0], 6000)),
        (Hairpinning.INTERNAL, Endpoint("192.168.1.101", 6000)),
    ],
)
def test_a_hairpinned_packet_has_the_declared_source(hairpinning, source):
    of = table(Nat(name="n", hairpinning=hairpinning))
    outside = sent(of, HNB, ONE, 0.0)

    passed = of.outbound(Endpoint("192.168.1.101", 6000), outside, "udp", 0.0)

    assert passed == Forwarded(source, HNB, to_inside=True)


def test_without_hairpinning_an_inside_cannot_reach_another_by_its_outside_endpoint():
    of = table("full-cone")
    outside = sent(of, HNB, ONE, 0.0)

    assert of.outbound(DEVICE, outside, "udp", 0.0) == Refused(Reason.NO_HAIRPINNING)


def test_rebinding_gives_a_flow_another_port_in_its_middle():
    of = table("rebinding-port")
    before = sent(of, HNB, ONE, 59.9)
    after = sent(of, HNB, ONE, 60.0)

    assert (before.port, after.port) == (5000, 11000)
    assert not comes_in(of, ONE, before, 60.0)
    assert [e.happening for e in of.events()][:3] == [
        Happening.CREATED,
        Happening.FORGOTTEN,
        Happening.CREATED,
    ]


def test_rebinding_gives_a_flow_another_address_in_its_middle():
    of = table("rebinding-address")

    found = [sent(of, HNB, ONE, now).address for now in (0.0, 59.0, 61.0, 121.0)]

    assert found == [OUTSIDE[0], OUTSIDE[0], OUTSIDE[1], OUTSIDE[0]]


def test_where_udp_is_blocked_dns_and_tcp_pass():
    dropping, rejecting = table("udp-dropped"), table("udp-rejected")

    assert dropping.outbound(HNB, ONE, "udp", 0.0) == Refused(Reason.UDP_BLOCKED)
    assert rejecting.outbound(HNB, ONE, "udp", 0.0) == Refused(Reason.UDP_BLOCKED, told=True)
    assert isinstance(dropping.outbound(HNB, Endpoint("9.9.9.9", 53), "udp", 0.0), Forwarded)
    assert isinstance(dropping.outbound(HNB, ONE, "tcp", 0.0), Forwarded)


def test_a_firewall_translates_nothing_and_lets_in_only_answers():
    of = table("firewall")

    assert sent(of, HNB, ONE, 0.0) == HNB
    assert comes_in(of, ONE, HNB, 0.0)
    assert not comes_in(of, OTHER_PORT, HNB, 0.0)


def test_without_nat_everything_passes_as_it_is():
    of = table("none")

    assert of.inbound(ONE, HNB, "udp", 0.0) == Forwarded(ONE, HNB, to_inside=True)
    assert of.outbound(HNB, ONE, "esp", 0.0) == Forwarded(HNB, ONE, to_inside=False)


@pytest.mark.parametrize(("protocol", "lifetime_s"), [("tcp", 7440.0), ("icmp", 60.0)])
@pytest.mark.parametrize("kind", ["full-cone", "symmetric", "masquerade"])
def test_tcp_and_icmp_have_simple_timers_whatever_the_kind(kind, protocol, lifetime_s):
    of = table(kind)
    passed = of.outbound(HNB, ONE, protocol, 0.0)

    assert passed == Forwarded(Endpoint(OUTSIDE[0], 5000), ONE, to_inside=False)
    assert of.deadline() == lifetime_s


def test_too_few_outside_addresses_are_refused():
    with pytest.raises(BadInput, match="needs 2 outside addresses, and has 1"):
        NatTable(find_nat("pool-paired"), OUTSIDE[:1], Random(1))
