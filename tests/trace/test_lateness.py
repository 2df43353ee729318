from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_frames import START_NS

from testbed.errors import BadInput
from testbed.trace.folder import EVENTS, RunWriter, load
from testbed.trace.lateness import SECOND_NS, Lateness
from testbed.trace.trace import Trace


def at(seconds: float) -> int:
    return START_NS + int(seconds * SECOND_NS)


def late(*times: tuple[float, float]) -> Lateness:
    lateness = Lateness()
    for seconds, length_s in times:
        lateness.add(at(seconds), length_s)
    return lateness


def test_what_was_lost_between_two_times_counts() -> None:
    lateness = late((1.0, 0.1), (2.0, 0.4), (3.0, 0.2))

    assert lateness.between(at(1.5), at(2.5)) == pytest.approx(0.4)
    assert lateness.between(at(0), at(9)) == pytest.approx(0.7)
    assert lateness.between(at(3.1), at(9)) == 0.0
    assert Lateness().between(at(0), at(9)) == 0.0


def test_what_began_before_an_end_and_went_on_beyond_it_counts() -> None:
    lateness = late((3.0, 2.0))

    assert lateness.between(at(0.5), at(1.5)) == 2.0
    assert lateness.between(at(2.5), at(5)) == 2.0
    assert lateness.between(at(0.5), at(1.0)) == 0.0


@given(st.lists(st.floats(0.001, 5), max_size=20), st.floats(0, 99), st.floats(0, 99))
def test_nothing_counts_twice(lengths_s: list[float], since: float, until: float) -> None:
    lateness, now = Lateness(), 0.0
    for length_s in lengths_s:
        now += length_s
        lateness.add(at(now), length_s)

    assert lateness.between(at(since), at(until)) <= sum(lengths_s) + 1e-6


def test_a_folder_tells_how_late_its_run_was(home, tmp_path) -> None:
    writer = RunWriter(tmp_path, home.trace)
    home.out(b"hello")
    home.trace.lateness.add(at(1), 0.25)
    home.out(b"hello")
    home.trace.lateness.add(at(2), 0.75)
    writer.close()
    trace = load(tmp_path)

    assert trace.lateness.longest_s == 0.75
    assert trace.lateness.between(at(0), at(9)) == 1.0
    assert len(trace.records) == len(home.trace.records)


def test_a_line_that_does_not_say_how_late_is_bad_input(home, tmp_path) -> None:
    writer = RunWriter(tmp_path, home.trace)
    home.out(b"hello")
    writer.close()
    line = {"time_ns": at(1), "node": "", "event": "LATE", "fields": {"late_s": "long"}}
    with (tmp_path / EVENTS).open("a") as file:
        file.write(json.dumps(line) + "\n")

    with pytest.raises(BadInput, match="does not say how late"):
        load(tmp_path)


def test_what_the_machine_took_is_no_time_that_a_role_could_use() -> None:
    trace = Trace()
    one, other = (trace.add_event("hnb", "CONNECTED", {}, at(each)) for each in (1, 4))
    trace.lateness.add(at(2), 0.5)

    assert trace.late_s(one, other) == 0.5
    assert trace.spent_s(one, other) == 2.5
