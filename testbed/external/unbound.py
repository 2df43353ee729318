"""NLnet Labs' Unbound as a name server that holds the zone itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.external.bind import Bind
from testbed.external.program import About, ExternalProgram
from testbed.external.zone_file import origin, zone_file
from testbed.topology import Node

CONFIGURATION = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    verbosity: 1
    interface: {listen}
    port: 53
    do-ip6: no
    access-control: 0.0.0.0/0 allow
    module-config: "iterator"
    local-zone: "." refuse
    local-zone: "{origin}." transparent
remote-control:
    control-enable: no
auth-zone:
    name: "{origin}."
    zonefile: "{folder}/zone"
    for-downstream: yes
    for-upstream: no
"""


class Unbound(ExternalProgram):
    """unbound, authoritative for the node's zone; anything else is refused."""

    about = About(
        program="unbound",
        package="unbound",
        command="unbound",
        plays=("dns_server",),
        version_arguments=("-V",),
        version_pattern=r"Version (\S+)",
        ready_pattern=r"start of service",
        cannot=Bind.about.cannot,
    )

    def require(self, node: Node) -> None:
        """It needs a zone."""
        origin(node)

    def files(self, folder: Path) -> Mapping[str, str]:
        """unbound.conf and the zone."""
        listen = self.node.address or "0.0.0.0"
        configuration = CONFIGURATION.format(folder=folder, listen=listen, origin=origin(self.node))
        return {"unbound.conf": configuration, "zone": zone_file(self.node)}

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground, its log on standard error."""
        return ["-d", "-d", "-c", f"{folder}/unbound.conf"]
