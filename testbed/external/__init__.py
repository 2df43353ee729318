"""Programs of third parties in the place of roles: one short file each.

`--cast NODE=PROGRAM` puts one into a run.  To add one: a subclass of `ExternalProgram` in a module
of its own, and a line in `PROGRAMS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping

from testbed.errors import BadInput, unknown
from testbed.external.program import ExternalProgram
from testbed.topology import Topology

OURS = "ours"

PROGRAMS = {
    "bind": "testbed.external.bind:Bind",
    "coturn": "testbed.external.stun_servers:Coturn",
    "dhclient": "testbed.external.dhclient:Dhclient",
    "dnsmasq": "testbed.external.dnsmasq:Dnsmasq",
    "kea": "testbed.external.kea:Kea",
    "nginx": "testbed.external.nginx:Nginx",
    "udhcpc": "testbed.external.udhcpc:Udhcpc",
    "unbound": "testbed.external.unbound:Unbound",
    "vovida": "testbed.external.stun_servers:Vovida",
}

__all__ = ["OURS", "PROGRAMS", "ExternalProgram", "check_cast", "find_program", "parse_cast"]


def find_program(name: str) -> type[ExternalProgram]:
    """The program of that name.

    Raises:
        BadInput: there is none; names the nearest.
    """
    if name not in PROGRAMS:
        raise unknown("program of a cast", name, PROGRAMS)
    module, _, attribute = PROGRAMS[name].partition(":")
    found: type[ExternalProgram] = getattr(importlib.import_module(module), attribute)
    return found


def parse_cast(words: Iterable[str]) -> dict[str, str]:
    """NODE=PROGRAM words as program by node; `NODE=ours` is left out.

    Raises:
        BadInput: not of that form, a node twice, or a program that nobody knows.
    """
    cast: dict[str, str] = {}
    for word in words:
        node, equals, program = word.partition("=")
        if not (node and equals and program):
            raise BadInput(f"--cast takes ROLE=PROGRAM, not {word!r}")
        if node in cast:
            raise BadInput(f"--cast {node} is given twice: {cast[node]!r} and {program!r}")
        if program != OURS:
            find_program(program)
        cast[node] = program
    return {node: program for node, program in cast.items() if program != OURS}


def check_cast(cast: Mapping[str, str], topologies: Iterable[Topology]) -> None:
    """Look whether the cast fits what is going to be run, before anything is.

    A node that only some of the topologies have is played where it is.

    Raises:
        BadInput: no topology has the node, or the program cannot play it.
        MissingFeature: the program is not on this machine; names Debian's package.
    """
    nodes = {name: node for each in topologies for name, node in each.nodes.items()}
    for name, program in cast.items():
        if name not in nodes:
            raise unknown("node of these topologies", name, nodes)
        found = find_program(program)
        role = nodes[name].role
        if role not in found.about.plays:
            able = [each for each in PROGRAMS if role in find_program(each).about.plays]
            raise BadInput(
                f"{program} cannot play {name}, which is a {role}: it plays "
                f"{', '.join(found.about.plays)}; "
                f"a {role} can be played by {', '.join([OURS, *able])}"
            )
        found.version()
