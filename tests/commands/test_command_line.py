from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import cli
from testbed.cli import COMMANDS
from testbed.conformance import load_checks
from testbed.errors import BadInput, MissingFeature, RoleCrashed

ROOT = str(Path(cli.__file__).parents[1])
HEAVY = ("rich", "jinja2", "yaml", "dnslib", "lxml", "mininet", "pyroute2", "scapy", "asyncio")


def in_a_process(*words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *words],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_examples_and_imports_nothing_heavy(command: str) -> None:
    words = [*([command] if command else []), "--help"]
    program = (
        "import sys\n"
        "from testbed.cli import main\n"
        f"sys.argv[1:] = {words!r}\n"
        "try:\n    main()\n"
        "finally:\n    print(*{m.partition('.')[0] for m in sys.modules}, file=sys.stderr)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert said.returncode == 0
    assert said.stdout.startswith("Usage: testbed")
    assert f"  testbed {command}".rstrip() in said.stdout.partition("Examples:")[2]
    heavy = HEAVY if command != "doctor" else ("rich", "jinja2", "yaml", "scapy")
    assert set(said.stderr.split()) & set(heavy) == set()


def test_the_table_of_commands_is_the_commands(testbed) -> None:
    said = testbed("--help")
    table = said.out.partition("Commands:")[2].partition("Examples:")[0]

    assert re.findall(r"^  (\S+)", table, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rnu"], "no command is called 'rnu'; did you mean run?"),
        (["run", "lan_connectivty"], "did you mean lan_connectivity"),
        (["run", "zzz"], "are known: `testbed list scenarios` shows them)"),
        (["run", "lan_connectivity/no_leese"], "did you mean no_lease"),
        (["run", "lan_connectivity/", "--set", "hoems=2"], "did you mean homes"),
        (["run", "lan_connectivity/", "--set", "homes=two"], "takes a whole number, not 'two'"),
        (["run", "lan_connectivity/", "--set", "homes=0"], "at least 1 is needed"),
        (["run", "lan_connectivity/", "--set", "homes"], "--set takes NAME=VALUE, not 'homes'"),
        (["run", "lan_connectivity/", "--nat", "masqerade"], "did you mean masquerade?"),
        (["run", "lan_connectivity/", "--engine", "emulatoin"], "did you mean emulation"),
        (["run", "lan_connectivity/", "--fault", "hnb:nonsense"], "no fault is called 'nonsense'"),
        (["run", "lan_connectivity/", "--fault", "hnb"], "--fault takes ROLE:NAME, not 'hnb'"),
        (
            ["run", "lan_connectivity/", "--fault", "gateway:connectivity.asks-before-lease"],
            "the fault connectivity.asks-before-lease is one of hnb, not of 'gateway'",
        ),
        (["run"], "name a scenario, or give --all"),
        (["run", "lan_connectivity", "--all"], "give names or --all, not both"),
        (["run", "--again", "nowhere"], "nowhere holds no run.json"),
        (["run", "lan_connectivity", "--seed", ""], "'--seed': it is empty; leave it out for a"),
        (["run", "lan_connectivity", "--again", "x"], "--again repeats a run as it was"),
        (["run", "lan_connectivity", "--shell-on-fail"], "--shell-on-fail needs a terminal"),
        (["run", "lan_connectivity", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["run", "--jbos", "2"], "No such option"),
        (["list", "scenaros"], "did you mean scenarios"),
        (["shell", "home_on_interne"], "did you mean home_on_internet"),
        (["shell"], "Missing argument 'TOPOLOGY'"),
        (["shell", "home_on_internet", "--nat", "x"], "no value for --nat is called 'x'"),
        (["draw", "nowhere.pcapng"], "nowhere.pcapng does not exist"),
        (["judge", "nowhere.pcapng"], "nowhere.pcapng does not exist"),
        (["judge", "nowhere", "--scenario", "lan_connectivit"], "did you mean lan_connectivity"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_one_sentence_on_standard_error_and_leaves_nothing(
    testbed, words: list[str], sentence: str, tmp_path: Path
) -> None:
    said = testbed(*words)

    assert said.status == 2
    assert said.out == ""
    assert said.err.startswith("testbed: ")
    assert said.err.count("\n") == 1, said.err
    assert sentence in said.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_the_help_is_shown_and_the_usage_is_wrong(testbed) -> None:
    said = testbed()

    assert said.status == 2
    assert "Usage: testbed" in said.err


@pytest.mark.parametrize("command", ["draw", "judge"])
@pytest.mark.parametrize("content", [None, b"", b"hello\n", b"\x0a\x0d\x0d\x0a\xff\xff"])
def test_what_is_no_capture_is_refused(testbed, command, content, tmp_path: Path) -> None:
    source = tmp_path / "capture"
    if content is None:
        source.mkdir()
    else:
        source.write_bytes(content)
    said = testbed(command, "capture")

    assert said.status == 2
    assert said.err.startswith("testbed: ")
    assert said.err.count("\n") == 1
    assert "capture" in said.err


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_refused(testbed, place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    said = testbed("run", "lan_connectivity/", "--out", place)

    assert said.status == 2
    assert f"results cannot be written to {tmp_path / place}" in said.err


def test_a_run_json_that_is_none_is_refused_with_its_name(testbed, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for text in ("", "[]", '{"scenario": "x"}', '{"scenario": 3}'):
        (tmp_path / "old" / "run.json").write_text(text)
        said = testbed("run", "--again", "old")

        assert said.status == 2
        assert "old/run.json is not a run's description" in said.err


@pytest.mark.parametrize("command", [["run", "--again"], ["judge"]])
def test_a_run_json_that_cannot_be_read_is_told(testbed, command, tmp_path: Path) -> None:
    (tmp_path / "old" / "run.json").mkdir(parents=True)  # root may read every file, and no folder
    said = testbed(*command, "old")

    assert said.status == 2
    assert "old/run.json cannot be read: Is a directory" in said.err


KINDS = ("scenarios", "topologies", "roles", "faults", "checks", "nats")


@pytest.mark.parametrize("kind", KINDS)
def test_list_gives_each_kind_as_table_and_as_json(testbed, kind: str) -> None:
    table, rows = testbed("list", kind), testbed("list", kind, "--json")
    found = json.loads(rows.out)

    assert table.status == rows.status == 0
    assert found
    for row in found:
        assert row["name"] in table.out
        assert row["about"]


def test_list_gives_all_kinds(testbed) -> None:
    every = json.loads(testbed("list", "--json").out)

    assert set(KINDS) <= set(every)
    assert [each["name"] for each in every["scenarios"]].count("lan_connectivity") == 1
    (scenario,) = [each for each in every["scenarios"] if each["name"] == "lan_connectivity"]
    assert "nak" in scenario["variants"]
    assert "\n  /nak " in testbed("list", "scenarios").out


def test_what_helps_a_topology_is_none(testbed) -> None:
    names = [each["name"] for each in json.loads(testbed("list", "topologies", "--json").out)]

    assert "bootstrap_by_dns" in names
    assert "account" not in names


def test_settings_are_listed_as_they_are_given(testbed) -> None:
    (home,) = [
        each
        for each in json.loads(testbed("list", "topologies", "--json").out)
        if each["name"] == "home_on_internet"
    ]

    assert home["settings"]["nat"] == "masquerade"
    assert home["settings"]["dns_proxy"] == "no"
    assert home["settings"]["homes"] == "1"


def test_requirements_are_337_rows(testbed) -> None:
    rows = json.loads(testbed("requirements", "--json").out)
    table = testbed("requirements")

    assert len(rows) == 337
    assert table.out.rstrip().endswith(f"337 requirements, {len(load_checks())} with a check")
    assert {row["check"] for row in rows} <= set(table.out.split()), "no name is broken"
    by_id = {row["id"]: row for row in rows}
    assert by_id["32583-5.1.1-1"]["check"] == "connectivity.connectivity_before_the_first_query"
    assert "connectivity.asks-before-lease" in by_id["32583-5.1.1-1"]["faults"]
    assert by_id["32583-5.1.1-1"]["observed"] == "wire"
    assert sum(row["check"] is None for row in rows) == 337 - len(load_checks())


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (BadInput("no such thing"), 2, "testbed: no such thing\n"),
        (MissingFeature("no nft here"), 3, "testbed: no nft here\n"),
        (RoleCrashed("hnb fell"), 1, "testbed: hnb fell\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["input", "machine", "crash", "interrupt"],
)
def test_each_error_has_its_exit_status(testbed, monkeypatch, error, status, sentence) -> None:
    def fail(**_options: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    said = testbed("list")

    assert (said.status, said.err, said.out) == (status, sentence, "")


@pytest.fixture
def defective(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_options: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(cli.cli, "main", fail)


@pytest.mark.usefixtures("defective")
def test_a_defect_is_one_sentence_without_a_traceback(testbed) -> None:
    said = testbed("list")

    assert said.status == 1
    assert said.err.startswith("testbed: a defect of the testbed itself: ValueError: two (in fail,")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


@pytest.mark.usefixtures("defective")
def test_a_defect_is_told_whole_on_request(testbed, monkeypatch) -> None:
    monkeypatch.setenv("TESTBED_TRACEBACK", "1")

    assert "Traceback" in testbed("list").err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m testbed requirements | head -n 2"
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert said.stderr == ""
    assert len(said.stdout.split("\n")) == 3


@pytest.mark.parametrize("command", ["list --json", "requirements --json", "--help"])
def test_a_reader_that_is_gone_before_is_no_error(command: str) -> None:
    said = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m testbed {command} | true"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stderr == ""


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(closed: str, tmp_path: Path) -> None:
    run = "run lan_connectivity/ --engine simulation --out"
    command = f"exec {sys.executable} -m testbed {run} {tmp_path} {closed}"
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert (said.returncode, said.stderr) == (0, "")
    assert (tmp_path / "lan_connectivity" / "report.html").exists()


def test_a_locale_that_is_not_utf_8_changes_no_file(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["run", "lan_connectivity/", "--engine", "simulation", "--out", "out"]
    said = in_a_process(*words, cwd=tmp_path, env={**os.environ, **plain, "PYTHONPATH": ROOT})

    assert (said.returncode, said.stderr) == (0, "")
    assert (tmp_path / "out/lan_connectivity/report.html").read_text(encoding="utf-8")


def test_the_version_is_told() -> None:
    said = in_a_process("--version")

    assert said.returncode == 0
    assert said.stdout.startswith("testbed, version ")
