"""`testbed judge` and `draw` on a capture of the field, with and without names."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

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


def test_a_folder_of_several_runs_is_not_drawn_but_told(testbed, tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "trace.pcapng").touch()

    said = testbed("draw", "out")

    assert (said.status, "out holds 2 runs" in said.err, "out/one" in said.err) == (2, True, True)
