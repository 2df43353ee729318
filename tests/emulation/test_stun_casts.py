"""STUN servers of others in the place of ours, and STUN clients of others that ask ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from testbed.external import find_program
from tests.emulation.as_user import command, verdicts

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

SCENARIO = """\
from testbed.protocols import stun
from testbed.protocols.wire import Endpoint
from testbed.scenario import Stage, scenario
from topologies.stun import acs_with_stun

SHARED_SECRET_REQUEST = bytes((0, 2, 0, 0)) + bytes(range(16))


@scenario(acs_with_stun, step_s=20)
async def struck_down(at: Stage) -> None:
    \"\"\"One datagram ends the server; it is there again for the next request.\"\"\"
    server = at.stun_server
    port = await at.outer_dns.host.datagrams(Endpoint("203.0.113.53", 0), lambda *_: None)
    port.send(SHARED_SECRET_REQUEST, Endpoint("203.0.113.30", 3478))
    await at.tells(server, "EXITED")
    await at.tells(server, "READY")
    port.send(stun.BindingRequest(bytes(16)).encode(), Endpoint("203.0.113.30", 3478))
    await at.sees(at.outer_dns, "<-", server, stun.BindingResponse)
"""


@pytest.mark.parametrize("program", ["coturn", "vovida"])
def test_a_cpe_of_ours_discovers_its_binding_by_servers_of_others(
    program: str, tmp_path: Path
) -> None:
    cast = ["--cast", f"stun_server={program}"]

    status, said = command("run", "nat_binding_discovery/", *cast, "--out", tmp_path)

    assert status == 0, said
    folder = tmp_path / "nat_binding_discovery"
    players = json.loads((folder / "run.json").read_text())["cast"]
    version = find_program(program).version()
    assert players["stun_server"] == {"program": program, "version": version}
    found = verdicts(folder)
    assert "FAIL" not in found.values()
    for each in ("TR111-2.2.2.1-S1", "TR111-2.2.4-T6-1a", "TR111-2.2.4-T6-10", "TR111-2.2.3-F3"):
        assert found[each] == "PASS"


def test_vovida_names_its_first_port_as_the_source_of_what_it_sends_from_its_second(
    tmp_path: Path,
) -> None:
    title = "nat_binding_discovery/other_port"

    status, said = command("run", title, "--cast", "stun_server=vovida", "--out", tmp_path)

    assert status == 1
    assert "FAIL TR111-2.2.2.1-S1" in said
    assert "SOURCE-ADDRESS is 203.0.113.30:3478, it is sent from 203.0.113.30:3479" in said


@pytest.mark.parametrize(
    ("title", "cast", "reason"),
    [
        ("nat_keepalive/no_maximum", "coturn", "'reflection': it ignores RESPONSE-ADDRESS"),
        ("nat_binding_discovery/one_address", "vovida", "needs two addresses and two ports"),
        ("nat_binding_change_stun_auth/", "coturn", "it knows no STUNUsername"),
    ],
)
def test_what_servers_of_others_cannot_do_is_told_as_a_fact(
    title: str, cast: str, reason: str, tmp_path: Path
) -> None:
    status, said = command("run", title, "--cast", f"stun_server={cast}", "--out", tmp_path)

    assert status == 0, said
    assert f"INCONCLUSIVE: stun_server is played by {cast}" in said
    assert reason in said


def test_vovida_is_started_again_after_the_datagram_that_ends_it(tmp_path: Path) -> None:
    (tmp_path / "own/scenarios").mkdir(parents=True)
    (tmp_path / "own/scenarios/struck.py").write_text(SCENARIO)
    words = ["struck_down", "--with", tmp_path / "own", "--cast", "stun_server=vovida"]

    status, said = command("run", *words, "--out", tmp_path / "out")

    assert status == 0, said
    events = (tmp_path / "out/struck_down/events.jsonl").read_text()
    assert events.count('"event": "READY"') == 2
    assert events.count('"event": "EXITED"') == 1


def test_clients_of_others_see_through_our_server_what_the_nat_does() -> None:
    script = (
        "device power_on\n"
        "device sh -c 'until ip route | grep -q default; do :; done'\n"
        "device stun 203.0.113.30\n"
        "device turnutils_stunclient 203.0.113.30\n"
    )

    status, said = command("shell", "acs_with_stun", "--nat", "port-restricted", script=script)

    assert status == 0, said
    assert "Primary: Independent Mapping, Port Dependent Filter" in said
    assert "UDP reflexive addr: 203.0.113.100:" in said


@pytest.mark.parametrize(
    ("nat", "found"),
    [
        ("full-cone", "Full Cone"),
        ("port-restricted", "Restric Port NAT"),
        ("symmetric", "Symmetric NAT"),
    ],
)
def test_pystun3_finds_the_kind_of_nat_by_our_server(nat: str, found: str) -> None:
    """It asks with and without CHANGE-REQUEST, and at CHANGED-ADDRESS."""
    modules = Path(sys.prefix, "foreign/pystun3")
    client = f"env PYTHONPATH={modules} {sys.executable} {modules}/bin/pystun3"
    script = (
        "device power_on\n"
        "device sh -c 'until ip route | grep -q default; do :; done'\n"
        f"device {client} -H 203.0.113.30\n"
    )

    status, said = command("shell", "acs_with_stun", "--nat", nat, script=script)

    assert status == 0, said
    assert f"NAT Type: {found}\n" in said
