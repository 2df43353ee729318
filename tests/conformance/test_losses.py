"""Whose loss excuses whom."""

from __future__ import annotations

import pytest

from testbed.conformance.reading import has_lost
from testbed.conformance.sessions import all_discoveries
from testbed.protocols import http
from testbed.registry import find_scenario
from testbed.simulate import simulate
from tests.trace.trace_frames import Home, ipv4, tcp


def _lasts(home: Home):
    """Long enough that what has not arrived is lost; first and last record."""
    home.now_ms += 5000
    home.out(b"later")
    home.trace.close()
    return home.trace.records[0], home.trace.records[-1]


@pytest.mark.parametrize("from_hnb", [True, False])
def test_a_segment_of_its_own_connection_excuses_a_node(from_hnb: bool) -> None:
    home = Home()
    home.connect()
    home.segment(from_hnb, 1001 if from_hnb else 5001, 24, b"\0\3abc", copies=0, links=1)

    assert has_lost(home.trace, "hnb", *_lasts(home))


def test_a_neighbours_segment_excuses_nobody() -> None:
    home = Home()
    home.connect()
    ends = ("203.0.113.53", 50000), ("203.0.113.50", 7000)
    packet = ipv4(ends[0][0], ends[1][0], 6, tcp(*ends, 7, 2))
    home.put("outer_dns", "internet", "segw", packet, copies=0)
    first, last = _lasts(home)

    assert has_lost(home.trace, "outer_dns", first, last)
    assert not has_lost(home.trace, "hnb", first, last)


def test_an_answer_that_is_repeated_is_taken_for_its_own_sessions() -> None:
    """Four HNBs are answered 204 alike; one of these gets lost between HMS and HNB."""
    lossy = {"link.loss": "0.03"}
    scenario = find_scenario("discovery_intranet")
    result = simulate(scenario, "at_once", seed="4", settings=lossy, step_s=300.0)
    lost = [
        arrow
        for arrow in result.trace.arrows
        if isinstance(arrow.message, http.Response) and not arrow.reached
    ]
    sessions = [each.session for each in all_discoveries(result.trace)]

    assert result.is_completed, result.missed
    assert [each.message.status for each in lost] == [204]
    assert [each is not None and each.ended is not None for each in sessions] == [True] * 4
