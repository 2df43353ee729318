"""Faults of trust: what an HNB accepts of a server, and what an HMS shows (TS 32.583, 5.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from testbed.faults.fault import fault
from testbed.host import TlsProfile, TunnelProfile
from testbed.protocols.pki import Authority
from testbed.roles.cpe_http import Trust
from testbed.roles.cpe_policy import CpePolicy
from testbed.roles.hms import Hms
from testbed.roles.hnb import Hnb


def _trust_otherwise(hnb: Hnb, change: Callable[[TlsProfile], TlsProfile]) -> None:
    """Have the HNB check something else than its factory data say."""

    class Gullible(Trust):
        """Trust with something left out."""

        def towards(self, host: str, policy: CpePolicy) -> TlsProfile:
            return change(super().towards(host, policy))

    hnb.cpe.trust = Gullible(hnb.cpe.trust.profile, hnb.cpe.trust.moment)


@fault(
    "hnb.trusts-anybody",
    role="hnb",
    breaks=("32583-5.1-P5", "32583-5.1-P8", "32583-5.1.2-3"),
    shown_in=("discovery_cert_mismatch",),
)
def trusts_anybody(hnb: Hnb) -> None:
    """The HNB takes any certificate: of any root, and for any name."""
    _trust_otherwise(hnb, lambda profile: dataclasses.replace(profile, verifies=False))


@fault(
    "hnb.ignores-certificate-name",
    role="hnb",
    breaks=("32583-5.1-P8", "32583-5.1.2-3"),
    shown_in=("discovery_cert_mismatch/",),
)
def ignores_certificate_name(hnb: Hnb) -> None:
    """The HNB does not compare the host that it wants with the certificate that it gets."""
    _trust_otherwise(hnb, lambda profile: dataclasses.replace(profile, verifies_name=False))


@fault(
    "hnb.trusts-nobody",
    role="hnb",
    breaks=("32583-5.1-P5", "32583-5.1.1-2.3"),
    shown_in=("discovery_public/", "discovery_intranet/"),
)
def trusts_nobody(hnb: Hnb) -> None:
    """The HNB has lost its root, and refuses the operator's own HMS and SeGW."""
    moment = hnb.node.settings["moment"]
    stranger = Authority("Stranger", hnb.name, moment)
    profile = dataclasses.replace(hnb.cpe.trust.profile, roots=(stranger.certificate,))
    hnb.cpe.trust = Trust(profile, hnb.cpe.trust.moment)


@fault(
    "hnb.speaks-in-clear",
    role="hnb",
    breaks=("32583-5.1.2-3", "32583-5.1.2-F1"),
)
def speaks_in_clear(hnb: Hnb) -> None:
    """The HNB sends HTTP in clear to the port of an https URL."""

    class Careless(Trust):
        """No profile at all."""

        def towards(self, host: str, policy: CpePolicy) -> TlsProfile:
            return None  # type: ignore[return-value]  # that is the fault

    hnb.cpe.trust = Careless(hnb.cpe.trust.profile, hnb.cpe.trust.moment)


@fault(
    "hms.shows-a-strangers-certificate",
    role="hms",
    breaks=("32583-5.1-P8",),
    seen_in="gateways and ACS behind a load balancer whose certificate names another host",
)
def shows_a_strangers_certificate(hms: Hms) -> None:
    """HMS (initial) shows a certificate for another name, and of another root."""
    if hms.name != "initial_hms":
        return
    settings = hms.node.settings
    stranger = Authority("Stranger", hms.name, settings["moment"])
    identity = stranger.issue("www.stranger.example")
    hms.node = dataclasses.replace(hms.node, settings={**settings, "identity": identity})


def _ask_segws_otherwise(hnb: Hnb, change: Callable[[TunnelProfile], TunnelProfile]) -> None:
    """Have the HNB check something else of a SeGW than its factory data say."""
    profile = hnb.secure.profile

    def changed(name: str) -> TunnelProfile:
        return change(profile(name))

    hnb.secure.profile = changed  # type: ignore[method-assign]  # that is the fault


@fault(
    "hnb.ignores-segw-name",
    role="hnb",
    breaks=("32583-5.1-P7",),
    shown_in=("discovery_cert_mismatch/segw_wrong_name",),
)
def ignores_segw_name(hnb: Hnb) -> None:
    """The HNB does not compare the SeGW that it looked up with the certificate that it gets."""
    _ask_segws_otherwise(hnb, lambda profile: dataclasses.replace(profile, verifies_name=False))


@fault(
    "hnb.trusts-any-segw",
    role="hnb",
    breaks=("32583-5.1-P5",),
    shown_in=("discovery_cert_mismatch/segw_wrong_root",),
)
def trusts_any_segw(hnb: Hnb) -> None:
    """The HNB takes the SeGW of a root that is not the operator's."""
    foreign = hnb.node.settings["foreign_roots"]
    _ask_segws_otherwise(
        hnb, lambda profile: dataclasses.replace(profile, roots=(*profile.roots, *foreign))
    )
