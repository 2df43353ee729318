"""The tables of docs/whats_here.md, written from the first lines of the modules' docstrings.

    python -m tests.whats_here

writes them anew; what stands above them is written by hand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = "docs/whats_here.md"
FOLDERS = ("testbed", "scenarios", "topologies", "bench")
MARK = "<!-- What follows is written by `python -m tests.whats_here`. -->\n"


def tables(root: Path) -> str:
    """A heading for each folder with Python files, its own sentence, and a row for each module."""
    return "\n".join(_folder(root, folder) for name in FOLDERS for folder in _packages(root / name))


def written(root: Path) -> str:
    """The whole document: what was written by hand, and the tables."""
    text = (root / DOCUMENT).read_text()
    by_hand, mark, _ = text.partition(MARK)
    assert mark, f"{DOCUMENT} has lost its line {MARK.strip()}"
    return f"{by_hand}{mark}\n{tables(root)}"


def _packages(folder: Path) -> Iterator[Path]:
    if any(folder.glob("*.py")):
        yield folder
    for inner in sorted(each for each in folder.glob("*/") if each.name != "__pycache__"):
        yield from _packages(inner)


def _folder(root: Path, folder: Path) -> str:
    lines = [f"## {folder.relative_to(root)}/", ""]
    package = folder / "__init__.py"
    if package.exists():
        lines += [_sentence(package), ""]
    modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    if modules:
        lines += ["| module | what it is |", "|---|---|"]
        lines += [
            f"| `{path.stem}` | {_sentence(path).replace('|', chr(92) + '|')} |" for path in modules
        ]
        lines.append("")
    return "\n".join(lines)


def _sentence(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said, f"{path} does not say what it is"
    return said.splitlines()[0]


if __name__ == "__main__":
    (ROOT / DOCUMENT).write_text(written(ROOT))
