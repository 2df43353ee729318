"""What there is by name: scenarios and topologies, found in the project's own folders."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping

import scenarios as scenario_package
import topologies as topology_package
from testbed.errors import BadInput, unknown
from testbed.scenario import SCENARIOS, Scenario
from testbed.topology import Topology, TopologyFunction


def load_scenarios() -> Mapping[str, Scenario]:
    """Import every module of scenarios; gives all by name, those that join documents first."""
    for module in pkgutil.iter_modules(scenario_package.__path__):
        importlib.import_module(f"scenarios.{module.name}")
    in_order = sorted(SCENARIOS.values(), key=lambda each: (each.judged_as is not None, each.name))
    return {each.name: each for each in in_order}


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        BadInput: there is none; names the nearest.
    """
    known = load_scenarios()
    if name not in known:
        raise unknown("scenario", name, known, "testbed list scenarios")
    return known[name]


def load_topologies() -> Mapping[str, TopologyFunction]:
    """Every public function of `topologies` that gives a Topology, as far as it says, by name."""
    found: dict[str, TopologyFunction] = {}
    for entry in pkgutil.iter_modules(topology_package.__path__):
        module = importlib.import_module(f"topologies.{entry.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            given = inspect.signature(function).return_annotation
            if given not in ("Topology", Topology, inspect.Signature.empty):
                continue
            if name in found:
                code = function.__code__
                raise BadInput(
                    f"{code.co_filename} line {code.co_firstlineno}: two topologies are called "
                    f"{name!r}, the other is in {found[name].__module__}"
                )
            found[name] = function
    return dict(sorted(found.items()))


def find_topology(name: str) -> TopologyFunction:
    """The topology function of that name.

    Raises:
        BadInput: there is none; names the nearest.
    """
    known = load_topologies()
    if name not in known:
        raise unknown("topology", name, known, "testbed list topologies")
    return known[name]
