"""Who a device or a gateway is, in DHCP option 125 (TR-111 Part 1, 1.2.5): reading and writing it.

Identities are read from the first block of the DSL Forum that holds one; what cannot be cut, and
sub-options of other codes, are passed over (AMB-P1-10).
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.protocols.dhcp.options import Option, VendorIdentity, vendor_identity
from testbed.protocols.markup import illegal_character

DSL_FORUM = 3561
"""Its enterprise number at IANA, decimal."""
DEVICE_CODES = (1, 2, 3)
"""Sub-options of a Device Identity: OUI, serial number, product class (Table 1)."""
GATEWAY_CODES = (4, 5, 6)
"""Sub-options of a Gateway Identity, in the same order."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The three-tuple by which TR-111 knows a device or a gateway.

    Attributes:
        oui: of the manufacturer, six hexadecimal digits.
        serial_number: unique within manufacturer and product class.
        product_class: "": none; absent and empty are the same (AMB-P1-09).
    """

    oui: str = ""
    serial_number: str = ""
    product_class: str = ""

    def __bool__(self) -> bool:
        """Whether any element is there."""
        return bool(self.oui or self.serial_number or self.product_class)

    def __str__(self) -> str:
        return f"{self.oui}/{self.serial_number}/{self.product_class}"

    @property
    def fits_xml(self) -> bool:
        """Whether CWMP can carry it: XML 1.0 has no NUL and few other control characters."""
        return illegal_character(str(self)) is None


NOBODY = Identity()


def device_option(identity: Identity) -> Option:
    """Option 125 with a Device Identity; without product class where there is none."""
    return _option(identity, DEVICE_CODES)


def gateway_option(identity: Identity) -> Option:
    """Option 125 with a Gateway Identity; without product class where there is none."""
    return _option(identity, GATEWAY_CODES)


def _option(identity: Identity, codes: tuple[int, int, int]) -> Option:
    values = (identity.oui, identity.serial_number, identity.product_class)
    told = [(code, text.encode()) for code, text in zip(codes, values, strict=True)]
    return vendor_identity((DSL_FORUM, [each for each in told if each[1] or each[0] != codes[2]]))


def device_in(blocks: VendorIdentity) -> Identity | None:
    """The Device Identity of an option 125; None: it holds none (1.2.1: both OUI and serial)."""
    found = sub_options(blocks, DEVICE_CODES[:2], every=True)
    return None if found is None else _identity(found, DEVICE_CODES)


def gateway_in(blocks: VendorIdentity) -> Identity | None:
    """The Gateway Identity of an option 125, missing elements empty; None: it holds nothing of
    one."""
    found = sub_options(blocks, GATEWAY_CODES, every=False)
    return None if found is None else _identity(found, GATEWAY_CODES)


def sub_options(
    blocks: VendorIdentity, codes: tuple[int, ...], every: bool
) -> dict[int, bytes] | None:
    """The sub-options of the first block of the DSL Forum that has all (or any) of these codes."""
    for enterprise, values in blocks:
        if enterprise != DSL_FORUM:
            continue
        found: dict[int, bytes] = {}
        for code, value in values:
            found.setdefault(code, value)
        present = [code in found for code in codes]
        if all(present) if every else any(present):
            return found
    return None


def _identity(found: dict[int, bytes], codes: tuple[int, int, int]) -> Identity:
    # A NUL at the end is not stripped: the mismatch is to be seen (AMB-P1-10).
    oui, serial, product = (found.get(code, b"").decode("utf-8", "replace") for code in codes)
    return Identity(oui, serial, product)
