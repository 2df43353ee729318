"""The plan of the VM, and what its steps come to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vm.__main__ import arguments, chosen, compare, judge_step
from vm.plan import MUST_HAVE, PLAYS, USER, Outcome, Play, missing_facts, outcomes, plan_text, steps


def doctor(without: str = "", *, can_run: bool = True) -> str:
    facts = [{"name": name, "present": name != without, "detail": "why not"} for name in MUST_HAVE]
    return json.dumps({"can_run": can_run, "facts": facts})


def test_provisioning_and_doctor_are_tried_by_both_users() -> None:
    taken = {(step.name.partition(".")[0], step.user) for step in steps(PLAYS)}

    for name in ("packages", "doctor"):
        assert {(name, "root"), (name, USER)} <= taken


def test_a_plan_s_lines_are_name_user_command() -> None:
    play = Play(USER, ("discovery_public/", "--set", "homes=2"))

    (*_, line) = plan_text(steps([play])).splitlines()

    assert line.split()[:2] == ["discovery_public_set_homes_2.user", USER]
    assert ".venv/bin/testbed run discovery_public/ --set homes=2 --seed 7" in line
    assert line.endswith("--out ../results/discovery_public_set_homes_2.user --quiet")


def test_no_two_steps_of_the_plan_share_a_name() -> None:
    names = [step.name for step in steps(PLAYS, ["true", "false"])]

    assert len(names) == len(set(names))


def test_words_of_the_command_line_are_scenarios_with_options() -> None:
    options = arguments(["lan_connectivity/", "discovery_public --nat full_cone"])

    assert chosen(options) == [
        Play(USER, ("lan_connectivity/",)),
        Play(USER, ("discovery_public", "--nat", "full_cone")),
    ]
    assert chosen(arguments([])) == list(PLAYS)


@pytest.mark.parametrize("words", [["--within-s", "0"], ["--within-s", "nan"], ["--accelerator=x"]])
def test_bad_usage_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(words)

    assert ended.value.code == 2
    assert words[0].partition("=")[0] in capsys.readouterr().err


def test_steps_are_read_back() -> None:
    assert outcomes("packages.root 0 1.5\ndoctor.user 3 4.0\n") == {
        "packages.root": Outcome("packages.root", 0, 1.5),
        "doctor.user": Outcome("doctor.user", 3, 4.0),
    }


def test_doctor_has_to_find_what_debian_s_kernel_has() -> None:
    assert missing_facts(doctor()) == []
    assert missing_facts(doctor("SCTP")) == ["SCTP: why not"]
    assert missing_facts(doctor(can_run=False)) == ["testbed run cannot work there"]
    assert missing_facts("Traceback") == ["doctor gave no JSON"]
    assert len(missing_facts('{"can_run": true, "facts": []}')) == len(MUST_HAVE)


def test_a_step_that_was_not_taken_has_failed(tmp_path: Path) -> None:
    assert judge_step(None, "doctor.user", tmp_path) == ["it was not taken"]


def test_a_step_that_failed_says_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "venv.user.out").write_text("")
    (tmp_path / "venv.user.err").write_text("provision: no wheel\n")

    wrong = judge_step(Outcome("venv.user", 3, 1.0), "venv.user", tmp_path)

    assert wrong == ["ended with 3", "provision: no wheel"]


def test_the_provisioner_has_to_find_everything_there(tmp_path: Path) -> None:
    said = tmp_path / "packages.root.out"
    said.write_text("")
    done = Outcome("packages.root", 0, 1.0)

    assert judge_step(done, "packages.root", tmp_path) == []
    said.write_text("provision: installs 1 Debian packages: iperf\n")
    assert "iperf" in judge_step(done, "packages.root", tmp_path)[0]


def test_runs_without_a_ladder_do_not_compare(tmp_path: Path) -> None:
    assert compare(tmp_path / "here", tmp_path / "there") == (0, ["no ladder was drawn"])


def test_a_sub_run_of_one_side_only_is_told(tmp_path: Path) -> None:
    run = tmp_path / "here/lan_connectivity/nak"
    run.mkdir(parents=True)
    (run / "run.json").touch()

    _, wrong = compare(tmp_path / "here", tmp_path / "there")

    assert wrong == ["no ladder was drawn"]
