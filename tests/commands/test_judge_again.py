"""`testbed judge` and `run --again` on the folders of runs: whole, killed, of other casts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def played(testbed):
    """Plays into the folder `out`, in virtual time."""

    def play(*names: str) -> Path:
        said = testbed("run", *names, "--engine", "simulation", "--quiet", "--out", "out")
        assert said.status == 0, said
        return Path("out")

    return play


def changed(file: Path, **values: object) -> None:
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(told | values), encoding="utf-8")


def judged(testbed, *words: str) -> dict[str, tuple[str, str]]:
    """Verdict and reason, by requirement."""
    rows = json.loads(testbed("judge", "out", "--json", *words).out)["verdicts"]
    return {row["requirement"]: (row["verdict"], row["reason"]) for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hnb_first_day", "tunnel_life", "stun_server_conformance"])
def test_a_run_comes_to_its_verdicts_again(testbed, played, name: str) -> None:
    """One judged by all checks, one by another scenario's, one with STUN on ports of its own."""
    out = played(f"{name}/")
    testbed("judge", str(out), "--out", "judged")

    assert Path("judged/verdicts.json").read_text() == (out / name / "verdicts.json").read_text()


def test_sub_runs_that_were_killed_are_told(testbed, played) -> None:
    out = played("lan_connectivity/", "lan_connectivity/nak", "lan_connectivity/dns_silent")
    (out / "lan_connectivity/nak/run.json").unlink()
    sentence = (
        "testbed: out: 1 of 3 sub-runs of lan_connectivity did not come to their end, and are "
        "left out: nak\n"
    )

    assert testbed("judge", "out").err == sentence
    assert testbed("judge", "out/lan_connectivity/dns_silent").err == ""
    assert testbed("run", "--again", "out", "--quiet", "--out", "again").err == sentence
    assert testbed("judge", "again").err == ""


def test_nothing_of_an_earlier_run_is_left_in_a_folder(testbed, played) -> None:
    out = played("lan_connectivity/", "lan_connectivity/nak") / "lan_connectivity"
    (out / "logs").mkdir()
    (out / "logs" / "crash.txt").write_text("of another day")
    (out / "packets.log").write_text("of a run that was killed")
    (out / "mine.txt").write_text("a note")
    played("lan_connectivity/")

    assert {each.name for each in out.iterdir()} == {
        *("events.jsonl", "junit.xml", "ladder.svg", "mine.txt", "nak", "report.html", "run.json"),
        *("trace.pcapng", "verdicts.json"),
    }
    assert (out / "nak" / "run.json").exists()


def test_a_folder_that_may_not_be_cleared_is_told(testbed, played) -> None:
    out = played("lan_connectivity/")
    (out / "lan_connectivity/run.json").unlink()
    (out / "lan_connectivity/run.json").mkdir()  # root may remove every file
    said = testbed("run", "lan_connectivity/", "--engine", "simulation", "--out", "out")

    assert said.status == 2
    assert "results cannot be written to " in said.err
    assert "out/lan_connectivity: Is a directory" in said.err


@pytest.mark.parametrize("kind", ["interrupted", "unsupported"])
def test_a_run_in_which_nobody_was_judged_is_not_judged_later(testbed, played, kind: str) -> None:
    changed(played("lan_connectivity/") / "lan_connectivity/run.json", outcome=kind)

    assert {verdict for verdict, _ in judged(testbed).values()} == {"INCONCLUSIVE"}


def test_what_a_program_cannot_do_is_not_asked_of_it_later(testbed, played) -> None:
    played("association_inform/")
    cast = {"device": {"program": "udhcpc", "version": "1.35.0"}}
    changed(Path("out/association_inform/run.json"), cast=cast)

    assert judged(testbed)["TR111-1.2.2-D2"] == (
        "INCONCLUSIVE",
        "unsupported by this cast: device=udhcpc: it is a DHCP client and no CPE: it has no "
        "GatewayInfo and tells no ACS",
    )


def test_a_capture_is_judged_as_the_scenario_that_is_named(testbed, played) -> None:
    out = played("hnb_first_day/")
    capture = out / "hnb_first_day" / "trace.pcapng"
    said = testbed("judge", str(capture), "--scenario", "hnb_first_day", "--json")

    assert len(json.loads(said.out)["verdicts"]) == 337
