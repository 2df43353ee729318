"""A zone of the topology as a zone file that any name server reads."""

from __future__ import annotations

from testbed.errors import Unsupported
from testbed.topology import Node

TTL_S = 300
SERVER = "name-server"
"""What the zone calls its server; node names may hold what no host's name may ("outer_dns")."""


def origin(node: Node) -> str:
    """The name of the node's zone, without the last dot.

    Raises:
        Unsupported: the topology gives the node no zone, or not its name.
    """
    if "zone" not in node.settings or not node.settings.get("origin"):
        raise Unsupported(
            f"{node.name}: only our own name server runs without a zone and its origin"
        )
    return str(node.settings["origin"]).rstrip(".")


def zone_file(node: Node) -> str:
    """The node's zone text, with the SOA and NS records that servers insist on where it has none.

    Names without a last dot are relative to the zone's own.
    """
    text = str(node.settings["zone"])
    head = [f"$ORIGIN {origin(node)}.", f"$TTL {TTL_S}"]
    kinds = {word.upper() for line in text.splitlines() for word in line.split(";")[0].split()}
    if "SOA" not in kinds:
        head.append(f"@ IN SOA {SERVER} hostmaster 1 3600 600 86400 {TTL_S}")
    if "NS" not in kinds:
        head.append(f"@ IN NS {SERVER}")
        head.append(f"{SERVER} IN A {node.address}")
    return "\n".join([*head, text])
