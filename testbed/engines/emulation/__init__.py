"""Real kernels: Mininet in Linux namespaces.

Mininet is imported here, once, before any module of this package.
"""

from __future__ import annotations

import sys
from types import ModuleType


class _Version(tuple[int, ...]):
    """A version as Mininet compares it; the one thing that it wants of distutils."""

    def __new__(cls, text: str = "0") -> _Version:
        return super().__new__(cls, map(int, text.split(".")))


def _import_mininet() -> None:
    """Import Mininet without distutils, which left Python with 3.12.

    What setuptools offers in its place costs a tenth of a second: a third of what `testbed run`
    imports.  Without Mininet nothing is said here; whoever needs it says so.
    """
    if "distutils" in sys.modules or "mininet.node" in sys.modules:
        return
    package, version = ModuleType("distutils"), ModuleType("distutils.version")
    version.__dict__["StrictVersion"] = _Version
    sys.modules |= {"distutils": package, "distutils.version": version}
    try:
        import mininet.node  # noqa: F401 -- for its import of distutils
    except ImportError:
        pass
    finally:
        del sys.modules["distutils"], sys.modules["distutils.version"]


_import_mininet()
