"""What is to be run: enough to run it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testbed.scenario import Scenario
from testbed.settings import build_topology
from testbed.topology import Topology


@dataclass(frozen=True)
class Plan:
    """What is to be run: enough to run it again.

    Attributes:
        scenario: its name.
        variant: "" is the main run.
        engine: "emulation" or "simulation".
        seed: of all randomness.
        settings: of the topology, as the user gave them (text).
        nat: kind for every gateway that translates; None: as the topology says.
        folder: where its results go.
        faults: ROLE:NAME each.
        cast: third parties' programs, by the node that they play.
        devices: interfaces of this machine, by the node that a device behind them plays.
        own: folders of the user's own scenarios and so on that were loaded.
        width: columns of the terminal that shows the ladder; 0: no terminal.
        keep: the files of the lab itself go into the folder too.
        asked: the scenario's variants that are to be run with this one, itself too.
    """

    scenario: str
    variant: str
    engine: str
    seed: str
    settings: Mapping[str, str]
    nat: str | None
    folder: Path
    faults: tuple[str, ...] = ()
    cast: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    width: int = 0
    keep: bool = False
    asked: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Scenario and variant, as the command line takes them."""
        return f"{self.scenario}/{self.variant}" if self.variant else self.scenario


def topology_of(plan: Plan, scenario: Scenario) -> Topology:
    """What a plan runs on: as the scenario's variant has it, and over that the user's settings.

    Raises:
        BadInput: the scenario has no such variant, or its topology cannot be as the user wants it.
    """
    variant = scenario.find(plan.variant)
    return build_topology(variant.topology, variant.settings, plan.settings, plan.nat)
