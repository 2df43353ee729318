"""tshark reads every STUN message that our scenarios put on a wire."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from testbed.protocols import stun
from testbed.registry import load_scenarios
from testbed.simulate import simulate
from testbed.trace.record import Record

STUN_PORT = 3478
HEADER = 20
RUNS = [
    (scenario.name, variant)
    for scenario in load_scenarios().values()
    for variant in scenario.variants
    if scenario.name.startswith(("nat_", "stun_server_", "udp_connection_request"))
]


def is_to_be_read(record: Record) -> bool:
    """What a tester has made malformed on purpose is not; nor is a Shared Secret Error Response,
    for which tshark has 0x1112, where RFC 3489 11.1 has 0x0112."""
    if not isinstance(record.message, stun.Message) or record.sender == "stun_tester":
        return False
    return not isinstance(record.message, stun.SharedSecretErrorResponse)


def written(records: list[Record], file: Path) -> None:
    frames = [
        Ether() / IP(dst="203.0.113.30") / UDP(sport=7547, dport=STUN_PORT) / each.payload
        for each in records
    ]
    wrpcap(str(file), frames)


def asked(file: Path, *words: str) -> list[str]:
    command = ["tshark", "-r", str(file), "-o", "udp.check_checksum:FALSE", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_every_message_of_every_scenario(tmp_path: Path) -> None:
    records = [
        record
        for name, variant in RUNS
        for record in simulate(load_scenarios()[name], variant).trace.records
        if is_to_be_read(record)
    ]
    messages = {record.payload: record for record in records}
    file = tmp_path / "stun.pcap"
    written(list(messages.values()), file)

    told = asked(file, "-T", "fields", "-e", "classicstun.type", "-e", "classicstun.length")
    complaints = asked(file, "-Y", "_ws.malformed or _ws.expert")

    def read(record: Record) -> str:
        octets = record.payload
        return f"0x{octets[:2].hex()}\t0x{octets[2:4].hex()}"

    assert len(messages) > 100
    assert told == [read(each) for each in messages.values()]
    assert complaints == []
