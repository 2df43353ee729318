from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.commands import doctor as command
from testbed.engines.emulation import facts as module
from testbed.engines.emulation import probes
from testbed.engines.emulation.facts import Fact

WORKS = Fact("kernel", "veth pairs", True, "", "no links", "modprobe veth", needed=True)
OPTIONAL_GAP = Fact("kernel", "netem", False, "unknown", "no loss", "modprobe netem", needed=False)
GAP = Fact("programs", "nftables", False, "no nft", "no gateway", "apt-get install x", needed=True)


def answer(monkeypatch: pytest.MonkeyPatch, found: list[Fact], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(command, "facts", lambda: found)
    result = CliRunner().invoke(command.doctor, arguments)
    return result.exit_code, result.output


def test_a_gap_that_run_can_live_with_is_told_and_ends_with_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, output = answer(monkeypatch, [WORKS, OPTIONAL_GAP])

    assert status == 0
    assert "lacks  netem       unknown" in output
    assert "costs: no loss" in output
    assert "mend:  modprobe netem" in output
    assert "testbed run can work" in output


def test_a_missing_must_have_ends_with_3_and_is_named_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, output = answer(monkeypatch, [WORKS, OPTIONAL_GAP, GAP])

    assert status == 3
    assert output.splitlines()[-1] == (
        "testbed run cannot work on this machine: it lacks nftables."
    )


def test_json_holds_every_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = answer(monkeypatch, [WORKS, GAP], "--json")

    assert status == 3
    told = json.loads(output)
    assert told["can_run"] is False
    assert [fact["name"] for fact in told["facts"]] == ["veth pairs", "nftables"]
    assert set(told["facts"][0]) == {
        *("area", "name", "present", "detail", "cost", "remedy", "needed"),
    }


def test_a_probe_that_cannot_be_tried_is_a_gap_and_not_a_crash() -> None:
    found = list(module._kernel({}, "not tried: no fork"))

    assert not any(fact.present for fact in found)
    assert {"veth pairs", "nftables NAT"} < {fact.name for fact in module.missing(found)}


def test_every_fact_that_is_missing_has_a_cost_and_a_remedy() -> None:
    for fact in module.facts():
        assert fact.present or (fact.detail and fact.cost and fact.remedy), fact


def test_a_program_that_is_not_there_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(probes, "SYSTEM_PATH", str(tmp_path))
    (tmp_path / "nft").write_text("#!/bin/sh\n")
    (tmp_path / "nft").chmod(0o755)

    there = {fact.name: fact for fact in module._programs()}

    assert there["nftables"].detail == f"{tmp_path}/nft, from no package of Debian"
    assert not there["mnexec"].present
    assert there["mnexec"].needed


@pytest.mark.emulation
def test_what_a_lab_stands_on_works_here() -> None:
    outcomes = probes.outcomes()

    for name in ("namespaces", "veth", "bridge", "packet_socket", "nftables", "conntrack"):
        assert outcomes[name] is None, f"{name}: {outcomes[name]}"


@pytest.mark.emulation
def test_probes_leave_nothing_behind() -> None:
    def of_this_machine() -> tuple[list[tuple[int, str]], str, str, list[str]]:
        return (
            socket.if_nameindex(),
            Path("/proc/self/mounts").read_text(),
            os.readlink("/proc/self/ns/net"),
            sorted(os.listdir("/proc/self/fd")),
        )

    before = of_this_machine()
    probes.outcomes()

    assert before == of_this_machine()


@pytest.mark.emulation
def test_a_probe_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(probes.PROBES, "veth", probes._new_interface("nonsense"))

    reason = probes.outcomes()["veth"]

    assert reason is not None
    assert "nonsense" in reason or "Unknown device type" in reason


def test_a_program_that_takes_too_long_is_told_in_words() -> None:
    with pytest.raises(OSError, match=r"^sleep has not ended after 0\.01 s$"):
        probes._run("sleep", "60", within_s=0.01)
