"""Mininet's prompt on a network of ours: wiring, programs, roles, and what is told of bad input."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.engines.emulation.shell import Shell
from tests.emulation.inside import command_in_namespaces, run_in_namespaces
from tests.emulation.networks import homes, running

emulation = pytest.mark.emulation


class Role:
    """As roles are: what is public can be told at the prompt."""

    lease_s = 3600

    def power_on(self) -> None:
        """Switch it on."""

    def _internal(self) -> None:
        """Not for the prompt."""


def shell(script: str) -> str:
    """What the prompt says to these commands, on a network of one home."""
    done = run_in_namespaces(
        [sys.executable, "-W", "ignore", __file__],
        input=script,
        stdin=None,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout
    return done.stdout.replace("\r", "").replace("mininet> ", "")


def run_shell() -> None:
    os.dup2(1, 2)
    with running(homes()) as network:

        def call(node: str, method: str) -> str:
            getattr(role, method)()
            return f"{node} did {method}"

        role = Role()
        Shell(network, roles={"hnb": role}, call=call)
        network.nodes["hnb"].cmd("true")  # the network outlives its prompt


@emulation
def test_prompt_shows_the_wiring() -> None:
    said = shell("net\nlinks\nintfs\n")

    assert "hnb eth0:home-eth2\n" in said
    assert "gateway eth0:home-eth1 eth1:internet-eth3\n" in said
    assert "home lo:  home-eth1:gateway-eth0 home-eth2:hnb-eth0\n" in said
    assert "hnb-eth0<->home-eth2 (OK OK)" in said
    assert "gateway: eth0,eth1\n" in said


@emulation
def test_prompt_gives_words_to_programs_and_to_roles() -> None:
    said = shell(
        "gateway ping -c1 outer_dns\n"
        "hnb power_on\n"
        "hnb ifconfig eth0\n"
        "roles\n"
        "# a comment\n"
        "link hnb gateway down\n"
        "py hnb.intfIsUp()\n"
        "iperf gateway outer_dns\n"
        "exit\n"
        "never read\n"
    )

    assert re.search(r"PING 203\.0\.113\.53.* 0% packet loss", said, re.DOTALL)
    assert "hnb did power_on\n" in said
    assert "ether 02:00:00:00:03:00" in said
    assert "hnb: power_on\n" in said
    assert re.search(r"\*\*\* Results: \['[\d.]+ \wbits/sec', '[\d.]+ \wbits/sec'\]", said)
    assert "never" not in said


@emulation
def test_pingall_leaves_out_who_has_no_address() -> None:
    said = shell("pingall\n")

    assert "Without an address, left out: hnb\n" in said
    assert "outer_dns -> serving_segw X \n" in said  # 192.168.1.1 is in its home


@emulation
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hnbb ifconfig", "no command and no node is called 'hnbb'; did you mean hnb?\n"),
        ("hnb", "what shall hnb do? say 'hnb COMMAND'\n"),
        ("hnb power_on now", "hnb power_on takes nothing, and 'now' was given\n"),
        ("hnb _internal", "_internal: command not found"),
        ("link hnb", "invalid number of args: link end1 end2 [up down]\n"),
        ("link hnb nobody down", "no node is called 'nobody'"),
        ("link hnb outer_dns down", "hnb and outer_dns are on no common link\n"),
        ("iperf hnb outer_dns", "hnb has no address\n"),
        ("source /no/such/file", "cannot read /no/such/file: No such file or directory\n"),
        ("x nobody", "x nobody: KeyError: 'nobody'\n"),
        ("py 1/0", "division by zero\n"),
    ],
)
def test_bad_input_at_the_prompt_is_told_in_one_sentence(line: str, told: str) -> None:
    said = shell(f"{line}\nsh echo still here\n")

    assert told in said
    assert "still here" in said


@emulation
def test_interrupt_ends_the_command_and_not_the_prompt() -> None:
    process = subprocess.Popen(
        command_in_namespaces([sys.executable, "-W", "ignore", __file__]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"gateway sh -c 'echo be''gun; exec sleep 1000'\n")
    said = b""
    while b"begun" not in said:
        said += process.stdout.read(4096)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGINT)
    said, _ = process.communicate(b"sh echo still here\n", timeout=30)

    assert b"still here" in said
    assert process.returncode == 0


if __name__ == "__main__":
    run_shell()
