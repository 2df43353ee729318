"""The layers, the sizes and the cleanliness of the project's own files.

Each rule is a function of a folder, so that the last tests can show it a made-up project that
breaks it: a rule that cannot fail is no rule.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = ("testbed", "topologies", "scenarios")
"""What is installed; layers and docstrings are kept here."""

# Layer -> the layers that it may import, beside itself and those of FOR_ALL.
LAYERS: dict[str, set[str]] = {
    "testbed.protocols": set(),
    "testbed.topology": set(),
    "testbed.datamodel": set(),
    "testbed.settings": {"testbed.topology"},
    "testbed.nat": {"testbed.protocols", "testbed.topology"},
    "testbed.host": {"testbed.protocols", "testbed.topology"},
    "testbed.trace": {"testbed.protocols"},
    "testbed.roles": {
        *("testbed.host", "testbed.protocols", "testbed.datamodel"),
        "testbed.topology",  # its data types only
    },
    "testbed.conformance": {"testbed.trace", "testbed.protocols", "testbed.datamodel"},
    "testbed.report": {"testbed.conformance", "testbed.trace"},
}
_BELOW_ENGINES = {
    *("testbed.host", "testbed.nat", "testbed.protocols"),
    *("testbed.topology", "testbed.trace"),
}
LAYERS["testbed.engines"] = _BELOW_ENGINES
LAYERS["testbed.external"] = _BELOW_ENGINES
_BELOW_SCENARIOS = {
    *("testbed.roles", "testbed.host", "testbed.protocols"),
    *("testbed.topology", "testbed.trace"),
}
LAYERS["testbed.expectation"] = {"testbed.trace"}
LAYERS["testbed.scenario"] = _BELOW_SCENARIOS | {"testbed.expectation"}
LAYERS["testbed.faults"] = _BELOW_SCENARIOS
LAYERS["topologies"] = {
    *("testbed.scenario", "testbed.topology", "testbed.protocols", "testbed.roles"),
    "testbed.host",  # its policy types only
}
# A scenario may act as a stranger on a node's host: an attacker, a broken neighbour.
LAYERS["scenarios"] = LAYERS["topologies"] | {"topologies", "testbed.host"}

FOR_ALL = {"testbed.errors"}
"""What every layer may import."""

# Whoever stands in no layer joins the others, may see everything, and is imported by no layer.
JOINING = re.compile(
    r"testbed(\.(cli|__main__|run|batch|grid|probing|registry|own|simulate|single_faults|commands)(\..*)?)?"
)
"""Their names; a new one is written here with intent."""

PURE = ("protocols", "topology", "nat", "datamodel", "conformance")
IMPURE = {"asyncio", "os", "socket", "subprocess", "time"}

LONGEST_FILE = 450
LONGEST_TEST_FILE = 600
"""Tests of one module stay in one file: a reader looks for them there."""
LONGEST_FUNCTION = 80

# A slash in brackets keeps this file from naming what it looks for.
BUILD_MACHINE = re.compile(r"[/](?:work|farm|root)/|[/]home/(?!vagrant\b)\w|(?<![\w.-])shared[/]")

_NOT_OURS = {"runs", "build", "__pycache__"}
_OUR_HIDDEN = {".ci", ".gitignore"}


def files(root: Path, suffix: str = "") -> Iterator[Path]:
    """The project's own files: not what runs, tools and virtual environments made."""
    for path in sorted(root.iterdir()):
        hidden = path.name.startswith(".") and path.name not in _OUR_HIDDEN
        if hidden or path.name in _NOT_OURS or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from files(path, suffix)
        elif path.name.endswith(suffix):
            yield path


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of the installed packages, with its dotted name."""
    for package in PACKAGES:
        if (root / package).is_dir():
            for path in files(root / package, ".py"):
                parts = path.relative_to(root).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax; most rules look at that of every file."""
    return ast.parse(path.read_text())


def imports(module: str, path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a module imports, also inside its functions.

    `from a import b` gives both "a" and "a.b": b may be a module.
    """
    for line, source, names in import_statements(module, path):
        yield line, source
        yield from ((line, f"{source}.{name}") for name in names)


def import_statements(module: str, path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module, and the names taken from it, of every import, also inside functions."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield node.lineno, source, [alias.name for alias in node.names]


def layer_of(name: str) -> str | None:
    """The layer that a dotted name belongs to; None: it belongs to no layer."""
    for layer in [*LAYERS, *FOR_ALL]:
        if name == layer or name.startswith(layer + "."):
            return layer
    return None


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def broken_layers(root: Path) -> Iterator[str]:
    # `from testbed import __version__` names no module.
    known = {name for name, _ in modules(root)}
    for module, path in modules(root):
        layer = layer_of(module)
        if layer is None and not JOINING.fullmatch(module):
            yield f"{module}: in no layer; give it one in {Path(__file__).name}"
        if layer is None:
            continue
        allowed = LAYERS.get(layer, set()) | FOR_ALL | {layer}
        for line, name in imports(module, path):
            if not is_ours(name) or name not in known or name == "testbed":
                continue
            if layer_of(name) not in allowed:
                yield f"{path.relative_to(root)}:{line}: {layer} may not import {name}"


def needs(root: Path) -> dict[str, set[str]]:
    """Each module, and those that it imports: for types only, inside functions, by name too.

    `from a import b` needs a.b where that is a module, else a.  A package is not needed by who
    imports one of its modules: else a package that hands its modules' names on, as `testbed.host`
    does, were a circle with each.
    """
    found = dict(modules(root))
    needed: dict[str, set[str]] = {module: set() for module in found}
    for module, path in found.items():
        for _, source, names in import_statements(module, path):
            inner = [f"{source}.{name}" for name in names]
            is_whole = not names or any(each not in found for each in inner)
            needed[module] |= {*inner, *([source] if is_whole else [])} & found.keys()
        texts = (each.value for each in ast.walk(parsed(path)) if isinstance(each, ast.Constant))
        # "testbed.roles.hnb:Hnb", for `import_module`; a package of its own names a resource's.
        by_name = {each.partition(":")[0] for each in texts if isinstance(each, str)}
        own = {each for each in by_name if f"{module}.".startswith(f"{each}.")}
        needed[module] |= by_name & found.keys() - own
    return needed


def circles(root: Path) -> Iterator[str]:
    """One shortest way round for each module that imports itself in the end."""
    needed = needs(root)
    told: set[str] = set()
    for module in needed:
        way = way_back(module, needed)
        if way and not told & set(way):
            told |= set(way)
            yield " -> ".join([*way, module])


def way_back(module: str, needed: dict[str, set[str]]) -> list[str]:
    """The modules from this one to one that imports it; empty: there is no way back."""
    before: dict[str, str] = {}
    waiting = deque([module])
    while waiting:
        here = waiting.popleft()
        for each in sorted(needed[here]):
            if each == module:
                way = [here]
                while way[-1] != module:
                    way.append(before[way[-1]])
                return way[::-1]
            if each not in before:
                before[each] = here
                waiting.append(each)
    return []


def impure_imports(root: Path) -> Iterator[str]:
    pure = {f"testbed.{name}" for name in PURE}
    for module, path in modules(root):
        if layer_of(module) not in pure:
            continue
        for line, name in imports(module, path):
            top = name.partition(".")[0]
            if top in IMPURE:
                yield f"{path.relative_to(root)}:{line}: may not import {top}"
        for node in ast.walk(parsed(path)):
            names = [
                alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)
            ]
            of_random = isinstance(node, ast.ImportFrom) and node.module == "random"
            if (of_random and names != ["Random"]) or (
                isinstance(node, ast.Import) and "random" in names
            ):
                yield f"{path.relative_to(root)}:{node.lineno}: of random only Random, passed in"


def too_long(root: Path) -> Iterator[str]:
    for path in files(root, ".py"):
        text = path.read_text()
        lines = text.count("\n")
        place = path.relative_to(root)
        limit = LONGEST_TEST_FILE if place.parts[0] == "tests" else LONGEST_FILE
        if lines > limit:
            yield f"{place}: {lines} lines, {limit} are the limit"
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    yield (
                        f"{path.relative_to(root)}:{node.lineno}: {node.name} has {length} lines, "
                        f"{LONGEST_FUNCTION} are the limit"
                    )


def build_machine_paths(root: Path) -> Iterator[str]:
    for path in files(root):
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # a capture, an image
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if found := BUILD_MACHINE.search(line):
                yield f"{path.relative_to(root)}:{number}: names {found.group()!r}"


def without_docstring(root: Path) -> Iterator[str]:
    for module, path in modules(root):
        if not ast.get_docstring(parsed(path)):
            yield f"{module}: does not say what it is"


def report(broken: Iterator[str]) -> str:
    return "\n".join(broken)


def test_imports_go_down_only() -> None:
    assert report(broken_layers(ROOT)) == ""


def test_no_modules_import_each_other() -> None:
    assert report(circles(ROOT)) == ""


def test_protocols_and_judges_know_no_clock_and_no_socket() -> None:
    assert report(impure_imports(ROOT)) == ""


def test_files_and_functions_are_short() -> None:
    assert report(too_long(ROOT)) == ""


def test_no_file_names_a_path_of_a_build_machine() -> None:
    assert report(build_machine_paths(ROOT)) == ""


def test_every_module_says_what_it_is() -> None:
    assert report(without_docstring(ROOT)) == ""


def test_the_rules_see_the_project() -> None:
    names = [name for name, _ in modules(ROOT)]

    assert "testbed.protocols.wire" in names
    assert (3, "a.b.c") not in imports("testbed.errors", ROOT / "testbed/errors.py")
    assert ROOT / "Makefile" in files(ROOT)


# The rules, shown a project that breaks each of them.


def project(root: Path, **sources: str) -> Path:
    """A project of these modules; `__` in a name stands for a dot."""
    for name, text in sources.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_lazy_import_upwards_is_found(tmp_path: Path) -> None:
    lazy = "def f():\n    from testbed.roles import hnb\n"
    root = project(tmp_path, testbed__protocols__dns=lazy, testbed__roles__hnb="")

    assert list(broken_layers(root)) == [
        "testbed/protocols/dns.py:2: testbed.protocols may not import testbed.roles.hnb"
    ]


def test_a_relative_import_upwards_is_found(tmp_path: Path) -> None:
    source = "from ..engines import replay\n"
    root = project(tmp_path, testbed__roles__hnb=source, testbed__engines__replay="")

    (found,) = broken_layers(root)
    assert found.endswith("testbed.roles may not import testbed.engines.replay")


def test_what_joins_the_layers_is_imported_by_none(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        testbed__run="import testbed.engines.replay\n",
        testbed__engines__replay="",
        testbed__report__html="from testbed import run\n",
    )

    (found,) = broken_layers(root)
    assert found.endswith("testbed.report may not import testbed.run")


def test_a_module_in_no_layer_is_found(tmp_path: Path) -> None:
    (found,) = broken_layers(project(tmp_path, testbed__utilities=""))

    assert found.startswith("testbed.utilities: in no layer")


def test_allowed_imports_are_allowed(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        testbed__errors="",
        testbed__protocols__wire="from testbed.errors import DecodeError\n",
        testbed__host="from testbed.protocols.wire import Machine\nimport asyncio\n",
        testbed__commands__run="from testbed import run\n",
        testbed__run="from testbed.host import Host\n",
        scenarios__home="from topologies.home import home\n",
        topologies__home="from random import Random\n",
    )

    assert list(broken_layers(root)) == []
    assert list(impure_imports(root)) == []


def test_modules_that_import_each_other_are_found(tmp_path: Path) -> None:
    for_types = "if TYPE_CHECKING:\n    from testbed.b import B\n"
    by_name = "def f():\n    import_module('testbed.a')\n"
    root = project(
        tmp_path,
        testbed__a=for_types,
        testbed__b="from testbed import c\n",
        testbed__c=by_name,
        testbed__face__inner="from testbed.face.lowest import y\n",
        testbed__face__lowest="",
    )
    (root / "testbed/face/__init__.py").write_text("from testbed.face.inner import x\n")

    assert list(circles(root)) == ["testbed.a -> testbed.b -> testbed.c -> testbed.a"]


def test_a_module_that_imports_the_face_of_its_package_is_found(tmp_path: Path) -> None:
    root = project(tmp_path, testbed__face__inner="def f():\n    from testbed.face import x\n")
    (root / "testbed/face/__init__.py").write_text("from testbed.face.inner import x\n")

    assert list(circles(root)) == ["testbed.face -> testbed.face.inner -> testbed.face"]


def test_clocks_sockets_and_the_shared_random_are_found(tmp_path: Path) -> None:
    source = "import time\nfrom os import path\nimport random\nfrom random import randint\n"
    root = project(tmp_path, testbed__nat=source, testbed__host=source)

    found = [line.partition(": ")[0] for line in impure_imports(root)]

    assert sorted(set(found)) == [f"testbed/nat.py:{number}" for number in (1, 2, 3, 4)]


def test_long_files_and_functions_are_found(tmp_path: Path) -> None:
    function = "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION
    root = project(tmp_path, testbed__a=function, bench__b="x = 1\n" * (LONGEST_FILE + 1))

    assert [line.partition(":")[0] for line in too_long(root)] == ["bench/b.py", "testbed/a.py"]


def test_a_path_of_a_build_machine_is_found(tmp_path: Path) -> None:
    bad = ["work/x", "root/.cache", "home/ann/x"]
    root = project(tmp_path, testbed__a="".join(f"# /{path}\n" for path in bad))
    (root / "README.md").write_text("see ../" + "shared" + "/design\nnet.core/work\n")

    assert len(list(build_machine_paths(root))) == len(bad) + 1


def test_a_module_without_docstring_is_found(tmp_path: Path) -> None:
    root = project(tmp_path, testbed__a="x = 1\n", scenarios__b='"""Says."""\n')

    assert list(without_docstring(root)) == ["testbed.a: does not say what it is"]
