"""`--cast`: what it takes, and what it refuses in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.conformance import Note, Verdict, judge
from testbed.errors import BadInput
from testbed.external import check_cast, parse_cast
from testbed.report.junit import write_junit
from testbed.report.result import Outcome, Result
from topologies.homes import home_on_internet

CONNECTIVITY = "32583-5.1.1-1"


def test_a_cast_is_programs_by_node_without_those_of_ours() -> None:
    assert parse_cast(["outer_dns=bind", "gateway=ours"]) == {"outer_dns": "bind"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["outer_dns"], "--cast takes ROLE=PROGRAM, not 'outer_dns'"),
        (["outer_dns="], "--cast takes ROLE=PROGRAM, not 'outer_dns='"),
        (
            ["outer_dns=bind", "outer_dns=unbound"],
            "--cast outer_dns is given twice: 'bind' and 'unbound'",
        ),
        (
            ["outer_dns=bint"],
            "no program of a cast is called 'bint'; did you mean bind or dhclient? "
            "(bind, coturn, dhclient, dnsmasq, kea, nginx, udhcpc, unbound, vovida)",
        ),
    ],
    ids=["no_program", "empty_program", "twice", "unknown"],
)
def test_a_wrong_word_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse_cast(words)

    assert str(raised.value) == sentence


def test_a_node_that_no_topology_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"'outerdns'; did you mean outer_dns\?"):
        check_cast({"outerdns": "bind"}, [home_on_internet()])


def test_a_node_that_one_of_the_topologies_has_will_do() -> None:
    check_cast({"device": "udhcpc"}, [home_on_internet(), home_on_internet(device=True)])


def test_a_program_that_cannot_play_the_node_is_refused_and_others_are_named() -> None:
    with pytest.raises(BadInput) as raised:
        check_cast({"gateway": "bind"}, [home_on_internet()])

    assert str(raised.value) == (
        "bind cannot play gateway, which is a gateway: it plays dns_server; "
        "a gateway can be played by ours, dnsmasq, kea"
    )


def result(*outcomes: Outcome, declared: frozenset[str] | None = None) -> Result:
    named = {str(number): outcome for number, outcome in enumerate(outcomes)}
    return Result("lan_connectivity", named, [], 0.0, Path(), declared)


def test_an_unsupported_sub_run_fails_nothing() -> None:
    assert Outcome("unsupported", "why").status == 0
    assert not result(Outcome("completed"), Outcome("unsupported", "why")).failed


def test_a_fault_that_was_not_played_for_the_cast_is_no_failure_and_a_crash_still_is() -> None:
    declared = frozenset({CONNECTIVITY})

    assert not result(Outcome("unsupported", "why"), declared=declared).failed
    assert result(Outcome("unsupported"), Outcome("crashed"), declared=declared).failed


def test_junit_skips_an_unsupported_sub_run(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", [result(Outcome("unsupported", "bind has no zone"))])

    text = (tmp_path / "junit.xml").read_text()
    assert '<skipped message="bind has no zone" />' in text
    assert 'failures="0" errors="0" skipped="1"' in text


def test_a_requirement_that_the_cast_cannot_meet_is_inconclusive_for_that_reason() -> None:
    found = {"": {CONNECTIVITY: [Note(False, "", 3, "asks too early")]}}

    def verdict(cannot: dict[str, str]) -> tuple[Verdict, str]:
        (judged,) = [
            each
            for each in judge("lan_connectivity", found, cannot=cannot)
            if each.requirement.id == CONNECTIVITY
        ]
        return judged.verdict, judged.reason

    assert verdict({}) == (Verdict.FAIL, "record 3: asks too early")
    assert verdict({CONNECTIVITY: "hnb=other: it knows no DHCP"}) == (
        Verdict.INCONCLUSIVE,
        "unsupported by this cast: hnb=other: it knows no DHCP",
    )
