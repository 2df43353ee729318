from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from testbed.conformance import Judgement, Note, Verdict, register
from testbed.report.html import write_html
from testbed.report.junit import write_junit
from testbed.report.result import Outcome, Result, save_crash
from testbed.report.terminal import show_results
from testbed.report.verdicts import write_verdicts

ONE, OTHER = "32583-5.1.1-1", "32583-5.1.2-1"
NASTY = 'a peer says <script>alert("&")</script> \x00\x1b[31m\ud800 ]]>'
REPLACED = "\N{REPLACEMENT CHARACTER}"


def judgement(name: str, verdict: Verdict, reason: str, *notes: Note) -> Judgement:
    return Judgement(register()[name], verdict, notes, reason)


@pytest.fixture
def result(tmp_path: Path) -> Result:
    """A scenario that went wrong in every way, with texts that a peer chose."""
    outcomes = {
        "": Outcome("completed", records=12, seconds=0.25),
        "nak": Outcome("missed", f"step 2.3 did not happen\n  since {NASTY}", record=31),
        "renewal": Outcome("crashed", "role hnb crashed: ValueError: x"),
    }
    bad = Note(False, "nak", 31, NASTY)
    judgements = [
        judgement(ONE, Verdict.FAIL, NASTY, bad),
        judgement(OTHER, Verdict.INCONCLUSIVE, "never exercised in this run"),
    ]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "named.log").write_text("</pre><b>bold</b>")
    (tmp_path / "ladder.svg").write_text('<?xml version="1.0"?>\n<svg><g id="r7"/></svg>')
    run = {"nodes": {"gateway": {"nat": "masquerade"}, "hnb": {"nat": None}}, "seed": "7"}
    run |= {
        "cast": {"hnb": {"program": "ours", "version": "0.1.0"}},
        "versions": {"kernel": "6.1"},
        "engine": "emulation",
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    return Result("lan_connectivity", outcomes, judgements, 1.25, tmp_path)


def test_junit_is_well_formed_whatever_a_peer_said(result: Result, tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", [result])
    (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot()
    cases = {(case.get("classname"), case.get("name")): case for case in suite}

    counted = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "5", "failures": "2", "errors": "1", "skipped": "1"}
    missed = cases["scenario.lan_connectivity", "nak"].find("failure")
    assert missed is not None
    assert missed.get("message") == "step 2.3 did not happen"
    clean = NASTY.replace("\x00", REPLACED).replace("\x1b", REPLACED).replace("\ud800", REPLACED)
    assert missed.text == f"step 2.3 did not happen\n  since {clean}"
    assert cases["scenario.lan_connectivity", "renewal"].find("error") is not None
    assert list(cases["scenario.lan_connectivity", "main"]) == []
    assert cases["requirement.lan_connectivity", ONE].find("failure") is not None
    assert cases["requirement.lan_connectivity", OTHER].find("skipped") is not None


def test_a_recommendation_that_is_not_followed_fails_junit_only_when_strict(
    tmp_path: Path,
) -> None:
    should = next(each for each in register().values() if each.level == "SHOULD")
    fails = [Judgement(should, Verdict.FAIL, (), "not followed")]
    for strict in (False, True):
        result = Result("x", {}, fails, 0.0, tmp_path, strict=strict)
        write_junit(tmp_path / "junit.xml", [result])
        (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot()

        assert suite.get("failures") == str(int(strict))
        (case,) = suite
        warned = case.find("system-out")
        assert (warned is None) is strict
        assert strict or (warned is not None and "not followed" in str(warned.text))


def test_verdicts_json_holds_every_finding(result: Result, tmp_path: Path) -> None:
    write_verdicts(tmp_path / "verdicts.json", "lan_connectivity", result.judgements)
    told = json.loads((tmp_path / "verdicts.json").read_text())

    assert told["scenario"] == "lan_connectivity"
    first, second = told["verdicts"]
    assert (first["requirement"], first["verdict"], first["reason"]) == (ONE, "FAIL", NASTY)
    assert first["findings"] == [{"ok": False, "variant": "nak", "record": 31, "text": NASTY}]
    assert (second["verdict"], second["findings"]) == ("INCONCLUSIVE", [])
    assert first["level"] == "PROCEDURE"
    assert first["roles"] == ["hnb"]


class Tags(HTMLParser):
    """Every tag, and every anchor that is linked to or there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.anchors.append(value or "")


def test_the_report_escapes_what_a_peer_or_a_log_says(result: Result, tmp_path: Path) -> None:
    write_html(tmp_path / "report.html", result, {"": "The HNB gets an address."})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Tags(text)

    assert "script" not in page.tags
    assert page.tags.count("b") == text.count("<b>"), "none but our own"
    assert "&lt;/pre&gt;&lt;b&gt;bold" in text
    assert "\x00" not in text
    assert "\x1b" not in text


def test_the_report_links_a_finding_to_its_record(result: Result, tmp_path: Path) -> None:
    (tmp_path / "nak").mkdir()
    (tmp_path / "nak" / "ladder.svg").write_text('<svg><g id="r31"/></svg>')
    write_html(tmp_path / "report.html", result, {})
    page = Tags((tmp_path / "report.html").read_text(encoding="utf-8"))

    assert "#nak-r31" in page.links
    assert {"nak-r31", "main-r7", "main", "nak", ONE} <= set(page.anchors)
    assert len(page.anchors) == len(set(page.anchors))


def test_the_report_says_what_the_run_rested_on(result: Result, tmp_path: Path) -> None:
    write_html(tmp_path / "report.html", result, {})
    text = re.sub("<[^>]+>", "", (tmp_path / "report.html").read_text(encoding="utf-8"))

    for fact in ("engine emulation", "seed 7", "NAT masquerade", "cast all ours", "kernel 6.1"):
        assert fact in text


def test_the_report_says_what_was_asked_of_the_run(result: Result, tmp_path: Path) -> None:
    told = json.loads((tmp_path / "run.json").read_text())
    told |= {"faults": ["hnb:stun.deaf"], "settings": {"homes": "3", "link.loss": "0.02"}}
    (tmp_path / "run.json").write_text(json.dumps(told))
    write_html(tmp_path / "report.html", result, {})
    text = re.sub("<[^>]+>", "", (tmp_path / "report.html").read_text(encoding="utf-8"))

    assert "planted fault hnb:stun.deaf" in text
    assert "set homes=3, link.loss=0.02" in text


def test_the_report_leads_to_each_sub_run_and_to_what_failed(
    result: Result, tmp_path: Path
) -> None:
    write_html(tmp_path / "report.html", result, {})
    page = Tags((tmp_path / "report.html").read_text(encoding="utf-8"))

    assert {"#main", "#nak", "#renewal", "#FAIL", "#nak-r31"} <= set(page.links)
    assert f"#{OTHER}" not in page.links


def test_what_failed_stands_open_and_first_and_what_says_nothing_is_folded(
    result: Result, tmp_path: Path
) -> None:
    result.judgements.reverse()
    write_html(tmp_path / "report.html", result, {})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert 0 < text.index('<details id="FAIL" open>') < text.index('<details id="INCONCLUSIVE">')


def test_an_accused_record_is_red_in_its_ladder(result: Result, tmp_path: Path) -> None:
    result.judgements[0] = judgement(
        ONE, Verdict.FAIL, "bad", Note(False, "nak", 31, "bad"), Note(True, "nak", 32, "good")
    )
    write_html(tmp_path / "report.html", result, {})
    style = (tmp_path / "report.html").read_text(encoding="utf-8").split("</style>")[0]

    assert ".row:has(#nak-r31) " in style
    assert "#nak-r32" not in style


def test_a_report_of_a_run_that_never_began_is_a_report(tmp_path: Path) -> None:
    result = Result("x", {"": Outcome("unable", "no nft")}, [], 0.0, tmp_path)
    write_html(tmp_path / "report.html", result, {})

    assert "No ladder was drawn." in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("drawn", ["", "<svg><text>half of", "<?xml"])
def test_a_report_of_a_run_that_was_cut_short_is_a_report(tmp_path: Path, drawn: str) -> None:
    (tmp_path / "ladder.svg").write_text(drawn, encoding="utf-8")
    (tmp_path / "run.json").write_text('{"scenario": "x",', encoding="utf-8")
    result = Result("x", {"": Outcome("killed", "by signal 9")}, [], 0.0, tmp_path)
    write_html(tmp_path / "report.html", result, {})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert "No ladder was drawn." in text
    assert text.rstrip().endswith("</html>")


def shown(*results: Result, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_results(console, results, "/results [x]")
    return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above


def test_the_terminal_shows_failures_in_full_then_the_table(result: Result) -> None:
    text = shown(result)

    assert "lan_connectivity/nak: step 2.3 did not happen\n  since a peer says <script>" in text
    assert f"see        {result.folder}/report.html#nak-r31" in text
    assert f"again   testbed run --again {result.folder}/nak" in text
    assert f"lan_connectivity: FAIL {ONE}: a peer says" in text
    assert re.search(r"lan_connectivity +FAIL +1 FAIL, 1 INCONCLUSIVE +1 of 3 +1.25 s", text)
    assert text.endswith("results    /results [x]\n")


def test_what_a_peer_said_does_not_steer_the_terminal(result: Result) -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\ud800]", shown(result))


def test_a_narrow_terminal_is_told_every_verdict(result: Result) -> None:
    text = shown(result, width=20)

    assert re.search(r"scenario +verdict +requirements +sub-runs +time\n", text)
    assert re.search(r"lan_connectivity +FAIL +1 FAIL, 1 +1 of 3 +1.25 s\n +INCONCLUSIVE", text)


def test_a_warning_is_shown_as_one(tmp_path: Path) -> None:
    should = next(each for each in register().values() if each.level == "SHOULD")
    fails = [Judgement(should, Verdict.FAIL, (), "not followed")]

    assert f"x: warning: {should.id}: not followed" in shown(Result("x", {}, fails, 0, tmp_path))
    assert f"x: FAIL {should.id}: not" in shown(Result("x", {}, fails, 0, tmp_path, strict=True))


def test_a_crash_is_kept_among_the_logs(tmp_path: Path) -> None:
    save_crash(tmp_path / "nak", "Traceback: x")

    assert (tmp_path / "nak" / "logs" / "crash.txt").read_text() == "Traceback: x"
