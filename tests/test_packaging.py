"""What installs, runs and describes the project fits together."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import testbed

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [
    *("provision/packages.sh", "provision/venv.sh", "tests/everything.sh"),
    *(".ci/run", ".ci/nightly"),
    *("vm/guest.sh", "vm/make_image.sh", "vm/tree.sh"),
]
MARK = "put here by the HNB testbed while apt runs"


def packages() -> dict[str, dict[str, str]]:
    """Section -> package -> why it is needed."""
    sections: dict[str, dict[str, str]] = {}
    for line in (ROOT / "provision/packages.txt").read_text().splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = sections.setdefault(found[1], {})
        elif line and not line.startswith("#"):
            found = re.fullmatch(r"([a-z0-9][a-z0-9.+-]+) +# (\S.*)", line)
            assert found, f"not 'package  # why': {line!r}"
            section[found[1]] = found[2]
    return sections


def test_every_package_stands_once_with_its_reason() -> None:
    sections = packages()

    names = [name for section in sections.values() for name in section]

    assert list(sections) == ["run", "test", "vm"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_executable_and_its_syntax_is_right(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)

    done = subprocess.run(["bash", "-n", ROOT / script], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "target",
    ["run", "test", "vm-test", "soak", "sweep", "nightly", "lint", "bench", "clean", "help"],
)
def test_make_knows_the_target_and_tells_of_it(target: str) -> None:
    make = ["make", "--no-print-directory", "-C", ROOT]
    dry = subprocess.run([*make, "-n", target], capture_output=True, check=False)
    told = subprocess.run([*make, "help"], capture_output=True, text=True, check=True).stdout

    assert dry.returncode == 0, dry.stderr
    assert re.search(rf"^make {target} +\w", told, re.MULTILINE)


def test_continuous_integration_runs_the_test() -> None:
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(), re.MULTILINE)


@pytest.fixture
def a_night(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs .ci/nightly in a folder where everything that it calls ends with a wanted status."""

    def run(
        soak: int = 0, nats: int = 0, packages: int = 0, vm: int = 0
    ) -> subprocess.CompletedProcess[str]:
        ends = {"make": soak, "provision/packages.sh": packages, "provision/venv.sh": 0}
        ends[".venv/bin/testbed"] = nats
        for name, status in {**ends, ".venv/bin/python": vm}.items():
            program = tmp_path / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(f'#!/bin/sh\necho "called: {name} $*"\nexit {status}\n')
            program.chmod(0o755)
        (tmp_path / ".ci").mkdir(exist_ok=True)
        shutil.copy(ROOT / ".ci/nightly", tmp_path / ".ci/nightly")
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run(
            [tmp_path / ".ci/nightly"], env=path, capture_output=True, text=True, check=False
        )

    return run


LEFT_OUT = "the VM test is left out"


@pytest.mark.parametrize(
    ("ends", "status", "is_left_out"),
    [
        ({}, 0, False),
        ({"soak": 2}, 1, False),
        ({"nats": 1}, 1, False),
        ({"nats": 3}, 0, False),
        ({"vm": 1}, 1, False),
        ({"vm": 2}, 1, False),
        ({"packages": 3}, 0, True),
        ({"vm": 3}, 0, True),
        ({"soak": 2, "packages": 3}, 1, True),
    ],
)
def test_a_night_fails_by_what_fails_and_not_by_what_a_machine_lacks(
    a_night: Callable[..., subprocess.CompletedProcess[str]],
    ends: dict[str, int],
    status: int,
    is_left_out: bool,
) -> None:
    done = a_night(**ends)

    assert "called: make soak" in done.stdout
    assert "called: make sweep" in done.stdout
    assert "called: .venv/bin/testbed probe-nat --nat all" in done.stdout
    assert ("called: .venv/bin/python -m vm" in done.stdout) == ("packages" not in ends)
    assert (done.returncode, LEFT_OUT in done.stdout) == (status, is_left_out)


def test_vagrant_provisions_by_the_project_s_own_scripts() -> None:
    text = (ROOT / "Vagrantfile").read_text()

    assert "provision/packages.sh test" in text
    assert "provision/venv.sh" in text


def test_setup_cfg_takes_the_version_from_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")

    assert setup["metadata"]["version"] == "attr: testbed.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", testbed.__version__)


def test_the_license_that_setup_cfg_names_is_there() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")

    assert (ROOT / "LICENSE").read_text().startswith(f"{setup['metadata']['license']} License")


def test_the_change_log_begins_with_what_is_unreleased() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "[Unreleased]"


def test_a_document_s_links_lead_to_files() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} leads to {target}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


# provision/packages.sh, with a made-up dpkg and apt, and its folder for policy-rc.d in a tmp_path.


class Machine:
    """A made-up Debian: what is installed is a file, and apt writes down what it was asked."""

    def __init__(self, root: Path, installed: str = "", apt: str = "") -> None:
        self.root = root
        self.policy = root / "sbin/policy-rc.d"
        self.calls = root / "calls"
        (root / "bin").mkdir()
        (root / "sbin").mkdir()
        (root / "provision").mkdir()
        (root / "installed").write_text(installed)
        shutil.copy(ROOT / "provision/packages.txt", root / "provision")
        script = (ROOT / "provision/packages.sh").read_text()
        # The places of the machine that the script reads or writes.
        script = script.replace("/usr/sbin", str(root / "sbin"))
        script = script.replace("/etc/systemd/system", str(root / "units"))
        script = script.replace("/etc/rc", str(root / "rc"))
        self.script = root / "provision/packages.sh"
        self.script.write_text(script)
        self.script.chmod(0o755)
        self.program("dpkg-query", f"cat {root}/installed")
        self.program("debconf-set-selections", "cat >/dev/null")
        # The real one refuses to work for any but dpkg's scripts.
        self.program(
            "deb-systemd-helper",
            f'[[ $DPKG_MAINTSCRIPT_PACKAGE ]] || exit 1; echo "systemd $@" >>{self.calls}',
        )
        self.program("update-rc.d", f'echo "init $@" >>{self.calls}')
        self.program(
            "apt-get",
            f'echo "apt $@" >>{self.calls}; cp {self.policy} {root}/policy-during-apt\n{apt}',
        )

    def program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def provision(self, section: str, *, as_root: bool = True) -> subprocess.CompletedProcess[str]:
        # A user namespace makes root of the tests' user, or nobody.
        prefix = ["unshare", "--user", *(["--map-root-user"] if as_root else [])]
        if as_root and os.geteuid() == 0:
            prefix = []
        environment = os.environ | {"PATH": f"{self.root}/bin:/usr/bin:/bin"}
        return subprocess.run(
            [*prefix, str(self.script), section],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
            timeout=30,
        )


def installed(*sections: str) -> str:
    return "".join(f"{name} installed\n" for section in sections for name in packages()[section])


@pytest.mark.emulation
def test_nothing_is_asked_of_apt_where_nothing_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, installed("run"))

    done = machine.provision("run")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.calls.exists()


@pytest.mark.emulation
def test_only_what_is_missing_is_installed_and_no_daemon_may_start(tmp_path: Path) -> None:
    machine = Machine(tmp_path, installed("run"))

    done = machine.provision("test")

    assert done.returncode == 0, done.stderr
    download, install = machine.calls.read_text().splitlines()
    wanted = "--no-install-recommends --no-remove " + " ".join(packages()["test"])
    assert download.endswith(f"install --download-only {wanted}")
    assert install.endswith(f"install {wanted}")
    assert "exit 101" in (tmp_path / "policy-during-apt").read_text()
    assert not machine.policy.exists()


@pytest.mark.emulation
@pytest.mark.parametrize(
    ("apt", "status"),
    [("", 0), ("exit 100", 3), ("kill -INT $PPID; exit 100", 130), ("kill -TERM $PPID", 143)],
    ids=["success", "failure", "Ctrl-C", "termination"],
)
def test_an_existing_policy_comes_back(tmp_path: Path, apt: str, status: int) -> None:
    machine = Machine(tmp_path, "", apt)
    machine.policy.write_text("theirs")

    done = machine.provision("run")

    assert done.returncode == status, done.stderr
    assert "exit 101" in (tmp_path / "policy-during-apt").read_text()
    assert machine.policy.read_text() == "theirs"
    assert [machine.policy] == list((tmp_path / "sbin").iterdir())


@pytest.mark.emulation
def test_what_a_killed_installation_left_is_cleared_away(tmp_path: Path) -> None:
    machine = Machine(tmp_path, installed("run"))
    machine.policy.write_text(f"#!/bin/sh\n# {MARK}\nexit 101\n")
    kept = machine.policy.with_name("policy-rc.d.before-hnb-testbed")
    kept.write_text("theirs")

    done = machine.provision("run")

    assert done.returncode == 0
    assert machine.policy.read_text() == "theirs"
    assert not kept.exists()


@pytest.mark.emulation
def test_package_lists_are_fetched_when_a_package_is_not_found(tmp_path: Path) -> None:
    apt = (
        f"grep -q update {tmp_path}/calls || {{ echo 'E: Unable to locate package x'; exit 100; }}"
    )
    machine = Machine(tmp_path, "", apt)

    done = machine.provision("run")

    assert done.returncode == 0, done.stderr
    calls = re.findall(r"(?<= )(?:update|install)\b", machine.calls.read_text())
    assert calls == ["install", "update", "install", "install"]


@pytest.mark.emulation
def test_what_apt_cannot_do_is_one_sentence_and_status_3(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "", "echo 'E: Unable to fetch some archives'; exit 100")

    done = machine.provision("run")

    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "Unable to fetch some archives" in line
    assert "Traceback" not in done.stderr


@pytest.mark.emulation
def test_a_unit_that_a_package_enables_is_disabled_again(tmp_path: Path) -> None:
    wants = tmp_path / "units/multi-user.target.wants"
    machine = Machine(tmp_path, "", f"touch {wants}/new.service")
    wants.mkdir(parents=True)
    (wants / "old.service").touch()

    done = machine.provision("run")

    assert done.returncode == 0, done.stderr
    assert "systemd disable new.service" in machine.calls.read_text()
    assert "old.service" not in machine.calls.read_text()


@pytest.mark.emulation
def test_an_init_script_that_a_package_enables_is_disabled_again(tmp_path: Path) -> None:
    links = tmp_path / "rc2.d"
    machine = Machine(tmp_path, "", f"touch {links}/S01new")
    links.mkdir()
    (links / "S01old").touch()

    done = machine.provision("run")

    assert done.returncode == 0, done.stderr
    calls = machine.calls.read_text().splitlines()
    assert [each for each in calls if each.startswith("init")] == ["init new disable"]


@pytest.mark.emulation
def test_who_is_neither_root_nor_sudoer_is_told_the_packages_and_the_command(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path)
    machine.program("sudo", "exit 1")

    done = machine.provision("run", as_root=False)

    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    names = " ".join(packages()["run"])
    assert f"({names})" in line
    assert line.endswith(f"as root run: {machine.script} run")
    assert not machine.calls.exists()


@pytest.mark.emulation
def test_a_sudoer_s_own_sudo_runs_the_installation(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.program("sudo", f'echo "sudo $@" >>{machine.calls}')

    done = machine.provision("run", as_root=False)

    assert done.returncode == 0
    assert machine.calls.read_text().splitlines() == [
        "sudo -n true",
        f"sudo -- {machine.script} run",
    ]


@pytest.mark.emulation
def test_an_unknown_section_is_bad_usage(tmp_path: Path) -> None:
    done = Machine(tmp_path).provision("everything")

    assert done.returncode == 2
    assert "usage" in done.stderr
