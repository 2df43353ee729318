import pytest
from trace_frames import MILLISECOND, NODES, START_NS, STATIC, Home, Word, ipv4, tcp, udp, words

from testbed.protocols.wire import Endpoint
from testbed.trace.arrow import Translation, end_to_end
from testbed.trace.record import Frame
from testbed.trace.trace import Trace


def path(arrow):
    return [(hop.sender, hop.link, hop.receiver) for hop in arrow.hops]


def arrows(home):
    return [arrow for arrow in home.trace.arrows if not arrow.first.is_event]


def test_a_message_that_a_nat_passes_on_is_one_arrow(home):
    home.out()

    (arrow,) = arrows(home)
    assert path(arrow) == [("hnb", "home", "gateway"), ("gateway", "internet", "segw")]
    assert (arrow.origin, arrow.end, arrow.delivered) == ("hnb", "segw", True)
    assert arrow.message == Word("hello", tuple("hello"))
    assert arrow.translations == [
        Translation("gateway", Endpoint("192.168.1.100", 40000), Endpoint("203.0.113.100", 40000))
    ]


def test_every_record_knows_its_arrow(home):
    first, second = home.out()

    assert home.trace.arrow_of(first) is home.trace.arrow_of(second)


def test_an_arrow_grows_while_the_trace_grows(home):
    seen = []
    home.trace.listeners.append(lambda each: seen.append(len(home.trace.arrow_of(each).hops)))
    home.out()

    assert seen == [1, 2]


def test_an_answer_is_an_arrow_of_its_own(home):
    home.out(b"ping")
    back = ipv4("203.0.113.50", "203.0.113.100", 17, udp(home.server, home.wan, b"pong"))
    home.put("segw", "internet", "gateway", back)
    back = ipv4("203.0.113.50", "192.168.1.100", 17, udp(home.server, home.lan, b"pong"))
    home.put("gateway", "home", "hnb", back)

    assert [(each.origin, each.end) for each in arrows(home)] == [("hnb", "segw"), ("segw", "hnb")]
    assert arrows(home)[1].translations[0].after == Endpoint("192.168.1.100", 40000)


def test_an_echo_of_the_same_octets_is_an_arrow_of_its_own(home):
    home.out(b"same")
    back = ipv4("203.0.113.50", "203.0.113.100", 17, udp(home.server, home.wan, b"same"))
    home.put("segw", "internet", "gateway", back)

    assert len(arrows(home)) == 1, "what the receiver sends on with equal octets looks passed on"
    assert path(arrows(home)[0])[-1] == ("segw", "internet", "gateway")


def test_equal_datagrams_are_different_arrows(home):
    home.out(b"again")
    home.out(b"again")

    assert [len(arrow.hops) for arrow in arrows(home)] == [2, 2]


def test_equal_datagrams_in_flight_are_joined_in_their_order(home):
    lan = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"twin"))
    wan = ipv4(home.wan[0], home.server[0], 17, udp(home.wan, home.server, b"twin"))
    for _ in range(2):
        home.put("hnb", "home", "gateway", lan)
    for _ in range(2):
        home.put("gateway", "internet", "segw", wan)

    assert [[hop.number for hop in arrow.hops] for arrow in arrows(home)] == [[1, 3], [2, 4]]


def test_what_a_link_lost_goes_nowhere(home):
    home.out(b"lost", first=0)
    home.trace.close()

    (arrow,) = arrows(home)
    assert (arrow.end, arrow.delivered) == ("gateway", False)


def test_whether_it_is_lost_is_not_known_while_it_may_still_come(home):
    home.out(b"lost", first=0)

    (arrow,) = arrows(home)
    assert arrow.delivered is None


def test_a_frame_that_has_not_come_in_time_is_lost(home):
    home.out(b"lost", first=0)
    home.now_ms += 2001
    home.out(b"later")

    assert [arrow.delivered for arrow in arrows(home)] == [False, True]


def test_a_retransmission_after_a_loss_is_the_one_that_goes_on(home):
    lan = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"try"))
    lan_again = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"try"), 2)
    wan = ipv4(home.wan[0], home.server[0], 17, udp(home.wan, home.server, b"try"))
    home.put("hnb", "home", "gateway", lan, 0)
    home.now_ms += 500
    home.put("hnb", "home", "gateway", lan_again)
    home.put("gateway", "internet", "segw", wan)
    home.trace.close()

    assert [arrow.delivered for arrow in arrows(home)] == [False, True]
    assert [len(arrow.hops) for arrow in arrows(home)] == [1, 2]


def test_two_copies_of_one_frame_share_their_first_hop(home):
    home.out(b"twice", first=2)

    one, other = arrows(home)
    assert one.hops[0] is other.hops[0]
    assert one.hops[1] is not other.hops[1]
    assert [each.origin for each in (one, other)] == ["hnb", "hnb"]


def test_without_the_receivers_copies_nobody_knows_what_arrived():
    home = Home(arrivals=False)
    home.out(first=0)
    home.trace.close()

    assert arrows(home)[0].delivered is None


def test_a_node_that_answers_too_late_has_not_passed_it_on(home):
    packet = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"slow"))
    home.put("hnb", "home", "gateway", packet)
    home.now_ms += 2001
    home.put("gateway", "internet", "segw", packet)

    assert [arrow.origin for arrow in arrows(home)] == ["hnb", "gateway"]


def test_a_copy_at_a_node_that_did_not_receive_it_is_a_new_arrow(home):
    packet = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"one"))
    home.put("hnb", "home", "gateway", packet)
    home.put("outer_dns", "internet", "segw", packet)

    assert [arrow.origin for arrow in arrows(home)] == ["hnb", "outer_dns"]


def test_a_broadcast_has_no_end_and_arrives_when_anyone_has_it(home):
    data = udp(("0.0.0.0", 68), ("255.255.255.255", 7000), b"all")
    home.put("hnb", "home", None, ipv4("0.0.0.0", "255.255.255.255", 17, data))

    (arrow,) = arrows(home)
    assert (arrow.end, arrow.is_group, arrow.delivered) == (None, True, True)
    assert end_to_end(arrow, "hnb", "gateway")
    assert not end_to_end(arrow, "hnb", "segw")
    assert not end_to_end(arrow, "hnb", "hnb")


@pytest.mark.parametrize("broadcast_first", [True, False])
def test_a_broadcast_is_never_passed_on(home, broadcast_first):
    everyone = ipv4(home.lan[0], "255.255.255.255", 17, udp(home.lan, ("255.255.255.255", 67), b""))
    lan = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b""))
    wan = ipv4(home.wan[0], home.server[0], 17, udp(home.wan, home.server, b""))
    first = [(None, everyone), ("gateway", lan)]
    for to, packet in first if broadcast_first else reversed(first):
        home.put("hnb", "home", to, packet)
    home.put("gateway", "internet", "segw", wan)

    assert sorted((len(each.hops), each.is_group) for each in arrows(home)) == [
        (1, True),
        (2, False),
    ]


def test_the_segments_of_a_connection_are_arrows_too(home):
    home.connect()
    home.segment(True, 1001, 24, b"\0\5hello", 5001)

    arrow = arrows(home)[-1]
    assert path(arrow) == [("hnb", "home", "gateway"), ("gateway", "internet", "segw")]
    assert arrow.message.text == "hello"
    assert [len(each.hops) for each in arrows(home)] == [2, 2, 2, 2]


def test_a_message_that_a_retransmission_completes_further_on_keeps_its_origin(home):
    home.connect()
    octets = b"\0\3one\0\3two"
    home.segment(True, 1001, 24, octets[:4], 5001, copies=0, links=1)
    home.segment(True, 1005, 24, octets[4:], 5001)
    home.segment(True, 1001, 24, octets[:4], 5001)

    heard = [each for each in arrows(home) if each.last.message and each.last.link == "internet"]
    assert [(each.origin, each.last.message.text) for each in heard] == [
        ("hnb", "one"),
        ("hnb", "two"),
    ]


def test_an_echo_whose_identifier_the_nat_changed_is_one_arrow(home):
    def echo(identifier):
        return b"\x08\0\0\0" + identifier.to_bytes(2, "big") + b"\0\1data"

    home.put("hnb", "home", "gateway", ipv4("192.168.1.100", "203.0.113.50", 1, echo(7)))
    home.put("gateway", "internet", "segw", ipv4("203.0.113.100", "203.0.113.50", 1, echo(900)))

    assert [len(arrow.hops) for arrow in arrows(home)] == [2]


def test_an_icmp_error_whose_quotation_the_nat_changed_is_one_arrow(home):
    quoted = ipv4(home.wan[0], home.server[0], 17, udp(home.wan, home.server, b"x"), 33)
    inner = ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"x"), 33)
    error = b"\x03\x03" + bytes(6)
    home.put("segw", "internet", "gateway", ipv4("203.0.113.50", home.wan[0], 1, error + quoted))
    home.put("gateway", "home", "hnb", ipv4("203.0.113.50", home.lan[0], 1, error + inner))

    assert [(arrow.origin, arrow.end) for arrow in arrows(home)] == [("segw", "hnb")]


def test_end_to_end_begins_at_the_origin_and_ends_at_the_holder_of_the_address(home):
    first, _ = home.out()

    arrow = home.trace.arrow_of(first)
    assert end_to_end(arrow, "hnb", "segw")
    assert not end_to_end(arrow, "gateway", "segw")
    assert not end_to_end(arrow, "hnb", "gateway")


def test_a_router_that_is_only_passed_is_no_end():
    home = Home()
    home.put(
        "hnb",
        "home",
        "gateway",
        ipv4(home.lan[0], home.server[0], 17, udp(home.lan, home.server, b"x")),
    )

    (arrow,) = arrows(home)
    assert not end_to_end(arrow, "hnb", "gateway")
    assert not end_to_end(arrow, "hnb", "segw")


def test_a_client_without_an_address_is_reached_by_its_hardware_address():
    home = Home()
    home.trace.add_event("hnb", "ADDRESS", {"interface": "eth0", "address": None}, START_NS + 1)
    offer = udp(("192.168.1.1", 67), ("192.168.1.150", 68), b"offer")
    home.put("gateway", "home", "hnb", ipv4("192.168.1.1", "192.168.1.150", 17, offer))

    assert end_to_end(arrows(home)[0], "gateway", "hnb")


def test_a_message_through_a_tunnel_goes_on_behind_it(home):
    home.trace.add_event(
        "hnb",
        "ADDRESS",
        {"interface": "ipsec0", "address": "10.8.0.2", "link": "tunnel"},
        START_NS,
    )
    home.trace.add_event(
        "segw", "ADDRESS", {"interface": "ipsec0", "address": None, "link": "tunnel"}, START_NS
    )
    home.trace.set_nodes(
        {
            "02:00:00:00:03:01": ("segw", "eth1", "core"),
            "02:00:00:00:04:00": ("initial_hms", "eth0", "core"),
        },
        {("initial_hms", "eth0"): "10.10.0.20"},
    )
    inner = ipv4("10.8.0.2", "10.10.0.20", 17, udp(("10.8.0.2", 9), ("10.10.0.20", 7000), b"in"))
    home.trace.add_frame(Frame(START_NS + 10, "tunnel", "hnb", "ipsec0", inner, 101))
    core = bytes.fromhex("020000000400020000000301") + b"\x08\x00" + inner
    record = home.trace.add_frame(Frame(START_NS + 20, "core", "segw", "eth1", core))[0]

    arrow = home.trace.arrow_of(record)
    assert path(arrow) == [("hnb", "tunnel", "segw"), ("segw", "core", "initial_hms")]
    assert end_to_end(arrow, "hnb", "initial_hms")


def test_a_node_without_a_known_hardware_address_is_learned_from_its_first_frame():
    trace = Trace(words())
    out = bytes.fromhex("02000000aaaa02000000bbbb0800") + ipv4("10.0.0.2", "10.0.0.1", 50, b"x")
    back = bytes.fromhex("02000000bbbb02000000aaaa0800") + ipv4("10.0.0.1", "10.0.0.2", 50, b"y")
    trace.add_frame(Frame(START_NS, "bench", "device", "eth0", out))

    (record,) = trace.add_frame(Frame(START_NS + 1, "bench", "hms", "eth0", back))

    assert record.receiver == "device"


def test_a_field_capture_without_names_shows_addresses():
    frame = bytes.fromhex("02000000aaaa02000000bbbb0800") + ipv4("10.0.0.2", "10.0.0.1", 50, b"x")

    trace = Trace.from_frames([Frame(START_NS, "capture", "", "", frame)])

    assert (trace.records[0].sender, trace.records[0].receiver) == ("10.0.0.2", "10.0.0.1")


def test_a_field_capture_with_names_of_addresses_shows_these():
    frame = bytes.fromhex("02000000aaaa02000000bbbb0800") + ipv4("10.0.0.2", "10.0.0.1", 50, b"x")
    frames = [Frame(START_NS, "capture", "", "", frame)]
    names = {("hnb", ""): "10.0.0.2", ("hms", ""): "10.0.0.1"}

    trace = Trace.from_frames(frames, addresses=names)

    (record,) = trace
    assert (record.sender, record.receiver) == ("hnb", "hms")
    assert end_to_end(trace.arrow_of(record), "hnb", "hms")


def test_a_field_capture_with_names_shows_these():
    home = Home()
    home.out()
    frames = [
        Frame(each.time_ns, each.link, "", each.interface, each.data, each.link_type)
        for each in home.sent
    ]

    trace = Trace.from_frames(frames, NODES, words())

    assert path(trace.arrows[0]) == [("hnb", "home", "gateway"), ("gateway", "internet", "segw")]


def test_who_held_which_address_when_is_known(home):
    later = START_NS + 50 * MILLISECOND
    home.trace.add_event("hnb", "ADDRESS", {"interface": "eth0", "address": "192.168.1.9"}, later)
    held = home.trace.addresses

    assert held.holds("hnb", "192.168.1.100", later - 1)
    assert not held.holds("hnb", "192.168.1.100", later)
    assert held.addresses_of("hnb", None, later) == ["192.168.1.9"]
    assert [each.node for each in held.holders("203.0.113.100", later)] == ["gateway"]
    assert [each.until_ns for each in held.history("192.168.1.100")] == [later]


def test_addresses_of_both_families_stand_side_by_side(home):
    home.trace.add_event(
        "hnb", "ADDRESS", {"interface": "eth0", "address": "2001:db8::7"}, START_NS + 1
    )

    held = home.trace.addresses.addresses_of("hnb", "eth0", START_NS + 2)
    assert held == ["192.168.1.100", "2001:db8::7"]


def test_an_arrival_of_what_nobody_sent_is_counted(home):
    home.trace.arrived(Frame(START_NS, "home", "hnb", "eth0", b"what"))

    assert home.trace.deliveries.unmatched == 1


def test_long_traces_forget_what_is_past():
    home = Home()
    for number in range(50):
        home.now_ms += 3000
        home.out(b"a" * (number + 1))

    assert len(home.trace.deliveries._open) <= 2
    assert len(home.trace._arrows._open) <= 2


def test_segments_with_equal_octets_but_other_numbers_are_different(home):
    for sequence in (1, 2):
        data = tcp(home.lan, home.server, sequence, 16)
        home.put("hnb", "home", "gateway", ipv4(home.lan[0], home.server[0], 6, data))

    assert len(arrows(home)) == 2


@pytest.mark.parametrize("node", ["gateway", "outer_dns", "segw"])
def test_static_addresses_are_held_from_the_start(home, node):
    own = [address for (name, _), address in STATIC.items() if name == node]

    assert home.trace.addresses.addresses_of(node, None, START_NS) == own


def _answered(home):
    """The segw's datagram to the NAT's outside endpoint, on its way in."""
    packet = ipv4("203.0.113.50", "203.0.113.100", 17, udp(home.server, home.wan, b"hi"))
    return home.trace.arrow_of(home.put("segw", "internet", "gateway", packet))


def _tells(home, name, inside="192.168.1.100:40000"):
    ends = {"protocol": "udp", "inside": inside, "outside": "203.0.113.100:40000"}
    home.trace.add_event("gateway", name, ends, START_NS + home.now_ms * MILLISECOND)


def test_what_comes_to_a_living_binding_is_not_for_the_nat(home):
    _tells(home, "BINDING_CREATED")

    assert not end_to_end(_answered(home), "segw", "gateway")


def test_what_comes_to_a_dead_binding_goes_no_further_than_the_nat(home):
    _tells(home, "BINDING_CREATED")
    home.now_ms += 5
    _tells(home, "BINDING_EXPIRED")

    assert end_to_end(_answered(home), "segw", "gateway")


def test_what_comes_to_the_gateways_own_binding_is_for_the_gateway(home):
    _tells(home, "BINDING_CREATED", inside="203.0.113.100:40000")

    assert end_to_end(_answered(home), "segw", "gateway")


def test_two_sides_of_a_nat_are_joined_where_nobody_says_who_sent(home):
    home.out()
    frames = [Frame(each.time_ns, "pile", "", "", each.data) for each in home.sent]
    trace = Trace.from_frames(frames, decoders=words(), addresses={("hnb", ""): "192.168.1.100"})

    (arrow,) = trace.arrows
    assert (arrow.origin, arrow.end) == ("hnb", "203.0.113.50")


def test_copies_of_one_message_on_one_link_are_not_joined(home):
    home.out(second=0)
    home.out(second=0)
    frames = [Frame(e.time_ns, "pile", "", "", e.data) for e in home.sent if e.link == "home"]

    assert len(Trace.from_frames(frames, decoders=words()).arrows) == 2
