"""Ports that a topology's nodes are told, so that the trace decodes what they carry."""

from __future__ import annotations

from urllib.parse import urlsplit

from testbed.topology import Topology
from testbed.trace.decoders import Decoders


def register_ports(decoders: Decoders, topology: Topology) -> None:
    """Have the ports that the topology's nodes are told decoded as what they carry."""
    decoders.register_web(*_web_ports(topology))
    decoders.register_stun(*_stun_ports(topology))


def _web_ports(topology: Topology) -> list[int]:
    """The ports of all URLs that the topology's nodes are told."""
    ports = []
    for node in topology.nodes.values():
        for value in node.settings.values():
            if not isinstance(value, str) or not value.startswith(("http://", "https://")):
                continue
            try:
                port = urlsplit(value).port
            except ValueError:
                continue  # whoever uses the URL says what is wrong with it
            if port is not None:
                ports.append(port)
    return ports


def _stun_ports(topology: Topology) -> list[int]:
    """The ports that the topology's STUN servers are told."""
    told = [node.settings for node in topology.nodes.values() if node.role == "stun_server"]
    return [each[name] for each in told for name in ("port", "other_port") if each.get(name)]
