"""Settings and AppArmor profiles by which a machine forbids what a lab does.

Reads files only.  Every function takes the root of the file system; tests give it another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Restriction:
    """One thing that is forbidden.

    Attributes:
        what: the setting and its value, or the profile.
        remedy: the one command that lifts it, until the next boot where it is a setting.
    """

    what: str
    remedy: str


# Setting, the values that forbid user namespaces to ordinary users, the value that allows them.
_USER_NAMESPACE_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),  # Debian's, until 10 the default
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu's, from 24.04 the default
)

# Debian ships or has shipped a profile for each of these.
_CONFINED_PROGRAMS = {
    "tcpdump": "usr.bin.tcpdump",
    "dnsmasq": "usr.sbin.dnsmasq",
    "named": "usr.sbin.named",
}


def _read(path: Path) -> str:
    """The text of a file; nothing where it is missing or not ours to read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def on_user_namespaces(root: Path = ROOT) -> list[Restriction]:
    """The settings that forbid ordinary users to make user namespaces."""
    found = []
    for setting, forbids, allows in _USER_NAMESPACE_SETTINGS:
        if _read(root / "proc/sys" / setting.replace(".", "/")) == forbids:
            found.append(
                Restriction(f"{setting} is {forbids}", f"sudo sysctl -w {setting}={allows}")
            )
    return found


def app_armor_is_on(root: Path = ROOT) -> bool:
    """Does this kernel enforce AppArmor profiles?"""
    return _read(root / "sys/module/apparmor/parameters/enabled") == "Y"


def on_programs(root: Path = ROOT) -> dict[str, Restriction]:
    """Programs that an AppArmor profile confines, so that they cannot read a run's folder."""
    if not app_armor_is_on(root):
        return {}
    found = {}
    for program, file in _CONFINED_PROGRAMS.items():
        if _confines(program, file, root):
            profile = f"/etc/apparmor.d/{file}"
            found[program] = Restriction(
                f"profile {profile} is enforced",
                f"sudo ln -s {profile} /etc/apparmor.d/disable/"
                f" && sudo apparmor_parser -R {profile}",
            )
    return found


def _confines(program: str, file: str, root: Path) -> bool:
    # Only root may read which profiles are loaded; for others the configuration has to do.
    loaded = _read(root / "sys/kernel/security/apparmor/profiles")
    if loaded:
        names = set(_enforced(loaded))
        return program in names or "/" + file.replace(".", "/") in names
    there = (root / "etc/apparmor.d" / file).exists()
    return there and not (root / "etc/apparmor.d/disable" / file).exists()


def _enforced(loaded: str) -> Iterator[str]:
    for line in loaded.splitlines():
        name, _, mode = line.rpartition(" ")
        if mode == "(enforce)":
            yield name
