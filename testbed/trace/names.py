"""Who is who in a capture of the field, as a file of names tells it (TOML).

    [hnb]
    addresses = ["192.168.1.10", "00:00:5e:00:53:01"]

    [initial_hms]
    addresses = ["203.0.113.20"]
    web_ports = [8443]

Before the tables may stand `facts = ["whole"]`: what the capture does not show by itself, and whose
names the checks know (`conformance.suppositions`).

A table is a node, by the name that the checks know it by; `role` is what plays it, and is the
node's name without the number behind it where nothing else is said.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from testbed.errors import BadInput, DecodeError
from testbed.trace.dissect import ARP, ETHERNET, cut_link
from testbed.trace.packets import decode_arp
from testbed.trace.record import Frame
from testbed.trace.trace import Trace

PORTS = ("web_ports", "stun_ports")
KEYS = ("addresses", "role", *PORTS)
FACTS = "facts"
ROUTERS = ("gateway", "segw")
_NODE = re.compile(r"^[a-z][a-z_]*[0-9]*$")
_HARDWARE = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
ROLES_BY_NAME = {
    "initial_hms": "hms",
    "serving_hms": "hms",
    "outer_dns": "dns_server",
    "inner_dns": "dns_server",
    "serving_segw": "segw",
}
"""What plays a node whose name is not its role's."""


@dataclass
class Names:
    """Who is who.

    Attributes:
        roles: who plays each node.
        hardware_addresses: link-layer address to node.
        addresses: IP addresses by node.
        ports: where HTTP and STUN are spoken, beside the usual ones, by the key that says so.
        facts: what else holds of the capture, for checks to go by.
    """

    roles: dict[str, str] = field(default_factory=dict)
    hardware_addresses: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, list[str]] = field(default_factory=dict)
    ports: dict[str, set[int]] = field(default_factory=lambda: {key: set() for key in PORTS})
    facts: set[str] = field(default_factory=set)

    def trace(self, frames: list[Frame]) -> Trace:
        """An empty trace in which these are known, for frames of a capture."""
        trace = Trace()
        trace.is_excerpt = True
        trace.facts = frozenset(self.facts)
        links = sorted({frame.link for frame in frames}) or [""]
        known = {**self._told_by_arp(frames), **self.hardware_addresses}
        places = {
            each: (node, "", links[0] if len(links) == 1 else "") for each, node in known.items()
        }
        trace.set_nodes(places, {(node, ""): each for node, each in self.addresses.items()})
        for frame in frames:
            if frame.node and frame.link_type != ETHERNET:  # who else may be meant there
                trace.addresses.join(frame.node, frame.interface, frame.link)
        trace.set_roles(self.roles)
        trace.decoders.register_web(*sorted(self.ports["web_ports"]))
        trace.decoders.register_stun(*sorted(self.ports["stun_ports"]))
        return trace

    def _told_by_arp(self, frames: list[Frame]) -> dict[str, str]:
        """The link-layer addresses of nodes of which only the IP address was named.

        Not those of routers: there they stand on all that is forwarded, whoever has sent it.
        """
        holders = {
            each: node
            for node, held in self.addresses.items()
            for each in held
            if self.roles[node] not in ROUTERS
        }
        found: dict[str, str] = {}
        for frame in frames:
            try:
                link = cut_link(frame)
                said = decode_arp(link.payload) if link and link.ethertype == ARP else None
            except DecodeError:
                continue
            if said is not None and said.sender_address in holders:
                found.setdefault(said.sender_hardware_address, holders[said.sender_address])
        return found


def load_names(path: Path) -> Names:
    """The names in a file.

    Raises:
        BadInput: it cannot be read, or says something else than who is who.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"names {path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"names {path}: not TOML: {error}") from None
    names = Names()
    names.facts.update(_list(told, FACTS, str, f"names {path}"))
    told.pop(FACTS, None)
    for node, table in told.items():
        _add(names, node, table, f"names {path}: {node}")
    if not names.roles and not names.facts:
        raise BadInput(f"names {path}: names nobody; a table such as [hnb] with addresses does")
    return names


def _add(names: Names, node: str, table: Any, subject: str) -> None:
    if not isinstance(table, dict):
        raise BadInput(f"{subject}: a table is expected: [{node}], and below it addresses")
    if not _NODE.match(node):
        raise BadInput(f"{subject}: a node's name has small letters, a number behind: hnb, hnb2")
    for key in table:
        if key not in KEYS:
            raise BadInput(f"{subject}: {key} is no key; {', '.join(KEYS)} are")
    plain = node.rstrip("0123456789")
    role = table.get("role", ROLES_BY_NAME.get(plain, plain))
    if not isinstance(role, str):
        raise BadInput(f"{subject}: role is {role!r}; a text is expected")
    names.roles[node] = role
    for key, known in names.ports.items():
        for port in _list(table, key, int, subject):
            if not 0 < port < 1 << 16:
                raise BadInput(f"{subject}: {key} holds {port}; a port is 1 to 65535")
            known.add(port)
    addresses = _list(table, "addresses", str, subject)
    if not addresses:
        raise BadInput(f'{subject}: has no addresses; addresses = ["192.168.1.10"] is expected')
    for address in addresses:
        _add_address(names, node, address, subject)


def _add_address(names: Names, node: str, address: str, subject: str) -> None:
    hardware = address.lower().replace("-", ":")
    if _HARDWARE.match(hardware):
        other = names.hardware_addresses.setdefault(hardware, node)
    else:
        try:
            text = str(ip_address(address))
        except ValueError:
            raise BadInput(
                f"{subject}: {address!r} is neither an IP address nor a link-layer address"
            ) from None
        holders = (each for each, held in names.addresses.items() if text in held)
        other = next(holders, node)
        names.addresses.setdefault(node, []).append(text)
    if other != node:
        raise BadInput(f"{subject}: {address} is {other}'s already")


def _list(table: dict[str, Any], key: str, kind: type, subject: str) -> list[Any]:
    given = table.get(key, [])
    wrong = not isinstance(given, list) or any(type(each) is not kind for each in given)
    if wrong:
        what = "texts" if kind is str else "numbers"
        raise BadInput(f"{subject}: {key} is {given!r}; a list of {what} is expected")
    return list(given)
