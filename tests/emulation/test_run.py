"""`testbed run`, as a user has it: what it gives, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scenarios.lan_connectivity import lan_connectivity
from testbed.conformance import Verdict
from testbed.protocols import dhcp, dns
from testbed.trace.folder import load
from tests.emulation import command, ground
from tests.emulation.command import OUT, needs_nobody

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

VARIANTS = list(lan_connectivity.variants)


def on_the_host(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it here, where its results stay."""
    environment = {**os.environ, "PYTHONPATH": str(command.ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "testbed", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def on_ground(facts: Callable[[], None]) -> None:
    """Run the facts on ground of their own; what the program leaves there fails them."""

    def all_facts() -> None:
        command.set_up()
        with ground.nothing_left():
            facts()

    ground.on_ground(all_facts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """All variants once; the folder of results and what was said on standard output."""
    folder = tmp_path_factory.mktemp("whole")
    done = on_the_host(folder, "run", "lan_connectivity", "--jobs", "2", "--out", "out", "--json")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stdout + done.stderr
    return folder / "out", done.stdout


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_passes(whole: tuple[Path, str], variant: str) -> None:
    (result,) = json.loads(whole[1])
    run = json.loads((whole[0] / "lan_connectivity" / variant / "run.json").read_text())

    assert result["verdict"] == "PASS"
    assert result["variants"][variant] == run["outcome"] == "completed"
    assert run["drops"] == 0


def test_a_program_gets_json_alone(whole: tuple[Path, str]) -> None:
    assert json.loads(whole[1]) == json.loads((whole[0] / "results.json").read_text())


def test_every_requirement_is_judged(whole: tuple[Path, str]) -> None:
    told = json.loads((whole[0] / "lan_connectivity" / "verdicts.json").read_text())

    assert {each["verdict"] for each in told["verdicts"]} == {Verdict.PASS}
    for each in told["verdicts"]:
        assert {note["variant"] for note in each["findings"]} == set(VARIANTS) - {"no_lease"}


def test_a_second_judgement_is_the_same(whole: tuple[Path, str]) -> None:
    folder = whole[0] / "lan_connectivity"
    done = on_the_host(whole[0].parent, "judge", str(folder), "--out", "judged")

    assert done.returncode == 0, done.stderr
    judged = (whole[0].parent / "judged" / "verdicts.json").read_text()
    assert judged == (folder / "verdicts.json").read_text()


def test_a_ladder_is_drawn_of_every_run(whole: tuple[Path, str]) -> None:
    folder = whole[0] / "lan_connectivity"
    drawn = on_the_host(whole[0].parent, "draw", str(folder / "nak"), "--width", "100")

    assert drawn.returncode == 0
    assert "DHCP NAK" in drawn.stdout
    assert max(map(len, drawn.stdout.split("\n"))) <= 100


def test_wireshark_opens_the_capture_and_shows_the_nat(whole: tuple[Path, str]) -> None:
    capture = whole[0] / "lan_connectivity" / "trace.pcapng"
    fields = [word for name in ("dns.id", "ip.src", "ip.dst") for word in ("-e", name)]
    shown = subprocess.run(
        ["tshark", "-r", str(capture), "-Y", "dns", "-T", "fields", *fields],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [tuple(line.split("\t")) for line in shown.stdout.strip().split("\n")]
    (identifier,) = {row[0] for row in rows}

    assert [row[1:] for row in rows] == [
        ("192.168.1.100", "203.0.113.53"),
        ("203.0.113.100", "203.0.113.53"),
        ("203.0.113.53", "203.0.113.100"),
        ("203.0.113.53", "192.168.1.100"),
    ]
    assert int(identifier, 16) > 0


def test_after_garbage_the_hnb_is_served_at_once(whole: tuple[Path, str]) -> None:
    trace = load(whole[0] / "lan_connectivity" / "malformed")
    events = [each for each in trace if each.is_event]
    garbage = [each for each in events if each.message.name == "MALFORMED"]
    words = [
        each.message.WORD
        for each in trace
        if isinstance(each.message, dhcp.Message) and each.number > garbage[0].number
    ]
    queries = [
        each for each in trace.all(dns.Query) if each.sender == "hnb" and each.link == "home"
    ]

    assert {each.sender for each in garbage} == {"gateway", "outer_dns"}
    assert words == ["DISCOVER", "OFFER", "REQUEST", "ACK"], "nothing had to be sent again"
    assert len(queries) == 1


def test_the_same_seed_gives_the_same_identifiers_again(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    folder = whole[0] / "lan_connectivity"
    done = on_the_host(tmp_path, "run", "--again", str(folder / "nak"), "--out", "again", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = load(folder / "nak"), load(tmp_path / "again" / "lan_connectivity" / "nak")
    told = json.loads((tmp_path / "again" / "lan_connectivity" / "nak" / "run.json").read_text())

    assert told["seed"] == json.loads((folder / "nak" / "run.json").read_text())["seed"]
    for trace in (first, second):
        assert len(list(trace.all(dhcp.Discover))) == 2
    assert [e.message.xid for e in first.all(dhcp.Message)] == [
        e.message.xid for e in second.all(dhcp.Message)
    ]


def test_again_repeats_a_whole_folder_of_results(whole: tuple[Path, str], tmp_path: Path) -> None:
    done = on_the_host(
        tmp_path, "run", "--again", str(whole[0]), "--out", "again", "--jobs", "2", "--quiet"
    )
    (result,) = json.loads((tmp_path / "again" / "results.json").read_text())

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(result["variants"]) == set(VARIANTS)


@pytest.mark.parametrize(
    ("fault", "variant", "status", "verdict"),
    [
        ("hnb:connectivity.asks-before-lease", "", 0, "FAIL"),
        ("hnb:connectivity.asks-another-server", "", 0, "FAIL"),
        ("hnb:connectivity.asks-another-server", "no_lease", 1, "FAIL"),
    ],
    ids=["too-early", "another-server", "trips-nothing"],
)
def test_a_fault_fails_exactly_what_it_declares(
    tmp_path: Path, fault: str, variant: str, status: int, verdict: str
) -> None:
    name = f"lan_connectivity/{variant}"
    done = on_the_host(tmp_path, "run", name, "--fault", fault, "--out", "out", "--quiet")
    told = json.loads((tmp_path / "out" / "lan_connectivity" / "verdicts.json").read_text())
    failed = {each["requirement"] for each in told["verdicts"] if each["verdict"] == "FAIL"}

    assert done.returncode == status, done.stdout + done.stderr
    assert failed == ({"32583-5.1.1-1", "32583-5.1.2-1"} if status == 0 else set())
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["verdict"] == verdict


def test_eight_labs_at_once_share_nothing() -> None:
    def facts() -> None:
        status = command.run("run", "lan_connectivity", "--jobs", "8", "--out", "out")
        (result,) = command.results()

        assert status == 0, command.said()
        assert set(result["variants"].values()) == {"completed"}
        assert set(result["variants"]) == set(VARIANTS)

    on_ground(facts)


def test_two_commands_side_by_side_have_folders_of_their_own() -> None:
    def facts() -> None:
        runs = [command.start("run", "lan_connectivity/", "--quiet") for _ in range(3)]

        assert [ground.ended(pid) for pid in runs] == [0, 0, 0], command.said()
        assert len(list((OUT / "runs").iterdir())) == 3

    on_ground(facts)


@needs_nobody
def test_an_ordinary_user_needs_no_root() -> None:
    def facts() -> None:
        status = command.run("run", "lan_connectivity/", "--out", "out", variant="nobody")
        (result,) = command.results()

        assert (status, result["verdict"]) == (0, "PASS"), command.said()
        assert (OUT / "out" / "lan_connectivity" / "run.json").stat().st_uid == ground.NOBODY

    on_ground(facts)


@needs_nobody
def test_an_ordinary_user_may_ask_for_an_interface_to_probe() -> None:
    def facts() -> None:
        words = ("probe-nat", "--interface", "lo", "--server", "127.0.0.1")
        status = command.run(*words, variant="nobody")

        assert (status, "lo has no IPv4 address" in (OUT / "errors").read_text()) == (2, True)

    on_ground(facts)


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_after_an_interrupt_the_results_so_far_are_kept(jobs: str) -> None:
    def facts() -> None:
        pid = command.start("run", "lan_connectivity", "--jobs", jobs, "--out", "out")
        command.await_word("completed, ")
        os.killpg(pid, signal.SIGINT)
        status = ground.ended(pid)
        (result,) = command.results()
        kinds = list(result["variants"].values())

        assert status == 130
        assert kinds.count("completed") >= 1
        assert kinds.count("completed") < len(VARIANTS)
        assert set(kinds) <= {"completed", "interrupted"}
        assert (OUT / "out" / "lan_connectivity" / "report.html").exists()

    on_ground(facts)


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_killed_command_leaves_nothing(jobs: str) -> None:
    def facts() -> None:
        pid = command.start("run", "lan_connectivity", "--jobs", jobs, "--out", "out")
        command.await_word("completed, ")
        os.kill(pid, signal.SIGKILL)

        assert ground.ended(pid) == -signal.SIGKILL

    on_ground(facts)


CRASH = """
import testbed.roles.hnb
async def start(self):
    raise ValueError("a role's own defect")
testbed.roles.hnb.Hnb.start = start
"""
NO_NFT = """
import os, testbed.engines.emulation.nft as rules
rules._SYSTEM_FOLDERS, os.environ["PATH"] = "/nowhere", "/usr/bin:/bin"
"""
SLOW = """
import testbed.protocols.dhcp as dhcp, testbed.roles.gateway as gateway
before = gateway.Gateway.__init__
def silent(self, host, node):
    before(self, host, node)
    self.set_dhcp(silent=True)
gateway.Gateway.__init__ = silent
"""


def test_a_roles_crash_fails_the_scenario_with_it() -> None:
    def facts() -> None:
        status = command.run("run", "lan_connectivity/", "--out", "out", program=CRASH)
        log = OUT / "out" / "lan_connectivity" / "logs" / "crash.txt"

        assert status == 1
        assert "lan_connectivity: role hnb crashed: ValueError: a role's own defect" in (
            command.said()
        )
        assert "Traceback" not in command.said()
        assert "Traceback" in log.read_text()

    on_ground(facts)


def test_what_this_machine_lacks_is_named() -> None:
    def facts() -> None:
        status = command.run("run", "lan_connectivity/", "--out", "out", program=NO_NFT)
        (result,) = command.results()

        assert status == 3, command.said()
        assert "the program nft is not on this machine" in command.said()
        assert result["verdict"] == "INCONCLUSIVE"
        assert result["variants"] == {"": "unable"}

    on_ground(facts)


def test_a_path_without_programs_is_told_in_a_sentence() -> None:
    def facts() -> None:
        program = "import os\nos.environ['PATH'] = '/nowhere'"
        status = command.run("run", "lan_connectivity/", "--out", "out", program=program)

        assert status == 3, command.said()
        assert "is not in PATH (/nowhere): install it" in command.said()

    on_ground(facts)


def test_a_missed_step_is_told_and_ends_with_1() -> None:
    def facts() -> None:
        program = f"{SLOW}\nimport scenarios.lan_connectivity as s\ns.lan_connectivity.step_s = 0.5"
        status = command.run("run", "lan_connectivity/", "--out", "out", program=program)
        text = command.said()

        assert status == 1
        assert "lan_connectivity: step 1, OFFER did not happen within 0.5 s" in text
        assert "expected   gateway -> hnb   dhcp.Offer" in text
        assert "report.html#main-r" in text
        assert f"again   testbed run --again {OUT}/out/lan_connectivity" in text

    on_ground(facts)


def test_the_labs_files_are_kept_on_request(tmp_path: Path) -> None:
    done = on_the_host(tmp_path, "run", "lan_connectivity/", "--keep", "--out", "out", "--quiet")

    assert done.returncode == 0, done.stdout + done.stderr
