"""What goes into the VM's image, and the key under which it is kept: the hash of just that.

The project's own code is no part of it: that comes on a disk of its own, with each run.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from testbed.errors import BadInput, MissingFeature

ROOT = Path(__file__).resolve().parent.parent
KERNEL = "linux-image-cloud-amd64"
SUITE = "bookworm"
FILES = (
    "Vagrantfile",
    "setup.cfg",
    "pyproject.toml",
    "provision/foreign.txt",
    "provision/packages.txt",
    "provision/packages.sh",
    "provision/venv.sh",
    "vm/contents.py",
    "vm/guest.service",
    "vm/image.py",
    "vm/init",
    "vm/make_image.sh",
    "vm/tree.sh",
)
"""The files that say what is in the image; a change of any makes another image."""

_NOT_TAKEN = re.compile(r"\.git|\.venv|runs|build|__pycache__|\..*_cache|\.hypothesis|.*\.egg-info")


def key(parts: Mapping[str, str]) -> str:
    """The hash of all parts, whatever their order: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        for text in (name, parts[name]):
            data = text.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def parts(sources: Mapping[str, str], frozen: str, root: Path = ROOT) -> dict[str, str]:
    """What is in the image: name -> text.

    Args:
        sources: of apt; name of the file -> its text.
        frozen: the Python packages and their versions, as `pip freeze` tells them.
        root: the project.
    """
    found = {name: (root / name).read_text() for name in FILES}
    found |= {f"apt/{name}": text for name, text in sources.items()}
    packages = debian_packages((root / "provision/packages.txt").read_text())
    return found | {"debian": debian_versions([*packages, KERNEL]), "python": frozen}


def debian_packages(listing: str) -> list[str]:
    """The names in provision/packages.txt, as the Vagrantfile asks for them: `run` and `test`."""
    names, section = [], ""
    for line in listing.splitlines():
        words = line.partition("#")[0].split()
        if words and words[0].startswith("["):
            section = words[0].strip("[]")
        elif words and section in ("run", "test"):
            names.append(words[0])
    return names


def debian_versions(packages: Iterable[str]) -> str:
    """Which versions apt would install of these packages; "" where it knows none, or is missing."""
    try:
        done = subprocess.run(
            ["apt-cache", "policy", *packages], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    told = re.findall(r"^(\S+):\n.*\n  \S+: (\S+)$", done.stdout, re.MULTILINE)
    return "".join(f"{name} {version}\n" for name, version in told)


def frozen_packages(python: Path) -> str:
    """The Python packages of this project's own environment: those of the VM are the same."""
    command = [str(python), "-m", "pip", "freeze", "--exclude-editable"]
    command.append("--disable-pip-version-check")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def python_requirements(root: Path = ROOT) -> list[str]:
    """What setup.cfg, pyproject.toml and the list of foreign programs ask of pip, for running,
    testing and installing."""
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    listed = [setup["options"]["install_requires"], setup["options.extras_require"]["test"]]
    listed.append((root / "provision/foreign.txt").read_text())
    lines = [line.partition(" #")[0].strip() for text in listed for line in text.splitlines()]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    wanted = [line for line in lines if line and not line.startswith("#")]
    return wanted + list(project["build-system"]["requires"])


def apt_sources(given: Iterable[Path] = (), folder: Path = Path("/etc/apt")) -> dict[str, str]:
    """The sources that offer Debian 12: name of the file -> its text, without all others.

    Args:
        given: files to take as they are, in the place of this machine's.
        folder: of apt's configuration.

    Raises:
        BadInput: a given file cannot be read.
        MissingFeature: this machine's sources do not offer Debian 12.
    """
    given = list(given)
    try:
        if given:
            return {path.name: path.read_text() for path in given}
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error
    found = {}
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        if path.suffix in (".list", ".sources") and path.is_file():
            deb822 = path.suffix == ".sources"
            text = path.read_text()
            blocks = re.split(r"\n\s*\n", text) if deb822 else text.splitlines()
            kept = [each for each in blocks if _offers_debian(each, deb822=deb822)]
            if kept:
                found[path.name] = ("\n\n" if deb822 else "\n").join(kept) + "\n"
    if not found:
        raise MissingFeature(
            f"apt's sources in {folder} do not offer Debian 12 (suite {SUITE}, component main), of "
            "which the VM is made; name a file that does by --sources FILE"
        )
    return found


def _offers_debian(source: str, *, deb822: bool) -> bool:
    """Whether a line or stanza is one of Debian 12's own suites."""
    if deb822:
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", source, re.MULTILINE))
        binary = "deb" in fields.get("Types", "").split()
        suites, components = fields.get("Suites", "").split(), fields.get("Components", "").split()
        enabled = fields.get("Enabled", "yes").lower() != "no"
    else:
        line = re.fullmatch(r"deb(?: +\[.*?\])? +\S+ +(\S+)((?: +[\w-]+)*)\s*", source)
        binary, enabled = line is not None, True
        suites, components = ([line[1]], line[2].split()) if line else ([], [])
    ours = re.compile(rf"{SUITE}(-updates|-security)?")
    return binary and enabled and "main" in components and all(map(ours.fullmatch, suites))


def project_files(root: Path = ROOT) -> Iterator[Path]:
    """The project's files, relative to it: what Vagrant would copy into its machine."""
    for path in sorted(root.iterdir()):
        if _NOT_TAKEN.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from (path.relative_to(root) / each for each in project_files(path))
        else:
            yield path.relative_to(root)


def programs_missing(names: Iterable[str]) -> list[str]:
    """Those programs that are not in PATH, nor in the folders named sbin."""
    return [name for name in names if program(name) is None]


def program(name: str) -> str | None:
    """Where a program lies; an ordinary user's PATH lacks the folders named sbin."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
