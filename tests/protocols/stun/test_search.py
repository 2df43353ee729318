"""Which idle periods a search tests, reckoned without a network."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols.stun import Search
from testbed.protocols.stun.lifetime import LifetimePolicy, LifetimeSearch

SHORTEST_S, LONGEST_S, STEP_S = 5.0, 900.0, 5.0
EVERY_SECOND = range(10, 601)


def searched(policy: LifetimePolicy, lifetime_s: float) -> tuple[list[float], float]:
    """The periods that are tested, and what is found."""
    search = LifetimeSearch(SHORTEST_S, LONGEST_S, policy)
    tested = []
    while (period_s := search.next_s()) is not None:
        tested.append(period_s)
        (search.lived if period_s < lifetime_s else search.died)(period_s)
    return tested, search.alive_s


def seconds(policy: LifetimePolicy, lifetime_s: float) -> float:
    """What that takes: a death is noticed by a test that fails twice, and a new binding assured."""
    dead_s = policy.window_s + policy.assure_s
    return policy.assure_s + sum(
        each + dead_s * (each >= lifetime_s) for each in searched(policy, lifetime_s)[0]
    )


@given(
    lifetime_s=st.floats(SHORTEST_S + 0.1, LONGEST_S),
    first_s=st.floats(1.0, 200.0),
    factor=st.floats(1.1, 5.0),
    step_s=st.floats(0.5, 30.0),
    tolerance=st.sampled_from([0.0, 0.1]),
    search=st.sampled_from([Search.GALLOP, Search.BISECTION]),
)
def test_whatever_it_begins_with_a_search_is_off_by_a_step_at_most(
    lifetime_s: float,
    first_s: float,
    factor: float,
    step_s: float,
    tolerance: float,
    search: Search,
) -> None:
    policy = LifetimePolicy(
        search=search, first_s=first_s, factor=factor, tolerance=tolerance, resolution_s=step_s
    )
    tested, found_s = searched(policy, lifetime_s)
    off_s = max(step_s, tolerance * found_s)

    assert found_s < lifetime_s
    assert lifetime_s <= max(found_s, SHORTEST_S) + off_s + 1e-6
    assert len(tested) == len(set(tested))


@pytest.mark.parametrize("lifetime_s", [33, 61, 128, 299, 444])
def test_galloping_tests_nothing_finer_than_a_step(lifetime_s: float) -> None:
    policy = LifetimePolicy(first_s=13.0, factor=1.9, tolerance=0.0, resolution_s=STEP_S)
    tested, _ = searched(policy, lifetime_s)

    assert all(high - low >= STEP_S - 1e-6 for low, high in pairwise(sorted(tested)[:-1]))


def compared(weights: dict[int, float]) -> float:
    """How many times as fast galloping is."""
    total = {}
    for search in (Search.GALLOP, Search.BISECTION):
        policy = LifetimePolicy(search=search, tolerance=0.0, resolution_s=STEP_S)
        total[search] = sum(seconds(policy, each) * weight for each, weight in weights.items())
    return total[Search.BISECTION] / total[Search.GALLOP]


def test_galloping_is_no_slower_over_every_whole_second() -> None:
    assert compared(dict.fromkeys(EVERY_SECOND, 1.0)) >= 1.0


def test_galloping_is_faster_where_short_lifetimes_are_as_common_as_long_ones() -> None:
    """As many between 30 and 60 s as between 150 and 300 s."""
    assert compared({each: 1 / each for each in EVERY_SECOND}) >= 1.45
