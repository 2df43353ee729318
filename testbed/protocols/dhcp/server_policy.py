"""What a DHCP server is told: its addresses, its parameters, and how it may misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from testbed.errors import BadInput
from testbed.protocols.dhcp.options import Option


def address_range(first: str, last: str) -> tuple[str, ...]:
    """Every address from `first` to `last`, both included.

    Raises:
        BadInput: one is no IPv4 address, or the last comes before the first.
    """
    try:
        low, high = int(IPv4Address(first)), int(IPv4Address(last))
    except AddressValueError as error:
        raise BadInput(f"DHCP address range {first} to {last}: {error}") from None
    if high < low:
        raise BadInput(f"DHCP address range {first} to {last}: the last comes before the first")
    return tuple(str(IPv4Address(number)) for number in range(low, high + 1))


@dataclass(frozen=True, slots=True)
class ServerPolicy:
    """How a server behaves.

    Attributes:
        address: its own on the link, and its identifier (option 54).
        prefix_length: of the link's subnet.
        pool: what it may give away, in this order; see `address_range`.
        reservations: hardware address ("02:00:00:00:00:01") to the address that is kept for it.
        lease_s: how long it leases, at most; `math.inf` for ever.
        minimum_lease_s: at least so long, when a client asks for less than `lease_s`.
        renewal_s: T1 (option 58); None: not sent.
        rebinding_s: T2 (option 59); None: not sent.
        routers: option 3, best first.
        dns_servers: option 6, best first.
        domain_name: option 15; None: not sent.
        options: further ones, in every OFFER and ACK.
        authoritative: refuses by NAK what it does not know or what is of another network; else it
            is silent there.
        offer_hold_s: so long an offered address is kept for its client.
        decline_hold_s: so long a declined address is given to nobody.
        silent: answers nothing.
        nak_requests: refuses the first so many REQUESTs; `math.inf` all.
        withholds_ack: offers, and then ignores REQUESTs.
    """

    address: str
    prefix_length: int
    pool: tuple[str, ...] = ()
    reservations: Mapping[str, str] = field(default_factory=dict)
    lease_s: float = 3600
    minimum_lease_s: float = 60
    renewal_s: float | None = None
    rebinding_s: float | None = None
    routers: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    domain_name: str | None = None
    options: tuple[Option, ...] = ()
    authoritative: bool = True
    offer_hold_s: float = 60
    decline_hold_s: float = 3600
    silent: bool = False
    nak_requests: float = 0
    withholds_ack: bool = False

    def __post_init__(self) -> None:
        try:
            subnet = self.subnet
            given = [*self.pool, *self.reservations.values()]
            strange = [address for address in given if IPv4Address(address) not in subnet]
        except ValueError as error:
            raise BadInput(f"DHCP server policy: {error}") from None
        if strange:
            raise BadInput(
                f"DHCP server policy: {strange[0]} is outside {subnet}; "
                "give addresses of the server's own subnet"
            )

    def reserved_for(self, hardware_address: str) -> str | None:
        """The address that is kept for that hardware address (in lower case)."""
        for hardware, address in self.reservations.items():
            if hardware.lower() == hardware_address:
                return address
        return None

    @property
    def subnet(self) -> IPv4Network:
        """The network that its addresses are of."""
        return IPv4Network(f"{self.address}/{self.prefix_length}", strict=False)
