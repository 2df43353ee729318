"""Faults of SeGW and HNB in IKE (RFC 7296) that charon cannot be made to show: crafted ones do.

Nothing goes through the tunnels of a crafted SeGW: where one opens, the HNB gets no answer inside.
"""

from __future__ import annotations

from functools import partial

from testbed.faults.fault import fault
from testbed.protocols.ike.crafted import Conduct
from testbed.protocols.ike.crafted_initiator import Asking
from testbed.roles import crafted_hnb
from testbed.roles.crafted_segw import craft
from testbed.roles.hnb import Hnb
from testbed.roles.segw import Segw

NO_TUNNEL = ("32583-5.1.1-2.3",)
"""What breaks where IKE comes to nothing."""
SHOWN_IN = ("discovery_intranet/",)
crafted = partial(
    fault,
    shown_in=SHOWN_IN,
    emulation_only="a crafted peer makes real keys, and the simulation's tunnels are modelled",
)
MODP_1024 = bytes([0, 2])
"""A group that no HNB offers (TS 33.310, 6.2.1b; RFC 8247: SHOULD NOT)."""

TRIPLE_DES = 3
"""Its number among the ciphers."""


@crafted("ike.no-proposal-chosen", role="segw", breaks=NO_TUNNEL)
def no_proposal_chosen(segw: Segw) -> None:
    """The SeGW accepts no algorithms: IKE_SA_INIT is answered by NO_PROPOSAL_CHOSEN."""
    craft(segw, Conduct(init_error="NO_PROPOSAL_CHOSEN"))


@crafted("ike.invalid-ke-payload", role="segw", breaks=NO_TUNNEL)
def invalid_ke_payload(segw: Segw) -> None:
    """The SeGW wants a public value of a group that was not offered (RFC 7296, 1.3)."""
    craft(segw, Conduct(init_error="INVALID_KE_PAYLOAD", init_error_data=MODP_1024))


@crafted("ike.asks-cookie", role="segw", breaks=())
def asks_cookie(segw: Segw) -> None:
    """The SeGW believes it is flooded: the first IKE_SA_INIT gets a COOKIE (RFC 7296, 2.6)."""
    craft(segw, Conduct(asks_cookie=True))


@crafted("ike.asks-other-cookies", role="segw", breaks=NO_TUNNEL)
def asks_other_cookies(segw: Segw) -> None:
    """The SeGW forgets its cookies: whatever the HNB brings, it wants another one."""
    craft(segw, Conduct(asks_other_cookies=True))


@crafted("ike.silent-on-4500", role="segw", breaks=NO_TUNNEL)
def silent_on_4500(segw: Segw) -> None:
    """A firewall before the SeGW lets port 500 through and not port 4500: IKE_AUTH is lost."""
    craft(segw, Conduct(is_silent_on_nat_port=True))


@crafted("ike.authentication-failed", role="segw", breaks=NO_TUNNEL)
def authentication_failed(segw: Segw) -> None:
    """The SeGW does not accept the HNB: IKE_AUTH is answered by AUTHENTICATION_FAILED."""
    craft(segw, Conduct(auth_error="AUTHENTICATION_FAILED"))


@crafted("ike.ts-unacceptable", role="segw", breaks=NO_TUNNEL)
def ts_unacceptable(segw: Segw) -> None:
    """The SeGW proves itself, and wants none of the traffic: TS_UNACCEPTABLE."""
    craft(segw, Conduct(child_error="TS_UNACCEPTABLE"))


@crafted("ike.internal-address-failure", role="segw", breaks=NO_TUNNEL)
def internal_address_failure(segw: Segw) -> None:
    """The SeGW's pool is empty: INTERNAL_ADDRESS_FAILURE (RFC 7296, 3.15.4)."""
    craft(segw, Conduct(child_error="INTERNAL_ADDRESS_FAILURE"))


@crafted("ike.no-additional-sas", role="segw", breaks=NO_TUNNEL)
def no_additional_sas(segw: Segw) -> None:
    """The SeGW is full: NO_ADDITIONAL_SAS in place of the first ESP association."""
    craft(segw, Conduct(child_error="NO_ADDITIONAL_SAS"))


@crafted("ike.no-inner-address", role="segw", breaks=NO_TUNNEL)
def no_inner_address(segw: Segw) -> None:
    """The SeGW passes over the HNB's CFG_REQUEST: the tunnel has no inner address."""
    craft(segw, Conduct(gives_no_address=True))


@crafted("ike.wrong-idr", role="segw", breaks=(*NO_TUNNEL, "32583-5.1-P7"))
def wrong_idr(segw: Segw) -> None:
    """The SeGW's certificate is right, its IDr is another name."""
    craft(segw, Conduct(idr="segw.elsewhere.example"))


@crafted("ike.wrong-signature", role="segw", breaks=NO_TUNNEL)
def wrong_signature(segw: Segw) -> None:
    """Whoever answers has the SeGW's certificate and not its key: AUTH does not verify."""
    craft(segw, Conduct(wrong_signature=True))


@crafted("ike.fragments-lost", role="segw", breaks=NO_TUNNEL)
def fragments_lost(segw: Segw) -> None:
    """The answer to IKE_AUTH comes in fragments (RFC 7383), the second of which never arrives."""
    craft(segw, Conduct(lost_fragment=2))


@crafted("ike.answers-late", role="segw", breaks=())
def answers_late(segw: Segw) -> None:
    """Every request is answered when it comes again, and not before (RFC 7296, 2.1)."""
    craft(segw, Conduct(ignores=1))


@crafted("ike.answers-twice", role="segw", breaks=())
def answers_twice(segw: Segw) -> None:
    """Every answer comes twice, as over a link that repeats."""
    craft(segw, Conduct(copies=2))


@crafted("ike.offers-old-ciphers", role="hnb", breaks=NO_TUNNEL)
def offers_old_ciphers(hnb: Hnb) -> None:
    """The HNB knows 3DES and nothing later, which no SeGW need accept (TS 33.310, 6.2.1b)."""
    crafted_hnb.craft(hnb, Asking(ciphers=(TRIPLE_DES,)))


@crafted("ike.shows-no-certificate", role="hnb", breaks=NO_TUNNEL)
def shows_no_certificate(hnb: Hnb) -> None:
    """The HNB signs, and leaves its certificate out: the SeGW cannot know it."""
    crafted_hnb.craft(hnb, Asking(without_certificate=True))


@crafted("ike.signs-wrongly", role="hnb", breaks=NO_TUNNEL)
def signs_wrongly(hnb: Hnb) -> None:
    """The HNB's AUTH is a signature of other octets."""
    crafted_hnb.craft(hnb, Asking(wrong_signature=True))


@crafted("ike.other-idi", role="hnb", breaks=NO_TUNNEL)
def other_idi(hnb: Hnb) -> None:
    """The HNB says that it is another one than its certificate shows."""
    crafted_hnb.craft(hnb, Asking(idi="another.hnb.operator.example"))


@crafted("ike.unknown-critical-payload", role="hnb", breaks=NO_TUNNEL)
def unknown_critical_payload(hnb: Hnb) -> None:
    """The HNB sends a payload that nobody has, and that nobody may pass over (RFC 7296, 2.5)."""
    crafted_hnb.craft(hnb, Asking(unknown_critical=True))
