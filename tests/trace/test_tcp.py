import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some
from trace_frames import START_NS, Home, Word, ethernet, ipv4, tcp, words

from testbed.errors import DecodeError
from testbed.trace.decoders import Decoders
from testbed.trace.pieces import LengthPrefixed, Piece
from testbed.trace.record import Frame
from testbed.trace.trace import Trace

SYN, ACK, FIN, RST, PSH = 2, 16, 1, 4, 8
CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 7000)


class Line:
    """One connection on one link; sequence numbers count from the client's `first`."""

    def __init__(self, first=100, decoders=None):
        self.trace = Trace(decoders or words())
        self.first = first
        self._count = itertools.count()

    def send(self, offset, payload=b"", flags=ACK, back=False, ack=0):
        source, destination = (SERVER, CLIENT) if back else (CLIENT, SERVER)
        segment = tcp(source, destination, self.first + offset, flags, payload, self.first + ack)
        packet = ipv4(source[0], destination[0], 6, segment)
        macs = ("02:00:00:00:00:00", "02:00:00:00:01:00")
        data = ethernet(*(reversed(macs) if back else macs), packet)
        time_ns = START_NS + next(self._count)
        node = "server" if back else "client"
        return self.trace.add_frame(Frame(time_ns, "wire", node, "eth0", data))

    def open(self):
        self.send(-1, flags=SYN)

    @property
    def heard(self):
        return [each.message.text for each in self.trace.all(Word)]


def framed(*texts):
    return b"".join(len(text).to_bytes(2, "big") + text.encode() for text in texts)


@pytest.fixture
def line():
    line = Line()
    line.open()
    return line


def test_a_message_in_one_segment_is_one_record(line):
    (record,) = line.send(0, framed("hello"))

    assert record.message.text == "hello"
    assert record.payload == b"hello"
    assert record.stream == 0
    assert record.transport == "tcp"


def test_a_segment_that_completes_two_messages_gives_two_records(line):
    records = line.send(0, framed("one", "two"))

    assert [record.message.text for record in records] == ["one", "two"]
    assert records[0].frame is records[1].frame


def test_a_message_in_two_segments_belongs_to_the_one_that_completes_it(line):
    octets = framed("hello")
    (first,) = line.send(0, octets[:3])
    (second,) = line.send(3, octets[3:])

    assert first.message is None
    assert second.message.text == "hello"


def test_flags_are_marks():
    line = Line()

    (syn,) = line.send(-1, flags=SYN)
    (answer,) = line.send(-1, flags=SYN | ACK, back=True)
    (fin,) = line.send(0, flags=FIN | ACK)
    (reset,) = line.send(0, flags=RST, back=True)

    marks = [record.marks for record in (syn, answer, fin, reset)]
    assert marks == [{"SYN"}, {"SYN", "ACK"}, {"FIN", "ACK"}, {"RST"}]


def test_a_retransmission_is_marked_and_brings_no_message_again(line):
    line.send(0, framed("hello"))
    (again,) = line.send(0, framed("hello"))

    assert "retransmission" in again.marks
    assert again.message is None
    assert line.heard == ["hello"]


def test_a_retransmission_with_new_octets_brings_only_these(line):
    octets = framed("one", "two")
    line.send(0, octets[:7])
    (record,) = line.send(0, octets)

    assert "retransmission" in record.marks
    assert line.heard == ["one", "two"]


def test_a_repeated_syn_is_a_retransmission_of_the_same_connection():
    line = Line()

    (first,) = line.send(-1, flags=SYN)
    (again,) = line.send(-1, flags=SYN)

    assert "retransmission" not in first.marks
    assert "retransmission" in again.marks
    assert again.stream == first.stream


def test_a_repeated_fin_is_a_retransmission(line):
    line.send(0, flags=FIN | ACK)
    (again,) = line.send(0, flags=FIN | ACK)

    assert "retransmission" in again.marks


def test_a_probe_of_an_idle_connection_is_a_keep_alive(line):
    line.send(0, framed("hello"))
    (record,) = line.send(6)

    assert "keep-alive" in record.marks


def test_ports_used_again_are_a_connection_of_their_own(line):
    line.first = 90000
    (syn,) = line.send(-1, flags=SYN)
    line.send(0, framed("again"))

    assert syn.stream == 1
    assert line.heard == ["again"]


def test_segments_out_of_order_complete_at_the_one_that_was_missing(line):
    octets = framed("one", "two", "three")
    (early,) = line.send(5, octets[5:10])
    (later,) = line.send(10, octets[10:])
    records = line.send(0, octets[:5])

    assert early.marks == later.marks == {"ACK", "out-of-order"}
    assert [record.message.text for record in records] == ["one", "two", "three"]


def test_sequence_numbers_wrap():
    line = Line(first=2**32 - 3)
    line.open()
    line.send(0, framed("hello"))
    line.send(7, framed("world"))

    assert line.heard == ["hello", "world"]


def test_what_the_receiver_has_and_the_capture_has_not_is_told_once(line):
    line.send(20, framed("late"))
    line.send(0, flags=ACK, back=True, ack=26)
    (record,) = line.send(26, framed("later"))
    (after,) = line.send(33, framed("latest"))

    assert str(record.error) == (
        "TCP stream 10.0.0.1:40000 to 10.0.0.2:7000: 20 octets from sequence number 100 on are "
        "not in the capture; what follows them is not decoded"
    )
    assert after.error is None
    assert line.heard == []


def test_a_stream_joined_midway_is_read_where_it_can_be():
    line = Line()
    line.send(0, framed("hello"))

    assert line.heard == ["hello"]


def test_a_stream_joined_inside_a_message_is_given_up_without_an_error():
    line = Line()
    records = line.send(3, b"\0\1?" + framed("hello"))

    assert [record.error for record in records] == [None]


def test_a_message_that_is_malformed_does_not_stop_those_behind_it(line):
    records = line.send(0, framed("a1", "fine"))

    assert str(records[0].error) == "word: octet at offset 1 is 0x31, no letter"
    assert records[1].message.text == "fine"


def test_a_stream_that_ends_inside_a_message_is_an_error(line):
    line.send(0, framed("hello")[:4])
    (record,) = line.send(4, flags=FIN | ACK)

    assert str(record.error) == "word: the stream ended inside it: its length says 5, 2 came"


def test_both_directions_are_decoded_apart(line):
    line.send(0, framed("hello")[:4])
    line.send(-1, flags=SYN | ACK, back=True)
    line.send(0, framed("answer"), back=True)
    line.send(4, framed("hello")[4:])

    assert line.heard == ["answer", "hello"]


def test_a_decoder_that_gives_bare_messages_and_then_gives_up_is_enough():
    class Once:
        def feed(self, octets):
            if octets == b"bad":
                raise DecodeError("lines: cannot go on")
            return [Word(octets.decode())]

    decoders = Decoders(usual=False)
    decoders.register_stream(7000, lambda to_server: Once())
    line = Line(decoders=decoders)
    line.open()

    records = [*line.send(0, b"good"), *line.send(4, b"bad"), *line.send(7, b"more")]

    assert records[0].message == Word("good")
    assert records[0].payload == b"good"
    assert str(records[1].error) == "lines: cannot go on"
    assert (records[2].message, records[2].error) == (None, None)


def test_a_decoder_is_told_its_direction():
    directions = []

    class Deaf:
        def feed(self, octets):
            return []

    def factory(to_server):
        directions.append(to_server)
        return Deaf()

    decoders = Decoders(usual=False)
    decoders.register_stream(7000, factory)
    line = Line(decoders=decoders)
    line.send(0, b"x")
    line.send(0, b"y", back=True)

    assert directions == [True, False]


def test_length_prefixed_messages_come_with_their_own_octets():
    decoder = LengthPrefixed(bytes.decode, "text")

    assert decoder.feed(b"\0\2hi\0") == [Piece("hi", b"hi")]
    assert decoder.feed(b"\1!") == [Piece("!", b"!")]
    assert decoder.end() == ()


def test_lengths_that_are_cut_are_told_apart_from_messages_that_are():
    decoder = LengthPrefixed(bytes.decode, "text")
    decoder.feed(b"\0")

    (piece,) = decoder.end()

    assert (
        str(piece.message) == "text: the stream ended inside it: its length needs 2 octets, 1 came"
    )


def test_one_connection_that_crosses_a_link_twice_is_no_retransmission():
    home = Home()
    data = tcp(CLIENT, SERVER, 1, SYN)
    packet = ipv4(CLIENT[0], SERVER[0], 6, data)

    first = home.put("gateway", "internet", "segw", packet)
    second = home.put("segw", "internet", "outer_dns", packet)

    assert first.marks == second.marks == {"SYN"}
    assert first.stream == second.stream


@given(
    some.lists(some.text("abc", max_size=5), max_size=6),
    some.randoms(use_true_random=False),
    some.integers(0, 2**32 - 1),
)
def test_any_cut_and_any_order_give_the_same_messages(texts, random, first):
    octets = framed(*texts)
    line = Line(first=first)
    line.open()
    segments = []
    place = 0
    while place < len(octets):
        size = random.randint(1, 6)
        segments.append((place, octets[place : place + size]))
        place += size
    segments += random.sample(segments, len(segments) // 2)
    random.shuffle(segments)
    for offset, payload in segments:
        line.send(offset, payload)

    assert line.heard == texts
