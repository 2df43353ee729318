"""A ladder of bindings, wired to a server through a NAT, in a time of its own."""

from __future__ import annotations

import heapq
import itertools
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.protocols import stun
from testbed.protocols.stun.ladder import PROBER
from testbed.protocols.stun.lifetime import LifetimePolicy, LifetimeTester, Outcome, Phase, Step
from testbed.protocols.wire import Endpoint

SERVER = Endpoint("203.0.113.30", stun.PORT)
OUTSIDE = "203.0.113.100"
POLICY = LifetimePolicy(rung_s=5.0)
PERIODS_S = tuple(5.0 * number for number in range(1, 25))
DELAY_S = 0.01


class Street:
    """Rungs behind a NAT that forgets after `lifetime_s`; the first `lost` datagrams vanish."""

    def __init__(self, lifetime_s: float, lost=lambda number, side, data: False, **more) -> None:
        self.lifetime_s = lifetime_s
        self.lost = lost
        self.young_s = more.get("young_s")
        self.inbound = more.get("inbound", False)
        policy = stun.ServerPolicy(challenge="none", reflection=more.get("reflection", "always"))
        self.server = stun.StunServer({stun.ServerSide.MAIN: SERVER}, policy=policy)
        self.ladder = stun.Ladder(Random(1), SERVER, more.get("periods_s", PERIODS_S), POLICY)
        self.until: dict[int, float] = {}
        self.began: dict[int, float] = {}
        self.sent: list[tuple[float, int, stun.Message]] = []
        self.found: stun.LadderEnded | None = None
        self.ended_at = math.inf

    def play(self, until_s: float = 400.0) -> stun.LadderEnded | None:
        order, now = itertools.count(), 0.0
        coming: list[tuple[float, int, int, bytes]] = []
        self.ladder.begin(now)
        while True:
            for out in self.ladder.to_send():
                self._outwards(out, now, coming, order)
            for event in self.ladder.events():
                self.found, self.ended_at = event, now
            times = [coming[0][0]] if coming else []
            deadline = self.ladder.deadline()
            times += [] if deadline is None else [deadline]
            if not times or min(times) > until_s:
                return self.found
            now = min(times)
            if coming and coming[0][0] <= now:
                _, _, side, data = heapq.heappop(coming)
                if now < self.until.get(side, 0.0):
                    if self.inbound:
                        self.until[side] = now + self.lifetime_s
                    self.ladder.receive(data, SERVER, now, side)
            else:
                self.ladder.tick(now)

    def _outwards(self, out, now: float, coming, order) -> None:
        side, data = out.side, out.message.encode()
        self.sent.append((now, side, out.message))
        if self.lost(len(self.sent), side, out.message):
            return
        began = self.began.setdefault(side, now)
        lives_s = self.lifetime_s
        if self.young_s is not None and now - began < 2.0:
            lives_s = self.young_s
        self.until[side] = max(self.until.get(side, 0.0), now + lives_s)
        self.server.receive(data, Endpoint(OUTSIDE, 50000 + side), now, stun.ServerSide.MAIN)
        for answer in self.server.to_send():
            to = answer.destination.port - 50000
            heapq.heappush(coming, (now + DELAY_S, next(order), to, answer.message.encode()))


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "both"])
@pytest.mark.parametrize("lifetime_s", [7, 31, 60, 64.9, 118])
def test_it_finds_the_lifetime_one_step_after_it(lifetime_s, inbound):
    street = Street(lifetime_s, inbound=inbound)
    found = street.play()

    assert found.alive_s <= lifetime_s <= found.dead_s + DELAY_S
    assert found.dead_s - found.alive_s == POLICY.rung_s
    assert street.ended_at < found.dead_s + POLICY.assure_s + POLICY.window_s + 1


def test_a_longer_second_lifetime_is_the_one_that_is_found():
    found = Street(100, young_s=30).play()

    assert (found.alive_s, found.dead_s) == (95, 100)


def test_where_none_dies_the_longest_period_is_alive():
    assert Street(1000).play() == stun.LadderEnded(PERIODS_S[-1], math.inf)


def test_where_all_die_none_is_alive():
    assert Street(4).play() == stun.LadderEnded(0.0, PERIODS_S[0])


def test_a_server_that_does_not_reflect_proves_nothing():
    found = Street(100, reflection="never").play()

    assert found.alive_s == 0


def test_without_a_server_it_ends():
    found = Street(100, lost=lambda number, side, message: True).play()

    assert found == stun.LadderEnded(0.0, math.inf)


def test_a_rung_whose_test_is_lost_is_not_taken_for_dead():
    lost_rung = Endpoint(OUTSIDE, 50000 + 3)
    found = Street(
        60, lost=lambda number, side, message: message.response_address == lost_rung
    ).play()

    assert (found.alive_s, found.dead_s) == (55, 60)


def test_rungs_are_asked_for_from_another_port_and_say_nothing_of_tr_111():
    street = Street(40)
    street.play()
    tests = [message for _, side, message in street.sent if side == PROBER]

    assert tests
    assert all(message.response_address is not None for message in tests)
    assert not any(message.is_marked or message.username for _, _, message in street.sent)


@given(data=st.binary(max_size=80), side=st.integers(-1, 23))
def test_no_octets_crash_it(data, side):
    ladder = stun.Ladder(Random(1), SERVER, PERIODS_S, POLICY)
    ladder.begin(0.0)
    ladder.receive(data, SERVER, 0.1, side)

    assert ladder.events() == []


@settings(deadline=None, max_examples=40)
@given(
    lifetime_s=st.floats(3, 130),
    inbound=st.booleans(),
    seed=st.integers(0, 99),
    loss=st.sampled_from([0.0, 0.1]),
)
def test_whatever_is_lost_it_never_finds_too_much(lifetime_s, inbound, seed, loss):
    chance = Random(seed)
    street = Street(lifetime_s, lambda *told: chance.random() < loss, inbound=inbound)
    found = street.play()

    assert found is not None
    assert found.alive_s <= lifetime_s


# What the owner of the primary binding makes of it


def climber(**more) -> LifetimeTester:
    policy = LifetimePolicy(search=stun.Search.LADDER, **more)
    tester = LifetimeTester(5.0, 900.0, 25.0, policy)
    tester.probed(Outcome.ALIVE)
    return tester


def test_the_primary_binding_is_used_twice_and_is_one_step_younger_than_the_rungs():
    tester, times = climber(), []
    now = 100.0
    while (when := tester.plan(now, now)[1]) < math.inf:
        times.append(when)
        tester.refreshed(False)
        now = when
    policy = LifetimePolicy()
    dead_rung_is_found_at = 100 + policy.assure_s + 60 + policy.window_s

    assert len(times) == 2
    assert times[1] - times[0] == 5.0
    assert dead_rung_is_found_at - times[1] == pytest.approx(55 - 0.5)


def test_what_rungs_survive_is_held_against_the_primary_binding():
    tester = climber()
    tester.climbed(55, 60)

    assert tester.phase is Phase.DISCOVERY
    assert tester.plan(100, 110) == (Step.PROBE, 165)
    tester.probed(Outcome.ALIVE)
    assert tester.phase is Phase.MONITORING
    assert tester.interval_s == 55


def test_a_primary_binding_that_lives_shorter_is_looked_for_by_galloping():
    tester = climber()
    tester.climbed(55, 60)
    tester.probed(Outcome.EXPIRED)

    assert not tester.wants_ladder
    assert tester.phase is Phase.DISCOVERY
    assert tester.period_s < 55


@pytest.mark.parametrize("alive_s", [0.0, 2.0], ids=["nothing", "less than the minimum"])
def test_a_ladder_that_has_found_nothing_is_followed_by_galloping(alive_s):
    tester = climber()
    tester.climbed(alive_s, math.inf)

    assert not tester.wants_ladder
    assert tester.period_s == LifetimePolicy().first_s


def test_a_range_that_needs_too_many_rungs_has_longer_steps():
    rungs = climber(rungs=10, rung_s=1.0).rungs()

    assert len(rungs) == 11
    assert (rungs[0], rungs[-1]) == (5.0, 900.0)


def test_a_late_machine_hears_all_rungs_before_it_asks_again() -> None:
    """Answers wait at every port when it wakes; each is another datagram to it."""
    street = Street(120.0)
    street.ladder.begin(0.0)
    waiting = []
    for out in street.ladder.to_send():
        source = Endpoint(OUTSIDE, 50000 + out.side)
        street.server.receive(out.message.encode(), source, 0.0, stun.ServerSide.MAIN)
        waiting += [(out.side, each.message.encode()) for each in street.server.to_send()]

    for side, data in waiting:
        street.ladder.receive(data, SERVER, 0.15, side)  # the first copy was due at 0.1 s
    street.ladder.tick(0.15)

    assert len(waiting) == len(PERIODS_S)
    assert list(street.ladder.to_send()) == []
