"""Programs of others in a node: heard, told of their end, and ended with the node's power."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from pathlib import Path

import pytest

from testbed.host import Program
from tests.emulation.wires import Wires, on_wires

pytestmark = pytest.mark.emulation

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
FOR_EVER = "echo ready; exec sleep 1000"


class Said:
    """What a program has said, line by line."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, line: str) -> None:
        self.lines.put_nowait(line)


async def shell(wires: Wires, script: str, log: Path, node: str = "hnb") -> tuple[Program, Said]:
    said = Said()
    host = wires.hosts[node]
    command = ["/bin/sh", "-c", script]
    return await host.run_program(command, log / "x.log", ENVIRONMENT, said), said


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def dies(life: int) -> bool:
    """Whether the process of that descriptor ends by itself, soon."""
    return bool(select.select([life], [], [], 10)[0])


@on_wires
async def test_a_program_s_words_reach_its_log_and_its_listener(
    wires: Wires, tmp_path: Path
) -> None:
    wires.pair()
    (tmp_path / "x.log").write_text("of the last start\n")

    program, said = await shell(wires, "echo one; echo two >&2; printf three; exit 7", tmp_path)
    status = await program.wait()

    assert status == 7
    assert list(program.last_lines) == ["one", "two", "three"]
    assert [said.lines.get_nowait() for _ in range(3)] == ["one", "two", "three"]
    assert (tmp_path / "x.log").read_text() == "of the last start\none\ntwo\nthree"


@on_wires
async def test_a_program_is_in_the_node_s_namespace_and_inherits_nothing(
    wires: Wires, tmp_path: Path
) -> None:
    hnb, _ = wires.pair()
    os.environ["TESTBED_SECRET"] = "of the user"

    program, said = await shell(
        wires, "readlink /proc/self/ns/net; echo $TESTBED_SECRET.; ls /proc/self/fd", tmp_path
    )
    await program.wait()

    inside = f"net:[{os.fstat(hnb.namespace.descriptor).st_ino}]"
    # Descriptor 3 is what `ls` reads the folder by.
    assert [said.lines.get_nowait() for _ in range(6)] == [inside, ".", "0", "1", "2", "3"]


@on_wires
async def test_a_signal_is_told_as_the_status(wires: Wires, tmp_path: Path) -> None:
    wires.pair()
    program, said = await shell(wires, FOR_EVER, tmp_path)
    await said.lines.get()

    os.kill(program.pid, signal.SIGSEGV)

    assert await program.wait() == -signal.SIGSEGV


@on_wires
async def test_power_loss_ends_a_program_and_all_that_it_started(
    wires: Wires, tmp_path: Path
) -> None:
    hnb, _ = wires.pair()
    script = "trap '' TERM HUP INT; sleep 1000 & echo $!; wait; wait"
    program, said = await shell(wires, script, tmp_path)
    child = int(await said.lines.get())
    life = os.pidfd_open(child)

    hnb.power_off()

    assert not lives(program.pid)
    assert dies(life)
    assert await program.wait() == -signal.SIGKILL


@on_wires
async def test_what_a_program_leaves_running_ends_with_it(wires: Wires, tmp_path: Path) -> None:
    wires.pair()
    program, said = await shell(wires, "sleep 1000 & echo $!; read word", tmp_path)
    life = os.pidfd_open(int(await said.lines.get()))

    assert await program.wait() == 1
    assert dies(life)


@on_wires
async def test_the_other_node_s_program_survives_a_power_loss(wires: Wires, tmp_path: Path) -> None:
    hnb, _ = wires.pair()
    program, said = await shell(wires, FOR_EVER, tmp_path, "hms")
    await said.lines.get()

    hnb.power_off()

    assert lives(program.pid)


@on_wires
async def test_addresses_that_a_program_sets_end_with_the_power(
    wires: Wires, tmp_path: Path
) -> None:
    hnb, _ = wires.pair()
    script = "ip address flush dev eth0; ip address add 10.0.0.9/24 dev eth0"
    program, _ = await shell(wires, script, tmp_path)
    assert await program.wait() == 0
    assert hnb.address_of("eth0") == "10.0.0.9"

    hnb.power_off()
    hnb.power_on()

    assert hnb.address_of("eth0") == "10.0.0.1"


@on_wires
async def test_a_node_without_power_runs_nothing(wires: Wires, tmp_path: Path) -> None:
    hnb, _ = wires.pair()
    hnb.power_off()

    with pytest.raises(OSError, match="hnb has no power"):
        await shell(wires, FOR_EVER, tmp_path)


@on_wires
async def test_a_program_that_is_not_there_leaves_no_descriptor(
    wires: Wires, tmp_path: Path
) -> None:
    hnb, _ = wires.pair()
    await hnb.run_program(["/bin/true"], tmp_path / "x.log", ENVIRONMENT)
    before = set(os.listdir("/proc/self/fd"))

    with pytest.raises(FileNotFoundError):
        await hnb.run_program(["/no/such"], tmp_path / "x.log", ENVIRONMENT)

    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


@on_wires
async def test_a_listener_s_exception_is_the_role_s_crash(wires: Wires, tmp_path: Path) -> None:
    hnb, _ = wires.pair()

    def fails(line: str) -> None:
        raise ValueError(line)

    command = ["/bin/sh", "-c", "echo wrong"]
    program = await hnb.run_program(command, tmp_path / "x.log", ENVIRONMENT, fails)
    await program.wait()

    assert [(node, str(error)) for node, error in wires.crashes] == [("hnb", "wrong")]
