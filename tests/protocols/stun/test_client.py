import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.protocols import stun
from testbed.protocols.stun import attributes as field
from testbed.protocols.stun.attributes import Attribute, Kind
from testbed.protocols.wire import Endpoint, Outgoing
from tests.protocols.stun.pair import DELAY_S, INSIDE, OUTSIDE, SERVER, Nat, Pair

PRIMARY, SECONDARY = stun.ClientSide.PRIMARY, stun.ClientSide.SECONDARY
SCHEDULE = [0, 0.1, 0.3, 0.7, 1.5, 3.1, 4.7, 6.3, 7.9]
NAME, PASSWORD = "cpe-1", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OPEN = stun.ServerPolicy(challenge="none")
ROUND_TRIP_S = 2 * DELAY_S


def behind(nat: Nat | None = None, **more) -> Pair:
    return Pair(nat or Nat(), server_policy=OPEN, **more)


def authenticated(nat: Nat | None = None, **policy) -> Pair:
    secrets = {NAME: PASSWORD}
    return Pair(nat or Nat(), server_policy=stun.ServerPolicy(**policy), secrets=secrets)


def credentials(**more) -> dict:
    return {"username": NAME, "password": PASSWORD, **more}


# Discovery (2.2.1.1)


def test_nothing_is_sent_before_stun_is_enabled_and_the_server_known():
    pair = behind().enable(enabled=False)
    pair.run(100)
    pair.configure(server=None)
    pair.run(200)

    assert pair.sent == []


def test_a_translation_is_found_and_the_server_told_at_once():
    pair = behind().enable(username=NAME).run(1)
    (first, discovery), (second, change) = pair.requests(PRIMARY)[:2]

    assert (first, second) == (0, pytest.approx(ROUND_TRIP_S))
    assert [each.type for each in discovery.attributes] == [0xC001, 6]
    assert [each.type for each in change.attributes] == [0xC001, 0xC002, 6]
    assert discovery.username == change.username == NAME
    assert discovery.transaction_id != change.transaction_id
    assert pair.events(stun.BindingDetermined) == [
        stun.BindingDetermined(INSIDE, False),
        stun.BindingDetermined(Endpoint(OUTSIDE, 50001), True),
    ]


@pytest.mark.parametrize(
    ("mapped", "translated"),
    [
        (Endpoint(OUTSIDE, 50001), True),
        (Endpoint(OUTSIDE, INSIDE.port), True),
        (Endpoint(INSIDE.address, 50001), True),
        (INSIDE, False),
    ],
    ids=["both", "address", "port", "none"],
)
def test_another_address_or_another_port_is_a_translation(mapped, translated):
    pair = Pair()
    pair.server.receive = lambda data, source, now, side: pair.server._outgoing.append(
        dataclasses.replace(pair_answer(data, mapped), destination=source)
    )
    pair.enable().run(1)

    assert pair.client.is_translated is translated
    assert pair.client.mapped == mapped
    assert bool(pair.changes()) is translated


def pair_answer(data: bytes, mapped: Endpoint):
    value = field.address_value(mapped)
    response = stun.BindingResponse(data[4:20], (Attribute(Kind.MAPPED_ADDRESS, value),))
    return Outgoing(response, SERVER, side=stun.ServerSide.MAIN)


def test_without_translation_nothing_is_probed_and_keep_alives_go_on():
    pair = Pair(server_policy=OPEN).enable().run(400)

    assert pair.requests(SECONDARY) == []
    assert pair.changes() == []
    assert pair.keep_alives() == pytest.approx([60 * number for number in range(7)], abs=0.1)


def test_a_nat_that_appears_later_is_noticed():
    pair = Pair(server_policy=OPEN).enable(maximum_s=30).run(45)
    pair.nat = Nat(300)
    pair.run(65)

    assert pair.client.is_translated
    assert len(pair.changes()) == 1
    assert pair.changes()[0][0] == pytest.approx(60 + ROUND_TRIP_S)


def test_what_is_seen_as_untranslated_again_is_a_change_too():
    pair = behind().enable(minimum_s=30, maximum_s=30).run(45)
    pair.nat = None
    pair.run(65)

    assert pair.events(stun.BindingDetermined)[-1] == stun.BindingDetermined(INSIDE, False)
    assert len(pair.changes()) == 2


def test_a_new_local_address_is_discovered_at_once():
    """2.2.1.1: the minimum does not apply."""
    pair = behind().enable(minimum_s=60, maximum_s=60).run(10)
    moved = Endpoint("192.168.1.101", INSIDE.port)
    pair.local[PRIMARY] = moved
    pair.client.set_local(moved, pair.now)
    pair._flush()
    pair.run(11)

    assert pair.keep_alives() == [0, 10]
    assert [round(when, 2) for when, _ in pair.changes()] == [0.02, 10.02]


def test_an_address_that_is_gone_ends_everything_until_there_is_one():
    pair = behind().enable(maximum_s=30).run(10)
    pair.client.set_local(None, pair.now)
    sent = len(pair.sent)
    pair.run(100)

    assert len(pair.sent) == sent
    assert pair.client.deadline() is None


def test_another_server_is_another_discovery():
    pair = behind().enable(minimum_s=60, maximum_s=60).run(10)
    pair.configure(server=Endpoint("203.0.113.31", 3478), minimum_s=60, maximum_s=60)
    pair.run(11)

    assert pair.keep_alives() == [0, 10]


def test_stun_switched_off_and_on():
    """Table 6: without STUN the address is our own, NATDetected false."""
    pair = behind().enable().run(10)
    pair.configure(enabled=False, server=None)
    told = pair.events(stun.BindingDetermined)[-1]
    count = len(pair.sent)
    pair.run(200)

    assert told == stun.BindingDetermined(INSIDE, False)
    assert len(pair.sent) == count

    pair.configure()
    pair.run(201)
    assert pair.events(stun.BindingDetermined)[-1].is_translated


def test_a_username_that_is_set_later_is_used_from_the_next_request_on():
    pair = behind().enable(minimum_s=10, maximum_s=10).run(15)
    pair.configure(minimum_s=10, maximum_s=10, username=NAME)
    pair.run(25)

    names = [each.username for _, each in pair.requests(PRIMARY) if not each.is_change]
    assert names == [None, None, NAME]
    assert len(pair.changes()) == 1


# Retransmission


def test_a_request_is_sent_nine_times_and_has_failed_after_9_5_s():
    pair = behind()
    pair.lose = lambda data: True
    pair.enable().run(9.6)

    assert [when for when, _, _ in pair.sent] == pytest.approx(SCHEDULE)
    assert len({message for _, _, message in pair.sent}) == 1
    failed = [when for when, each in pair.told if isinstance(each, stun.NoAnswer)]
    assert failed == [pytest.approx(9.5)]


def test_a_server_that_comes_back_is_found():
    pair = behind()
    pair.lose = lambda data: pair.now < 100
    pair.enable().run(200)

    assert pair.client.is_translated
    times = pair.keep_alives()
    assert [round(b - a) for a, b in itertools.pairwise(times)][:3] == [30, 30, 30]


def test_a_response_ends_the_copies():
    pair = behind()
    pair.lose = lambda data: pair.now < 0.5
    pair.enable(minimum_s=60, maximum_s=60).run(30)

    copies = [when for when, _, message in pair.sent if not message.is_change]
    assert copies == pytest.approx(SCHEDULE[:4])


def test_a_second_response_changes_nothing():
    pair = behind().enable(minimum_s=60, maximum_s=60).run(1)
    response = pair.answered[0][1]
    pair.client.receive(response.encode(), SERVER, pair.now, PRIMARY)

    assert isinstance(pair.client.events()[-1], stun.Discarded)


# BINDING-CHANGE (2.2.1.3)


def test_a_lost_change_is_sent_nine_times_and_then_never_again():
    pair = behind()
    pair.lose = lambda data: data[:2] == b"\0\1" and stun.decode(data).is_change
    pair.enable(minimum_s=30, maximum_s=30).run(300)

    changes = [(when, message) for when, _, message in pair.sent if message.is_change]
    began = changes[0][0]
    assert [when - began for when, _ in changes] == pytest.approx(SCHEDULE)
    assert len({message for _, message in changes}) == 1
    assert stun.NoAnswer(stun.Purpose.CHANGE) in pair.events(stun.NoAnswer)
    assert len(pair.keep_alives()) == 10


def test_after_a_lost_change_the_next_change_is_told_again():
    pair = behind()
    pair.lose = lambda data: pair.now < 20 and b"\xc0\2\0\0" in data
    pair.enable(minimum_s=30, maximum_s=30).run(20)
    assert pair.nat is not None
    pair.nat.forget()
    pair.run(31)

    assert [round(when) for when, _ in pair.changes()] == [0, 30]


def test_a_change_that_shows_a_change_is_one_more_and_at_most_one_a_second():
    pair = behind()
    assert pair.nat is not None
    nat, outwards = pair.nat, pair.nat.outwards
    nat.outwards = lambda source, now: (nat.forget(), outwards(source, now))[1]  # flaps
    pair.enable(minimum_s=300, maximum_s=300).run(10)

    times = [when for when, _ in pair.changes()]
    assert len(times) == 10
    assert all(b - a > 0.99 for a, b in itertools.pairwise(times))


def test_requests_with_binding_change_have_nothing_that_is_forbidden():
    pair = authenticated().enable(**credentials()).run(300)
    changes = [message for _, _, message in pair.sent if message.is_change]

    assert changes
    for each in changes:
        assert each.is_marked
        assert each.first(Kind.RESPONSE_ADDRESS) is None
        assert each.first(Kind.CHANGE_REQUEST) is None


# Authentication


def test_a_challenge_is_answered_under_a_new_id_and_stores_the_binding():
    pair = authenticated().enable(**credentials(minimum_s=60, maximum_s=60)).run(1)
    _, change, signed = (message for _, _, message in pair.sent)

    assert [each.type for each in change.attributes] == [0xC001, 0xC002, 6]
    assert [each.type for each in signed.attributes] == [0xC001, 0xC002, 6, 8]
    assert signed.transaction_id != change.transaction_id
    assert stun.signed_by(signed, PASSWORD.encode()) is stun.Computation.RFC3489
    assert [each.endpoint for each in pair.stored] == [pair.client.mapped]


def test_the_next_keep_alive_is_not_signed():
    pair = authenticated(challenge="marked").enable(**credentials(minimum_s=30, maximum_s=30))
    pair.run(95)
    signed = [message.is_signed for _, message in pair.requests(PRIMARY) if not message.is_change]

    assert signed == [False, True] * 4


@pytest.mark.parametrize(
    "given", [{}, {"username": NAME}, {"password": PASSWORD}], ids=["none", "name", "password"]
)
def test_without_both_username_and_password_nothing_is_signed(given):
    pair = authenticated().enable(**given, minimum_s=30, maximum_s=30).run(100)

    assert not any(message.is_signed for _, _, message in pair.sent)
    assert len(pair.changes()) == 1
    assert pair.events(stun.Rejected) == [stun.Rejected(stun.Purpose.CHANGE, 401)]


@pytest.mark.parametrize(("known", "code"), [({NAME: "another"}, 431), ({}, 430)])
def test_a_refused_signature_ends_the_change(known, code):
    pair = authenticated()
    pair.server.secret = known.get
    pair.enable(**credentials(minimum_s=30, maximum_s=30)).run(100)

    assert pair.events(stun.Rejected) == [stun.Rejected(stun.Purpose.CHANGE, code)]
    assert sum(message.is_signed for _, message in pair.requests()) == 1
    assert len(pair.keep_alives()) == 4


def test_a_second_401_is_no_reason_to_sign_again():
    pair = authenticated()
    refusal = field.error_code(401, "Unauthorized")
    pair.server._bind = lambda request, source, now, side: pair.server._refuse(
        stun.BindingErrorResponse(request.transaction_id, (refusal,)), 401, request, source, side
    )
    pair.enable(**credentials()).run(25)

    assert len(pair.requests()) == 2
    assert pair.events(stun.Rejected) == [stun.Rejected(stun.Purpose.KEEP_ALIVE, 401)]


@pytest.mark.parametrize("forgery", ["unsigned", "wrong"])
def test_an_unproved_response_to_a_signed_request_is_discarded(forgery):
    """The endpoint stays, and retransmission goes on."""
    pair = authenticated()
    elsewhere = Attribute(Kind.MAPPED_ADDRESS, field.address_value(Endpoint("198.51.100.1", 1)))
    answer = pair.server._answer

    def forged(request, held, source, side, key, how):
        outgoing = answer(request, held, source, side, key, how)
        if how is None:
            return outgoing
        message = stun.BindingResponse(request.transaction_id, (elsewhere,))
        message = stun.sign(message, b"guess") if forgery == "wrong" else message
        return dataclasses.replace(outgoing, message=message)

    pair.server._answer = forged
    pair.enable(**credentials(minimum_s=60, maximum_s=60)).run(20)

    assert pair.client.mapped == Endpoint(OUTSIDE, 50001)
    assert len(pair.events(stun.Discarded)) == 9
    assert sum(message.is_signed for _, _, message in pair.sent) == 9


def test_a_stranger_s_response_is_discarded():
    pair = behind().enable(minimum_s=60, maximum_s=60).run(1)
    value = field.address_value(Endpoint("198.51.100.1", 1))
    forged = stun.BindingResponse(bytes(16), (Attribute(Kind.MAPPED_ADDRESS, value),))
    pair.client.receive(forged.encode(), SERVER, pair.now, PRIMARY)

    assert pair.client.mapped == Endpoint(OUTSIDE, 50001)
    assert isinstance(pair.client.events()[-1], stun.Discarded)


def test_an_error_changes_no_endpoint():
    pair = behind().enable(minimum_s=10, maximum_s=10).run(5)
    known = pair.client.mapped
    pair.server.policy = stun.ServerPolicy(challenge="all")
    pair.run(45)

    assert pair.client.mapped == known
    assert {each.code for each in pair.events(stun.Rejected)} == {401}


# Keep-alives (2.2.1.2)


@pytest.mark.parametrize("period_s", [5, 30, 120])
def test_equal_periods_are_kept_to_the_letter_without_probes(period_s):
    pair = behind(Nat(1000)).enable(minimum_s=period_s, maximum_s=period_s).run(10 * period_s + 1)

    gaps = {round(b - a, 6) for a, b in itertools.pairwise(pair.keep_alives())}
    assert gaps == {period_s}
    assert pair.requests(SECONDARY) == []
    assert len({message.transaction_id for _, message in pair.requests()}) == 12


@pytest.mark.parametrize(
    ("minimum_s", "maximum_s"), [(0, 20), (5, 40), (15, 100), (30, 60), (9, 10)]
)
@pytest.mark.parametrize("lifetime_s", [7, 33, 400])
def test_keep_alives_stay_between_the_periods(minimum_s, maximum_s, lifetime_s):
    pair = behind(Nat(lifetime_s)).enable(minimum_s=minimum_s, maximum_s=maximum_s).run(2000)
    times = pair.keep_alives()
    gaps = [b - a for a, b in itertools.pairwise(times)]

    assert len(gaps) > 10
    assert min(gaps) >= minimum_s - 1e-6
    assert max(gaps) <= maximum_s + 1e-6


def test_zero_is_no_flood():
    pair = behind().enable(minimum_s=0, maximum_s=0).run(10)

    assert len(pair.keep_alives()) == 10


def test_probes_carry_response_address_and_nothing_of_tr_111():
    pair = behind().enable(username=NAME).run(30)
    assert pair.client.mapped is not None
    probes = pair.requests(SECONDARY)

    assert probes
    for _, each in probes:
        assert [attribute.type for attribute in each.attributes] == [Kind.RESPONSE_ADDRESS]
        assert each.response_address == Endpoint(OUTSIDE, 50001)


def test_a_probe_s_mapped_address_is_not_taken_for_ours():
    pair = behind(Nat(300)).enable().run(80)

    assert len(pair.events(stun.Probed)) > 2
    assert pair.client.mapped == Endpoint(OUTSIDE, 50001)
    assert len(pair.changes()) == 1


@pytest.mark.parametrize("reflection", ["same-address", "never"])
def test_a_server_that_does_not_reflect_gets_a_cautious_client(reflection):
    pair = Pair(Nat(60), server_policy=stun.ServerPolicy(challenge="none", reflection=reflection))
    pair.enable().run(1000)
    phases = [each.phase for each in pair.events(stun.PhaseChanged)]

    if reflection == "never":
        assert phases[-1] is stun.Phase.UNTESTABLE
        assert len(pair.requests(SECONDARY)) == 1
        gaps = {round(b - a) for a, b in itertools.pairwise(pair.keep_alives())}
        assert gaps == {25}
    else:
        assert phases[-1] is stun.Phase.MONITORING


def test_a_probe_that_is_challenged_is_signed():
    pair = authenticated(challenge="all").enable(**credentials()).run(30)
    probes = [message for _, message in pair.requests(SECONDARY)]

    assert [each.is_signed for each in probes[:2]] == [False, True]
    assert pair.events(stun.Probed)[0].alive


# The lifetime


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "both"])
@pytest.mark.parametrize("lifetime_s", [4, 20, 31, 60, 119, 300, 700])
def test_the_lifetime_is_found_and_the_binding_kept(lifetime_s, inbound):
    pair = behind(Nat(lifetime_s, inbound_refreshes=inbound)).enable().run(8000)
    found = pair.events(stun.PhaseChanged)[-1]
    told = len(pair.events(stun.BindingDetermined))
    pair.run(20000)

    assert found.phase is stun.Phase.MONITORING
    assert 0.7 * lifetime_s <= found.lifetime_s <= lifetime_s
    assert found.interval_s == found.lifetime_s
    assert len(pair.events(stun.BindingDetermined)) == told


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "both"])
def test_the_longer_one_of_two_stages_is_found(inbound):
    """A kernel's NAT: 30 s, and 120 s once a binding is used again."""
    nat = Nat(120, unreplied_s=30, preserves=True, inbound_refreshes=inbound)
    pair = behind(nat).enable().run(3000)
    found = pair.events(stun.PhaseChanged)[-1]

    assert 100 <= found.lifetime_s <= 120


def test_a_lifetime_beyond_the_maximum_is_not_looked_for():
    pair = behind(Nat(10_000)).enable(maximum_s=60).run(2000)

    assert max(each.idle_s for each in pair.events(stun.Probed)) < 60
    assert max(each.interval_s for each in pair.events(stun.PhaseChanged)) <= 60
    assert all(each.alive for each in pair.events(stun.Probed))


def test_a_lifetime_that_shrinks_is_found_again():
    """2.2.1.2: monitoring reverts to discovery."""
    pair = behind(Nat(100)).enable().run(2000)
    assert pair.nat is not None
    pair.nat.lifetime_s = 20
    pair.run(6000)
    phases = [each.phase for each in pair.events(stun.PhaseChanged)]

    assert phases == [stun.Phase.DISCOVERY, stun.Phase.MONITORING] * 2
    assert pair.events(stun.PhaseChanged)[-1].interval_s < 20


def test_one_lost_probe_is_repeated_before_it_counts():
    pair = behind(Nat(60))
    pair.lose = lambda data: 22 < pair.now < 26
    pair.enable().run(80)

    assert [(round(each.idle_s), each.alive) for each in pair.events(stun.Probed)][:3] == [
        (0, True),
        (20, True),
        (40, True),
    ]


def test_loss_does_not_ruin_the_search():
    pair = behind(Nat(90))
    count = iter(range(10**9))
    pair.lose = lambda data: next(count) % 5 == 0
    pair.enable().run(6000)

    assert 60 <= pair.events(stun.PhaseChanged)[-1].lifetime_s <= 90


@pytest.mark.parametrize("lifetime_s", [10, 25])
def test_a_minimum_above_the_lifetime_does_not_make_it_restless(lifetime_s):
    pair = behind(Nat(lifetime_s)).enable(minimum_s=60).run(3600)

    assert len(pair.requests()) < 3 * 3600 / 60


@settings(deadline=None, max_examples=50)
@given(
    lifetime_s=st.floats(3, 1000),
    minimum_s=st.integers(0, 60),
    span_s=st.one_of(st.none(), st.integers(1, 600)),
    inbound=st.booleans(),
    preserves=st.booleans(),
    seed=st.integers(0, 5),
)
def test_no_nat_makes_it_break_the_periods(lifetime_s, minimum_s, span_s, inbound, preserves, seed):
    nat = Nat(lifetime_s, inbound_refreshes=inbound, preserves=preserves)
    pair = behind(nat)
    count = iter(range(seed, 10**9))
    pair.lose = lambda data: seed > 0 and next(count) % (4 + seed) == 0
    maximum_s = -1 if span_s is None else minimum_s + span_s
    pair.enable(minimum_s=minimum_s, maximum_s=maximum_s).run(1500)
    times = pair.keep_alives()
    gaps = [b - a for a, b in itertools.pairwise(times)]

    assert all(gap >= minimum_s - 1e-6 for gap in gaps)
    if span_s is not None:
        assert all(gap <= max(maximum_s, 1) + 1e-6 for gap in gaps)
    if lifetime_s > minimum_s + 1 and not seed:
        found = pair.events(stun.PhaseChanged)[-1]
        assert found.lifetime_s <= lifetime_s


# What else comes to the ports


def test_what_is_no_stun_is_handed_on_from_the_primary_port_only():
    client = behind().client
    for side in (PRIMARY, SECONDARY):
        client.receive(b"GET http://x?ts=1 HTTP/1.1\r\n\r\n", SERVER, 0.0, side)

    assert client.events() == [stun.NotStun(b"GET http://x?ts=1 HTTP/1.1\r\n\r\n", SERVER)]


@given(st.binary(max_size=60), st.sampled_from(list(stun.ClientSide)))
def test_no_octets_crash_it(data, side):
    pair = behind().enable().run(1)
    pair.client.receive(data, SERVER, pair.now, side)

    assert pair.client.mapped == Endpoint(OUTSIDE, 50001)


def test_a_response_without_mapped_address_is_discarded():
    pair = behind()
    pair.server._answer = lambda request, held, source, *_: dataclasses.replace(
        pair_answer(request.encode(), INSIDE),
        message=stun.BindingResponse(request.transaction_id, ()),
        destination=source,
    )
    pair.enable().run(5)

    assert pair.client.mapped is None
    assert pair.events(stun.Discarded)[0].reason == "it has no MAPPED-ADDRESS"


def test_a_peer_of_rfc_5389_is_understood():
    policy = stun.ClientPolicy(
        has_cookie=True, computation=stun.Computation.RFC5389, username_padding="aligned"
    )
    pair = Pair(Nat(), policy, secrets={NAME: PASSWORD})
    pair.enable(**credentials()).run(1)

    assert all(message.has_cookie for _, _, message in pair.sent)
    assert [each.username for each in pair.stored] == [NAME]
