import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console
from rich.text import Text
from trace_frames import MILLISECOND, START_NS, Word, ipv4, tcp, udp, words

from testbed.errors import DecodeError
from testbed.trace.ladder import LadderPrinter, draw
from testbed.trace.ladder_svg import draw_svg
from testbed.trace.packets import Arp
from testbed.trace.trace import Trace


def ladder(home, width=80, **options):
    """The drawing below its first event, as one text."""
    home.trace.close()
    lines = [
        each
        for each in draw(home.trace, width=width, **options)
        if not re.search("ADDRESS|interface=|address=", each)
    ]
    return "\n" + "\n".join(lines) + "\n"


def broadcast(home, payload=b"discover", copies=1):
    packet = udp(("0.0.0.0", 68), ("255.255.255.255", 7000), payload)
    home.put("hnb", "home", None, ipv4("0.0.0.0", "255.255.255.255", 17, packet), copies)


def arp(home, node, to, message):
    home.put(node, "home", to, message.encode(), ethertype=0x0806)


ASKS = Arp(1, "02:00:00:00:00:00", "192.168.1.100", "00:00:00:00:00:00", "192.168.1.1")
TELLS = Arp(2, "02:00:00:00:01:00", "192.168.1.1", "02:00:00:00:00:00", "192.168.1.100")


def test_a_ladder_shows_what_passed_what_was_lost_and_what_was_malformed(home):
    broadcast(home)
    home.out(b"hello")
    home.out(b"no1")
    home.out(b"lost", first=0)
    home.out(b"late", second=0)
    home.trace.add_event("hnb", "FAILED", {"step": "2.3"}, START_NS + 20 * MILLISECOND)

    assert (
        ladder(home, 90)
        == """
           hnb                              gateway                    segw
    0.001   |----------WORD discover---------->|                         |
    0.002   |------------WORD hello------------+------------------------>|
            | gateway: 192.168.1.100:40000 became 203.0.113.100:40000    |
    0.004   |---malformed: word: octet at offset 2 is 0x31, no letter--->|
    0.006   |------------WORD lost-----------x |                         |
            | lost on link home: did not arrive at gateway               |
    0.007   |------------WORD late-------------+-----------------------x |
            | lost on link internet: did not arrive at segw              |
    0.020   * FAILED step=2.3                  |                         |
"""
    )


def test_too_many_nodes_for_the_width_give_plain_lines(home):
    broadcast(home)
    home.out(b"hello")
    home.out(b"lost", first=0)
    home.trace.add_event("hnb", "FAILED", {"step": "2.3"}, START_NS + 20 * MILLISECOND)

    assert (
        ladder(home, 30)
        == """
    0.001 hnb -> all  WORD discover
    0.002 hnb -> segw  WORD hello (gateway: 192.168.1.100:40000 became 203.0.113.100:40000)
    0.004 hnb --x gateway  WORD lost (lost on link home: did not arrive at gateway)
    0.020 hnb * FAILED step=2.3
"""
    )


def test_a_connection_is_its_opening_its_messages_and_its_end(home):
    home.connect()
    home.segment(True, 1001, 24, b"\0\5hello", 5001)
    home.segment(False, 5001, 16, ack=1008)
    home.segment(True, 1001, 24, b"\0\5hello", 5001)
    home.segment(False, 5001, 17, ack=1008)
    home.segment(True, 1008, 17, ack=5002)
    home.segment(True, 1009, 4)

    assert (
        ladder(home, 100)
        == """
           hnb                                gateway                             segw
    0.001   |---TCP connect 203.0.113.50:7000----+--------------------------------->|
            | gateway: 192.168.1.100:40000 became 203.0.113.100:40000               |
    0.007   |-------------WORD hello-------------+--------------------------------->|
    0.011   |----TCP retransmission, 7 octets----+--------------------------------->|
    0.013   |<---TCP close 203.0.113.50:7000-----+----------------------------------|
    0.017   |----TCP reset 203.0.113.50:7000-----+--------------------------------->|
"""
    )


def arrow_lines(home, **options):
    return [each for each in ladder(home, 120, **options).split("\n") if re.match(r" +\d+\.", each)]


def test_everything_shows_acknowledgements_too(home):
    home.connect()

    shown = arrow_lines(home, everything=True)

    assert ["TCP connect" in shown[0], "TCP SYN ACK" in shown[1], "TCP ACK" in shown[2]] == [
        True,
        True,
        True,
    ]


def test_a_repeated_opening_says_so(home):
    home.segment(True, 1000, 2, links=1)
    home.segment(True, 1000, 2, links=1)

    assert "TCP connect 203.0.113.50:7000, again" in arrow_lines(home)[1]


def test_octets_of_a_stream_that_nobody_decodes_are_counted(home):
    data = tcp(home.lan, ("203.0.113.50", 443), 1, 24, b"secret")
    home.put("hnb", "home", "gateway", ipv4(home.lan[0], "203.0.113.50", 6, data))

    assert "TCP 6 octets, 203.0.113.50:443" in ladder(home)


def test_address_resolution_is_shown_where_nobody_answered(home):
    arp(home, "hnb", None, ASKS)
    unanswered = ladder(home)
    arp(home, "gateway", "hnb", TELLS)

    assert "ARP who has 192.168.1.1, tell 192.168.1.100" in unanswered
    assert "ARP" not in ladder(home)
    assert ladder(home, everything=True).count("ARP") == 2


def test_a_message_that_a_router_kept_says_for_whom_it_was(home):
    packet = ipv4(home.lan[0], "9.9.9.9", 17, udp(home.lan, ("9.9.9.9", 7000), b"where"))
    home.put("hnb", "home", "gateway", packet)

    assert "went no further than gateway: it was for 9.9.9.9:7000" in ladder(home)


def test_arrows_to_the_left_point_to_the_left(home):
    back = ipv4("203.0.113.50", "203.0.113.100", 17, udp(home.server, home.wan, b"pong"))
    home.put("segw", "internet", "gateway", back)
    back = ipv4("203.0.113.50", "192.168.1.100", 17, udp(home.server, home.lan, b"pong"))
    home.put("gateway", "home", "hnb", back)

    assert (
        ladder(home, 60)
        == """
           hnb       gateway           segw
    0.001   |<----------+---WORD pong----|
            | gateway: 203.0.113.100:40000 became
            | 192.168.1.100:40000        |
"""
    )


def test_a_label_without_room_is_cut_and_told_whole_below(home):
    broadcast(home, b"averyveryverylongword")

    assert (
        ladder(home, 30)
        == """
           hnb         gateway
    0.001   |--WORD av\N{HORIZONTAL ELLIPSIS}-->|
          WORD            |
          averyveryverylongword
"""
    )


def test_no_line_is_wider_than_the_terminal(home):
    home.out(b"hello")
    home.out(b"no1")
    home.out(b"late", second=0)

    assert max(len(line) for line in ladder(home, 60).split("\n")) <= 60


def test_an_event_without_room_goes_on_below(home):
    home.out(b"hello")
    told = {"cause": "no answer from any of the three servers"}
    home.trace.add_event("segw", "FAILED", told, START_NS + 5 * MILLISECOND)

    assert (
        ladder(home, 60)
        == """
           hnb             gateway      segw
    0.001   |---WORD hello----+---------->|
            | gateway: 192.168.1.100:40000 became
            | 203.0.113.100:40000         |
    0.005   |                 |           * FAILED cause=no
            |       answer from any of the three servers
"""
    )


def test_nodes_stand_in_the_order_that_was_asked_for(home):
    home.out(b"hello")

    header = draw(home.trace, ["segw", "gateway", "hnb"])[0]

    assert header.split() == ["segw", "gateway", "hnb"]


def test_control_characters_of_a_peer_do_not_reach_the_terminal(home):
    home.trace.decoders.register_datagram(7000, lambda data: Word("\x1b[31m\nred"))
    home.out()

    assert "WORD \N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}red" in ladder(home)


def test_an_empty_trace_says_so():
    assert draw(Trace(words())) == ["nothing was seen"]


def test_lines_are_pure_text_with_a_style_that_rich_knows(home):
    home.out(b"lost", first=0)
    home.trace.close()
    line = draw(home.trace)[-2]
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100)

    console.print(Text(line, style=line.style))

    assert line.style == "red"
    assert "\x1b" not in line
    assert "\x1b[31m" in console.file.getvalue()


def grown(home, printer, *steps):
    """The lines that each step brings."""
    lines = []
    home.trace.listeners.append(lambda record: lines.extend(printer.record(record)))
    brought = []
    for step in steps:
        step()
        brought.append(list(lines))
        lines.clear()
    return brought


def test_a_growing_ladder_gives_a_line_once_its_arrow_has_arrived(home):
    printer = LadderPrinter(home.trace, ["hnb", "gateway", "segw"], is_terminal=False)

    brought = grown(home, printer, lambda: home.out(b"one"), lambda: home.out(b"two"))

    assert brought == [
        [],
        [
            "    0.000 hnb -> segw  WORD one "
            "(gateway: 192.168.1.100:40000 became 203.0.113.100:40000)"
        ],
    ]
    assert printer.finish() == ["    0.002 hnb -> segw  WORD two"]


def test_a_growing_ladder_waits_a_while_for_what_may_still_go_on(home):
    printer = LadderPrinter(home.trace, ["hnb", "gateway", "segw"], is_terminal=False)
    brought = grown(home, printer, lambda: home.out(b"lost", first=0))

    assert brought == [[]]
    assert printer.passed(home.trace.now_ns + 200 * MILLISECOND) == []
    assert printer.passed(home.trace.now_ns + 301 * MILLISECOND) == [
        "    0.000 hnb -> gateway  WORD lost "
        "(went no further than gateway: it was for 203.0.113.50:7000)"
    ]


def test_a_growing_ladder_keeps_the_order_in_which_arrows_began(home):
    printer = LadderPrinter(home.trace, ["hnb", "gateway", "segw"], is_terminal=False)
    brought = grown(home, printer, lambda: home.out(b"lost", first=0), lambda: home.out(b"hello"))

    assert brought == [[], []]
    assert [line.split()[5] for line in printer.finish()] == ["lost", "hello"]


def test_a_growing_ladder_has_its_lifelines_from_the_start(home):
    printer = LadderPrinter(home.trace, ["hnb", "gateway", "outer_dns", "segw"], width=80)
    grown(home, printer, lambda: home.out(b"hello"))

    assert (
        "\n" + "\n".join(printer.finish()) + "\n"
        == """
           hnb                 gateway              outer_dns               segw
    0.000   |-----WORD hello------+------------------------------------------>|
            | gateway: 192.168.1.100:40000 became 203.0.113.100:40000         |
"""
    )


@pytest.fixture
def picture(home):
    broadcast(home)
    home.out(b"hello")
    home.out(b"no1")
    home.out(b"lost", first=0)
    home.connect()
    home.out(b"twice", first=2)
    home.trace.add_event("hnb", "TOLD", {"what": '<script>&"\x00'}, START_NS + 30 * MILLISECOND)
    home.trace.close()
    return ElementTree.fromstring(draw_svg(home.trace, title="a < b"))


SVG = "{http://www.w3.org/2000/svg}"


def test_every_record_has_one_anchor_in_the_picture(home, picture):
    anchors = [each.get("id") for each in picture.iter() if each.get("id")]

    assert sorted(anchors) == sorted(f"r{record.number}" for record in home.trace)


def test_a_picture_says_what_the_text_says(picture):
    texts = ["".join(each.text or "") for each in picture.iter(f"{SVG}text")]

    assert {"WORD hello", "WORD lost", "hnb", "gateway", "segw", "0.002"} <= set(texts)
    assert 'TOLD what=<script>&"\N{REPLACEMENT CHARACTER}' in texts


def test_each_hop_tells_its_endpoints_as_a_tooltip(picture):
    titles = [each.text for each in picture.iter(f"{SVG}title")]

    assert "gateway to segw on link internet\n203.0.113.100:40000 to 203.0.113.50:7000" in titles


def test_lost_and_malformed_rows_are_marked_for_colour(picture):
    kinds = [each.get("class") for each in picture.iter(f"{SVG}g") if each.get("class")]

    assert kinds.count("row lost") == 1
    assert kinds.count("row malformed") == 1


def test_a_picture_asks_for_nothing_from_outside(home):
    home.out(b"hello")
    drawn = draw_svg(home.trace)

    assert "<script" not in drawn
    assert re.findall(r"(?:href|url|src|@import)", drawn) == []
    assert drawn.count("http") == 1, "only the name space"


def test_what_xml_cannot_hold_is_replaced_in_tooltips(home):
    def decode(data):
        raise DecodeError("word: holds \x01 <b>")

    home.trace.decoders.register_datagram(7000, decode)
    home.out()

    titles = [
        each.text for each in ElementTree.fromstring(draw_svg(home.trace)).iter(f"{SVG}title")
    ]
    assert any("holds \N{REPLACEMENT CHARACTER} <b>" in title for title in titles)


def test_an_empty_trace_is_a_picture_too():
    assert ElementTree.fromstring(draw_svg(Trace(words()))).tag == f"{SVG}svg"
