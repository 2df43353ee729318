"""What a fault rests on, and what becomes of it where a capture does not show that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.conformance import (
    CHECKS,
    Check,
    Finding,
    Verdict,
    examine,
    fault,
    judge,
    load_checks,
    ok,
)
from testbed.conformance.suppositions import FACTS, SUPPOSITIONS
from testbed.trace.trace import Trace
from tests.conformance.made_up import MadeUp

PAGE = Path(__file__).parents[2] / "docs" / "field_captures.md"
REQUIREMENT = "32583-5.1.1-1"


def blames(trace: Trace) -> Iterator[Finding]:
    yield ok(trace.records[0])
    yield fault(trace.records[0], "it is too late", ("challenges",))


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """A record, and a check that blames whoever sent it if nobody was to be challenged."""
    load_checks()
    monkeypatch.setitem(
        CHECKS, REQUIREMENT, Check((REQUIREMENT,), blames, (), "wire", {}, ("whole",))
    )
    story = MadeUp()
    story.query()
    return story.trace


def judged(trace: Trace) -> tuple[Verdict, str]:
    found = {"": examine("lan_connectivity", trace)}
    every = judge("lan_connectivity", found)
    return next((e.verdict, e.reason) for e in every if e.requirement.id == REQUIREMENT)


def test_a_lab_leaves_nothing_open(story: Trace) -> None:
    assert judged(story) == (Verdict.FAIL, "record 0: it is too late")


@pytest.mark.parametrize(
    ("facts", "missing"), [((), "whole"), (("whole",), "challenges"), (("challenges",), "whole")]
)
def test_what_nobody_has_told_makes_no_accusation(story: Trace, facts, missing) -> None:
    story.is_excerpt, story.facts = True, frozenset(facts)

    assert judged(story) == (
        Verdict.INCONCLUSIVE,
        f"nobody has told {SUPPOSITIONS[missing]} (fact {missing!r}); "
        f"if so, record 0: it is too late",
    )


def test_what_is_told_is_gone_by(story: Trace) -> None:
    story.is_excerpt, story.facts = True, frozenset({"whole", "challenges"})

    assert judged(story)[0] is Verdict.FAIL


def test_the_page_lists_the_facts() -> None:
    table = PAGE.read_text().partition("| fact |")[2]

    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == FACTS
