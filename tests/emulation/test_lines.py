"""Messages of a lab arrive whole or not at all."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from testbed.engines.lines import Incoming, Outgoing

FULL = {"text": "x" * 100_000}  # more than a pipe holds


@pytest.fixture
def pipe() -> Iterator[tuple[Incoming, Outgoing]]:
    reader, writer = os.pipe()
    yield Incoming(reader), Outgoing(writer)
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def test_messages_keep_their_order(pipe: tuple[Incoming, Outgoing]) -> None:
    incoming, outgoing = pipe
    outgoing.send({"number": 1})
    outgoing.send({"text": "two\nlines"})

    assert incoming.receive() == [{"number": 1}, {"text": "two\nlines"}]
    assert incoming.receive() == []
    assert not incoming.finished


def test_the_end_is_seen(pipe: tuple[Incoming, Outgoing]) -> None:
    incoming, outgoing = pipe
    os.close(outgoing.descriptor)

    assert incoming.receive() == []
    assert incoming.finished


def test_a_message_that_was_cut_off_is_none_and_spoils_no_other(
    pipe: tuple[Incoming, Outgoing],
) -> None:
    incoming, outgoing = pipe
    os.write(outgoing.descriptor, b'\n{"number": ')
    outgoing.send({"number": 2})

    assert incoming.receive() == [{"number": 2}]


def test_a_reader_that_does_not_read_is_not_waited_for_for_ever() -> None:
    reader, writer = os.pipe()
    outgoing = Outgoing(writer, patience_s=0.0)

    with pytest.raises(TimeoutError):
        outgoing.send(FULL)
    os.close(reader)
    os.close(writer)


def test_a_reader_that_is_gone_is_told(pipe: tuple[Incoming, Outgoing]) -> None:
    incoming, outgoing = pipe
    os.close(incoming.descriptor)

    with pytest.raises(BrokenPipeError):
        outgoing.send({"number": 1})


def test_a_signal_handler_may_send_while_a_send_waits(pipe: tuple[Incoming, Outgoing]) -> None:
    incoming, outgoing = pipe
    main = threading.main_thread().ident
    assert main is not None
    handled = threading.Event()
    received = []

    def handle(number: int, frame: object) -> None:
        outgoing.send({"from": "handler"})
        handled.set()

    def read() -> None:
        """Interrupt the sender, which fills the pipe, and only then read."""
        select.select([incoming.descriptor], [], [])
        signal.pthread_kill(main, signal.SIGUSR1)
        handled.wait()
        while len(received) < 2:
            received.extend(incoming.receive())

    before = signal.signal(signal.SIGUSR1, handle)
    reader = threading.Thread(target=read)
    reader.start()
    outgoing.send(FULL)
    reader.join()
    signal.signal(signal.SIGUSR1, before)

    assert received == [FULL, {"from": "handler"}]


def test_threads_do_not_mix_their_messages(pipe: tuple[Incoming, Outgoing]) -> None:
    incoming, outgoing = pipe
    senders = [
        threading.Thread(target=lambda: [outgoing.send(FULL) for _ in range(5)]) for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    received = []
    while len(received) < 20:
        received += incoming.receive()
    for sender in senders:
        sender.join()

    assert received == [FULL] * 20
