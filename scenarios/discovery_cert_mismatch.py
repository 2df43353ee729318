"""Discovery over the public Internet where the HMS cannot prove who it is (5.1.2, step 3).

TLS ends before an octet of HTTP is sent, and the HNB fails at step 3 (AMB-3G-07, strict).
"""

from __future__ import annotations

from scenarios.discovery_public import STEP_S
from testbed.protocols import dns, tls
from testbed.protocols.cwmp import rpc
from testbed.protocols.http import Request
from testbed.scenario import Stage, scenario
from testbed.topology import Certificate
from topologies.public import hms_on_internet


def begins_with(word: str) -> object:
    """What fits a text that begins so."""

    def holds(text: str) -> bool:
        return text.startswith(word)

    holds.__doc__ = f"{word}..."
    return holds


async def _refused(at: Stage, cause: str, by_alert: bool = True) -> None:
    """Steps 1 to 3, which fails; no HTTP follows, and nobody else is asked."""
    hnb, hms = at.hnb, at.initial_hms
    for other in at.all("hms"):
        at.never(hnb, "->", other, Request)
        at.never(hnb, "->", other, rpc.Inform)
    at.never(hnb, "->", at.serving_hms, tls.ClientHello)
    hnb.power_on()
    await at.tells(hnb, "CONNECTED")  # 1
    await at.sees(hnb, "->", hms, tls.ClientHello)  # 3
    if by_alert:
        await at.tells(hms, "TLS_FAILED")
        at.cursor = 0
    await at.tells(hnb, "FAILED", step="3", cause=begins_with(cause))


@scenario(hms_on_internet, step_s=STEP_S, certificate=Certificate.WRONG_NAME)
async def discovery_cert_mismatch(at: Stage) -> None:
    """The HMS's certificate is for another name, by the right root."""
    await _refused(at, "name")


@discovery_cert_mismatch.variant("wrong_root", certificate=Certificate.WRONG_ROOT)
async def wrong_root(at: Stage) -> None:
    """The HMS's certificate is for the right name, by a root that the operator does not know."""
    await _refused(at, "chain")


@discovery_cert_mismatch.variant("expired", certificate=Certificate.EXPIRED)
async def expired(at: Stage) -> None:
    """The HMS's certificate was valid until yesterday."""
    await _refused(at, "expired")


@discovery_cert_mismatch.variant("not_yet_valid", certificate=Certificate.NOT_YET_VALID)
async def not_yet_valid(at: Stage) -> None:
    """The HMS's certificate will be valid from tomorrow on."""
    await _refused(at, "not yet valid")


@discovery_cert_mismatch.variant("common_name_only", certificate=Certificate.COMMON_NAME_ONLY)
async def common_name_only(at: Stage) -> None:
    """The HMS's name is its certificate's common name only: that counts for nothing today."""
    await _refused(at, "name")


@discovery_cert_mismatch.variant("clock_1970", clock="1970")
async def clock_1970(at: Stage) -> None:
    """The HNB has never learnt what the date is: a good certificate is not yet valid to it."""
    await _refused(at, "not yet valid")


@discovery_cert_mismatch.variant("ip_literal", hms_host="203.0.113.20")
async def ip_literal(at: Stage) -> None:
    """The factory URL holds an address, the certificate only names: no query, no match."""
    at.never(at.hnb, "->", at.outer_dns, dns.Query)
    await _refused(at, "name")


@discovery_cert_mismatch.variant(
    "ip_literal_certified", hms_host="203.0.113.20", certificate=Certificate.ADDRESS
)
async def ip_literal_certified(at: Stage) -> None:
    """The factory URL holds an address that is in the certificate too: step 2 falls away."""
    hnb, hms = at.hnb, at.initial_hms
    at.never(hnb, "->", at.outer_dns, dns.Query, name=hms.node.names[0])
    hnb.power_on()
    await at.sees(hnb, "->", hms, tls.ClientHello, server_name=None)  # 3
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    await at.tells(hnb, "REGISTRATION_START")  # 9


@discovery_cert_mismatch.variant("clear_text", certificate=Certificate.NONE)
async def clear_text(at: Stage) -> None:
    """The HMS speaks HTTP in clear where TLS is expected: no Inform is sent."""
    await _refused(at, "handshake", by_alert=False)


@discovery_cert_mismatch.variant("lenient", certificate=Certificate.WRONG_NAME)
async def lenient(at: Stage) -> None:
    """An HNB that checks only the chain (AMB-3G-07, lenient) accepts another name."""
    hnb, hms = at.hnb, at.initial_hms
    hnb.set_policy(verifies_name=False)
    hnb.power_on()
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    await at.tells(hnb, "REGISTRATION_START")  # 9


@discovery_cert_mismatch.variant("common_name_accepted", certificate=Certificate.COMMON_NAME_ONLY)
async def common_name_accepted(at: Stage) -> None:
    """An HNB of the old school reads the common name where there is no subjectAltName."""
    hnb, hms = at.hnb, at.initial_hms
    hnb.set_policy(accepts_common_name=True)
    hnb.power_on()
    await at.sees(hnb, "->", hms, rpc.Inform)  # 4
    await at.tells(hnb, "REGISTRATION_START")  # 9
