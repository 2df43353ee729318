"""A run's certificates, made from its seed: one operator root, an identity for each named node.

Every node is told `roots` (what it trusts), `foreign_roots` (what it must not trust: for faults
that do) and `moment` (the date at the run's start) by its settings; a node that has names, or
stands in for an HNB, is told its `identity` too.  What a topology wants wrong with a certificate it
says by the node's setting `certificate`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.topology import Certificate, Node, Topology

if TYPE_CHECKING:
    from testbed.protocols.pki import Authority, Identity

OPERATOR_ROOT = "Operator Root"
FOREIGN_ROOT = "Foreign Root"
DAY_S = 86_400.0


def equip(topology: Topology, seed: str, moment: float) -> None:
    """Give the nodes of a topology their certificates; one without names is left as it is.

    Args:
        topology: its nodes are replaced.
        seed: of the run: the same gives the same keys.
        moment: the date at the run's start, seconds since 1970 (UTC).
    """
    if not any(node.names for node in topology.nodes.values()):
        return
    from testbed.protocols.pki import Authority  # costs an import of cryptography

    operator = Authority(OPERATOR_ROOT, seed, moment)
    foreign = Authority(FOREIGN_ROOT, seed, moment)
    for name, node in topology.nodes.items():
        told = {
            "roots": (operator.certificate,),
            "foreign_roots": (foreign.certificate,),
            "moment": moment,
        }
        identity = _identity(node, operator, seed, moment)
        if identity is not None:
            told["identity"] = identity
        topology.nodes[name] = dataclasses.replace(node, settings={**told, **node.settings})


def write_credentials(node: Node, folder: Path) -> None:
    """Write what a device in the node's place has to be given: `roots.pem`, whom it is to trust,
    and NODE.crt and NODE.key, where it is to have a certificate of its own.

    Args:
        node: as `equip` left it.
        folder: made if need be.
    """
    roots = node.settings.get("roots", ())
    if not roots:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "roots.pem").write_bytes(b"".join(roots))
    identity: Identity | None = node.settings.get("identity")
    if identity is not None:
        (folder / f"{node.name}.crt").write_bytes(identity.certificate + b"".join(identity.chain))
        key = folder / f"{node.name}.key"
        key.touch(mode=0o600)
        key.write_bytes(identity.key)


def _identity(node: Node, operator: Authority, seed: str, moment: float) -> Identity | None:
    from testbed.protocols.pki import Authority

    if node.role == "hnb":
        return operator.issue(f"{node.name}.hnb.operator.example")
    if not node.names or node.settings.get("certificate") is Certificate.NONE:
        return None
    first = node.names[0]
    match node.settings.get("certificate", Certificate.GOOD):
        case Certificate.WRONG_NAME:
            return operator.issue(f"other.{first}")
        case Certificate.WRONG_ROOT:
            return Authority(FOREIGN_ROOT, seed, moment).issue(first, node.names)
        case Certificate.EXPIRED:
            return operator.issue(first, node.names, -30 * DAY_S, -DAY_S)
        case Certificate.NOT_YET_VALID:
            return operator.issue(first, node.names, DAY_S, 30 * DAY_S)
        case Certificate.COMMON_NAME_ONLY:
            return operator.issue(first, ())
        case Certificate.ADDRESS:
            return operator.issue(first, (*node.names, node.address or ""))
        case _:
            return operator.issue(first, node.names)
