"""`testbed judge` and `draw` on a capture of the field, with and without names."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.commands.draw import read_trace
from testbed.roles import ROLES
from testbed.trace.record import Frame
from tests.conformance.made_up import DNS_SERVER, LEASED, MadeUp

CONNECTIVITY = "32583-5.1.1-1"
WHO = f"""
[hnb]
addresses = ["02:00:00:00:00:00", "{LEASED}"]

[gateway]
addresses = ["02:00:00:00:01:00", "192.168.1.1"]

[outer_dns]
addresses = ["{DNS_SERVER}"]
"""


def pcap(frames: list[Frame]) -> bytes:
    """A classic capture, which knows octets and times and nobody's name."""
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for frame in frames:
        seconds, rest = divmod(frame.time_ns, 1_000_000_000)
        size = len(frame.data)
        octets += struct.pack("<IIII", seconds, rest // 1000, size, size) + frame.data
    return octets


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """An HNB that gets its lease and asks the DNS server that the lease names."""
    story = MadeUp()
    story.ack()
    story.query()
    path = tmp_path / "field.pcap"
    path.write_bytes(pcap([each.frame for each in story.trace if each.frame is not None]))
    (tmp_path / "who.toml").write_text(WHO)
    return path


PCAPNG = (Path(__file__).parents[1] / "captures" / "ike_charon_gcm.pcapng").read_bytes()


def verdict(said) -> str:
    rows = json.loads(said.out)["verdicts"]
    return next(row["verdict"] for row in rows if row["requirement"] == CONNECTIVITY)


def test_a_check_that_asks_for_a_role_judges_by_names(testbed, field: Path) -> None:
    words = ("judge", "field.pcap", "--scenario", "lan_connectivity", "--json")
    bare = testbed(*words)
    named = testbed(*words, "--names", "who.toml")

    assert verdict(bare) == "INCONCLUSIVE"
    assert verdict(named) == "PASS"
    assert (bare.status, named.status) == (0, 0)


def test_who_asks_another_server_than_its_leases_fails(testbed, tmp_path: Path) -> None:
    story = MadeUp()
    story.ack()
    story.query(server="203.0.113.99")
    frames = [each.frame for each in story.trace if each.frame is not None]
    (tmp_path / "field.pcap").write_bytes(pcap(frames))
    (tmp_path / "who.toml").write_text(WHO)
    words = ("--scenario", "lan_connectivity", "--names", "who.toml", "--json")
    said = testbed("judge", "field.pcap", *words)

    assert verdict(said) == "FAIL"
    assert said.status == 1


def test_a_ladder_has_the_names(testbed, field: Path) -> None:
    bare = testbed("draw", "field.pcap")
    named = testbed("draw", "field.pcap", "--names", "who.toml")

    assert "gateway" not in bare.out
    assert "hnb " in named.out
    assert "gateway" in named.out


@pytest.mark.parametrize("command", ["draw", "judge"])
def test_names_that_say_nothing_are_bad_input(testbed, command: str, field: Path) -> None:
    (field.parent / "who.toml").write_text("[hnb]")
    said = testbed(command, "field.pcap", "--names", "who.toml")

    assert said.status == 2
    assert said.err == (
        'testbed: names who.toml: hnb: has no addresses; addresses = ["192.168.1.10"] is expected\n'
    )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("[initial_hsm]", "initial_hsm: no role is called 'initial_hsm'; did you mean initial_hms"),
        ('[north]\nrole = "hsm"', "north: no role is called 'hsm'; did you mean hms"),
        ("[laptop]", 'shows them); role = "bystander" plays none'),
    ],
)
def test_a_node_whom_no_check_knows_is_refused(testbed, field: Path, table, sentence) -> None:
    (field.parent / "who.toml").write_text(f'{table}\naddresses = ["192.0.2.9"]\n')
    said = testbed("judge", "field.pcap", "--names", "who.toml")

    assert (said.status, sentence in said.err) == (2, True)


def test_a_capture_without_frames_accuses_nobody(testbed, field: Path) -> None:
    field.write_bytes(pcap([]))
    tables = [f'[{role}]\naddresses = ["192.0.2.{n}"]\n' for n, role in enumerate(ROLES, start=1)]
    (field.parent / "who.toml").write_text("".join(tables))
    said = testbed("judge", "field.pcap", "--names", "who.toml", "--json")

    assert said.status == 0
    assert {each["verdict"] for each in json.loads(said.out)["verdicts"]} == {"INCONCLUSIVE"}


def test_a_folder_of_several_runs_is_not_drawn_but_told(testbed, tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "trace.pcapng").touch()

    said = testbed("draw", "out")

    assert (said.status, "out holds 2 runs" in said.err, "out/one" in said.err) == (2, True, True)


def test_a_fact_that_nobody_knows_is_bad_input(testbed, field: Path) -> None:
    (field.parent / "who.toml").write_text('facts = ["hole"]' + WHO)
    said = testbed("judge", "field.pcap", "--names", "who.toml")

    assert said.status == 2
    assert "no fact is called 'hole'; did you mean whole" in said.err


@pytest.mark.parametrize("log", [b"", b"# TLS secrets log file, generated by OpenSSL / Python\n\n"])
def test_a_key_log_before_its_first_secret_opens_nothing(testbed, field: Path, log: bytes) -> None:
    (field.parent / "tls.log").write_bytes(log)
    bare = testbed("draw", "field.pcap")
    said = testbed("draw", "field.pcap", "--keys", "tls.log")

    assert (said.status, said.out) == (0, bare.out)


def test_a_file_that_is_no_keys_is_bad_input(testbed, field: Path) -> None:
    (field.parent / "tls.log").write_text("hello\n")

    assert testbed("draw", "field.pcap", "--keys", "tls.log").status == 2


def cooked(octets: bytes) -> bytes:
    """An Ethernet frame as an "any" device of Linux gives it (LINUX_SLL)."""
    return bytes((0, 0, 0, 1, 0, 6)) + octets[6:12] + bytes(2) + octets[12:]


def cooked_2(octets: bytes) -> bytes:
    """Likewise, as LINUX_SLL2."""
    return (
        octets[12:14]
        + bytes((0, 0, 0, 0, 0, 2, 0, 1, 0, 6))
        + octets[6:12]
        + bytes(2)
        + octets[14:]
    )


@pytest.mark.parametrize(
    ("link_type", "form"),
    [(113, cooked), (276, cooked_2), (101, lambda octets: octets[14:])],
    ids=["LINUX_SLL", "LINUX_SLL2", "RAW"],
)
def test_captures_without_ethernet_are_judged_alike(testbed, field: Path, link_type, form) -> None:
    story = MadeUp()
    story.ack(to=None)
    story.query(server="203.0.113.99")
    frames = [each.frame for each in story.trace if each.frame is not None]
    changed = [replace(each, data=form(each.data)) for each in frames]
    octets = bytearray(pcap(changed))
    octets[20:24] = struct.pack("<I", link_type)
    field.write_bytes(octets)
    (field.parent / "who.toml").write_text(WHO)
    words = ("--scenario", "lan_connectivity", "--names", "who.toml", "--json")

    assert verdict(testbed("judge", "field.pcap", *words)) == "FAIL"


@pytest.mark.parametrize("snap_length", [20, 40, 60])
def test_frames_cut_short_accuse_nobody(testbed, field: Path, snap_length: int) -> None:
    frames = [each.frame for each in read_trace(field) if each.frame]
    field.write_bytes(pcap([replace(each, data=each.data[:snap_length]) for each in frames]))
    (field.parent / "who.toml").write_text(WHO)

    assert testbed("judge", "field.pcap", "--names", "who.toml").status == 0


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_file_gives_a_ladder_or_one_sentence(testbed, field: Path, data) -> None:
    octets = bytearray(field.read_bytes() if data.draw(st.booleans()) else PCAPNG)
    for _ in range(data.draw(st.integers(1, 6))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    hostile = field.parent / "hostile.pcap"
    hostile.write_bytes(octets[: data.draw(st.integers(0, len(octets)))])
    said = testbed("draw", "hostile.pcap")

    assert said.status in (0, 2)
    assert said.err.count("\n") == (said.status == 2)
