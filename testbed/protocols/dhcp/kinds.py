"""The eight messages of RFC 2131, each a class, so that a scenario can name what it waits for."""

from __future__ import annotations

from testbed.protocols.dhcp.message import REPLY, Message


class Discover(Message):
    """DHCPDISCOVER: a client asks who could give it an address."""

    __slots__ = ()
    TYPE = 1
    WORD = "DISCOVER"

    def _detail(self) -> str:
        wanted = self.requested_address
        return self.hardware_address + (f" wants {wanted}" if wanted else "")


class _Answer(Message):
    """What OFFER and ACK have in common."""

    __slots__ = ()
    OP = REPLY

    def _detail(self) -> str:
        lease_s = self.lease_s
        lease = "without lease" if lease_s is None else f"lease {lease_s} s"
        return f"{self.address or self.client_address or self.hardware_address} {lease}"


class Offer(_Answer):
    """DHCPOFFER: a server offers an address."""

    __slots__ = ()
    TYPE = 2
    WORD = "OFFER"


class Request(Message):
    """DHCPREQUEST: a client takes an offer, verifies its old address, or extends its lease."""

    __slots__ = ()
    TYPE = 3
    WORD = "REQUEST"

    def _detail(self) -> str:
        server = self.server_identifier
        wanted = self.requested_address or self.client_address or self.hardware_address
        return wanted + (f" of {server}" if server else "")


class Decline(Message):
    """DHCPDECLINE: a client has found the address in use."""

    __slots__ = ()
    TYPE = 4
    WORD = "DECLINE"

    def _detail(self) -> str:
        return self.requested_address or self.hardware_address


class Ack(_Answer):
    """DHCPACK: the address is the client's; or the answer to an INFORM, without lease."""

    __slots__ = ()
    TYPE = 5
    WORD = "ACK"


class Nak(Message):
    """DHCPNAK: the client may not have the address that it asked for."""

    __slots__ = ()
    TYPE = 6
    WORD = "NAK"
    OP = REPLY

    def _detail(self) -> str:
        reason = "".join(c if c.isprintable() else "?" for c in self.error_message or "")
        return f"{self.hardware_address} {reason[:80]}".rstrip()


class _Holder(Message):
    """What RELEASE and INFORM have in common: the client names the address that it holds."""

    __slots__ = ()

    def _detail(self) -> str:
        return self.client_address or self.hardware_address


class Release(_Holder):
    """DHCPRELEASE: a client gives its address back."""

    __slots__ = ()
    TYPE = 7
    WORD = "RELEASE"


class Inform(_Holder):
    """DHCPINFORM: a client that has an address asks for the other parameters."""

    __slots__ = ()
    TYPE = 8
    WORD = "INFORM"
