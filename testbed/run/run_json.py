"""What a run's folder says of the run: `run.json`, and the notes in its capture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from testbed import __version__
from testbed.external import OURS, find_program
from testbed.external.device import DEVICE
from testbed.probing.truth import Truth
from testbed.report.result import Outcome
from testbed.run.plan import Plan
from testbed.run.versions import versions
from testbed.topology import Topology


def notes(plan: Plan) -> dict[str, object]:
    """What was run, for the capture."""
    return {
        "scenario": plan.title,
        "engine": plan.engine,
        "seed": plan.seed,
        "testbed": __version__,
    }


def write_run_json(
    plan: Plan,
    topology: Topology,
    truths: Sequence[Truth],
    outcome: Outcome,
    modelled: Mapping[str, str],
    last_step: int | None,
    started: Mapping[str, str],
    links: Mapping[str, object],
) -> None:
    """Write the file: what was run, on what, and what it came to.

    Args:
        plan: what was to be run.
        topology: what was built.
        truths: what its NATs were found to do.
        outcome: what became of the run.
        modelled: what was a model.
        last_step: the record of the ladder's last step that happened.
        started: versions of others' programs that the world has started.
        links: who carried each, and what became of its frames.
    """
    text = json.dumps(
        {
            "scenario": plan.scenario,
            "variant": plan.variant,
            "asked": list(plan.asked),
            "engine": plan.engine,
            "modelled": dict(modelled),
            "seed": plan.seed,
            "settings": dict(plan.settings),
            "nat": plan.nat,
            "nats": [truth.told() for truth in truths],
            "cast": {name: _player_told(plan, name) for name in topology.nodes},
            "devices": {name: list(each) for name, each in plan.devices.items()},
            "with": list(plan.own),
            "faults": list(plan.faults),
            "topology": topology.title,
            "links": links,
            "nodes": {
                name: {
                    "role": node.role,
                    "nat": node.nat.name if node.nat else None,
                    "interfaces": [[a.link, a.address] for a in node.attachments],
                }
                for name, node in topology.nodes.items()
            },
            "outcome": outcome.kind,
            "text": outcome.text,
            "drops": outcome.drops,
            "late_s": round(outcome.late_s, 6),
            "records": outcome.records,
            "last_step": last_step,
            "seconds": round(outcome.seconds, 6),
            "versions": {**versions(plan.engine), **started},
        },
        indent=2,
    )
    (plan.folder / "run.json").write_text(text + "\n", encoding="utf-8")


def _player_told(plan: Plan, node: str) -> dict[str, str]:
    """Program and version of whoever plays the node."""
    if node in plan.devices:
        return {"program": DEVICE, "version": f"at {', '.join(plan.devices[node])}"}
    if node not in plan.cast:
        return {"program": OURS, "version": __version__}
    program = find_program(plan.cast[node])
    return {"program": program.about.program, "version": program.version()}
