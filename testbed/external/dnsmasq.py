"""dnsmasq as a home gateway: DHCP server, and DNS forwarder where the topology wants a proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

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
from testbed.protocols.association import DSL_FORUM, GATEWAY_CODES
from testbed.topology import Node

SHORTEST_LEASE_S = 120


class Dnsmasq(ForeignGateway):
    """dnsmasq on the home link; the translation to the outside stays ours."""

    about = About(
        program="dnsmasq",
        package="dnsmasq-base",
        command="dnsmasq",
        plays=("gateway",),
        version_arguments=("--version",),
        version_pattern=r"Dnsmasq version (\S+)",
        ready_pattern=r"dnsmasq: started, version",
        cannot=NO_CPE,
    )

    def require(self, node: Node) -> None:
        """Its shortest lease is two minutes; its home's link holds the addresses that it leases."""
        lease_s = float(node.settings.get("lease_s", 3600))
        if lease_s < SHORTEST_LEASE_S:
            raise Unsupported(
                f"{node.name} is played by {self.about.program}, whose leases last "
                f"{SHORTEST_LEASE_S} s at least; this run wants {lease_s:g} s"
            )

    def files(self, folder: Path) -> Mapping[str, str]:
        """dnsmasq.conf."""
        inside = self.node.attachments[0]
        first, last = leased_by(self.node)
        settings = self.node.settings
        upstream: Sequence[str] = settings.get("dns_servers", ())
        proxy = bool(settings.get("dns_proxy", False))
        servers = [str(inside.address)] if proxy else upstream
        lines = [
            f"port={53 if proxy else 0}",
            f"interface={INSIDE}",
            "except-interface=lo",
            "bind-interfaces",
            "no-hosts",
            "no-resolv",
            *(f"server={each}" for each in upstream if proxy),
            f"dhcp-range={first},{last},{home_of(self.node).netmask},"
            f"{float(settings.get('lease_s', 3600)):.0f}",
            f"dhcp-option=option:router,{inside.address}",
            f"dhcp-option=option:dns-server{''.join(f',{each}' for each in servers)}",
            *([f"domain={settings['domain_name']}"] if settings.get("domain_name") else []),
            *_identity_lines(self.node),
            "dhcp-authoritative",
            "no-ping",
            f"dhcp-leasefile={folder}/leases",
            "log-dhcp",
        ]
        return {"dnsmasq.conf": "\n".join(lines) + "\n"}

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground; `-d` also keeps it from becoming another user."""
        return ["-d", f"--conf-file={folder}/dnsmasq.conf"]


def _identity_lines(node: Node) -> list[str]:
    """Its Gateway Identity for clients that tell a Device Identity (TR-111 Part 1, 1.2.5).

    dnsmasq knows these clients by the tag cpewan-id, as its contrib/CPE-WAN/README has it.
    """
    identity = identity_of(node)
    if identity is None:
        return []
    elements = (identity.oui, identity.serial_number, identity.product_class)
    told = zip(GATEWAY_CODES, elements, strict=True)
    return [
        f'dhcp-option-force=tag:cpewan-id,vi-encap:{DSL_FORUM},{code},"{text}"'
        for code, text in told
        if text
    ]
