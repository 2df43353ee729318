"""Small deviations, each with a name, a role and the requirements that it breaks.

A fault is put on a role before it gets power: it changes a decoded message, the octets of a
datagram, or a rule of the role itself.  Every check has a fault that it catches.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from testbed.errors import BadInput, unknown
from testbed.faults.fault import FAULTS, Fault, fault, put_on

__all__ = ["FAULTS", "Fault", "fault", "find_fault", "load_faults", "put_on"]


def load_faults() -> Mapping[str, Fault]:
    """Import every module of faults; gives all by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(FAULTS.items()))


def find_fault(word: str) -> Fault:
    """The fault that the command line's ROLE:NAME means.

    Raises:
        BadInput: not of that form, no such fault, or a fault of another role.
    """
    role, colon, name = word.partition(":")
    if not colon:
        raise BadInput(f"--fault takes ROLE:NAME, not {word!r}")
    known = load_faults()
    if name not in known:
        raise unknown("fault", name, known, "testbed list faults")
    found = known[name]
    if found.role != role:
        raise BadInput(f"the fault {name} is one of {found.role}, not of {role!r}")
    return found
