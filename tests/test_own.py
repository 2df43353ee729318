"""Users' own modules: loaded, found by name, and told about when something is wrong in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs/how_to_extend.md"
EXAMPLE = re.compile(r"`my_lab/(\S+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)

SCENARIO = """\
from testbed.scenario import Stage, scenario
from topologies.homes import home_on_internet

@scenario(home_on_internet{arguments})
async def {name}(at: Stage) -> None:
    pass
"""
FAULT = """\
from testbed.faults import fault

@fault({name!r}, role={role!r}, breaks=[{breaks!r}], acts_on={acts_on!r})
def deviation(role):
    pass
"""
CHECK = """\
from testbed.conformance import check

@check({requirement!r})
def own_check(trace):
    yield from ()
"""
TOPOLOGY = """\
from testbed.topology import Topology

def {name}() -> Topology:
    return Topology("mine")
"""


def say(*words: str | Path, **environment: str) -> tuple[int, str]:
    """Exit status and all that was said; a process each, as what is loaded stays loaded."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TESTBED_WITH": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def folder(place: Path, **files: str) -> Path:
    """A user's folder; `scenarios__mine` is scenarios/mine.py."""
    for name, text in files.items():
        path = place / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="surrogateescape")
    return place


def scenario(name: str, arguments: str = "") -> str:
    return SCENARIO.format(name=name, arguments=arguments)


def own_fault(
    name: str = "my.fault",
    role: str = "hnb",
    breaks: str = "32583-5.1.1-1",
    acts_on: str = "rule",
) -> str:
    return FAULT.format(name=name, role=role, breaks=breaks, acts_on=acts_on)


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """The folder that the guide shows."""
    for name, text in EXAMPLE.findall(GUIDE.read_text()):
        path = tmp_path / "my_lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "my_lab"


def test_the_guide_s_folder_is_found_by_name(guide: Path) -> None:
    status, said = say("list", "--json", "--with", guide)

    assert status == 0, said
    found = {kind: {row["name"] for row in rows} for kind, rows in json.loads(said).items()}
    assert "my_home" in found["topologies"]
    assert "my_first_name" in found["scenarios"]
    assert "hnb:my.asks-elsewhere" in found["faults"]
    assert "my-1" in found["checks"]


@pytest.mark.emulation
@pytest.mark.slow
def test_the_guide_s_scenario_is_judged_by_its_check_and_its_fault_is_caught(
    guide: Path, tmp_path: Path
) -> None:
    good, said = say("run", "my_first_name", "--with", guide, "--out", tmp_path / "good")
    fault = ["--fault", "hnb:my.asks-elsewhere"]
    broken, said_of_fault = say(
        "run", "my_first_name/", *fault, "--out", tmp_path / "broken", TESTBED_WITH=str(guide)
    )

    assert good == 0, said
    assert re.search(r"my_first_name +PASS +1 PASS", said)
    assert broken == 0, said_of_fault
    assert "FAIL my-1: record" in said_of_fault
    assert "segw.elsewhere.example is not of operator.example" in said_of_fault


@pytest.mark.emulation
@pytest.mark.slow
def test_a_run_of_an_own_scenario_runs_again_without_the_option(
    guide: Path, tmp_path: Path
) -> None:
    say("run", "my_first_name/", "--with", guide, "--out", tmp_path / "first")

    status, said = say(
        "run", "--again", tmp_path / "first/my_first_name", "--out", tmp_path / "again"
    )

    assert status == 0, said
    told = json.loads((tmp_path / "again/my_first_name/run.json").read_text())
    assert told["with"] == [str(guide)]


def test_several_folders_are_loaded_and_one_given_twice_only_once(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", scenarios__one=scenario("one"))
    two = folder(tmp_path / "two", scenarios__two=scenario("two"))

    options = [word for each in (one, two, one) for word in ("--with", str(each))]
    status, said = say("list", "scenarios", *options)
    _, by_environment = say("list", "scenarios", TESTBED_WITH=f"{one}{os.pathsep}{two}")

    assert status == 0, said
    assert re.findall(r"^(one|two) *$", said, re.MULTILINE) == ["one", "two"]
    assert by_environment == said


BROKEN = {
    "syntax": (
        {"scenarios__mine": "import os\ndef (:\n"},
        "scenarios/mine.py line 2: invalid syntax",
    ),
    "exception": (
        {"faults__mine": "x = 1\nx / 0\n"},
        "faults/mine.py line 2: ZeroDivisionError: division by zero",
    ),
    "exit": ({"checks__mine": "raise SystemExit(7)\n"}, "checks/mine.py line 1: SystemExit: 7"),
    "null_octet": (
        {"scenarios__mine": "x = '\0'\n"},
        "scenarios/mine.py: ValueError: source code string cannot contain null bytes",
    ),
    "no_text": (
        {"faults__mine": "x = '\udcff'\n"},
        "faults/mine.py line 1: (unicode error) 'utf-8' codec can't decode byte 0xff",
    ),
    "scenario_of_ours": (
        {"scenarios__mine": scenario("lan_connectivity")},
        "scenarios/mine.py line 4: two scenarios are called 'lan_connectivity'",
    ),
    "scenario_twice": (
        {"scenarios__a": scenario("mine"), "scenarios__b": scenario("mine")},
        "scenarios/b.py line 4: two scenarios are called 'mine'",
    ),
    "module_of_ours": (
        {"scenarios__lan_connectivity": scenario("mine")},
        "scenarios/lan_connectivity.py: there is a module scenarios.lan_connectivity already; "
        "rename the file",
    ),
    "no_module_name": (
        {"scenarios__my-own": ""},
        "scenarios/my-own.py: 'my-own' cannot be the name of a module",
    ),
    "topology_of_ours": (
        {"topologies__mine": TOPOLOGY.format(name="home_on_internet")},
        "topologies/mine.py line 3: two topologies are called 'home_on_internet', the other is "
        "in topologies.homes",
    ),
    "fault_of_ours": (
        {"faults__mine": own_fault("connectivity.asks-before-lease")},
        "faults/mine.py line 3: two faults are called 'connectivity.asks-before-lease'",
    ),
    "fault_of_nothing": (
        {"faults__mine": own_fault(acts_on="mesage dns")},
        "faults/mine.py line 3: the fault my.fault acts on 'mesage dns': 'rule', "
        "'message PROTOCOL' or 'octets PROTOCOL' is expected",
    ),
    "fault_of_a_role_that_is_none": (
        {"faults__mine": own_fault(role="hbn")},
        "faults/mine.py line 3: no role is called 'hbn'; did you mean hnb?",
    ),
    "fault_of_an_unknown_requirement": (
        {"faults__mine": own_fault(breaks="32583-5.1.1-99")},
        "faults/mine.py line 3: no requirement is called '32583-5.1.1-99'; did you mean ",
    ),
    "check_of_an_unknown_requirement": (
        {"checks__mine": CHECK.format(requirement="32583-5.1.1-99")},
        "checks/mine.py line 3: no requirement is called '32583-5.1.1-99'; did you mean ",
    ),
    "check_of_ours": (
        {"checks__mine": CHECK.format(requirement="32583-5.1.1-1")},
        "checks/mine.py line 3: 32583-5.1.1-1 has a check already: "
        "connectivity.connectivity_before_the_first_query",
    ),
    "judged_as_nothing": (
        {"scenarios__mine": scenario("mine", ", judged_as='lan_conectivity'")},
        "scenarios/mine.py line 4: no scenario of the register is called 'lan_conectivity'",
    ),
}


@pytest.mark.parametrize(("files", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_in_a_user_s_file_is_one_sentence_with_its_place(
    files: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    status, said = say("list", "--with", folder(tmp_path, **files))

    assert status == 2
    assert said.startswith(f"testbed: {tmp_path}/{sentence}"), said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "there is no such folder"),
        (".", "it holds none of the folders checks, faults, scenarios, topologies"),
    ],
    ids=["missing", "empty"],
)
def test_a_folder_that_holds_nothing_is_refused(name: str, sentence: str, tmp_path: Path) -> None:
    status, said = say("run", "lan_connectivity/", "--with", tmp_path / name)

    assert status == 2
    assert said == f"testbed: --with {tmp_path / name}: {sentence}\n"
