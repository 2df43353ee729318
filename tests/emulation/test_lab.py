"""What a lab is to the work inside and to its parent."""

from __future__ import annotations

import asyncio
import os
import pty
import selectors
import signal
import socket
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.engines.emulation.lab import Interrupts, Lab, LabEnd, LabProcess, launch, why_not
from testbed.errors import BadInput, MissingFeature
from tests.emulation import ground

pytestmark = pytest.mark.emulation


def outcome(work: Callable[[Lab], int]) -> tuple[LabEnd, list[dict[str, Any]]]:
    process = launch(work, "lab")
    with ground.watchdog("the lab"):
        end = process.wait()
    return end, process.messages()


def told(look: Callable[[Lab], Any]) -> Any:
    """What `look` sees inside a lab."""

    def work(lab: Lab) -> int:
        lab.tell({"seen": look(lab)})
        return 0

    end, messages = outcome(work)
    assert end == LabEnd(0, None), messages
    return messages[0]["seen"]


def next_message(process: LabProcess) -> dict[str, Any]:
    with ground.watchdog("the next message"), selectors.DefaultSelector() as selector:
        selector.register(process, selectors.EVENT_READ)
        while True:
            selector.select()
            for message in process.messages():
                return message
            assert not process.finished


def test_what_the_work_returns_is_its_status() -> None:
    assert outcome(lambda lab: 7)[0] == LabEnd(7, None)


def test_an_exception_of_the_work_reaches_the_parent_with_its_traceback() -> None:
    def work(lab: Lab) -> int:
        raise ValueError("three is too many")

    end, messages = outcome(work)

    assert end == LabEnd(1, None)
    assert "ValueError: three is too many" in messages[0]["crash"]
    assert "in work" in messages[0]["crash"]


def test_a_status_that_is_none_is_a_crash() -> None:
    end, messages = outcome(lambda lab: 256)

    assert end == LabEnd(1, None)
    assert "the work returns 256" in messages[0]["crash"]


def test_an_error_of_the_testbed_reaches_the_parent_as_a_sentence() -> None:
    def work(lab: Lab) -> int:
        raise MissingFeature("no charon here; install charon-systemd")

    end, messages = outcome(work)

    assert end == LabEnd(3, None)
    assert messages == [{"error": "no charon here; install charon-systemd"}]


def test_a_signal_that_kills_the_work_is_told() -> None:
    def work(lab: Lab) -> int:
        signal.raise_signal(signal.SIGUSR1)
        return 0

    assert outcome(work)[0] == LabEnd(None, signal.SIGUSR1)


def test_messages_arrive_whole_and_in_order_however_long() -> None:
    def work(lab: Lab) -> int:
        for number in range(20):
            lab.tell({"number": number, "text": "x" * number * 10_000})
        return 0

    _, messages = outcome(work)

    assert [(each["number"], len(each["text"])) for each in messages] == [
        (number, number * 10_000) for number in range(20)
    ]


def test_messages_can_be_read_while_the_work_goes_on() -> None:
    with launch(in_order, "lab") as process:
        message = next_message(process)

        assert message == {"up": True}
        assert process.messages() == []
        assert not process.finished


def test_half_a_message_of_a_killed_lab_is_none() -> None:
    def work(lab: Lab) -> int:
        lab.tell({"whole": True})
        os.write(lab.outgoing.descriptor, b'{"whole": fal')
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    end, messages = outcome(work)

    assert end == LabEnd(None, signal.SIGKILL)
    assert messages == [{"whole": True}]


def test_temporary_files_go_to_the_labs_directory() -> None:
    def look(lab: Lab) -> list[str]:
        shell = subprocess.run("echo $TMPDIR", shell=True, capture_output=True, text=True)
        return [str(lab.directory), tempfile.gettempdir(), shell.stdout.strip()]

    tempfile.gettempdir()  # what the parent has looked up must not stay

    assert told(look) == ["/run/lab"] * 3


def test_the_lab_is_a_host_of_its_own() -> None:
    def look(lab: Lab) -> dict[str, Any]:
        return {
            "name": socket.gethostname(),
            "user": os.getuid(),
            "processes": sorted(ground.processes()),
            "interfaces": os.listdir("/sys/class/net"),
            "run": os.listdir("/run"),
        }

    assert told(look) == {
        "name": "lab",
        "user": 0,
        "processes": [1, 2],
        "interfaces": ["lo"],
        "run": ["lab"],
    }


def test_loopback_is_up() -> None:
    def look(lab: Lab) -> str:
        with socket.create_server(("127.0.0.1", 80)) as server:
            with socket.create_connection(("127.0.0.1", 80)) as client:
                client.sendall(b"hello")
            with server.accept()[0] as accepted:
                return accepted.recv(5).decode()

    assert told(look) == "hello"


def test_sysctls_of_the_network_are_the_labs_and_others_cannot_be_written() -> None:
    def look(lab: Lab) -> list[str]:
        forwarding = Path("/proc/sys/net/ipv4/ip_forward")
        forwarding.write_text("1")
        try:
            Path("/proc/sys/kernel/panic").write_text("0")
        except OSError as error:
            return [forwarding.read_text().strip(), type(error).__name__]
        return ["written"]

    assert told(look)[0] == "1"
    assert told(look)[1] in ("OSError", "PermissionError")


def test_standard_input_is_empty() -> None:
    assert told(lambda lab: os.read(0, 1).decode()) == ""


def test_results_outside_stay_reachable(tmp_path: Path) -> None:
    def work(lab: Lab) -> int:
        (tmp_path / "verdict").write_text("PASS")
        return 0

    launch(work, "lab", keep=[tmp_path]).wait()

    assert (tmp_path / "verdict").read_text() == "PASS"


@pytest.mark.parametrize("place", ["/run/user/1000/runs", "/var/run/runs", "/dev/shm/runs"])
def test_results_where_the_lab_has_its_own_are_refused(place: str) -> None:
    with pytest.raises(BadInput, match=f"{place} lies under .*choose a folder elsewhere"):
        launch(lambda lab: 0, "lab", keep=[Path(place)])


def test_orphans_are_reaped_and_children_keep_their_statuses() -> None:
    def orphan() -> int:
        """The pid of a process whose parent is gone and that has ended."""
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child == 0:
                os._exit(5)
            os.write(writer, str(child).encode())
            os._exit(0)
        os.waitpid(between, 0)
        return int(os.read(reader, 20))

    async def status(number: int) -> int:
        process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}")
        return await process.wait()

    async def statuses() -> list[int]:
        return await asyncio.gather(*(status(number) for number in range(10)))

    def look(lab: Lab) -> list[list[int]]:
        orphans = [orphan() for _ in range(5)]
        asynchronous = asyncio.run(statuses())
        synchronous = [subprocess.run(["sh", "-c", f"exit {each}"]).returncode for each in range(5)]
        with ground.watchdog("reaping"):
            while set(orphans) & ground.processes():
                os.sched_yield()
        return [asynchronous, synchronous]

    assert told(look) == [list(range(10)), list(range(5))]


def in_order(lab: Lab) -> int:
    """Work that runs until it is interrupted, as work of asyncio is."""

    async def main() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        lab.tell({"up": True})
        await stop.wait()
        lab.tell({"tidied": True})
        return 130

    return asyncio.run(main())


def unhandled(lab: Lab) -> int:
    """Work that sets no handler.  It is busy: see `Interrupts` on calls that block."""
    try:
        lab.tell({"up": True})
        while True:
            pass
    finally:
        lab.tell({"tidied": True})
    return 0


@pytest.mark.parametrize("work", [in_order, unhandled])
def test_an_interrupted_work_ends_in_order_with_status_130(work: Callable[[Lab], int]) -> None:
    with launch(work, "lab") as process:
        next_message(process)
        process.interrupt()
        end = process.wait()

    assert end == LabEnd(130, None)
    assert process.messages() == [{"tidied": True}]


def test_an_interrupt_before_the_work_begins_is_not_lost() -> None:
    with launch(unhandled, "lab") as process:
        process.interrupt()
        with ground.watchdog("the lab"):
            end = process.wait()

    assert end == LabEnd(130, None)


def test_an_interrupt_after_the_end_is_none() -> None:
    process = launch(lambda lab: 0, "lab")
    process.wait()
    process.interrupt()
    process.kill()

    assert process.wait() == LabEnd(0, None)


def stubborn(lab: Lab) -> int:
    """Work that hears of interrupts and goes on."""
    signal.signal(signal.SIGINT, lambda number, frame: lab.tell({"heard": number}))
    lab.tell({"up": True})
    while True:
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_signal_to_the_parent_kills(number: signal.Signals) -> None:
    with Interrupts() as interrupts, launch(stubborn, "lab") as process:
        next_message(process)
        signal.raise_signal(number)
        heard = next_message(process)
        signal.raise_signal(number)
        end = process.wait()

    assert interrupts.count == 2
    assert heard == {"heard": signal.SIGINT}
    assert end == LabEnd(None, signal.SIGKILL)


def test_a_lab_launched_after_the_signal_is_interrupted_too() -> None:
    with Interrupts():
        signal.raise_signal(signal.SIGTERM)
        with launch(unhandled, "lab") as process, ground.watchdog("the lab"):
            end = process.wait()

    assert end == LabEnd(130, None)


def test_handlers_of_the_parent_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        inside = signal.getsignal(signal.SIGTERM)

    assert inside != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_eight_labs_side_by_side_share_nothing() -> None:
    def work(lab: Lab) -> int:
        (lab.directory / "mine").touch(exist_ok=False)
        with socket.create_server(("127.0.0.1", 80)):
            return in_order(lab)

    labs = [launch(work, f"lab{number}") for number in range(8)]
    for process in labs:
        next_message(process)
    labs[3].kill()
    labs[3].wait()
    for process in labs:
        process.interrupt()

    expected = [LabEnd(None, signal.SIGKILL) if n == 3 else LabEnd(130, None) for n in range(8)]
    assert [process.wait() for process in labs] == expected


def test_a_lab_holds_nothing_of_the_labs_beside_it() -> None:
    def held(pid: int) -> set[str]:
        links = [f"/proc/{pid}/fd/{each}" for each in os.listdir(f"/proc/{pid}/fd")]
        return {os.readlink(each) for each in links if os.path.lexists(each)}

    before = held(os.getpid())
    with launch(in_order, "beside"):
        ours = held(os.getpid()) - before
        with launch(in_order, "lab") as process:
            first = ground.child_of(process.pid)
            worker = ground.child_of(first)
            theirs = held(process.pid) | held(first) | held(worker)

    assert len(ours) >= 3
    assert not {each for each in ours & theirs if "pidfd" not in each}


def test_a_lab_can_stand_in_a_lab() -> None:
    def look(lab: Lab) -> list[Any]:
        (lab.directory / "outer").touch()
        process = launch(lambda lab: len(os.listdir(lab.directory)), "inner")
        return [process.wait().status, os.listdir(lab.directory)]

    assert told(look) == [0, ["outer"]]


def on_terminal(body: Callable[[], None]) -> tuple[int, int]:
    """Run `body` in the foreground of a terminal; gives its pid and the terminal's other side."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            body()
            os.write(1, b"done")
        except BaseException:
            os.write(1, traceback.format_exc().encode())
        finally:
            os._exit(0)
    return pid, terminal


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    with ground.watchdog(f"{text!r} on the terminal"):
        while text not in seen:
            try:
                seen += os.read(terminal, 1024)
            except OSError:  # nobody is left on the other side
                raise AssertionError(seen.decode()) from None
    return seen


def test_control_c_on_the_terminal_is_one_interrupt_and_spares_daemons() -> None:
    def work(lab: Lab) -> int:
        daemon = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        try:
            os.write(1, b"up")
            while True:
                pass
        finally:
            daemon.communicate()
            lab.tell({"daemon": daemon.returncode})
        return 0

    def body() -> None:
        with Interrupts() as interrupts, launch(work, "lab") as process:
            end = process.wait()
        assert (interrupts.count, end.status) == (1, 130)
        assert process.messages() == [{"daemon": 0}]

    pid, terminal = on_terminal(body)
    read_until(terminal, b"up")
    os.write(terminal, b"\x03")
    read_until(terminal, b"done")
    os.close(terminal)
    ground.ended(pid)


def test_a_prompt_in_the_lab_has_the_terminal_until_the_lab_ends() -> None:
    def work(lab: Lab) -> int:
        lab.take_terminal()
        os.write(1, b"testbed> ")
        lab.tell({"line": os.read(0, 100).decode()})
        try:
            os.write(1, b"10% dropped")
            while True:
                pass
        except KeyboardInterrupt:  # of the terminal's Ctrl-C: the parent gets none
            os.write(1, b"stopped")
        return 0

    def body() -> None:
        with Interrupts() as interrupts, launch(work, "lab") as process:
            assert process.wait() == LabEnd(0, None)
        assert process.messages() == [{"line": "pingall\n"}]
        assert interrupts.count == 0
        os.write(1, b"shell> ")
        assert os.read(0, 100) == b"back\n"

    pid, terminal = on_terminal(body)
    read_until(terminal, b"testbed> ")
    os.write(terminal, b"pingall\n")
    read_until(terminal, b"dropped")
    os.write(terminal, b"\x03")
    read_until(terminal, b"shell> ")
    os.write(terminal, b"back\n")
    read_until(terminal, b"done")
    os.close(terminal)
    ground.ended(pid)


def test_this_machine_grants_labs() -> None:
    assert why_not() is None
