"""What a DHCP client is told: how patient it is, what it says of itself, what it accepts."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.errors import BadInput
from testbed.protocols.dhcp.options import Code, Option

COMMON_PARAMETERS = (
    Code.SUBNET_MASK,
    Code.ROUTER,
    Code.DNS_SERVER,
    Code.DOMAIN_NAME,
    Code.LEASE_TIME,
    Code.RENEWAL_TIME,
    Code.REBINDING_TIME,
    # Servers that obey the list to the letter leave the gateway's identity out without it.
    Code.VENDOR_IDENTITY,
)


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """How a client behaves.  The defaults are RFC 2131's.

    Attributes:
        first_timeout_s: wait after the first transmission; doubled after each further one.
        longest_timeout_s: where doubling ends.
        jitter_s: each wait is up to so much longer or shorter, at most a quarter of it.
        attempts: DISCOVERs, or INFORMs, before it gives up.
        request_attempts: REQUESTs for an offer before it begins anew.
        reboot_attempts: REQUESTs for a remembered address before it does without.
        keeps_trying: whether it begins anew after giving up, `pause_s` later.
        pause_s: that pause.
        start_delay_s: it begins at a random time within this (RFC 2131 section 4.4.1 advises 1 to
            10 s, lest all of a city speak at once); 0: at once.
        decline_pause_s: wait after a DECLINE (section 3.1.5: "a minimum of ten seconds").
        check_address_s: so long whoever drives the machine asks who answers for a new address by
            ARP, before it is used (RFC 2131 section 3.1.5); 0: nobody is asked.
        collect_offers_s: waits so long after the first OFFER for others; 0: takes the first.
        prefers_longest_lease: of collected OFFERs takes the longest lease instead of the first.
        minimum_lease_s: OFFERs and ACKs of less are passed over.
        domain_wanted: OFFERs of another domain name are passed over; None: any.
        renewal_interval_s: shortest wait between REQUESTs that extend a lease.
        parameter_request_list: option 55; empty: none sent.
        client_identifier: option 61, type octet included; None: none sent.
        broadcast: asks for answers by broadcast while it has no address, as one must that receives
            by UDP on a bare interface.
        host_name: option 12.
        vendor_class: option 60.
        vendor_identity: value of option 125, raw; in DISCOVER, REQUEST and INFORM.
        wanted_lease_s: option 51 of DISCOVER and REQUEST.
        maximum_message_size: option 57; None: none sent.
        options: further ones for DISCOVER, REQUEST and INFORM.
    """

    first_timeout_s: float = 4.0
    longest_timeout_s: float = 64.0
    jitter_s: float = 1.0
    attempts: int = 5
    request_attempts: int = 4
    reboot_attempts: int = 2
    keeps_trying: bool = False
    pause_s: float = 60.0
    start_delay_s: float = 0.0
    decline_pause_s: float = 10.0
    check_address_s: float = 0.0
    collect_offers_s: float = 0.0
    prefers_longest_lease: bool = False
    minimum_lease_s: int = 1
    domain_wanted: str | None = None
    renewal_interval_s: float = 60.0
    parameter_request_list: tuple[int, ...] = COMMON_PARAMETERS
    client_identifier: bytes | None = None
    broadcast: bool = True
    host_name: str | None = None
    vendor_class: bytes | None = None
    vendor_identity: bytes | None = None
    wanted_lease_s: int | None = None
    maximum_message_size: int | None = 1500
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        least = {
            "first_timeout_s": 0.01,
            "longest_timeout_s": 0.01,
            "renewal_interval_s": 0.01,
            "minimum_lease_s": 1,
            "attempts": 1,
            "request_attempts": 1,
            "reboot_attempts": 1,
        }
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise BadInput(
                    f"DHCP client policy: {name} is {getattr(self, name)}, "
                    f"{lowest} is the least with which it can make progress"
                )
