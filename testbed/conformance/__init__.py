"""Requirements, checks, findings, verdicts: strangers to everything but traces.

A check is a function of a trace that yields findings; the verdict is their sum.  Nothing seen is
INCONCLUSIVE, never PASS.
"""

from testbed.conformance.check import CHECKS, Check, Judgement, check, examine, judge, load_checks
from testbed.conformance.register import Requirement, register
from testbed.conformance.verdict import Finding, Note, Verdict, fault, ok, worst

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Judgement",
    "Note",
    "Requirement",
    "Verdict",
    "check",
    "examine",
    "fault",
    "judge",
    "load_checks",
    "ok",
    "register",
    "worst",
]
