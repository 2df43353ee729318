"""Captures of two strongSwan 5.9 charons with their keys: the golden octets of IKE and ESP.

`cbc`: AES-CBC with HMAC-SHA-256; `gcm`: AES-GCM, and IKE_AUTH in fragments (RFC 7383).  Both: a
tunnel through a NAT, three questions and answers, new ESP keys, new IKE keys, the end.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from testbed.protocols import ike
from testbed.protocols.ike import wireshark
from testbed.protocols.ike.keys import EspKeys, IkeKeys
from testbed.trace.pcapng_reader import load_capture
from testbed.trace.record import Frame
from testbed.trace.trace import Trace

FOLDER = Path(__file__).parent.parent.parent / "captures"
NAMES = ("cbc", "gcm")
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests by hypothesis: how fast the machine is says nothing of IKE."""


def path(name: str, ending: str) -> Path:
    return FOLDER / f"ike_charon_{name}.{ending}"


@cache
def frames(name: str) -> list[Frame]:
    return load_capture(path(name, "pcapng")).frames


@cache
def keys(name: str) -> tuple[list[IkeKeys], list[EspKeys]]:
    files = [path(name, each) for each in (wireshark.IKE_TABLE, wireshark.ESP_TABLE)]
    ike_keys, _ = wireshark.read_tables(files[0].read_text(), str(files[0]))
    _, esp_keys = wireshark.read_tables(files[1].read_text(), str(files[1]))
    return ike_keys, esp_keys


def closed(name: str) -> Trace:
    """The capture as a trace without keys."""
    return Trace.from_frames(frames(name))


def opened(name: str) -> Trace:
    """The capture as a trace that has had the keys of IKE from the start."""
    return Trace.from_frames(frames(name), keys=keys(name)[0])


def messages(trace: Trace, link: str = "home") -> list[ike.IkeMessage]:
    """The IKE messages on one link."""
    return [each.message for each in trace.all(ike.IkeMessage) if each.link == link]


def tshark(name: str, *arguments: str) -> list[str]:
    """The lines that tshark prints of a capture, given its keys."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    options = ["-o", "esp.enable_encryption_decode:TRUE"]
    for table in (wireshark.IKE_TABLE, wireshark.ESP_TABLE):
        for line in path(name, table).read_text().splitlines():
            options += ["-o", f"uat:{table}:{line}"]
    command = ["tshark", "-r", str(path(name, "pcapng")), *options, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()
