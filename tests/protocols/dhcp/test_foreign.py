"""Our server and foreign clients, our client and foreign servers, in real namespaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).with_name("foreign_lab.py")
ROOT = Path(__file__).parents[3]
DEVICE = [[3561, [[1, "00D09E"], [2, "SERIAL"]]]]
PACKAGES = {
    "udhcpc": "udhcpc",
    "busybox": "busybox",
    "dhclient": "isc-dhcp-client",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "unshare": "util-linux",
}


def missing(*programs: str) -> str:
    """The packages to install, in words; "" when every program is there."""
    lacking = [program for program in programs if shutil.which(program) is None]
    packages = [PACKAGES[program] for program in lacking]
    if not lacking:
        return ""
    return f"missing: {', '.join(lacking)}; apt install {' '.join(packages)}"


def has_applet(name: str) -> bool:
    """Whether busybox is there and was built with that program."""
    if shutil.which("busybox") is None:
        return False
    done = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
    return name in done.stdout.split()


def run(case: str, folder: Path) -> list[dict]:
    """What our machine reported in that case of the lab."""
    private = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        private += ["--user", "--map-root-user"]
    done = subprocess.run(
        [*private, sys.executable, str(LAB), case, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


pytestmark = [
    pytest.mark.emulation,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing("ip", "unshare")), reason=missing("ip", "unshare")),
]


@pytest.mark.skipif(
    shutil.which("udhcpc") is None and not has_applet("udhcpc"),
    reason="missing: udhcpc; apt install udhcpc",
)
def test_our_server_leases_renews_and_takes_back_from_udhcpc(tmp_path):
    events = run("udhcpc", tmp_path)

    first, *between, last = [each["event"] for each in events]
    assert (first, last) == ("Leased", "Released")
    # udhcpc opens its socket only after it has asked: where our answer comes before, it asks again.
    assert set(between) == {"Renewed"}
    assert {each["address"] for each in events} == {"192.168.7.100"}
    assert events[0]["identity"] == DEVICE


@pytest.mark.skipif(bool(missing("dhclient")), reason=missing("dhclient"))
def test_our_server_leases_to_dhclient_and_knows_it_after_its_reboot(tmp_path):
    events = run("dhclient", tmp_path)

    assert [each["event"] for each in events] == ["Leased", "Leased"]
    assert {each["address"] for each in events} == {"192.168.7.100"}
    assert events[1]["identity"] == DEVICE


@pytest.mark.skipif(bool(missing("dnsmasq")), reason=missing("dnsmasq"))
def test_our_client_is_served_by_dnsmasq_which_tells_the_gateways_identity(tmp_path):
    events = run("dnsmasq", tmp_path)

    assert [each["event"] for each in events] == ["Bound", "Renewed", "Bound"]
    assert len({each["address"] for each in events}) == 1
    for each in events:
        [[enterprise, values]] = each["identity"]
        assert enterprise == 3561
        assert sorted(values) == [[4, "00D09E"], [5, "GWSERIAL1"]]


@pytest.mark.skipif(
    not has_applet("udhcpd"), reason="missing: busybox with udhcpd; apt install busybox"
)
def test_our_client_is_served_by_udhcpd(tmp_path):
    events = run("udhcpd", tmp_path)

    assert [each["event"] for each in events] == ["Bound", "Renewed", "Bound"]
    assert len({each["address"] for each in events}) == 1
