"""What a NAT's description asks of the wiring: outside addresses to spare, a carrier's NAT, and the
way back where nothing is translated."""

from __future__ import annotations

import dataclasses

from testbed.errors import BadInput
from testbed.topology.nat import Nat
from testbed.topology.wiring import By, Node, Topology

ACCESS_SUBNET = "100.64.0.0/24"
"""Between homes and their carrier (RFC 6598, shared address space)."""


def furnish(topology: Topology) -> Topology:
    """Give gateways the outside addresses that their NATs ask for, carriers before them, and
    others a route to those that do not translate.

    The outside of a node that translates is its last attachment.

    Raises:
        BadInput: the outside has no fixed address, so that none can be put beside it.
    """
    for name, node in list(topology.nodes.items()):
        if node.nat is None:
            continue
        if node.nat.carrier is not None:
            node = _behind_carrier(topology, node, node.nat.carrier)
        topology.nodes[name] = _with_pool(topology, node)
    _route_back(topology)
    return topology


def _route_back(topology: Topology) -> None:
    """Who has no router of its own, beside a gateway that does not translate, has that gateway: its
    inside is nobody else's.  Several such gateways have the same inside, and no way back."""
    untranslated: dict[str, list[str]] = {}
    for node in topology.nodes.values():
        outside = node.attachments[-1]
        if node.nat is not None and not node.nat.translates and outside.by is By.STATIC:
            untranslated.setdefault(outside.link, []).append(outside.address or "")
    for link, gateways in untranslated.items():
        if len(gateways) > 1:
            continue
        for name, node in list(topology.nodes.items()):
            is_there = any(each.link == link for each in node.attachments)
            if is_there and node.nat is None and node.router is None:
                topology.nodes[name] = dataclasses.replace(node, router=gateways[0])


def _with_pool(topology: Topology, node: Node) -> Node:
    assert node.nat is not None
    more = node.nat.addresses - 1 - len(node.pool)
    if more <= 0:
        return node
    outside = node.attachments[-1]
    if outside.by is not By.STATIC:
        raise BadInput(
            f"NAT {node.nat.name} of {node.name} needs {node.nat.addresses} outside addresses, "
            f"and its interface on link {outside.link} has no fixed one"
        )
    link = topology.links[outside.link]
    spare = tuple(str(link.next_free().address) for _ in range(more))
    return dataclasses.replace(node, pool=node.pool + spare)


def _behind_carrier(topology: Topology, node: Node, nat: Nat) -> Node:
    """Put a carrier's NAT between the node and its outside; gives the node as it is then.

    The carrier takes over the node's outside attachment, and all that is said of its outside: other
    nodes see the same address as before.
    """
    number = node.name[len(node.name.rstrip("0123456789")) :]
    access = topology.link(f"access{number}", ACCESS_SUBNET)
    here = access.at(1)
    carrier = Node(
        f"carrier{number}",
        "carrier",
        (here, node.attachments[-1]),
        nat,
        router=node.router,
        pool=node.pool,
    )
    if carrier.name in topology.nodes:
        raise BadInput(f"topology: two nodes are called {carrier.name!r}")
    topology.nodes[carrier.name] = _with_pool(topology, carrier)
    attachments = (*node.attachments[:-1], access.next_free())
    kept = dataclasses.replace(node.nat, carrier=None) if node.nat is not None else None
    return dataclasses.replace(
        node, attachments=attachments, router=here.address, nat=kept, pool=()
    )
