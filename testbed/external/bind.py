"""ISC BIND's named as a name server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.errors import RoleCrashed
from testbed.external.program import About, ExternalProgram
from testbed.external.zone_file import origin, zone_file
from testbed.topology import Node

CONFIGURATION = """\
options {{
    directory "{folder}";
    pid-file none;
    lock-file none;
    session-keyfile "{folder}/session.key";
    managed-keys-directory "{folder}";
    listen-on port 53 {{ {listen}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    empty-zones-enable no;
    notify no;
}};
controls {{ }};
zone "{origin}" {{
    type primary;
    file "{folder}/zone";
}};
"""


class Bind(ExternalProgram):
    """named, authoritative for the node's zone; anything else is refused."""

    about = About(
        program="bind",
        package="bind9",
        command="named",
        plays=("dns_server",),
        version_arguments=("-v",),
        version_pattern=r"BIND (\S+?)(-Debian)? ",
        ready_pattern=r"\brunning$",
        cannot={
            "zone": "its zone is fixed when it starts, and it does not misbehave",
            "zone_for": "its zone is fixed when it starts, and it does not misbehave",
            "publish": "its zone is fixed when it starts",
        },
    )

    def require(self, node: Node) -> None:
        """It needs a zone."""
        origin(node)

    def files(self, folder: Path) -> Mapping[str, str]:
        """named.conf and the zone."""
        listen = self.node.address or "any"
        configuration = CONFIGURATION.format(folder=folder, listen=listen, origin=origin(self.node))
        return {"named.conf": configuration, "zone": zone_file(self.node)}

    def heard(self, line: str) -> None:
        """It serves on without a zone that it could not read: that is no cast."""
        if "not loaded due to errors" in line and self.process is not None:
            raise RoleCrashed(f"cannot read its zone; {self.last_lines(self.process)}")

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground, on one thread, without dropping privileges (no `-u`)."""
        return ["-g", "-4", "-n", "1", "-c", f"{folder}/named.conf"]
