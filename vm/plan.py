"""What the VM does, step by step, and what each step has to come to."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

USER = "vagrant"
"""The ordinary user of the machine that the Vagrantfile describes."""
SEED = "7"

MUST_HAVE = (
    *("user namespaces", "mount, pid, net namespaces", "nftables NAT", "connection tracking"),
    *("TUN devices", "netem", "kernel ESP (esp4)", "SCTP", "VLAN (802.1Q)"),
    "Open vSwitch datapath",
)
"""What Debian's own kernel has, and doctor has to find there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command in the VM.

    Attributes:
        name: of its files in the results.
        user: who takes it.
        command: for bash, in the project's folder.
    """

    name: str
    user: str
    command: str


@dataclass(frozen=True, slots=True)
class Play:
    """A scenario, in the VM and on this machine's kernel, with one ladder.

    Attributes:
        user: who plays it in the VM.
        words: of `testbed run`.
        only_there: more words, for what this machine's kernel may not have.
    """

    user: str
    words: tuple[str, ...]
    only_there: tuple[str, ...] = ()

    @property
    def words_there(self) -> tuple[str, ...]:
        """Of `testbed run` in the VM."""
        return (*self.words, *self.only_there)

    @property
    def name(self) -> str:
        """Of its step and of its folder."""
        told = re.sub(r"[^A-Za-z0-9.]+", "_", "_".join(self.words_there)).strip("_")
        return f"{told}.{'root' if self.user == 'root' else 'user'}"


def run_command(program: str, words: Sequence[str], out: Path | str) -> str:
    """The shell's words that play a scenario."""
    words = [*words, "--seed", SEED, "--out", str(out), "--quiet"]
    return f"{program} run {shlex.join(words)}"


PLAYS = (
    Play(USER, ("lan_connectivity",)),
    Play(USER, ("discovery_public/",)),
    Play(USER, ("discovery_public/slow_link",)),  # by netem there
    Play("root", ("discovery_public/",)),
    Play(USER, ("discovery_intranet/",)),
    Play(USER, ("discovery_intranet/",), ("--set", "esp=kernel")),
    Play("root", ("discovery_intranet/",), ("--set", "esp=kernel")),
)
"""What is played where nobody asks for anything else."""


def steps(plays: Iterable[Play], more: Sequence[str] = ()) -> list[Step]:
    """Provisioning, doctor and the scenarios, each as root and as an ordinary user.

    Args:
        plays: the scenarios.
        more: commands to run after them, as the ordinary user.
    """
    found = [
        Step("packages.root", "root", "provision/packages.sh test"),
        Step("packages.user", USER, "provision/packages.sh test"),
        Step("venv.user", USER, "provision/venv.sh"),
        # The ordinary user first: the kernel has to load its modules for him too.
        Step("doctor.user", USER, ".venv/bin/testbed doctor --json"),
        Step("doctor.root", "root", ".venv/bin/testbed doctor --json"),
    ]
    for play in plays:
        out = f"../results/{play.name}"
        found.append(
            Step(play.name, play.user, run_command(".venv/bin/testbed", play.words_there, out))
        )
    return found + [Step(f"more{n}.user", USER, each) for n, each in enumerate(more, 1)]


def plan_text(planned: Iterable[Step]) -> str:
    """The plan as vm/guest.sh reads it."""
    return "".join(f"{step.name} {step.user} {step.command}\n" for step in planned)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step.

    Attributes:
        name: of the step.
        status: its exit status.
        seconds: that it took, by the VM's clock.
    """

    name: str
    status: int
    seconds: float


def outcomes(text: str) -> dict[str, Outcome]:
    """The file `steps` of the results, by name."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: Outcome(row[0], int(row[1]), float(row[2])) for row in rows}


def missing_facts(doctor: str) -> list[str]:
    """What doctor has to find in the VM and has not, from its JSON."""
    try:
        told = json.loads(doctor)
    except ValueError:
        return ["doctor gave no JSON"]
    present = {fact["name"]: fact for fact in told["facts"]}
    found = [] if told["can_run"] else ["testbed run cannot work there"]
    for name in MUST_HAVE:
        fact = present.get(name)
        if fact is None or not fact["present"]:
            found.append(f"{name}: {fact['detail'] if fact else 'doctor knows no such thing'}")
    return found
