"""What faults change between a role and the wire: messages, octets, their times, their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from testbed.host import Drive, Finish, Mend, Pause, Piece
from testbed.protocols.wire import Endpoint, Outgoing
from testbed.topology import Link, Node
from tests.fake_host import FakeNetwork
from tests.virtual_time import virtual_time

TO = Endpoint("192.0.2.2", 5000)


@dataclass(frozen=True)
class Word:
    text: str

    def encode(self) -> bytes:
        return self.text.encode()


class Speaker:
    """A machine that says words when it is told to."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def receive(self, data: bytes, source: Endpoint, now: float) -> None: ...
    def tick(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...

    def to_send(self) -> Sequence[Outgoing[Word]]:
        words, self.words = self.words, []
        return [Outgoing(Word(each), TO) for each in words]

    def events(self) -> Sequence[None]:
        return ()


def second_word_later(word: Word, to: Endpoint) -> list[Word | Pause]:
    return [Pause(1.0), word] if word.text == "second" else [word]


def halved(data: bytes, to: Endpoint) -> list[Piece]:
    return [data[:3], Pause(0.5), data[3:]]


def test_faults_work_on_what_the_fault_before_gave_and_pauses_pass_them() -> None:
    mend: Mend[Word] = Mend([second_word_later], [halved])

    assert mend.pieces(Word("second"), TO) == [Pause(1.0), b"sec", Pause(0.5), b"ond"]
    assert mend.datagrams(Word("second"), TO) == [(1.0, b"sec"), (1.5, b"ond")]


def test_a_datagram_has_no_half_close() -> None:
    mend: Mend[Word] = Mend([], [lambda data, to: [data, Finish()]])
    with pytest.raises(AssertionError, match="where there are datagrams"):
        mend.datagrams(Word("a"), TO)


@virtual_time
async def test_a_pause_changes_the_order_of_datagrams() -> None:
    network = FakeNetwork()
    net = Link("net", "192.0.2.0/24")
    host, other = (network.host(Node(name, name, (net.at(n),))) for name, n in (("a", 1), ("b", 2)))
    came: list[tuple[float, bytes]] = []
    await other.datagrams(TO, lambda data, source: came.append((other.now(), data)))
    speaker = Speaker()
    mend: Mend[Word] = Mend([second_word_later])
    drive = await Drive.open(speaker, host, Endpoint("192.0.2.1", 0), lambda event: None, mend)
    begun = host.now()
    speaker.words = ["first", "second", "third"]
    drive.flush()
    await asyncio.sleep(2.0)

    assert [data for _, data in came] == [b"first", b"third", b"second"]
    assert came[2][0] - begun == pytest.approx(1.0 + network.delay_s)


@virtual_time
async def test_what_a_pause_holds_back_is_not_sent_after_the_port_is_closed() -> None:
    network = FakeNetwork()
    net = Link("net", "192.0.2.0/24")
    host = network.host(Node("a", "a", (net.at(1),)))
    speaker = Speaker()
    mend: Mend[Word] = Mend([second_word_later])
    drive = await Drive.open(speaker, host, Endpoint("192.0.2.1", 0), lambda event: None, mend)
    speaker.words = ["second"]
    drive.flush()
    drive.close()
    await asyncio.sleep(2.0)

    assert network.sent == []
