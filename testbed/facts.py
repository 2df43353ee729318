"""Versions of what a run rests on: kernel, Python, libraries."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib import metadata

from testbed import __version__

LIBRARIES = ("pyroute2", "dnslib", "h11", "cryptography", "lxml")


@cache
def versions() -> dict[str, str]:
    """Name to version; what is not there is left out."""
    found = {
        "testbed": __version__,
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    try:
        from mininet.net import VERSION

        found["mininet"] = VERSION
    except ImportError:
        pass
    return found
