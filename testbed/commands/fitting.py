"""What `testbed run` looks at before any lab is built: whether faults, casts and devices fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.engines import SIMULATION
from testbed.errors import BadInput

if TYPE_CHECKING:  # the rest is imported when it is needed: `--help` answers at once
    from testbed.run import Plan


def refuse_in_simulation(
    players: tuple[str, ...], on_bench: tuple[str, ...], shell_on_fail: bool
) -> None:
    """
    Raises:
        BadInput: what only real namespaces can do is asked for.
    """
    if players:
        raise BadInput(
            f"--cast {players[0]}: programs need real namespaces, and the simulation has none; "
            "leave it out, or use --engine emulation"
        )
    if on_bench:
        raise BadInput(
            f"--dut {on_bench[0]}: a device needs real time and real wires; use --engine emulation"
        )
    if shell_on_fail:
        raise BadInput(
            "--shell-on-fail: a simulation is over before anyone could type; "
            "look at its ladder, or use --engine emulation"
        )


def check_faults(plans: list[Plan], faults: tuple[str, ...]) -> None:
    """Every fault exists, and some node of these runs can show it, on their engine.

    Raises:
        BadInput: one does not.
    """
    if not faults:
        return
    from testbed.faults import find_fault
    from testbed.registry import find_scenario
    from testbed.run import topology_of

    found = [find_fault(word) for word in faults]
    roles: set[str] = set()
    for plan in plans:
        topology = topology_of(plan, find_scenario(plan.scenario))
        roles |= {node.role for node in topology.nodes.values()}
    for each in found:
        if each.emulation_only and any(plan.engine == SIMULATION for plan in plans):
            raise BadInput(
                f"--fault {each.role}:{each.name}: {each.emulation_only}; use --engine emulation"
            )
        if each.role not in roles:
            raise BadInput(
                f"--fault {each.role}:{each.name}: no {each.role} plays in "
                f"{', '.join(plan.title for plan in plans)} ({', '.join(sorted(roles))})"
            )


def check_players(plans: list[Plan]) -> None:
    """Whether casts and faults fit what is going to be run, before any lab is built.

    Raises:
        BadInput: an unknown name, a program that cannot play its node, a fault that nobody of ours
            is left to show.
        MissingFeature: a program is not on this machine.
    """
    from testbed.external import check_cast
    from testbed.external.device import check_devices
    from testbed.faults import find_fault
    from testbed.registry import find_scenario
    from testbed.run import topology_of

    topologies = [topology_of(plan, find_scenario(plan.scenario)) for plan in plans]
    cast = {node: program for plan in plans for node, program in plan.cast.items()}
    check_cast(cast, topologies)
    devices = plans[0].devices
    check_devices(devices, topologies)
    both = cast.keys() & devices.keys()
    if both:
        raise BadInput(f"{min(both)} cannot be played by a program and by a device: give one")
    cast |= dict.fromkeys(devices, "a device")
    nodes = {name: node.role for topology in topologies for name, node in topology.nodes.items()}
    for word in plans[0].faults:
        fault = find_fault(word)
        able = [name for name, role in nodes.items() if role == fault.role]
        if able and all(name in cast for name in able):
            raise BadInput(
                f"--fault {word} changes a role of ours, and {able[0]} is played by "
                f"{cast[able[0]]}; leave one of the two out"
            )


def check_bench(plans: list[Plan], alone: bool) -> None:
    """Whether a device gets what it needs.

    Args:
        plans: of all runs.
        alone: whether there is one run at a time, and nothing between a run and the next.

    Raises:
        BadInput: a device would have to play several runs at a time.
    """
    if plans[0].devices and not alone:
        raise BadInput(
            "--dut: a device plays one run at a time, without --jobs and --shell-on-fail"
        )
