import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader

from testbed.errors import BadInput, DecodeError
from testbed.protocols import dhcp
from testbed.protocols.dhcp.message import MAGIC_COOKIE
from testbed.protocols.dhcp.options import END, PAD
from testbed.protocols.wire import Message as AnyMessage

KINDS = (
    dhcp.Discover,
    dhcp.Offer,
    dhcp.Request,
    dhcp.Decline,
    dhcp.Ack,
    dhcp.Nak,
    dhcp.Release,
    dhcp.Inform,
)
CAPTURES = Path(__file__).parents[2] / "captures"
FOREIGN = ("udhcpc_with_dnsmasq", "dhclient_with_udhcpd", "udhcpc_with_udhcpd")
MAC = "02:00:00:00:00:01"
DEVICE = (3561, ((1, b"00D09E"), (2, b"SERI1"), (3, b"CLAS")))


def datagrams(name: str) -> list[bytes]:
    """The DHCP datagrams of a capture of two foreign programs."""
    with PcapReader(str(CAPTURES / f"dhcp_{name}.pcap")) as reader:
        return [bytes(Ether(bytes(frame))["UDP"].payload) for frame in reader]


def header(**changes) -> bytes:
    """A BOOTP header, without cookie."""
    return dhcp.Message(cookie=b"", options=(), **changes).encode()


def with_options(octets: bytes, **changes) -> bytes:
    return header(**changes) + MAGIC_COOKIE + octets


# Golden bytes of foreign programs


@pytest.mark.parametrize("name", FOREIGN)
def test_messages_of_foreign_programs_come_back_octet_for_octet(name):
    for data in datagrams(name):
        assert dhcp.decode(data).encode() == data


def test_udhcpc_and_dnsmasq_are_read():
    """udhcpc finds the address in use; option 125 travels both ways."""
    messages = [dhcp.decode(data) for data in datagrams("udhcpc_with_dnsmasq")]

    assert [message.summary() for message in messages] == [
        "DHCP DISCOVER 02:00:00:00:00:01",
        "DHCP OFFER 192.168.7.120 lease 120 s",
        "DHCP REQUEST 192.168.7.120 of 192.168.7.1",
        "DHCP ACK 192.168.7.120 lease 120 s",
        "DHCP DECLINE 192.168.7.120",
    ]
    discover, _, request, ack, decline = messages
    assert discover.vendor_identity == (DEVICE,)
    assert discover.parameter_request_list == (1, 3, 6, 12, 15, 28, 42)
    assert discover.client_identifier == b"\1\2\0\0\0\0\1"
    assert discover.host_name == "box"
    assert discover.maximum_message_size == 576
    assert not discover.broadcast
    assert request.server_identifier == "192.168.7.1"
    assert request.transaction == discover.transaction
    # dnsmasq was given 4, 5, 6, with quotation marks.
    assert ack.vendor_identity == (
        (3561, ((6, b'"GWCLASS"'), (5, b'"GWSERIAL1"'), (4, b'"00D09E"'))),
    )
    assert (ack.lease_s, ack.renewal_s, ack.rebinding_s) == (120, 60, 105)
    assert ack.subnet_mask == "255.255.255.0"
    assert ack.routers == ("192.168.7.1",)
    assert ack.dns_servers == ("192.168.7.1",)
    assert ack.domain_name == "home.example"
    assert decline.requested_address == "192.168.7.120"


def test_dhclient_and_udhcpd_are_read():
    """dhclient starts, reboots, is refused an address of elsewhere, and releases."""
    messages = [dhcp.decode(data) for data in datagrams("dhclient_with_udhcpd")]

    assert [message.WORD for message in messages] == [
        *("DISCOVER", "OFFER", "REQUEST", "ACK"),
        *("REQUEST", "ACK"),
        *("REQUEST", "NAK"),
        *("DISCOVER", "OFFER", "REQUEST", "ACK"),
        "RELEASE",
    ]
    assert messages[6].summary() == "DHCP REQUEST 10.9.9.9"
    assert messages[7].summary() == "DHCP NAK 02:00:00:00:00:01"
    assert messages[7].server_identifier == "192.168.7.1"
    assert messages[12].client_address == "192.168.7.103"
    assert messages[0].vendor_identity == ((3561, ((1, b"00D09E"),)),)


def test_renewal_of_udhcpc_names_its_address_in_the_header():
    renewal = dhcp.decode(datagrams("udhcpc_with_udhcpd")[4])

    assert isinstance(renewal, dhcp.Request)
    assert renewal.client_address == "192.168.7.103"
    assert renewal.summary() == "DHCP REQUEST 192.168.7.103"


# scapy as second decoder


def scapy_options(data: bytes) -> dict[str, object]:
    packet = BOOTP(data)
    options = packet[DHCP].options
    return {each[0]: each[1] for each in options if isinstance(each, tuple)}


@pytest.mark.parametrize("name", FOREIGN)
def test_scapy_reads_the_same_from_foreign_messages(name):
    for data in datagrams(name):
        message, packet, options = (
            dhcp.decode(data),
            BOOTP(data),
            scapy_options(data),
        )

        assert message.transaction == packet.xid
        assert message.secs == packet.secs
        assert message.flags == int(packet.flags)
        assert (message.ciaddr, message.yiaddr, message.giaddr) == (
            packet.ciaddr,
            packet.yiaddr,
            packet.giaddr,
        )
        assert message.message_type == options["message-type"]
        assert message.lease_s == options.get("lease_time")
        assert message.server_identifier == options.get("server_id")
        assert message.requested_address == options.get("requested_addr")
        assert message.subnet_mask == options.get("subnet_mask")


def test_scapy_reads_what_we_build():
    built = dhcp.Offer.build(
        hardware_address=MAC,
        xid=0x12345678,
        yiaddr="192.168.1.100",
        options=[
            dhcp.Option(54, bytes((192, 168, 1, 1))),
            dhcp.Option(51, (3600).to_bytes(4)),
            dhcp.Option(15, b"home.example"),
        ],
    )

    packet, options = BOOTP(built.encode()), scapy_options(built.encode())
    assert packet.op == 2
    assert packet.yiaddr == "192.168.1.100"
    assert options["message-type"] == 2
    assert options["server_id"] == "192.168.1.1"
    assert options["lease_time"] == 3600
    assert options["domain"] == b"home.example"


def test_what_scapy_builds_is_read():
    packet = BOOTP(chaddr=bytes.fromhex("020000000001"), xid=7, flags="B") / DHCP(
        options=[("message-type", "inform"), ("client_id", b"\0box"), ("hostname", b"box"), "end"]
    )

    message = dhcp.decode(bytes(packet))

    assert isinstance(message, dhcp.Inform)
    assert message.broadcast
    assert message.hardware_address == MAC
    assert message.client_identifier == b"\0box"
    assert message.host_name == "box"


# Decoding keeps all


@given(st.binary(max_size=600))
def test_any_octets_give_a_message_or_a_decode_error(data):
    try:
        again = dhcp.decode(data).encode()
    except DecodeError:
        return

    assert again == data


@given(st.binary(max_size=700), st.binary(min_size=192, max_size=192), st.integers(0, 4))
def test_any_options_give_a_message_or_a_decode_error(octets, areas, overload):
    data = with_options(
        bytes((53, 1, 5, 52, 1, overload)) + octets, sname=areas[:64], file=areas[64:]
    )
    try:
        message = dhcp.decode(data)
    except DecodeError:
        return

    assert message.encode() == data
    for name in (each for each in dir(type(message)) if not each.startswith("_")):
        if isinstance(getattr(type(message), name), property):
            getattr(message, name)  # none may raise
    assert message.summary().isprintable()


options = st.builds(dhcp.Option, st.integers(1, 254), st.binary(max_size=255))


@given(st.sampled_from(KINDS), st.lists(options, max_size=12))
def test_built_messages_survive_the_wire(kind, given_options):
    kept = [each for each in given_options if each.code not in (52, 53)]
    message = kind.build(hardware_address=MAC, options=kept, xid=5)

    decoded = dhcp.decode(message.encode())

    assert type(decoded) is kind
    assert decoded == message
    assert decoded.option(53) == message.option(53)


def test_order_duplicates_unknown_options_and_padding_are_kept():
    octets = bytes((0, 53, 1, 1, 0, 0, 200, 2, 7, 8, 200, 0, 255, 9, 9))

    message = dhcp.decode(with_options(octets))

    assert isinstance(message, dhcp.Discover)
    assert message.options == (
        PAD,
        dhcp.Option(53, b"\1"),
        PAD,
        PAD,
        dhcp.Option(200, b"\7\10"),
        dhcp.Option(200, b""),
        END,
    )
    assert message.rest == b"\t\t"


def test_options_may_end_without_end():
    message = dhcp.decode(with_options(bytes((53, 1, 1))))

    assert message.options == (dhcp.Option(53, b"\1"),)
    assert message.encode() == with_options(bytes((53, 1, 1)))


@pytest.mark.parametrize("vendor_area", [b"", b"abc", bytes(64), b"\x63\x82\x53\x64more"])
def test_bootp_without_cookie_is_a_plain_message(vendor_area):
    message = dhcp.decode(header(op=2) + vendor_area)

    assert type(message) is dhcp.Message
    assert message.rest == vendor_area
    assert message.option(53) is None
    assert message.summary() == "BOOTP REPLY 00:00:00:00:00:00"
    assert message.encode() == header(op=2) + vendor_area


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "BOOTP REQUEST 02:00:00:00:00:01"),
        (b"\x35\x01\x0a", "DHCP type 10 02:00:00:00:00:01"),
        (b"\x35\x02\x01\x01", "BOOTP REQUEST 02:00:00:00:00:01"),
    ],
    ids=["no type", "LEASEQUERY", "type of two octets"],
)
def test_an_unknown_type_is_a_plain_message(octets, expected):
    chaddr = bytes.fromhex("020000000001").ljust(16, b"\0")

    message = dhcp.decode(with_options(octets, chaddr=chaddr))

    assert type(message) is dhcp.Message
    assert message.summary() == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (bytes(235), "DHCP message: header at offset 0 needs 236 octets, 235 remain"),
        (
            with_options(bytes((53, 1, 1, 12, 5, 65, 66))),
            "DHCP message: option 12 at offset 243 says 5 octets, 2 remain",
        ),
        (
            with_options(bytes((53, 1, 1, 12))),
            "DHCP message: option 12 at offset 243 lacks its length octet, 0 octets remain",
        ),
        (
            with_options(bytes((52, 1, 1)), file=bytes(126) + b"\x0c\x09"),
            "DHCP file field: option 12 at offset 234 says 9 octets, 0 remain",
        ),
        (
            with_options(bytes((52, 1, 2)), sname=bytes(62) + b"\x0c\x09"),
            "DHCP sname field: option 12 at offset 106 says 9 octets, 0 remain",
        ),
    ],
    ids=["short header", "long option", "no length", "file overrun", "sname overrun"],
)
def test_what_cannot_be_cut_is_refused_with_offset_and_measure(data, error):
    with pytest.raises(DecodeError) as caught:
        dhcp.decode(data)

    assert str(caught.value) == error


def test_giants_are_read_in_one_pass():
    """65,507 octets of UDP: of Pads, of empty options, of one option in many pieces."""
    room = 65507 - 240
    for octets in (bytes(room), b"\xc8\x00" * (room // 2), (b"\xc8\xff" + bytes(255)) * 250):
        message = dhcp.decode(with_options(octets))

        assert message.encode() == with_options(octets)
        assert message.vendor_identity == ()
        assert len(message.option(200) or b"") in (0, 255 * 250)


# Options that are split or lie elsewhere


def test_pieces_of_an_option_are_joined_in_order():
    """RFC 3396 section 8's way: a long option in two pieces, another option between them."""
    octets = b"\x0c\x03abc" + b"\x35\x01\x01" + b"\x0c\x02de" + b"\xff"

    message = dhcp.decode(with_options(octets))

    assert message.host_name == "abcde"


def test_overloaded_fields_are_read_options_then_file_then_sname():
    data = with_options(
        b"\x35\x01\x05\x34\x01\x03\x0c\x01a\xff",
        file=b"\x0c\x01b\xff".ljust(128, b"\0"),
        sname=b"\x0c\x01c\x0f\x01d\xff".ljust(64, b"\0"),
    )

    message = dhcp.decode(data)

    assert message.overload == 3
    assert message.host_name == "abc"
    assert message.domain_name == "d"
    assert message.encode() == data


def test_the_message_type_may_lie_in_an_overloaded_field():
    message = dhcp.decode(with_options(b"\x34\x01\x01\xff", file=b"\x35\x01\x05".ljust(128, b"\0")))

    assert isinstance(message, dhcp.Ack)


def test_an_overload_within_an_overloaded_field_leads_nowhere():
    data = with_options(
        b"\x34\x01\x01\xff",
        file=b"\x34\x01\x03\xff".ljust(128, b"\0"),
        sname=b"\x0c\xff".ljust(64, b"\0"),
    )

    message = dhcp.decode(data)

    assert message.overload == 1
    assert message.host_name is None


@pytest.mark.parametrize("value", [b"", b"\0", b"\4", b"\1\1"])
def test_an_overload_that_says_nothing_known_is_none(value):
    data = with_options(bytes((52, len(value))) + value, file=b"\x0c\xff".ljust(128, b"\0"))

    assert dhcp.decode(data).overload == 0


def test_long_options_are_split_when_built():
    value = bytes(range(256)) * 3
    built = dhcp.Inform.build(hardware_address=MAC, options=[dhcp.Option(125, value)])

    decoded = dhcp.decode(built.encode())

    assert [len(each.value) for each in decoded.options if each.code == 125] == [255] * 3 + [3]
    assert decoded.option(125) == value


def test_options_that_do_not_fit_move_into_file_and_sname():
    wanted = [
        dhcp.Option(54, bytes(4)),
        dhcp.Option(12, b"n" * 100),
        dhcp.Option(15, b"d" * 50),
        dhcp.Option(43, b"v" * 90),
    ]
    built = dhcp.Ack.build(hardware_address=MAC, options=wanted, most_octets=400)

    decoded = dhcp.decode(built.encode())

    assert len(built.encode()) <= 400
    assert decoded == built
    assert decoded.overload == 3
    assert [decoded.option(each.code) for each in wanted] == [each.value for each in wanted]
    assert decoded.options[0].code == 53


def test_one_overloaded_field_is_used_where_it_suffices():
    small = [dhcp.Option(12, b"n" * 100), dhcp.Option(15, b"d" * 50)]

    in_file = dhcp.Ack.build(hardware_address=MAC, options=small, most_octets=380)
    long_first = [
        dhcp.Option(15, b"d" * 50),
        dhcp.Option(43, b"v" * 120),
        dhcp.Option(12, b"n" * 40),
    ]
    both = dhcp.Ack.build(hardware_address=MAC, options=long_first, most_octets=300)

    assert in_file.overload == 1
    assert in_file.domain_name == "d" * 50
    assert dhcp.decode(both.encode()).option(43) == b"v" * 120


@pytest.mark.parametrize(
    "wanted",
    [
        [dhcp.Option(12, b"n" * 200), dhcp.Option(43, b"v" * 200)],
        [dhcp.Option(43, b"v" * 100), dhcp.Option(43, b"w" * 100)],
    ],
    ids=["too long for any field", "order matters"],
)
def test_options_that_can_move_nowhere_stay(wanted):
    built = dhcp.Ack.build(hardware_address=MAC, options=wanted, most_octets=300)

    assert built.overload == 0
    assert built.option(43) == b"".join(each.value for each in wanted if each.code == 43)


# Building and changing


def test_a_built_message_is_canonical():
    data = dhcp.Discover.build(
        hardware_address=MAC, xid=0xDEADBEEF, options=[dhcp.Option(12, b"box")]
    ).encode()

    assert len(data) == 300
    assert data[:12] == b"\1\1\6\0\xde\xad\xbe\xef\0\0\0\0"
    assert data[28:34] == bytes.fromhex("020000000001")
    assert data[236:250] == bytes.fromhex("63825363 350101 0c03626f78 ff 00")
    assert not any(data[250:])


def test_messages_are_messages_of_the_wire():
    assert isinstance(dhcp.Discover.build(hardware_address=MAC), AnyMessage)


def test_messages_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        dhcp.Discover.build(hardware_address=MAC).xid = 5


def test_an_option_is_replaced_in_its_place():
    message = dhcp.Discover.build(
        hardware_address=MAC, options=[dhcp.Option(12, b"a"), dhcp.Option(15, b"d")]
    )

    changed = message.with_option(dhcp.Option(12, b"longer"))

    assert isinstance(changed, dhcp.Discover)
    assert [each.code for each in changed.options] == [53, 12, 15, 255]
    assert changed.host_name == "longer"
    assert len(changed.encode()) == 300


def test_an_option_is_added_before_end_or_last():
    message = dhcp.Discover.build(hardware_address=MAC)
    endless = dataclasses.replace(message, options=message.options[:1], rest=b"")

    assert [each.code for each in message.with_option(dhcp.Option(12, b"a")).options] == [
        53,
        12,
        255,
    ]
    assert [each.code for each in endless.with_option(dhcp.Option(12, b"a")).options] == [53, 12]


def test_another_message_type_gives_another_class():
    message = dhcp.Discover.build(hardware_address=MAC)

    assert isinstance(message.with_option(dhcp.Option(53, b"\3")), dhcp.Request)
    assert type(message.without_option(53)) is dhcp.Message


def test_what_follows_end_is_kept_when_an_option_changes():
    message = dhcp.decode(with_options(b"\x35\x01\x01\xff" + b"secret"))

    assert message.with_option(dhcp.Option(12, b"a")).rest == b"secret"


def test_a_built_message_without_type_is_bootp():
    message = dhcp.Message.build(hardware_address=MAC)

    assert message.summary() == "BOOTP REQUEST 02:00:00:00:00:01"
    assert message.options == (END,)


@pytest.mark.parametrize("address", ["", "02:00:00:00:00:0g", "00:" * 16 + "00"])
def test_a_bad_hardware_address_is_told(address):
    with pytest.raises(BadInput, match="is no hardware address; write up to 16 octets"):
        dhcp.Discover.build(hardware_address=address)


# What messages say


def test_absent_and_misshapen_options_read_as_absent():
    octets = b"\x35\x01\x05" + b"\x33\x03\0\0\1" + b"\x36\x05\1\2\3\4\5" + b"\x03\x06\1\2\3\4\5\6"

    message = dhcp.decode(with_options(octets))

    assert message.lease_s is None
    assert message.server_identifier is None
    assert message.renewal_s is None
    assert message.maximum_message_size is None
    assert message.routers == ("1.2.3.4",)
    assert message.dns_servers == ()
    assert message.error_message is None
    assert message.relay is None
    assert message.summary() == "DHCP ACK 00:00:00:00:00:00 without lease"


def test_text_loses_its_closing_nuls():
    assert dhcp.decode(with_options(b"\x0c\x05box\0\0")).host_name == "box"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            dhcp.Discover.build(
                hardware_address=MAC, options=[dhcp.Option(50, bytes((192, 168, 1, 9)))]
            ),
            "DHCP DISCOVER 02:00:00:00:00:01 wants 192.168.1.9",
        ),
        (dhcp.Request.build(hardware_address=MAC), "DHCP REQUEST 02:00:00:00:00:01"),
        (dhcp.Decline.build(hardware_address=MAC), "DHCP DECLINE 02:00:00:00:00:01"),
        (dhcp.Inform.build(hardware_address=MAC), "DHCP INFORM 02:00:00:00:00:01"),
        (
            dhcp.Release.build(hardware_address=MAC, ciaddr="192.168.1.9"),
            "DHCP RELEASE 192.168.1.9",
        ),
        (
            dhcp.Nak.build(hardware_address=MAC, options=[dhcp.Option(56, b"no\n\x1b[31m")]),
            "DHCP NAK 02:00:00:00:00:01 no??[31m",
        ),
        (
            dhcp.Ack.build(hardware_address=MAC, ciaddr="192.168.1.9"),
            "DHCP ACK 192.168.1.9 without lease",
        ),
    ],
    ids=lambda value: value.WORD if isinstance(value, dhcp.Message) else "",
)
def test_summaries_fit_one_line(message, expected):
    assert message.summary() == expected
