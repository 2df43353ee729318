"""OMA DM bootstrap with third parties' programs: nginx, unbound and BIND serve, curl asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.external import find_program
from testbed.protocols.dm.account import decode_package
from testbed.protocols.dm.proofs import is_authentic, read_content_type
from tests.emulation.as_user import command, verdicts
from topologies.bootstrap import BOOTSTRAP_HOST, BOOTSTRAP_PORT, DM_URL, MAC, PIN

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

URL = f"https://{BOOTSTRAP_HOST}:{BOOTSTRAP_PORT}/OMA/DM/Bootstrap.xml"


def curl(query: str, out: str = "/dev/null") -> str:
    """A line for the prompt: ask, and print status and media type."""
    told = r"--write-out '%{http_code} %{content_type}\n'"
    there = f"--resolve {BOOTSTRAP_HOST}:{BOOTSTRAP_PORT}:192.168.1.60"
    return f"gateway curl --silent --insecure {told} {there} --output {out} '{URL}{query}'\n"


@pytest.mark.parametrize("cast", ["bootstrap_server=nginx", "outer_dns=bind", "outer_dns=unbound"])
def test_a_device_of_ours_bootstraps_with_servers_of_others(cast: str, tmp_path: Path) -> None:
    status, said = command("run", "dm_bootstrap_srv/", "--cast", cast, "--out", tmp_path)

    assert status == 0, said
    node, _, program = cast.partition("=")
    folder = tmp_path / "dm_bootstrap_srv"
    players = json.loads((folder / "run.json").read_text())["cast"]
    assert players[node] == {"program": program, "version": find_program(program).version()}
    found = verdicts(folder)
    assert "FAIL" not in found.values()
    for each in ("OMA-5.4.7.1-D9", "OMA-5.4.7.1-D10", "OMA-5.4.7.1-H200", "OMA-5.4.7.1-H5"):
        assert found[each] == "PASS"


@pytest.mark.parametrize(
    ("variant", "requirement"),
    [
        ("", "OMA-5.4.7.1-H404"),
        ("not_understood", "OMA-5.4.7.1-H400"),
        ("unsupported_version", "OMA-5.4.7.1-H400"),
    ],
    ids=["not-known", "no-mac-address", "another-version"],
)
def test_nginx_is_set_up_to_give_the_three_answers(
    variant: str, requirement: str, tmp_path: Path
) -> None:
    title = f"dm_bootstrap_failure/{variant}"

    status, said = command("run", title, "--cast", "bootstrap_server=nginx", "--out", tmp_path)

    assert status == 0, said
    found = verdicts(tmp_path / "dm_bootstrap_failure")
    assert (found[requirement], found["OMA-5.4.7.1-H2"]) == ("PASS", "PASS")


def test_nginx_cannot_misbehave_and_that_is_said(tmp_path: Path) -> None:
    cast = ["--cast", "bootstrap_server=nginx"]

    status, said = command("run", "dm_bootstrap_failure/bad_mac", *cast, "--out", tmp_path)

    assert status == 0
    assert "INCONCLUSIVE: bootstrap_server is played by nginx, which has no 'staged'" in said


def test_curl_gets_the_three_answers_and_a_package_whose_mac_fits(tmp_path: Path) -> None:
    package = tmp_path / "package"
    script = curl(f"?msid={MAC}", str(package)) + curl("?msid=000000000000") + curl("?msid=x")

    status, said = command("shell", "bootstrap_by_dns", script=script)

    assert status == 0, said
    answers = [line.replace("mininet> ", "") for line in said.splitlines()]
    known = next(each for each in answers if each.startswith("200 "))
    assert [each for each in answers if each[:4] in ("404 ", "400 ")] == ["404 ", "400 "]
    media_type, security = read_content_type(known.removeprefix("200 "))
    body = package.read_bytes()
    assert security is not None
    assert is_authentic(security, PIN, body)
    assert decode_package(body, media_type).url == DM_URL
