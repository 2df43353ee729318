"""verdicts.json: every requirement that a scenario was judged by, with the evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed.conformance import Judgement


def verdict_rows(judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """One row a requirement; records are numbered as in the trace of their variant."""
    return [
        {
            "requirement": each.requirement.id,
            "source": each.requirement.source,
            "level": each.requirement.level,
            "roles": list(each.requirement.roles),
            "text": each.requirement.text,
            "verdict": each.verdict,
            "reason": each.reason,
            "findings": [
                {
                    "ok": note.ok,
                    "variant": note.variant,
                    "record": note.record,
                    "text": note.text,
                }
                for note in each.notes
            ],
        }
        for each in judgements
    ]


def write_verdicts(path: Path, scenario: str, judgements: Sequence[Judgement]) -> None:
    """Write the file of one scenario."""
    told = {"scenario": scenario, "verdicts": verdict_rows(judgements)}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
