"""Users' own faults, checks, scenarios and topologies: folders of plain modules, by `--with DIR`.

A folder's `scenarios/` is searched as if its modules lay in the testbed's own, and so are the
others; so they import each other as ours do (`from topologies.my_home import my_home`).
"""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import scenarios
import testbed.conformance.checks
import testbed.faults
import topologies
from testbed.conformance import load_checks, register
from testbed.errors import BadInput, TestbedError, unknown
from testbed.faults import FAULTS, load_faults
from testbed.registry import load_scenarios, load_topologies
from testbed.roles import ROLES
from testbed.scenario import SCENARIOS

PACKAGES: dict[str, ModuleType] = {
    "topologies": topologies,
    "faults": testbed.faults,
    "checks": testbed.conformance.checks,
    "scenarios": scenarios,
}
"""What is searched, by the name of the user's folder; in the order in which it is loaded."""

REQUIREMENTS = "requirements.yaml"
"""A user's own entries of the register, in a file of the folder."""

LOADED: list[Path] = []
"""The folders that were loaded."""


def load_own(folder: Path) -> None:
    """Load all that a user's folder holds; a folder that was loaded before is left as it is.

    Raises:
        BadInput: there is no such folder, or none of the four in it; a name in it is taken, an id
            unknown, or a file in error: each with its file and line.
    """
    folder = folder.absolute()
    if folder in LOADED:
        return
    if not folder.is_dir():
        raise BadInput(f"--with {folder}: there is no such folder")
    places = {kind: folder / kind for kind in PACKAGES if (folder / kind).is_dir()}
    if not places:
        raise BadInput(
            f"--with {folder}: it holds none of the folders {', '.join(sorted(PACKAGES))}"
        )
    _load_all()
    entries = folder / REQUIREMENTS
    if entries.is_file():
        register().add(entries.read_text(encoding="utf-8"), str(entries))
    faults_before, scenarios_before = set(FAULTS), set(SCENARIOS)
    modules = [module for kind, place in places.items() for module in _join(kind, place)]
    for module, file in modules:
        _import(module, file, folder)
    load_topologies()
    for name in FAULTS.keys() - faults_before:
        _check_fault(name)
    for name in SCENARIOS.keys() - scenarios_before:
        _check_scenario(name)
    LOADED.append(folder)


def _load_all() -> None:
    """Whatever is there already, so that a name that is taken is found."""
    load_topologies()
    load_scenarios()
    load_faults()
    load_checks()


def _join(kind: str, place: Path) -> list[tuple[str, Path]]:
    """Have the package find the modules of that place; gives their names and files."""
    package = PACKAGES[kind]
    found = []
    for file in sorted(place.glob("*.py")):
        if not file.stem.isidentifier():
            raise BadInput(f"{file}: {file.stem!r} cannot be the name of a module")
        if file.stem == "__init__":
            continue
        name = f"{package.__name__}.{file.stem}"
        if importlib.util.find_spec(name) is not None:
            raise BadInput(f"{file}: there is a module {name} already; rename the file")
        found.append((name, file))
    package.__path__.append(str(place))
    importlib.invalidate_caches()
    return found


def _import(module: str, file: Path, folder: Path) -> None:
    """Run the module; what goes wrong in it is told in one sentence."""
    try:
        importlib.import_module(module)
    except SyntaxError as error:
        line = f" line {error.lineno}" if error.lineno else ""
        raise BadInput(f"{error.filename or file}{line}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [each for each in frames if Path(each.filename).is_relative_to(folder)]
        place = f"{theirs[-1].filename} line {theirs[-1].lineno}" if theirs else str(file)
        told = " ".join(str(error).split())
        kind = "" if isinstance(error, TestbedError) else f"{type(error).__name__}: "
        raise BadInput(f"{place}: {kind}{told}") from error


def _place(function: Any) -> str:
    """File and line of a function."""
    code = function.__code__
    return f"{code.co_filename} line {code.co_firstlineno}"


def _check_fault(name: str) -> None:
    found = FAULTS[name]
    where = _place(found.function)
    if found.role not in ROLES:
        raise BadInput(f"{where}: {unknown('role', found.role, ROLES)}")
    for requirement in found.breaks:
        if requirement not in register():
            raise BadInput(f"{where}: {unknown('requirement', requirement, register())}")


def _check_scenario(name: str) -> None:
    found = SCENARIOS[name]
    known = {each for entry in register().values() for each in entry.scenarios}
    if found.judged_as not in (None, name) and found.judged_as not in known:
        where = _place(found.variants[""].function)
        wrong = unknown("scenario of the register", found.judged_as, known)
        raise BadInput(f"{where}: {wrong}")
