"""Identities of TR-111 Part 1 in option 125."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols import dhcp
from testbed.protocols.association import (
    DSL_FORUM,
    NOBODY,
    Identity,
    device_in,
    device_option,
    gateway_in,
    gateway_option,
)
from testbed.protocols.dhcp.options import readable_vendor_identity, vendor_identity

PHONE = Identity("00005E", "0815", "Phone")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def test_a_device_identity_is_written_as_table_1_has_it() -> None:
    # By hand: enterprise 3561, length, and the sub-options 1 to 3 of RFC 3925's form.
    octets = bytes.fromhex("00000de9 15 01 06 303030303545 02 04 30383135 03 05 50686f6e65")

    assert device_option(PHONE) == dhcp.Option(125, octets)


def test_a_gateway_identity_has_codes_of_its_own_and_no_empty_class() -> None:
    octets = bytes.fromhex("00000de9 0e 04 06 303030303545 05 04 30383135")

    assert gateway_option(Identity("00005E", "0815")).value == octets


@given(TEXT, TEXT, TEXT)
def test_what_is_written_is_read(oui: str, serial: str, product: str) -> None:
    identity = Identity(oui, serial, product)
    device = readable_vendor_identity(device_option(identity).value)
    gateway = readable_vendor_identity(gateway_option(identity).value)

    assert device_in(device) == gateway_in(gateway) == identity
    assert device_in(gateway) is gateway_in(device) is None


@given(st.binary(max_size=80))
def test_any_octets_are_read_as_an_identity_or_as_none(octets: bytes) -> None:
    blocks = readable_vendor_identity(octets)

    assert device_in(blocks) is None or isinstance(device_in(blocks), Identity)
    assert gateway_in(blocks) is None or isinstance(gateway_in(blocks), Identity)


@pytest.mark.parametrize(
    "blocks",
    [
        (),
        ((9, ((1, b"00005E"), (2, b"0815"))),),
        ((DSL_FORUM, ((1, b"00005E"), (3, b"Phone"))),),
        ((DSL_FORUM, ((4, b"00005E"), (5, b"0815"))),),
    ],
)
def test_other_enterprises_and_half_identities_are_none(blocks: dhcp.VendorIdentity) -> None:
    assert device_in(blocks) is None


def test_the_first_whole_block_counts_and_unknown_codes_are_passed_over() -> None:
    values = ((77, b"?"), (1, b"00005E"), (2, b"0815"), (3, b"Phone"))
    half, later = (DSL_FORUM, ((1, b"FFFFFF"),)), (DSL_FORUM, ((1, b"FFFFFF"), (2, b"1")))
    option = vendor_identity((9, ((1, b"x"),)), half, (DSL_FORUM, values), later)

    assert device_in(readable_vendor_identity(option.value)) == PHONE


def test_a_gateway_that_tells_one_element_tells_the_others_empty() -> None:
    assert gateway_in(((DSL_FORUM, ((6, b"Box"),)),)) == Identity(product_class="Box")


def test_a_nul_is_kept_and_does_not_fit_xml() -> None:
    told = device_in(((DSL_FORUM, ((1, b"00005E"), (2, b"0815\0"))),))

    assert told == Identity("00005E", "0815\0")
    assert not told.fits_xml
    assert PHONE.fits_xml


def test_nobody_is_no_identity() -> None:
    assert not NOBODY
    assert PHONE
