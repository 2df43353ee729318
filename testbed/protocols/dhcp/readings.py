"""What a DHCP message says, read from its fields: addresses as text, times in seconds.

An option of the wrong size reads as absent; its octets are at `option(code)`.  Judges nothing.
"""

from __future__ import annotations

from testbed.protocols.dhcp.options import (
    Code,
    Option,
    VendorIdentity,
    address_text,
    addresses_text,
    cut_options,
    joined,
    readable_vendor_identity,
)

BROADCAST_FLAG = 0x8000
NO_ADDRESS = "0.0.0.0"
IN_FILE, IN_SERVER_NAME = 1, 2
"""The bits of option 52."""
SERVER_NAME_OFFSET, FILE_OFFSET = 44, 108


class Readings:
    """The part of `Message` that reads; the attributes are those of `Message`."""

    __slots__ = ()

    hlen: int
    xid: int
    flags: int
    ciaddr: str
    yiaddr: str
    giaddr: str
    chaddr: bytes
    sname: bytes
    file: bytes
    options: tuple[Option, ...]

    @property
    def all_options(self) -> tuple[Option, ...]:
        """The options of the options field, of `file` and of `sname`, in RFC 3396's order."""
        overload = self.overload
        found = self.options
        if overload & IN_FILE:
            found += cut_options(self.file, "DHCP file field", FILE_OFFSET)[0]
        if overload & IN_SERVER_NAME:
            found += cut_options(self.sname, "DHCP sname field", SERVER_NAME_OFFSET)[0]
        return found

    @property
    def overload(self) -> int:
        """Which fields hold options: 1 `file`, 2 `sname`, 3 both, 0 none.

        Only an option 52 of one octet in the options field counts; one within an overloaded field
        would lead in circles.
        """
        value = joined(self.options, Code.OVERLOAD)
        return value[0] if value in (b"\1", b"\2", b"\3") else 0

    def option(self, code: int) -> bytes | None:
        """The value of an option, all of its instances joined (RFC 3396); None: absent."""
        return joined(self.all_options, code)

    @property
    def message_type(self) -> int | None:
        """Option 53, where it is one octet."""
        value = self.option(Code.MESSAGE_TYPE)
        return value[0] if value is not None and len(value) == 1 else None

    @property
    def transaction(self) -> int:
        """The transaction identifier, `xid`."""
        return self.xid

    @property
    def address(self) -> str | None:
        """The address given to the client (`yiaddr`)."""
        return _present(self.yiaddr)

    @property
    def client_address(self) -> str | None:
        """The address that the client holds (`ciaddr`)."""
        return _present(self.ciaddr)

    @property
    def relay(self) -> str | None:
        """The relay's address (`giaddr`)."""
        return _present(self.giaddr)

    @property
    def hardware_address(self) -> str:
        """The client's link-layer address, "02:00:00:00:00:01"."""
        return self.chaddr[: min(self.hlen, 16)].hex(":")

    @property
    def broadcast(self) -> bool:
        """Whether the client asks for answers by broadcast."""
        return bool(self.flags & BROADCAST_FLAG)

    @property
    def server_identifier(self) -> str | None:
        """Option 54."""
        return self._address(Code.SERVER_IDENTIFIER)

    @property
    def requested_address(self) -> str | None:
        """Option 50."""
        return self._address(Code.REQUESTED_ADDRESS)

    @property
    def lease_s(self) -> int | None:
        """Option 51; 4294967295 is for ever."""
        return self._seconds(Code.LEASE_TIME)

    @property
    def renewal_s(self) -> int | None:
        """Option 58, T1."""
        return self._seconds(Code.RENEWAL_TIME)

    @property
    def rebinding_s(self) -> int | None:
        """Option 59, T2."""
        return self._seconds(Code.REBINDING_TIME)

    @property
    def subnet_mask(self) -> str | None:
        """Option 1."""
        return self._address(Code.SUBNET_MASK)

    @property
    def routers(self) -> tuple[str, ...]:
        """Option 3, best first."""
        return addresses_text(self.option(Code.ROUTER) or b"")

    @property
    def dns_servers(self) -> tuple[str, ...]:
        """Option 6, best first."""
        return addresses_text(self.option(Code.DNS_SERVER) or b"")

    @property
    def domain_name(self) -> str | None:
        """Option 15."""
        return self._text(Code.DOMAIN_NAME)

    @property
    def host_name(self) -> str | None:
        """Option 12."""
        return self._text(Code.HOST_NAME)

    @property
    def error_message(self) -> str | None:
        """Option 56."""
        return self._text(Code.ERROR_MESSAGE)

    @property
    def maximum_message_size(self) -> int | None:
        """Option 57, octets of a whole IP datagram."""
        value = self.option(Code.MAXIMUM_MESSAGE_SIZE)
        return int.from_bytes(value) if value is not None and len(value) == 2 else None

    @property
    def parameter_request_list(self) -> tuple[int, ...]:
        """Option 55: codes, in the client's order."""
        return tuple(self.option(Code.PARAMETER_REQUEST_LIST) or b"")

    @property
    def client_identifier(self) -> bytes | None:
        """Option 61, type octet included."""
        return self.option(Code.CLIENT_IDENTIFIER)

    @property
    def vendor_identity(self) -> VendorIdentity:
        """Option 125 (RFC 3925), without blocks that cannot be cut; the octets: `option(125)`."""
        return readable_vendor_identity(self.option(Code.VENDOR_IDENTITY) or b"")

    def _address(self, code: int) -> str | None:
        value = self.option(code)
        return address_text(value) if value is not None and len(value) == 4 else None

    def _seconds(self, code: int) -> int | None:
        value = self.option(code)
        return int.from_bytes(value) if value is not None and len(value) == 4 else None

    def _text(self, code: int) -> str | None:
        value = self.option(code)
        # RFC 2132 section 2: receivers MUST be prepared to delete trailing nulls.
        return None if value is None else value.rstrip(b"\0").decode("utf-8", "replace")


def _present(address: str) -> str | None:
    return None if address == NO_ADDRESS else address
