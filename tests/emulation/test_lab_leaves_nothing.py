"""Whatever happens to whichever process of a lab: nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.engines.emulation import nesting
from testbed.engines.emulation.lab import Interrupts, Lab, launch
from testbed.engines.emulation.namespace import Namespace
from tests.emulation import ground

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

variants = pytest.mark.parametrize(
    "variant",
    [
        pytest.param(
            each,
            marks=pytest.mark.skipif(
                each == "nobody" and os.geteuid() != 0, reason="only root can become nobody"
            ),
        )
        for each in ground.VARIANTS
    ],
)


def daemon() -> None:
    """Start an orphan in a session of its own that ignores every signal that can be ignored."""
    between = os.fork()
    if between == 0:
        os.setsid()
        if os.fork() == 0:
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            os.execvp("sleep", ["sleep", "1000"])
        os._exit(0)
    os.waitpid(between, 0)


def litter(lab: Lab) -> None:
    """Make one of everything that could be left behind."""
    daemon()
    subprocess.run(["ip", "netns", "add", "left"], check=True)
    subprocess.run(["ip", "link", "add", "left0", "type", "veth", "peer", "left1"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "left", "/srv"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    (lab.directory / "left").write_text("left")
    Path("/run/left").write_text("left")
    Path("/dev/shm/left").write_text("left")
    lab.tell({"held": Namespace.create("left").descriptor})


def run_lab(work: Callable[[Lab], int]) -> Callable[[], int]:
    """The parent's side of one lab, in order: interruptible, and with nothing left after `wait`."""

    def body() -> int:
        before = os.listdir("/proc/self/fd")
        with Interrupts():
            end = launch(work, "lab").wait()
        assert ground.alive() == {1, os.getpid()}
        assert os.listdir("/proc/self/fd") == before
        return end.status if end.status is not None else 128 + (end.signal or 0)

    return body


def busy(ready: Callable[[], None]) -> int:
    ready()
    while True:
        pass


def blocked(ready: Callable[[], None]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ready()
    os.read(os.pipe()[0], 1)
    return 0


def waiting(ready: Callable[[], None]) -> int:
    async def main() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        ready()
        await stop.wait()
        return 130

    return asyncio.run(main())


@variants
@pytest.mark.parametrize(
    ("ending", "expected"), [("success", 7), ("exception", 1), ("signal", 128 + signal.SIGUSR2)]
)
def test_nothing_is_left_after_an_end_of_the_works_own(
    variant: str, ending: str, expected: int
) -> None:
    def work(lab: Lab) -> int:
        litter(lab)
        if ending == "exception":
            raise RuntimeError("the work fails")
        if ending == "signal":
            signal.raise_signal(signal.SIGUSR2)
        return 7

    def facts() -> None:
        with ground.nothing_left():
            status = ground.ended(ground.fork(variant, run_lab(work)))

        assert status == expected

    ground.on_ground(facts)


@variants
@pytest.mark.parametrize("number", nesting.ENDING, ids=lambda number: number.name)
def test_nothing_is_left_after_a_signal_to_the_parents_group(
    variant: str, number: signal.Signals
) -> None:
    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            litter(lab)
            return waiting(up.reached)

        with ground.nothing_left():
            parent = ground.fork(variant, run_lab(work))
            up.await_reached()
            os.killpg(parent, number)
            status = ground.ended(parent)

        assert status == 130

    ground.on_ground(facts)


@variants
@pytest.mark.parametrize("doing", [busy, blocked, waiting], ids=lambda doing: doing.__name__)
@pytest.mark.parametrize("victim", ["parent", "porter", "first", "worker"])
def test_nothing_is_left_after_a_kill(
    variant: str, victim: str, doing: Callable[[Callable[[], None]], int]
) -> None:
    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            litter(lab)
            return doing(up.reached)

        with ground.nothing_left():
            parent = ground.fork(variant, run_lab(work))
            up.await_reached()
            porter = ground.child_of(parent)
            first = ground.child_of(porter)
            chain = {
                "parent": parent,
                "porter": porter,
                "first": first,
                "worker": min(ground.children_of(first)),
            }
            os.kill(chain[victim], signal.SIGKILL)
            status = ground.ended(parent)

        assert status == (-signal.SIGKILL if victim == "parent" else 128 + signal.SIGKILL)

    ground.on_ground(facts)


@variants
def test_stopped_processes_of_the_chain_do_not_outlive_the_parent(variant: str) -> None:
    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            return waiting(up.reached)

        with ground.nothing_left():
            parent = ground.fork(variant, run_lab(work))
            up.await_reached()
            porter = ground.child_of(parent)
            for pid in (ground.child_of(porter), porter):
                os.kill(pid, signal.SIGSTOP)
            os.kill(parent, signal.SIGKILL)

    ground.on_ground(facts)


@variants
@pytest.mark.parametrize("victim", ["parent", "porter"])
def test_the_watched_ends_hold_the_chain_without_the_death_signal(
    variant: str, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nesting, "_die_with_parent", lambda: None)  # as if the kernel cleared it

    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            litter(lab)
            return busy(up.reached)

        with ground.nothing_left():
            parent = ground.fork(variant, run_lab(work))
            up.await_reached()
            os.kill({"parent": parent, "porter": ground.child_of(parent)}[victim], signal.SIGKILL)

    ground.on_ground(facts)


@variants
@pytest.mark.parametrize(
    ("wish", "victim"), [(1, "parent"), (2, "parent"), (3, "parent"), (3, "porter")]
)
def test_an_ancestor_that_dies_before_the_death_signal_is_asked_for_is_seen(
    variant: str, wish: int, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wishes 1 and 2 are the porter's, before and after it enters; 3 is the first process's."""
    wished = 0
    ask = nesting._die_with_parent

    def facts() -> None:
        up, killed, begun = ground.Signpost(), ground.Signpost(), ground.Signpost()

        def ask_late() -> None:
            nonlocal wished
            wished += 1
            if wished == wish:
                up.reached()
                killed.await_reached()
            ask()

        monkeypatch.setattr(nesting, "_die_with_parent", ask_late)

        def work(lab: Lab) -> int:
            return waiting(begun.reached)

        with ground.nothing_left():
            parent = ground.fork(variant, run_lab(work))
            up.await_reached()
            porter = ground.child_of(parent)
            # Where the porter has asked already, it dies with the parent, and before the first.
            dying = {"parent": [parent, porter][: 2 if wish == 3 else 1], "porter": [porter]}[
                victim
            ]
            gone = [os.pidfd_open(pid) for pid in dying]
            os.kill(dying[0], signal.SIGKILL)
            for descriptor in gone:
                select.select([descriptor], [], [])
                os.close(descriptor)
            killed.reached()

        assert not begun.was_reached()

    ground.on_ground(facts)


def test_the_death_of_a_daemon_is_none_of_the_labs() -> None:
    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            litter(lab)
            return waiting(up.reached)

        with ground.nothing_left():
            parent = ground.fork("root", run_lab(work))
            up.await_reached()
            first = ground.child_of(ground.child_of(parent))
            os.kill(max(ground.children_of(first)), signal.SIGKILL)
            os.kill(parent, signal.SIGTERM)
            status = ground.ended(parent)

        assert status == 130

    ground.on_ground(facts)


KILLS = 50


@variants
def test_nothing_is_left_after_kills_at_random_moments(variant: str) -> None:
    def facts() -> None:
        dice = random.Random(f"kills/{variant}")
        hit: set[int] = set()
        kills = 0
        life_ms = life_of_a_lab(variant)
        # However fast the machine is at the moment: until all stages of a life were met.
        while kills < KILLS or len(hit) < 4:
            with ground.nothing_left():
                hit.add(kill_somebody(variant, dice, life_ms))
            kills += 1

    ground.on_ground(facts, within_s=300)


def _short_lab(variant: str) -> int:
    """Start a lab that litters and ends; gives the pid of its parent."""

    def work(lab: Lab) -> int:
        litter(lab)
        return 0

    return ground.fork(variant, run_lab(work))


def life_of_a_lab(variant: str) -> float:
    """How long such a lab lives at the moment, milliseconds: where random moments are to lie."""
    begun = time.monotonic()
    ground.ended(_short_lab(variant))
    return (time.monotonic() - begun) * 1000


def kill_somebody(variant: str, dice: random.Random, life_ms: float) -> int:
    """Start a lab, wait for some moment of its life or its end, kill any process there is.

    Returns:
        How many processes there were.
    """
    parent = _short_lab(variant)
    life = os.pidfd_open(parent)
    moment = select.poll()
    moment.register(life, select.POLLIN)
    # Half of the moments lie in the lab's first steps, where the chain is still being made.
    moment.poll(life_ms * dice.choice([dice.uniform(0, 0.3), dice.uniform(0, 1.2)]))
    os.close(life)
    alive = sorted(ground.processes() - {1})
    with suppress(ProcessLookupError):  # it was faster
        os.kill(dice.choice(alive), signal.SIGKILL)
    return len(alive)


def test_eight_labs_side_by_side_die_with_their_parent() -> None:
    def facts() -> None:
        up = ground.Signpost()

        def work(lab: Lab) -> int:
            litter(lab)
            return waiting(up.reached)

        def body() -> int:
            labs = [launch(work, f"lab{number}") for number in range(8)]
            labs[0].wait()
            return 0

        with ground.nothing_left():
            parent = ground.fork("root", body)
            up.await_reached(times=8)
            os.kill(parent, signal.SIGKILL)

    ground.on_ground(facts)


def test_the_real_host_stays_as_it_was(tmp_path: Path) -> None:
    names = {"user", "mnt", "net", "pid", "uts", "ipc"}
    mounts = Path("/proc/self/mounts").read_text()
    interfaces = os.listdir("/sys/class/net")
    sysctls = ground.sysctls()

    def work(lab: Lab) -> int:
        litter(lab)
        lab.tell({name: os.readlink(f"/proc/self/ns/{name}") for name in names})
        return 0

    process = launch(work, "lab", keep=[tmp_path])
    end = process.wait()
    inside = next(each for each in process.messages() if "net" in each)

    assert end.status == 0
    assert not ground.namespaces() & {inside[each] for each in ("mnt", "net", "pid", "uts", "ipc")}
    assert "left" not in mounts
    assert "/run/lab" not in Path("/proc/self/mounts").read_text()
    assert os.listdir("/sys/class/net") == interfaces
    assert not Path("/run/left").exists()
    assert not Path("/dev/shm/left").exists()
    changed = {each for each, value in ground.sysctls().items() if sysctls.get(each) != value}
    assert not {each for each in changed if not each.endswith("_count")}
