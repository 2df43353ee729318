import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import BadInput, DecodeError
from testbed.protocols import dhcp
from testbed.protocols.dhcp import options
from testbed.protocols.dhcp.options import readable_vendor_identity

GATEWAY = (3561, ((4, b"00D09E"), (5, b"GWSERIAL1")))

sub_options = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5)
blocks = st.lists(st.tuples(st.integers(0, 2**32 - 1), sub_options.map(tuple)), max_size=4)


@given(blocks.map(tuple))
def test_vendor_identity_survives_the_wire(identity):
    value = dhcp.vendor_identity(*identity).value

    assert dhcp.cut_vendor_identity(value) == identity
    assert readable_vendor_identity(value) == identity


@given(st.binary(max_size=60))
def test_any_option_125_is_cut_or_refused(value):
    try:
        identity = dhcp.cut_vendor_identity(value)
    except DecodeError:
        return

    assert readable_vendor_identity(value) == identity


def test_vendor_identity_lies_as_rfc_3925_draws_it():
    option = dhcp.vendor_identity((3561, ((4, b"00D09E"),)))

    assert option.code == 125
    assert option.value == bytes.fromhex("00000de9 08 04 06") + b"00D09E"


def test_a_bad_block_among_good_ones_is_left_out():
    good = dhcp.vendor_identity(GATEWAY).value
    bad = bytes.fromhex("00000009 03 01 05 61")

    assert readable_vendor_identity(bad + good) == (GATEWAY,)
    with pytest.raises(DecodeError) as caught:
        dhcp.cut_vendor_identity(bad + good)
    assert str(caught.value) == (
        "DHCP option 125, enterprise 9: sub-option 1 at offset 7 needs 5 octets, 1 remain"
    )


def test_after_a_block_longer_than_its_option_nothing_is_read():
    value = dhcp.vendor_identity(GATEWAY).value + bytes.fromhex("00000de9 20 04 01 61")

    assert readable_vendor_identity(value) == (GATEWAY,)
    with pytest.raises(DecodeError) as caught:
        dhcp.cut_vendor_identity(value)
    assert str(caught.value) == (
        "DHCP option 125: data of enterprise 3561 at offset 29 needs 32 octets, 3 remain"
    )


def test_a_block_that_cannot_be_told_is_refused():
    with pytest.raises(BadInput, match=r"sub-option 1 of enterprise 9 has 256 octets, 255 are"):
        dhcp.vendor_identity((9, ((1, bytes(256)),)))
    with pytest.raises(BadInput, match=r"enterprise 9 take 304 octets, 255 are the most"):
        dhcp.vendor_identity((9, ((1, bytes(150)), (2, bytes(150)))))


@pytest.mark.parametrize(
    ("value_s", "octets"),
    [
        (3600, "00000e10"),
        (1.9, "00000001"),
        (-5, "00000000"),
        (math.inf, "ffffffff"),
        (2**33, "ffffffff"),
    ],
)
def test_times_are_whole_seconds_of_32_bits(value_s, octets):
    assert options.seconds(51, value_s).value == bytes.fromhex(octets)


def test_a_mask_has_as_many_ones_as_its_prefix_is_long():
    assert options.subnet_mask(20).value == bytes((255, 255, 240, 0))
    assert options.subnet_mask(0).value == bytes(4)
    assert options.subnet_mask(32).value == bytes((255,) * 4)


def test_a_bad_address_is_told():
    with pytest.raises(BadInput, match=r"'192\.168\.1' is no IPv4 address"):
        options.addresses(3, "192.168.1.1", "192.168.1")
