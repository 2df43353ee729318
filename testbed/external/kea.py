"""ISC Kea's DHCPv4 server as a home gateway; option 125 is given to it by hand, octet by octet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import Unsupported
from testbed.external.dhcp_server import (
    INSIDE,
    NO_CPE,
    ForeignGateway,
    home_of,
    identity_of,
    leased_by,
)
from testbed.external.program import About
from testbed.protocols.association import DEVICE_CODES, DSL_FORUM, gateway_option
from testbed.topology import Node

TELLS_A_SERIAL = f"vendor[{DSL_FORUM}].option[{DEVICE_CODES[1]}].exists"
"""In Kea's words: a client that tells a Device Identity, of which the serial number is a part."""


class Kea(ForeignGateway):
    """kea-dhcp4 on the home link; the translation to the outside stays ours."""

    about = About(
        program="kea",
        package="kea-dhcp4-server",
        command="kea-dhcp4",
        plays=("gateway",),
        version_arguments=("-v",),
        version_pattern=r"(\d+(?:\.\d+)+)",
        ready_pattern=r"DHCP4_STARTED",
        cannot=NO_CPE,
    )

    def require(self, node: Node) -> None:
        """It serves DHCP and no DNS."""
        if node.settings.get("dns_proxy"):
            raise Unsupported(
                f"{node.name} is played by {self.about.program}, which forwards no DNS queries; "
                f"this run wants a DNS proxy: dnsmasq is one"
            )

    def files(self, folder: Path) -> Mapping[str, str]:
        """kea.json."""
        return {"kea.json": json.dumps({"Dhcp4": self._configuration()}, indent=1)}

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground, as always."""
        return ["-c", f"{folder}/kea.json"]

    def environment(self, folder: Path) -> dict[str, str]:
        """Its lock and process files lie in its folder too."""
        own = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
        return {**super().environment(folder), **own}

    def _configuration(self) -> dict[str, Any]:
        settings = self.node.settings
        first, last = leased_by(self.node)
        seconds = int(float(settings.get("lease_s", 3600)))
        return {
            "interfaces-config": {"interfaces": [INSIDE]},
            "lease-database": {"type": "memfile", "persist": False},
            "authoritative": True,
            "valid-lifetime": seconds,
            "min-valid-lifetime": 1,
            "expired-leases-processing": {"hold-reclaimed-time": 0},
            "client-classes": self._classes(),
            "subnet4": [
                {
                    "id": 1,
                    "subnet": str(home_of(self.node)),
                    "interface": INSIDE,
                    "pools": [{"pool": f"{first} - {last}"}],
                    "option-data": self._options(),
                }
            ],
            "loggers": [
                {
                    "name": "kea-dhcp4",
                    "severity": "INFO",
                    "output_options": [{"output": "stdout", "flush": True, "pattern": "%-5p %m\n"}],
                }
            ],
        }

    def _options(self) -> list[dict[str, Any]]:
        """What every client is told."""
        settings = self.node.settings
        servers: Sequence[str] = settings.get("dns_servers", ())
        told = {
            "routers": self.node.attachments[0].address,
            "domain-name-servers": ", ".join(servers),
            "domain-name": settings.get("domain_name"),
        }
        return [{"name": name, "data": data} for name, data in told.items() if data]

    def _classes(self) -> list[dict[str, Any]]:
        """Clients that tell a Device Identity are told the gateway's (TR-111 Part 1, 1.2.1)."""
        identity = identity_of(self.node)
        if identity is None:
            return []
        option = {
            "name": "vivso-suboptions",
            "csv-format": False,
            "always-send": True,
            "data": gateway_option(identity).value.hex(),
        }
        return [{"name": "tr111", "test": TELLS_A_SERIAL, "option-data": [option]}]
