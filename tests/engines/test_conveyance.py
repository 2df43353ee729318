"""What becomes of frames on a link: one machine for both engines."""

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.engines.conveyance import Lane, is_refused
from testbed.topology import Passage, Quality

QUALITIES = st.builds(
    Quality,
    delay_ms=st.floats(0, 100),
    jitter_ms=st.floats(0, 100),
    rate_kbps=st.just(0.0) | st.floats(8, 1e6),
    loss=st.floats(0, 1),
    duplication=st.floats(0, 1),
    reordering=st.just(0.0),
)

PACKET, QUESTION = bytes(12) + b"\x08\x00", bytes(12) + b"\x08\x06"


def lane(seed: int = 1, **quality: float) -> Lane:
    return Lane(Quality(**{"delay_ms": 0.0, "jitter_ms": 0.0, **quality}), Random(seed))


def carried(way: Lane, count: int, every_us: int = 1000, octets: int = 100) -> list[list[int]]:
    """When each copy of each of so many frames arrives; a frame that finds no room has none."""
    arrivals = []
    for number in range(count):
        begins_us = way.begins_us(number * every_us, octets)
        if begins_us is None:
            arrivals.append([])
            continue
        fate = way.drawn(PACKET)
        arrivals.append(way.arrivals_us(begins_us, way.takes_us(octets), fate))
    return arrivals


def test_a_delay_is_the_same_for_every_frame() -> None:
    assert carried(lane(delay_ms=20), 3) == [[20_000], [21_000], [22_000]]


@pytest.mark.parametrize("seed", range(10))
def test_jitter_delays_up_to_so_much_more_and_keeps_the_order(seed: int) -> None:
    came = [each[0] for each in carried(lane(seed, delay_ms=5, jitter_ms=10), 500)]

    assert came == sorted(came)
    assert all(
        5_000 <= at_us - sent_us < 15_000
        for sent_us, at_us in zip(itertools.count(0, 1000), came, strict=False)
    )
    assert len({at_us - 1000 * number for number, at_us in enumerate(came)}) > 100


def test_a_rate_has_frames_wait_for_those_before() -> None:
    way = lane(rate_kbps=800)  # 100 octets take a millisecond

    assert carried(way, 4, every_us=0) == [[1000], [2000], [3000], [4000]]


def test_what_does_not_fit_the_queue_is_lost() -> None:
    came = carried(lane(rate_kbps=8), 300, every_us=0, octets=1000)

    assert [bool(each) for each in came] == [True] * 263 + [False] * 37


@pytest.mark.parametrize(
    ("quality", "copies"),
    [({"loss": 0.2}, 0), ({"duplication": 0.2}, 2)],
    ids=["lost", "doubled"],
)
def test_as_many_are_lost_or_doubled_as_the_probability_says(
    quality: dict[str, float], copies: int
) -> None:
    found = [sum(len(e) == copies for e in carried(lane(s, **quality), 1000)) for s in range(20)]

    assert all(140 <= each <= 260 for each in found)  # five times the deviation of 12.6
    assert len(set(found)) > 5


def test_who_is_overtaken_takes_the_delay_once_more_and_keeps_nobody_behind() -> None:
    came = [
        each[0] - 1000 * n for n, each in enumerate(carried(lane(delay_ms=3, reordering=0.3), 500))
    ]

    assert set(came) == {3_000, 6_000}
    assert 100 <= came.count(6_000) <= 200


@given(QUALITIES, st.integers(0, 9))
def test_the_same_seed_decides_the_same(quality: Quality, seed: int) -> None:
    one, other = (Lane(quality, Random(seed)) for _ in range(2))

    assert carried(one, 50) == carried(other, 50)


@given(st.floats(0, 1), st.floats(0, 1))
def test_which_frames_are_lost_does_not_depend_on_other_qualities(
    loss: float, duplication: float
) -> None:
    one = Lane(Quality(loss=loss, duplication=duplication, delay_ms=0), Random(5))
    other = Lane(Quality(loss=loss, reordering=0.5, delay_ms=90), Random(5))

    assert [not each for each in carried(one, 50)] == [not each for each in carried(other, 50)]


@given(QUALITIES)
def test_nothing_arrives_before_it_was_sent_or_out_of_order(quality: Quality) -> None:
    came = list(itertools.chain(*carried(Lane(quality, Random(1)), 50)))

    assert came == sorted(came)
    assert all(at_us >= 0 for at_us in came)


def test_what_becomes_of_packets_does_not_depend_on_address_resolution() -> None:
    alone, among = lane(loss=0.5), lane(loss=0.5)
    fates = []
    for _ in range(50):
        fates.append(among.drawn(PACKET))
        among.drawn(QUESTION)

    assert [alone.drawn(PACKET) for _ in range(50)] == fates


def ipv4(protocol: int, place: int) -> bytes:
    header = bytes([0x45, 0, 0, 28, 0, 0]) + place.to_bytes(2, "big") + bytes([64, protocol])
    return bytes(12) + b"\x08\x00" + header + bytes(18)


@pytest.mark.parametrize(
    ("frame", "fragments", "icmp"),
    [
        (ipv4(17, 0), False, False),
        (ipv4(17, 0x4000), False, False),
        (ipv4(17, 0x2000), True, False),
        (ipv4(17, 185), True, False),
        (ipv4(1, 0), False, True),
        (ipv4(1, 0x2000), True, True),
        (bytes(12) + b"\x08\x06" + bytes(28), False, False),
        (ipv4(1, 0)[:20], False, False),
        (b"", False, False),
    ],
    ids=["UDP", "may not be cut", "first", "last", "ICMP", "ICMP first", "ARP", "cut", "nothing"],
)
def test_a_link_drops_fragments_and_icmp_by_what_is_in_a_frame(
    frame: bytes, fragments: bool, icmp: bool
) -> None:
    assert is_refused(Quality(fragments=Passage.DROPPED), frame) == fragments
    assert is_refused(Quality(icmp=Passage.DROPPED), frame) == icmp
    assert not is_refused(Quality(), frame)
