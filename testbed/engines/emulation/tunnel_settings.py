"""A role's profile and policy of tunnels, as charon takes them over vici."""

from __future__ import annotations

import math
from typing import Any

from testbed.host import TunnelLife, TunnelPolicy, TunnelProfile
from testbed.topology import Algorithms

IKE_PROPOSALS = ("aes128-sha256-ecp256-modp2048", "aes128-sha1-modp2048")
"""What the profile of TS 33.310 (6.2.1b, 5.2.2) lets both sides have."""
ESP_PROPOSALS = ("aes128-sha256", "aes128-sha1")
OTHER_IKE_PROPOSALS, OTHER_ESP_PROPOSALS = ("aes256-sha384-ecp384",), ("aes256-sha384",)
"""What no initiator offers that keeps to the profile."""
INTERFACE_ID = 1
"""Ties the policies of a node's tunnels to its XFRM interface, where the kernel does ESP."""
_MARGIN_LEAST_S = 10.0

Message = dict[str, Any]


def initiator(name: str, remote: str, profile: TunnelProfile, kernel: bool) -> Message:
    """The connection of an initiator.

    Args:
        name: the connection's, and that of its only child.
        remote: the responder's outer address.
        profile: what is asked for and checked.
        kernel: whether the kernel does ESP.
    """
    peer = f"fqdn:{profile.peer_name}" if profile.verifies_name else "%any"
    child = {**_child(profile.life, kernel), "remote_ts": list(profile.protects)}
    return {
        name: {
            **_life(profile.life),
            "remote_addrs": [remote],
            "vips": ["0.0.0.0"],
            "local": _own_side(profile.identity.certificate, f"fqdn:{profile.identity.name}"),
            "remote": {"auth": "pubkey", "id": peer, "cacerts": _texts(profile.roots)},
            "children": {name: child},
        }
    }


def responder(
    name: str, pool_name: str, claimed: str, policy: TunnelPolicy, kernel: bool
) -> Message:
    """The connection of a responder.

    Args:
        name: the connection's.
        pool_name: of the addresses that it gives.
        claimed: who it says it is: a name, or "%any": whom the initiator asked for.
        policy: what it gives and accepts.
        kernel: whether the kernel does ESP.
    """
    child = {**_child(policy.life, kernel), "local_ts": list(policy.protects)}
    others: Message = {}
    if policy.algorithms is Algorithms.OTHER_IKE:
        others["proposals"] = list(OTHER_IKE_PROPOSALS)
    if policy.algorithms is Algorithms.OTHER_ESP:
        child["esp_proposals"] = list(OTHER_ESP_PROPOSALS)
    return {
        name: {
            **_life(policy.life),
            **others,
            "pools": [pool_name],
            "local": _own_side(policy.identity.certificate, claimed),
            "remote": {"auth": "pubkey", "cacerts": _texts(policy.roots)},
            "children": {name: child},
        }
    }


def pool(name: str, policy: TunnelPolicy) -> Message:
    """The addresses that a responder gives, and the DNS servers that it tells."""
    return {name: {"addrs": policy.pool, "dns": list(policy.dns_servers)}}


def _own_side(certificate: bytes, name: str) -> Message:
    return {"auth": "pubkey", "certs": [certificate], "id": name}


def _texts(certificates: tuple[bytes, ...]) -> list[bytes]:
    return list(certificates)


def _life(life: TunnelLife) -> Message:
    return {
        "version": "2",
        "proposals": list(IKE_PROPOSALS),
        "mobike": "yes" if life.mobile else "no",
        "dpd_delay": _seconds(life.dead_peer_s),
        "rekey_time": _seconds(life.ike_rekey_s),
        "over_time": _seconds(_margin(life.ike_rekey_s)),
        "rand_time": "0s",
        "send_cert": "always",
    }


def _child(life: TunnelLife, kernel: bool) -> Message:
    message: Message = {
        "esp_proposals": list(ESP_PROPOSALS),
        "rekey_time": _seconds(life.rekey_s),
        "life_time": _seconds(life.rekey_s + _margin(life.rekey_s)),
        "rand_time": "0s",
        "dpd_action": "clear",
    }
    if kernel:
        message |= {"if_id_in": INTERFACE_ID, "if_id_out": INTERFACE_ID}
    return message


def _margin(rekey_s: float) -> float:
    """How long old keys may still be used when it was time to change them."""
    return max(_MARGIN_LEAST_S, rekey_s / 10) if rekey_s else 0.0


def _seconds(seconds: float) -> str:
    """charon takes whole seconds, and 0 as never: what is asked for comes no sooner."""
    return f"{math.ceil(seconds)}s"
