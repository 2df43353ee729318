"""What an end of a TLS connection tells, as records between its two ends."""

from __future__ import annotations

import pytest
from trace_frames import START_NS, Home, Word, ipv4, tcp, words

from testbed.errors import BadInput, DecodeError
from testbed.protocols.wire import Endpoint
from testbed.trace.arrow import end_to_end
from testbed.trace.folder import EVENTS, RunWriter, load
from testbed.trace.ladder import LadderPrinter, draw
from testbed.trace.ladder_svg import draw_svg
from testbed.trace.record import Clear

LAN, SEGW = Endpoint(*Home.lan), Endpoint(*Home.server)
WAN = Endpoint(*Home.wan)
HI = b"\0\2hi"


def clear(home, data, outgoing=True, connection=0, node="hnb", local=LAN, remote=SEGW, by=True):
    home.now_ms += 1
    time_ns = START_NS + home.now_ms * 1_000_000
    return home.trace.add_clear(Clear(time_ns, connection, node, local, remote, by, outgoing, data))


def test_a_clear_message_between_frames_of_its_own_moment_keeps_its_number(home, tmp_path):
    writer = RunWriter(tmp_path, home.trace)
    home.connect()
    home.segment(True, 1001, 24, HI, 5001)
    time_ns = home.trace.records[-1].time_ns
    home.trace.add_clear(Clear(time_ns, 0, "hnb", LAN, SEGW, True, True, HI))
    writer.close()

    assert [(each.number, each.payload) for each in load(tmp_path, words())] == [
        (each.number, each.payload) for each in home.trace
    ]


def test_a_clear_message_is_between_its_ends_on_the_first_link(home):
    home.connect()
    (record,) = clear(home, HI)
    (answer,) = clear(home, HI, outgoing=False)

    assert (record.sender, record.receiver, record.link) == ("hnb", "segw", "home")
    assert (answer.sender, answer.receiver, answer.link) == ("segw", "hnb", "home")
    assert (record.source, record.destination) == (LAN, SEGW)
    assert (answer.source, answer.destination) == (SEGW, LAN)
    assert (record.message, record.payload) == (Word("hi", ("h", "i")), b"hi")
    assert (record.transport, record.marks, record.frame) == ("tls", frozenset({"tap"}), None)
    assert record.stream == 0
    assert end_to_end(home.trace.arrow_of(record), "hnb", "segw")
    assert not end_to_end(home.trace.arrow_of(record), "hnb", "gateway")
    assert end_to_end(home.trace.arrow_of(answer), "segw", "hnb")
    assert not record.is_event


def test_messages_are_cut_from_whatever_pieces_come(home):
    home.connect()

    assert clear(home, HI[:3]) == []
    assert [each.message.text for each in clear(home, HI[3:] + HI + HI[:1])] == ["hi", "hi"]
    assert [each.message.text for each in clear(home, HI[1:])] == ["hi"]


def test_connections_between_the_same_ends_are_kept_apart(home):
    home.connect()

    assert clear(home, HI[:3], connection=1) == []
    assert [each.message.text for each in clear(home, HI, connection=2)] == ["hi"]
    assert [each.message.text for each in clear(home, HI[3:], connection=1)] == ["hi"]


def test_the_listening_end_finds_who_connected_behind_the_nat(home):
    home.connect()
    (record,) = clear(home, HI, False, node="segw", local=SEGW, remote=WAN, by=False)

    assert (record.sender, record.receiver, record.link) == ("hnb", "segw", "internet")
    assert end_to_end(home.trace.arrow_of(record), "hnb", "segw")


def test_a_connection_into_a_home_ends_at_whom_the_gateway_forwards_it_to(home):
    outside = Endpoint("203.0.113.50", 30000)
    for node, link, to, target in (
        ("segw", "internet", "gateway", "203.0.113.100"),
        ("gateway", "home", "hnb", "192.168.1.100"),
    ):
        syn = tcp((outside.address, outside.port), (target, 7000), 9, 2)
        home.put(node, link, to, ipv4(outside.address, target, 6, syn))
    gateway = Endpoint("203.0.113.100", 7000)
    (record,) = clear(home, HI, node="segw", local=outside, remote=gateway)
    (answer,) = clear(home, HI, False, node="segw", local=outside, remote=gateway)

    assert (record.sender, record.receiver) == ("segw", "hnb")
    assert end_to_end(home.trace.arrow_of(record), "segw", "hnb")
    assert end_to_end(home.trace.arrow_of(answer), "hnb", "segw")


def test_without_its_syn_a_connection_is_known_by_addresses(home):
    (record,) = clear(home, HI)

    assert (record.sender, record.receiver, record.link) == ("hnb", "segw", "tls")


def test_an_address_that_nobody_holds_stands_for_itself(home):
    nowhere = Endpoint("198.51.100.1", 7000)
    (record,) = clear(home, HI, remote=nowhere)
    (answer,) = clear(home, HI, False, remote=nowhere)

    assert record.receiver is None
    assert answer.sender == "198.51.100.1"


def test_a_port_that_says_nothing_of_messages_gives_the_octets(home):
    (record,) = clear(home, b"\1\2\3", remote=Endpoint(SEGW.address, 9))

    assert (record.message, record.payload) == (None, b"\1\2\3")
    assert any("3 octets (TLS)" in line for line in draw(home.trace))


def test_what_cannot_be_decoded_and_what_was_cut_off_are_errors(home):
    (bad,) = clear(home, b"\0\2h!", connection=1)
    clear(home, HI[:3], connection=2)
    (cut,) = clear(home, b"", connection=2)

    assert isinstance(bad.error, DecodeError)
    assert "the stream ended inside it" in str(cut.error)
    assert clear(home, b"", connection=2) == []


def test_ladders_show_it_once_and_at_once(home):
    home.connect()
    printer = LadderPrinter(home.trace, [], is_terminal=False)
    (record,) = clear(home, HI)

    assert [line.split(" ", 1)[1].strip() for line in map(str.strip, printer.record(record))] == [
        "hnb -> segw  WORD hi (TLS)"
    ]
    assert sum("WORD hi (TLS)" in line for line in draw(home.trace)) == 1
    assert draw_svg(home.trace).count(">WORD hi (TLS)<title>") == 1


def test_it_takes_part_in_the_folder(home, tmp_path):
    writer = RunWriter(tmp_path, home.trace)
    home.connect()
    clear(home, HI[:3])
    clear(home, HI[3:])
    clear(home, b"\0\2h!", False)
    home.segment(True, 1001, 17)
    writer.close()
    again = load(tmp_path, words())

    def shown(trace):
        return [(str(each), str(each.error)) for each in trace.records if "tap" in each.marks]

    assert [each.message for each in again][-3:] == [each.message for each in home.trace][-3:]
    assert [each[1] for each in shown(again)] == [each[1] for each in shown(home.trace)]
    assert len(shown(again)) == 2


@pytest.mark.parametrize(
    "field", ['"data": "a"', '"local": 1', '"connection": "x"'], ids=["base64", "ends", "number"]
)
def test_a_damaged_line_is_told(home, tmp_path, field):
    writer = RunWriter(tmp_path, home.trace)
    home.connect()
    clear(home, HI)
    writer.close()
    path = tmp_path / EVENTS
    name = field.split(":")[0]
    lines = path.read_text().splitlines()
    whole = {'"data"': '"data": "AAJoaQ=="', '"connection"': '"connection": 0'}
    whole['"local"'] = '"local": ["192.168.1.100", 40000]'
    assert whole[name] in lines[-1]
    path.write_text("\n".join([*lines[:-1], lines[-1].replace(whole[name], field), ""]))

    with pytest.raises(BadInput, match="CLEAR line of hnb at"):
        load(tmp_path, words())
