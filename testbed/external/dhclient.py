"""ISC dhclient as a LAN device: it gets the lease; option 125 is given to it by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from testbed.external.dhcp_client import NO_CPE, identity_option
from testbed.external.program import About, ExternalProgram
from testbed.external.udhcpc import read_words

INTERFACE = "eth0"
MARK = "dhclient-script:"
SCRIPT = f"""\
#!/bin/sh
echo "{MARK} $reason address=$new_ip_address mask=$new_subnet_mask router=$new_routers \
dns=$new_domain_name_servers lease=$new_dhcp_lease_time"
"""
CONFIGURATION = """\
option tr111-identity code 125 = string;
timeout 10;
retry 1;
initial-interval 1;
initial-delay 0;
request subnet-mask, routers, domain-name-servers, domain-name, tr111-identity;
"""


class Dhclient(ExternalProgram):
    """dhclient in the foreground; its script tells each event, and the node takes the address."""

    about = About(
        program="dhclient",
        package="isc-dhcp-client",
        command="dhclient",
        plays=("device",),
        version_arguments=("--version",),
        version_pattern=r"isc-dhclient-(\S+)",
        tells=frozenset({"CONNECTED", "RENEWED", "DISCONNECTED", "FAILED"}),
        cannot={
            **NO_CPE,
            "set_resolver": "it resolves no names",
        },
    )
    starts_off = True

    def files(self, folder: Path) -> Mapping[str, str]:
        """Its configuration, and the script that it calls at each event."""
        told = identity_option(self.node)
        line = "" if told is None else f"send tr111-identity {told.hex(':')};\n"
        name = f'send host-name "{self.node.name}";\n'
        return {"script": SCRIPT, "dhclient.conf": CONFIGURATION + name + line}

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground, with no file outside its folder."""
        words = ["-4", "-d", "-cf", f"{folder}/dhclient.conf", "-sf", f"{folder}/script"]
        return [*words, "-lf", f"{folder}/leases", "-pf", f"{folder}/pid", INTERFACE]

    def heard(self, line: str) -> None:
        """A line of the script is an event of the lease."""
        if not line.startswith(MARK):
            return
        event, *words = line.removeprefix(MARK).split()
        told = read_words(words)
        if event in ("BOUND", "REBOOT", "RENEW", "REBIND"):
            self._leased(told, renewed=event in ("RENEW", "REBIND"))
        elif event == "FAIL":
            self.host.tell("FAILED", step="1", cause="dhclient got no lease")
        elif event in ("EXPIRE", "RELEASE") and self.host.address_of(INTERFACE) is not None:
            self.host.set_default_route(None)
            self.host.clear_address(INTERFACE)
            self.host.tell("DISCONNECTED", cause=f"dhclient says {event}")

    def _leased(self, told: Mapping[str, Sequence[str]], renewed: bool) -> None:
        (address,) = told["address"]
        router = told["router"][0] if told["router"] else None
        if self.host.address_of(INTERFACE) != address:
            prefix_length = IPv4Network(f"0.0.0.0/{told['mask'][0]}").prefixlen
            self.host.set_address(INTERFACE, address, prefix_length)
        self.host.set_default_route(router)
        self.host.tell(
            "RENEWED" if renewed else "CONNECTED",
            address=address,
            router=router,
            dns_servers=list(told["dns"]),
            lease_s=float(told["lease"][0]),
        )
