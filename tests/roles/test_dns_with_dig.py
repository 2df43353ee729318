"""dig, a foreign program, asks our name server and our proxy over real sockets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVER, PROXY = "@127.0.0.53", "@127.0.0.1"
ASKED = {
    "address": [SERVER, "+short", "segw.operator.example", "A"],
    "address by tcp": [SERVER, "+short", "+tcp", "segw.operator.example", "A"],
    "alias": [SERVER, "+short", "hms.operator.example", "A"],
    "service": [SERVER, "+short", "_dm-bootstrap._tcp.operator.example", "SRV"],
    "text": [SERVER, "+short", "text.operator.example", "TXT"],
    "no name": [SERVER, "missing.operator.example", "A"],
    "no data": [SERVER, "segw.operator.example", "MX"],
    "not ours": [SERVER, "other.test", "A"],
    "too long": [SERVER, "+noedns", "+ignore", "big.operator.example", "A"],
    "too long, by tcp": [SERVER, "+short", "big.operator.example", "A"],
    "silent": [SERVER, "+time=1", "silent.operator.example", "A"],
    "servfail": [SERVER, "servfail.operator.example", "A"],
    "malformed": [SERVER, "malformed.operator.example", "A"],
    "edns 1": [SERVER, "+edns=1", "+noednsneg", "segw.operator.example", "A"],
    "through the proxy": [PROXY, "+short", "segw.operator.example", "A"],
    "through the proxy by tcp": [PROXY, "+short", "+tcp", "segw.operator.example", "A"],
    "too long, through the proxy": [PROXY, "+short", "big.operator.example", "A"],
}

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not there (bind9-dnsutils)"),
]


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable]
    zone = HERE.parent / "captures" / "operator.example.zone"
    done = subprocess.run(
        [*command, str(HERE / "dns_on_sockets.py"), str(zone), json.dumps(list(ASKED.values()))],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(ASKED, json.loads(done.stdout), strict=True))


ADDRESSES = "203.0.113.50\n203.0.113.51\n"


@pytest.mark.parametrize(
    ("what", "output"),
    [
        ("address", ADDRESSES),
        ("address by tcp", ADDRESSES),
        ("alias", "hms-1.serving.operator.example.\n203.0.113.20\n"),
        (
            "service",
            "10 5 443 segw.operator.example.\n20 0 8443 hms-1.serving.operator.example.\n",
        ),
        ("text", '"hello; world" "x"\n'),
        ("through the proxy", ADDRESSES),
        ("through the proxy by tcp", ADDRESSES),
    ],
)
def test_dig_gets_the_records_of_the_zone(told: dict[str, str], what: str, output: str) -> None:
    assert told[what] == output


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("no name", ["status: NXDOMAIN", "flags: qr aa rd;", "60\tIN\tSOA\tns.operator.example."]),
        ("no data", ["status: NOERROR", "ANSWER: 0", "60\tIN\tSOA"]),
        ("not ours", ["status: REFUSED"]),
        ("too long", ["flags: qr aa tc rd;", "ANSWER: 0"]),
        ("silent", ["timed out"]),
        ("servfail", ["status: SERVFAIL"]),
        ("malformed", ["bad compression pointer"]),
        ("edns 1", ["status: BADVERS"]),
    ],
)
def test_dig_understands_what_is_wrong(told: dict[str, str], what: str, parts: list[str]) -> None:
    assert [part for part in parts if part not in told[what]] == []


@pytest.mark.parametrize("what", ["too long, by tcp", "too long, through the proxy"])
def test_dig_fetches_truncated_answers_by_tcp(told: dict[str, str], what: str) -> None:
    assert len([line for line in told[what].splitlines() if line.startswith("10.0.0.")]) == 100
