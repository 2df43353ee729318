"""The VM's image: made once for what is in it, and kept in a cache outside the project."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import LocalError, MissingFeature
from vm import contents
from vm.machine import dies_with_parent

_MADE = ("root.img", "vmlinuz", "initrd", "packages")
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (36, 35, 34, 31, 28, 17, 12, 5)]
_KEPT = 2
"""So many images stay: that of this branch, and the one used before it."""

_SHOWN = 8
"""So many last lines of a build that failed are told."""
_LACKING = re.compile(
    r"^(unshare|newuidmap|newgidmap): |cannot be fetched|Failed to fetch|Unable to fetch"
    r"|Could not (resolve|connect)|Temporary failure resolving|No space left on device"
)
"""By this a build tells that namespaces, the network or the disk refuse."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Image:
    """What the VM boots.

    Attributes:
        folder: in the cache; holds root.img, vmlinuz, initrd and packages.
        made_in_s: how long it took; None: it was there.
    """

    folder: Path
    made_in_s: float | None

    @property
    def kernel(self) -> str:
        """The version of the kernel in it."""
        return (self.folder / "packages").read_text().split("\n", 1)[0].split()[1]


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where images are kept: XDG_CACHE_HOME, or .cache in the user's home."""
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/tmp")) / ".cache"
    return Path(base) / "hnb-testbed" / "vm"


def image(cache: Path, sources: Mapping[str, str], python: Path, tell: Tell) -> Image:
    """The image for the project as it is; made where the cache does not hold it.

    Args:
        cache: is created.
        sources: of apt: name of the file -> its text.
        python: of the project's own environment; it downloads what pip needs.
        tell: takes one line of progress.

    Raises:
        MissingFeature: a program that makes it is not here, or namespaces, the network or the disk
            refuse.
        LocalError: the build failed in any other way.
    """
    frozen = contents.frozen_packages(python)
    parts = contents.parts(sources, frozen)
    folder = cache / contents.key(parts)
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / "lock", tell):
        if folder.is_dir():
            os.utime(folder)
            tell(f"image      {folder} (kept)")
            return Image(folder, None)
        _require_tools()
        for left in cache.glob("making-*"):  # by one that was killed: whoever makes holds the lock
            shutil.rmtree(left, ignore_errors=True)
        began = time.monotonic()
        making = cache / f"making-{os.getpid()}"
        making.mkdir(mode=0o755)
        try:
            tell("image      is made: Debian's packages, the provisioner, the kernel (a minute)")
            _make(making, sources, frozen, python)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        made = Image(folder, time.monotonic() - began)
        tell(f"image      {folder} (made in {made.made_in_s:.0f} s)")
        _forget_old(cache)
        return made


def _make(folder: Path, sources: Mapping[str, str], frozen: str, python: Path) -> None:
    write_project(folder / "project.tar")
    _download_wheels(folder, frozen, python)
    (folder / "acquire.conf").write_text(_ways_to_the_network())
    files = []
    for name, text in sources.items():
        files.append(folder / name)
        files[-1].write_text(text)
    log = folder / "log"
    command = [*_namespaces(), contents.ROOT / "vm/make_image.sh", folder, *files]
    with log.open("wb") as output:
        # PATH: an ordinary user's lacks the folders named sbin.
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            preexec_fn=dies_with_parent,
            check=False,
        )
    if done.returncode != 0:
        kept = folder.parent / "failed.log"
        shutil.copy(log, kept)
        raise why_not_made(log.read_text(errors="replace"), kept)
    for path in folder.iterdir():
        if path.name not in _MADE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _namespaces() -> list[str]:
    """A command before the maker: mounts and processes of its own, which end with it."""
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    return own if os.geteuid() == 0 else [*own, "--user", "--map-root-user", "--map-auto"]


def _require_tools() -> None:
    needed = ["mmdebstrap", "mke2fs", "dpkg-deb", "apt-get"]
    if os.geteuid() != 0:
        needed.append("newuidmap")
    missing = contents.programs_missing(needed)
    if missing:
        raise MissingFeature(
            f"{' and '.join(missing)} to make the image with is not here; run provision/packages.sh"
            " vm (on a Debian; elsewhere install mmdebstrap, e2fsprogs, dpkg, apt and uidmap)"
        )


def _download_wheels(folder: Path, frozen: str, python: Path) -> None:
    """Have pip fetch, as this machine has configured it, what it will install in the tree."""
    (folder / "frozen").write_text(frozen)
    command = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", f"--dest={folder / 'wheels'}"]
    command.append(f"--constraint={folder / 'frozen'}")
    command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
    command += [f"--platform={platform}" for platform in _PLATFORMS]
    done = subprocess.run(
        [*command, *contents.python_requirements()],
        capture_output=True,
        text=True,
        preexec_fn=dies_with_parent,
        check=False,
    )
    if done.returncode != 0:
        errors = re.findall(r"^ERROR: (.*)", done.stderr, re.MULTILINE) or ["no reason given"]
        raise MissingFeature(
            f"pip cannot download the VM's Python packages: {errors[-1]}; check the network and "
            "pip's configuration"
        )


def _ways_to_the_network() -> str:
    """How apt of this machine reaches its sources: proxies, retries, dates."""
    done = subprocess.run(
        ["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False
    )
    wanted = re.compile(r"Acquire::(https?|ftp|Check-|Retries|ForceIPv|Max-Valid|Min-Valid)")
    return "".join(
        f"{line}\n" for line in done.stdout.splitlines() if wanted.match(line) and '""' not in line
    )


def write_project(tar: Path, extra: Mapping[str, str] | None = None) -> None:
    """The project as `testbed/` in a tar, with its bytecode left out; and more files beside it.

    Args:
        tar: is written.
        extra: name -> text.
    """
    with tarfile.open(tar, "w") as archive:
        for path in contents.project_files():
            archive.add(contents.ROOT / path, Path("testbed") / path, recursive=False)
        for name, text in (extra or {}).items():
            told = tarfile.TarInfo(name)
            told.size = len(text.encode())
            archive.addfile(told, io.BytesIO(text.encode()))


def why_not_made(said: str, kept: Path) -> LocalError:
    """What to tell of a build that failed: that this machine lacks something, or how its log ends.

    Args:
        said: the log.
        kept: where it is.
    """
    farewell = re.compile(r"$|E: (setup|mmdebstrap) failed|note: ")  # not a reason, and the last
    lines = [line.strip() for line in said.splitlines() if not farewell.match(line.strip())]
    lacking = [line for line in lines if _LACKING.search(line)]
    if lacking:
        return MissingFeature(
            f"this machine lacks what the image is made with: {lacking[-1]} (all of it: {kept})"
        )
    last = "".join(f"\n    {line}" for line in lines[-_SHOWN:]) or " without a word"
    return LocalError(f"the image could not be made; the build (all of it: {kept}) ended:{last}")


def _forget_old(cache: Path) -> None:
    made = [path for path in cache.iterdir() if re.fullmatch(r"[0-9a-f]{16}", path.name)]
    made.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in made[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _alone(lock: Path, tell: Tell) -> Iterator[None]:
    """One at a time makes an image; the next one finds it."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("image      another run is making one; waits for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise LocalError(f"{lock} cannot be locked: {error.strerror}") from error
        yield
