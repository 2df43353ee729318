"""report.html: verdict, requirements, the ladder and logs of each sub-run, in one file."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from testbed.conformance import Judgement, Verdict
from testbed.report.result import WORTH_TELLING_S, Outcome, Result
from testbed.report.text import readable

LOG_OCTETS = 20_000
"""The end of a log that is shown; the whole lies in its file."""


MAIN_FACTS = ("engine", "seed", "planted fault", "set", "NAT", "cast")
"""Of what a run rested on, what tells it from another run of the same scenario."""
MEANT = {
    Verdict.FAIL: "what a peer did and must not do; a warning where the text only recommends",
    Verdict.INCONCLUSIVE: "nothing of it happened, or nothing that can be seen from outside",
}


@dataclass(frozen=True, slots=True)
class _Log:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Run:
    title: str
    anchor: str
    about: str
    outcome: Outcome
    folder: str
    ladder: Markup
    logs: list[_Log]

    @property
    def verdict(self) -> Verdict:
        """What its end alone says; a colour in the report."""
        ends = dict.fromkeys(("unsupported", "interrupted"), Verdict.INCONCLUSIVE)
        ends["completed"] = Verdict.PASS
        return ends.get(self.outcome.kind, Verdict.FAIL)


def write_html(path: Path, result: Result, titles: Mapping[str, str]) -> None:
    """Write the report of one scenario.

    Args:
        path: the file.
        result: what it came to.
        titles: one sentence about each variant.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = resources.files("testbed.report").joinpath("report.html").read_text(encoding="utf-8")
    runs = [
        _run(result, variant, outcome, titles.get(variant, ""))
        for variant, outcome in result.outcomes.items()
    ]
    facts = _facts(result)
    text = environment.from_string(source).render(
        result=result,
        runs=runs,
        stopped=[run for run in runs if run.outcome.kind != "completed"],
        groups=_groups(result),
        accused=_accused(result),
        meant=MEANT,
        WORTH_TELLING_S=WORTH_TELLING_S,
        main_facts={name: facts[name] for name in MAIN_FACTS if name in facts},
        facts={name: value for name, value in facts.items() if name not in MAIN_FACTS},
    )
    path.write_text(readable(text), encoding="utf-8")


def _run(result: Result, variant: str, outcome: Outcome, about: str) -> _Run:
    folder = result.folder / variant if variant else result.folder
    anchor = variant or "main"
    return _Run(
        title=variant or result.scenario,
        anchor=anchor,
        about=about,
        outcome=outcome,
        folder=f"{variant}/" if variant else "",
        ladder=_ladder(folder / "ladder.svg", anchor),
        logs=[
            _Log(file.name, file.read_text(encoding="utf-8", errors="replace")[-LOG_OCTETS:])
            for file in sorted((folder / "logs").glob("*"))
            if file.is_file()
        ],
    )


def _groups(result: Result) -> list[tuple[Verdict, list[Judgement]]]:
    """The requirements by verdict: what failed first, and of that what binds."""
    order = (Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE)
    judged = [
        *result.failures,
        *(each for each in result.judgements if each not in result.failures),
    ]
    groups = [(verdict, [each for each in judged if each.verdict is verdict]) for verdict in order]
    return [(verdict, judgements) for verdict, judgements in groups if judgements]


def _accused(result: Result) -> list[str]:
    """The anchors of records in which a check found fault; a ladder shows them in red."""
    notes = [note for each in result.failures + result.warnings for note in each.notes]
    anchors = [f"{note.variant or 'main'}-r{note.record}" for note in notes if not note.ok]
    return list(dict.fromkeys(anchors))


def _ladder(file: Path, anchor: str) -> Markup:
    """The drawing, its record anchors told apart from those of the other sub-runs."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    drawn = re.search(r"<svg.*</svg>", text, re.DOTALL)
    if drawn is None:  # nothing was written, or not all of it: the run was killed, the disk is full
        return Markup("<p>No ladder was drawn.</p>")
    drawing = re.sub(r'id="(r\d+)"', rf'id="{anchor}-\1"', drawn[0])
    return Markup(drawing)  # our own drawing, escaped where it was made


def _facts(result: Result) -> dict[str, str]:
    """What the run rested on, from the first run.json there is."""
    for variant in result.outcomes:
        file = (result.folder / variant if variant else result.folder) / "run.json"
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # one cut short is none
            told = json.loads(file.read_text(encoding="utf-8"))
            nats = {n["nat"] for n in told["nodes"].values() if n["nat"]}
            return {
                "engine": told["engine"],
                **{f"modelled: {what}": kind for what, kind in told.get("modelled", {}).items()},
                "seed": told["seed"],
                **_asked(told),
                "NAT": ", ".join(sorted(nats)) or "none",
                **_measured(told.get("nats", [])),
                **_links(told.get("links", {})),
                "cast": ", ".join(
                    f"{node}={player['program']} {player['version']}"
                    for node, player in told["cast"].items()
                    if player["program"] != "ours"
                )
                or "all ours",
                **told["versions"],
            }
    return {}


def _asked(told: Mapping[str, Any]) -> dict[str, str]:
    """What whoever ran it has changed: deviations that are planted, settings."""
    settings = [f"{name}={value}" for name, value in told.get("settings", {}).items()]
    asked = {"planted fault": told.get("faults", []), "set": settings}
    return {name: ", ".join(values) for name, values in asked.items() if values}


def _links(links: Mapping[str, Any]) -> dict[str, str]:
    """The links that are not plain: what is asked of them, who carried, and what came of it."""
    told = {}
    for name, link in links.items():
        if not isinstance(link, dict) or not link["quality"]:
            continue
        words = [f"{quality} {value}" for quality, value in link["quality"].items()]
        counts = [f"{count} {what}" for what, count in link.get("counts", {}).items() if count]
        told[f"link {name}"] = ", ".join([*words, f"carried by {link['back_end']}", *counts])
    return told


def _measured(nats: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What was measured of each kind of NAT, beside what is declared."""
    told = {}
    for nat in nats:
        known = nat["measured"]
        words = [
            f"{name} {_words(value)} (declared {_words(nat['declared'].get(name, 'nothing'))})"
            for name, value in known.items()
        ]
        told[f"{nat['nat']} probed"] = ", ".join([*words, nat["probed"]])
    return told


def _words(value: object) -> str:
    if isinstance(value, list):
        low, high = value
        if high is None:
            return f"more than {low:g}"
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return str(value)
