"""Versions of what a run rests on: kernel, Python, libraries."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib import metadata

from testbed import __version__
from testbed.engines import EMULATION, SIMULATION

LIBRARIES = ("pyroute2", "dnslib", "h11", "cryptography", "lxml")

_OF_EMULATION = ("pyroute2",)


@cache
def versions(engine: str = EMULATION) -> dict[str, str]:
    """Name to version, of what runs of that engine rest on; what is not there is left out."""
    found = {
        "testbed": __version__,
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
    is_simulation = engine == SIMULATION
    for library in LIBRARIES:
        if is_simulation and library in _OF_EMULATION:
            continue
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    if is_simulation:
        return found
    try:
        from mininet.net import VERSION

        found["mininet"] = VERSION
    except ImportError:
        pass
    return found
