"""junit.xml: a test suite for each scenario, a case for each sub-run and each requirement."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from testbed.conformance import Judgement, Verdict
from testbed.report.result import Outcome, Result
from testbed.report.text import readable


def write_junit(path: Path, results: Sequence[Result]) -> None:
    """Write the file, one suite a scenario."""
    root = ElementTree.Element("testsuites", name="testbed")
    for result in results:
        _suite(root, result)
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _suite(root: ElementTree.Element, result: Result) -> None:
    suite = ElementTree.SubElement(
        root, "testsuite", name=result.scenario, time=f"{result.seconds:.3f}"
    )
    for variant, outcome in result.outcomes.items():
        _run_case(suite, result.scenario, variant, outcome)
    for judgement in result.judgements:
        warns = any(each is judgement for each in result.warnings)
        _requirement_case(suite, result.scenario, judgement, warns)
    cases = list(suite)
    suite.set("tests", str(len(cases)))
    for what, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(what) is not None for case in cases)))


def _run_case(suite: ElementTree.Element, scenario: str, variant: str, outcome: Outcome) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"scenario.{scenario}",
        name=variant or "main",
        time=f"{outcome.seconds:.3f}",
    )
    if outcome.kind == "completed":
        return
    if outcome.kind in ("unsupported", "interrupted"):
        ElementTree.SubElement(case, "skipped", message=readable(outcome.text))
        return
    kind = "failure" if outcome.kind in ("missed", "violated") else "error"
    child = ElementTree.SubElement(case, kind, message=readable(outcome.text.split("\n")[0]))
    child.text = readable(outcome.text)


def _requirement_case(
    suite: ElementTree.Element, scenario: str, judgement: Judgement, warns: bool
) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"requirement.{scenario}",
        name=judgement.requirement.id,
        time="0",
    )
    if warns:
        ElementTree.SubElement(case, "system-out").text = readable(f"warning: {judgement.reason}")
    elif judgement.verdict is Verdict.FAIL:
        child = ElementTree.SubElement(case, "failure", message=readable(judgement.reason))
        child.text = readable(judgement.requirement.text)
    elif judgement.verdict is Verdict.INCONCLUSIVE:
        ElementTree.SubElement(case, "skipped", message=readable(judgement.reason))
