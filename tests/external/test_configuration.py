"""What programs of casts are told: configuration, command line, and what comes of their words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from testbed.errors import EXIT_OK, MissingFeature, RoleCrashed, Unsupported
from testbed.external import PROGRAMS, find_program
from testbed.external.bind import Bind
from testbed.external.dnsmasq import Dnsmasq
from testbed.external.kea import Kea
from testbed.external.nginx import Nginx
from testbed.external.program import About, ExternalProgram, unconfined
from testbed.external.udhcpc import answered, read_words
from testbed.external.unbound import Unbound
from testbed.external.zone_file import zone_file
from testbed.host import ProgramHost
from testbed.protocols.dm.account import PROVISIONING_WBXML
from testbed.protocols.dm.proofs import package_mac
from testbed.protocols.pki import Identity
from testbed.topology import Node, Topology
from topologies.association import managed_home
from topologies.bootstrap import PIN, bootstrap_by_dns
from topologies.homes import home_on_internet

FOLDER = Path("/run/lab/x")
NOWHERE = cast(ProgramHost, SimpleNamespace())


def name_server(zone: str = "segw.operator.example. 300 IN A 203.0.113.50\n") -> Node:
    net = Topology("a name server")
    internet = net.link("internet", "203.0.113.0/24")
    return net.node(
        "outer_dns", internet.at(53), role="dns_server", zone=zone, origin="operator.example"
    )


def gateway(**settings: Any) -> Node:
    return home_on_internet(**settings).nodes["gateway"]


def files(program: type[ExternalProgram], node: Node) -> Mapping[str, str | bytes]:
    return program(NOWHERE, node, FOLDER / "log").files(FOLDER)


class Absent(ExternalProgram):
    """A program that no machine has."""

    about = About(
        program="absent",
        package="absent-daemon",
        command="no-such-program",
        plays=("gateway",),
        version_arguments=(),
        version_pattern="(.)",
        cannot={"set_dhcp": "it has no policy"},
        tells=frozenset({"CONNECTED"}),
    )


def test_a_zone_gets_the_records_that_servers_insist_on() -> None:
    assert zone_file(name_server("www IN A 203.0.113.80\n")).splitlines() == [
        "$ORIGIN operator.example.",
        "$TTL 300",
        "@ IN SOA name-server hostmaster 1 3600 600 86400 300",
        "@ IN NS name-server",
        "name-server IN A 203.0.113.53",
        "www IN A 203.0.113.80",
    ]


def test_records_that_a_zone_has_are_not_made_again() -> None:
    own = "@ IN SOA ns root 7 1 1 1 1\n@ IN NS ns\nns IN A 203.0.113.53\n"

    assert zone_file(name_server(own)) == f"$ORIGIN operator.example.\n$TTL 300\n{own}"


@pytest.mark.parametrize("program", [Bind, Unbound])
def test_a_name_server_without_a_zone_is_ours_alone(program: type[ExternalProgram]) -> None:
    net = Topology("a name server")
    node = net.node("outer_dns", net.link("internet", "203.0.113.0/24").at(53), role="dns_server")

    with pytest.raises(Unsupported, match="outer_dns: only our own name server runs without"):
        program(NOWHERE, node, FOLDER / "log")


def test_named_serves_the_node_s_zone_at_its_address_and_touches_no_file_of_the_host() -> None:
    text = files(Bind, name_server())["named.conf"]

    assert "listen-on port 53 { 203.0.113.53; };" in text
    assert 'zone "operator.example" {' in text
    assert "/etc" not in text
    assert text.count("/run/lab/x") == text.count("/") // 3


def test_unbound_stays_who_it_is_and_serves_the_zone_file() -> None:
    text = files(Unbound, name_server())["unbound.conf"]

    assert 'username: ""' in text
    assert "interface: 203.0.113.53" in text
    assert 'zonefile: "/run/lab/x/zone"' in text


def test_dnsmasq_leases_what_our_gateway_leases() -> None:
    lines = files(Dnsmasq, gateway(lease_s=600))["dnsmasq.conf"].splitlines()

    assert "dhcp-range=192.168.1.100,192.168.1.199,255.255.255.0,600" in lines
    assert "dhcp-option=option:router,192.168.1.1" in lines
    assert "dhcp-option=option:dns-server,203.0.113.53" in lines
    assert "port=0" in lines
    assert not [line for line in lines if line.startswith("server=")]


def test_dnsmasq_as_proxy_names_itself_and_forwards() -> None:
    lines = files(Dnsmasq, gateway(dns_proxy=True))["dnsmasq.conf"].splitlines()

    assert "dhcp-option=option:dns-server,192.168.1.1" in lines
    assert "server=203.0.113.53" in lines
    assert "port=53" in lines


def test_dnsmasq_refuses_leases_that_it_would_lengthen() -> None:
    with pytest.raises(Unsupported) as raised:
        files(Dnsmasq, gateway(lease_s=2))

    assert str(raised.value) == (
        "gateway is played by dnsmasq, whose leases last 120 s at least; this run wants 2 s"
    )
    assert raised.value.exit_status == EXIT_OK


def kea_configuration(node: Node) -> Any:
    return json.loads(files(Kea, node)["kea.json"])["Dhcp4"]


def test_kea_leases_what_our_gateway_leases() -> None:
    told = kea_configuration(gateway(lease_s=2))
    (subnet,) = told["subnet4"]

    assert (subnet["subnet"], subnet["interface"]) == ("192.168.1.0/24", "eth0")
    assert subnet["pools"] == [{"pool": "192.168.1.100 - 192.168.1.199"}]
    assert {each["name"]: each["data"] for each in subnet["option-data"]} == {
        "routers": "192.168.1.1",
        "domain-name-servers": "203.0.113.53",
    }
    assert told["valid-lifetime"] == 2
    assert told["client-classes"] == []


def test_a_managed_kea_tells_its_identity_to_who_tells_a_serial_number() -> None:
    (told,) = kea_configuration(managed_home().nodes["gateway"])["client-classes"]
    (option,) = told["option-data"]

    assert told["test"] == "vendor[3561].option[2].exists"
    assert bytes.fromhex(option["data"]) == bytes.fromhex("00000de916") + (
        b"\x04\x0600005E\x05\x03GW1\x06\x07Gateway"
    )


def test_kea_is_no_dns_proxy() -> None:
    with pytest.raises(Unsupported, match="kea, which forwards no DNS queries"):
        files(Kea, gateway(dns_proxy=True))


def test_a_lease_s_words_are_read() -> None:
    words = "address=192.168.1.100 mask=24 router=192.168.1.1 dns=10.0.0.1 10.0.0.2 lease="

    assert read_words(words.split(" ")) == {
        "address": ["192.168.1.100"],
        "mask": ["24"],
        "router": ["192.168.1.1"],
        "dns": ["10.0.0.1", "10.0.0.2"],
        "lease": [],
    }


def test_the_server_of_nslookup_is_no_answer() -> None:
    said = """\
Server:\t\t203.0.113.53
Address:\t203.0.113.53:53

www.operator.example\tcanonical name = hms.operator.example
Name:\thms.operator.example
Address: 203.0.113.20
"""

    assert answered(said.splitlines()) == ["203.0.113.20"]
    assert answered(said.splitlines()[:2]) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_called_in_the_table_what_it_calls_itself(name: str) -> None:
    assert find_program(name).about.program == name


def test_a_missing_program_is_told_with_debian_s_package() -> None:
    with pytest.raises(MissingFeature) as raised:
        Absent.version()

    assert str(raised.value) == (
        "the cast absent needs the program no-such-program, which this machine lacks; "
        "as root run: apt-get install --no-install-recommends absent-daemon"
    )
    assert raised.value.exit_status == 3


@pytest.mark.parametrize(
    ("ability", "reason"),
    [("set_dhcp", "it has no policy"), ("server", "only the testbed's own role has that")],
)
def test_what_only_our_role_can_do_is_unsupported(ability: str, reason: str) -> None:
    absent = Absent(NOWHERE, gateway(), FOLDER / "log")

    with pytest.raises(Unsupported) as raised:
        getattr(absent, ability)

    assert str(raised.value) == (f"gateway is played by absent, which has no {ability!r}: {reason}")


def test_an_event_that_a_program_never_tells_is_not_waited_for() -> None:
    absent = Absent(NOWHERE, gateway(), FOLDER / "log")

    absent.must_tell("CONNECTED")
    absent.must_tell("EXITED")
    with pytest.raises(Unsupported, match=r"gateway is played by absent.* does not tell 'LINK'"):
        absent.must_tell("LINK")


def test_a_program_with_a_profile_is_run_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.external.program.APPARMOR_PROFILES", tmp_path)
    program = tmp_path / "daemon"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()

    assert unconfined(str(program), folder) == str(program)
    (tmp_path / str(program)[1:].replace("/", ".")).touch()
    assert unconfined(str(program), folder) == str(folder / "daemon")
    assert (folder / "daemon").stat().st_mode & 0o111


def test_named_without_its_zone_is_a_crash_and_not_a_cast() -> None:
    bind = Bind(NOWHERE, name_server(), FOLDER / "log")
    bind.process = cast(Any, SimpleNamespace(last_lines=["zone: bad name"]))

    bind.heard("all zones loaded")

    with pytest.raises(RoleCrashed, match=r"cannot read its zone; .*\n  log        zone: bad name"):
        bind.heard("zone operator.example/IN: not loaded due to errors.")


def test_nginx_holds_the_packages_of_the_devices_that_are_enrolled() -> None:
    node = bootstrap_by_dns().nodes["bootstrap_server"]
    identity = Identity("bootstrap.mobilecarrier.example", b"certificate\n", b"key", (b"issuer\n",))
    told = files(Nginx, replace(node, settings={**node.settings, "identity": identity}))

    configuration = str(told["nginx.conf"])
    package = told["02000000C0DE"]
    assert isinstance(package, bytes)
    mac = package_mac(PIN, package)
    assert f"default_type '{PROVISIONING_WBXML}; sec=1; mac={mac}';" in configuration
    assert '"~*^GET (1\\.[23])? 02000000C0DE$" 02000000C0DE;' in configuration
    assert "listen 192.168.1.60:4443 ssl;" in configuration
    assert told["certificate.pem"] == b"certificate\nissuer\n"


def test_nginx_is_no_server_in_clear() -> None:
    node = bootstrap_by_dns().nodes["bootstrap_server"]
    clear = replace(node, settings={**node.settings, "url": "http://192.168.1.60/"})

    with pytest.raises(Unsupported, match="which is set up for HTTPS only; the node's url is"):
        Nginx(NOWHERE, clear, FOLDER / "log")
