"""`testbed shell` and `--shell-on-fail` behind a terminal, as a person has them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.emulation import command, ground
from tests.emulation.command import Terminal

pytestmark = [pytest.mark.emulation, pytest.mark.slow]


def at_the_prompt(talk: Callable[[Terminal], None], *words: str, status: int = 0) -> None:
    """Talk to a shell on ground of its own: it ends with that status and leaves nothing."""

    def facts() -> None:
        command.set_up()
        with ground.nothing_left():
            terminal = Terminal("shell", "home_on_internet", *words)
            terminal.expect("mininet> ")
            talk(terminal)

            assert terminal.end() == status, terminal.text

    ground.on_ground(facts)


def test_it_shows_what_is_wired_to_what() -> None:
    def talk(terminal: Terminal) -> None:
        nodes, net, dump = map(terminal.ask, ("nodes", "net", "dump"))
        terminal.type("exit\n")

        assert "gateway hnb home internet outer_dns" in nodes
        assert "hnb eth0:home-eth2" in net
        assert "internet-eth1:outer_dns-eth0" in net
        assert "<LabNode gateway: eth0:192.168.1.1,eth1:203.0.113.100" in dump

    at_the_prompt(talk)


def test_links_are_as_slow_as_they_are_set() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.ask("hnb power_on")
        ping = terminal.ask("hnb ping -c2 192.168.1.1")
        terminal.type("exit\n")

        assert float(ping.split("rtt min")[1].split("= ")[1].split("/")[0]) >= 80

    at_the_prompt(talk, "--set", "link.home.delay_ms=40", "--set", "engine.links=relay")


def test_an_hnb_that_gets_power_gets_connected() -> None:
    def talk(terminal: Terminal) -> None:
        before = terminal.ask("hnb ifconfig")
        power = terminal.ask("hnb power_on")
        again = terminal.ask("hnb power_on")
        after = terminal.ask("hnb ifconfig")
        ping = terminal.ask("hnb ping -c1 outer_dns")
        terminal.type("exit\n")

        assert "192.168.1." not in before
        assert "hnb: CONNECTED address=192.168.1.100 router=192.168.1.1" in power
        assert "hnb has power already" in again
        assert "inet 192.168.1.100  netmask 255.255.255.0" in after
        assert "1 received, 0% packet loss" in ping
        assert "ttl=63" in ping, "it went through the gateway"

    at_the_prompt(talk)


def test_power_may_be_cut_and_given_after_a_cable_was_out() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.ask("hnb power_on")
        terminal.ask("link hnb gateway down")
        lost = terminal.ask("hnb ping -c1 -W1 gateway")
        terminal.ask("link hnb gateway up")
        found = terminal.ask("hnb ping -c1 -W5 gateway")
        terminal.ask("hnb power_off")
        dark = terminal.ask("hnb ifconfig")
        power = terminal.ask("hnb power_on")
        terminal.type("exit\n")

        assert " 0% packet loss" not in lost
        assert " 0% packet loss" in found
        assert "192.168.1." not in dark
        assert "CONNECTED address=192.168.1.100" in power

    at_the_prompt(talk)


def test_pingall_tells_who_reaches_whom() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.ask("hnb power_on")
        said = terminal.ask("pingall")
        terminal.type("exit\n")

        rows = dict(re.findall(r"^(\w+) -> (.*?) *\r$", said, re.MULTILINE))
        assert rows["hnb"] == "outer_dns gateway"
        assert rows["gateway"] == "outer_dns hnb"
        assert rows["outer_dns"] == "X X", "nobody finds a way into a home"
        assert "33% dropped (4/6 received)" in said

    at_the_prompt(talk)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("nonsense", "no command and no node is called 'nonsense'; did you mean nodes?"),
        ("hnb", "what shall hnb do? say 'hnb COMMAND'"),
        ("hnb power_on now", "hnb power_on takes nothing, and 'now' was given"),
        ("hnb power_off", "hnb has no power"),
        ("iperf hnb outer_dns", "hnb has no address"),
        ("link hnb hms down", "no node is called 'hms'"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(line: str, sentence: str) -> None:
    def talk(terminal: Terminal) -> None:
        said = terminal.ask(line)
        terminal.type("exit\n")

        assert sentence in said
        assert "Traceback" not in said

    at_the_prompt(talk)


def test_ctrl_d_ends_it() -> None:
    at_the_prompt(lambda terminal: terminal.type("\x04"))


@pytest.mark.parametrize("typed", ["", "half a li", "exit"], ids=["nothing", "half", "whole"])
def test_ctrl_c_at_the_prompt_drops_the_line_and_gives_another(typed: str) -> None:
    def talk(terminal: Terminal) -> None:
        terminal.type(f"{typed}\x03")  # at once: no time to read what was typed before it
        terminal.expect("Interrupt")
        terminal.expect("mininet> ")
        said = terminal.ask("nodes")
        terminal.type("exit\n")

        assert "outer_dns" in said

    at_the_prompt(talk)


def test_a_line_that_ctrl_c_ended_is_not_in_the_history() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.ask("nodes")
        terminal.type("half a li\x03")
        terminal.expect("mininet> ")
        again = terminal.ask("\x10")  # Ctrl-P: the line before
        terminal.type("exit\n")

        assert "outer_dns" in again

    at_the_prompt(talk)


def test_ctrl_c_ends_a_nodes_command_and_not_the_shell() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.ask("hnb power_on")
        terminal.type("hnb ping outer_dns\n")
        terminal.expect("icmp_seq=1")
        terminal.interrupt("packets transmitted")
        terminal.expect("mininet> ")
        terminal.type("exit\n")

    at_the_prompt(talk)


def test_a_killed_shell_leaves_nothing() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.ask("hnb power_on")
        os.kill(terminal.pid, signal.SIGKILL)

    at_the_prompt(talk, status=-signal.SIGKILL)


def test_the_ladder_grows_beside_the_prompt() -> None:
    def talk(terminal: Terminal) -> None:
        terminal.type("hnb power_on\n")
        terminal.expect("hnb -> all  DHCP DISCOVER")
        terminal.expect(r"outer_dns -> hnb  DNS A segw\.operator\.example = 203\.0\.113\.50")
        terminal.expect(r"hnb \* RESOLVED")
        terminal.type("exit\n")

    at_the_prompt(talk, "--ladder")


def test_several_homes_are_several_hnbs() -> None:
    def talk(terminal: Terminal) -> None:
        said = [terminal.ask(line) for line in ("hnb power_on", "hnb2 power_on")]
        ping = terminal.ask("hnb2 ping -c1 outer_dns")
        terminal.type("exit\n")

        assert "hnb: CONNECTED" in said[0]
        assert "hnb2: CONNECTED" in said[1]
        assert " 0% packet loss" in ping

    at_the_prompt(talk, "--set", "homes=2")


def test_commands_may_come_from_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "shell", "home_on_internet"],
        input="hnb power_on\nhnb ping -c1 outer_dns\n",
        env={**os.environ, "PYTHONPATH": str(command.ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0
    said = done.stdout + done.stderr  # Mininet says all but the prompt on standard error
    assert "hnb: CONNECTED" in said
    assert " 0% packet loss" in said


SILENT = """
import scenarios.lan_connectivity as module
module.lan_connectivity.step_s = 0.5
from testbed.roles.gateway import Gateway
before = Gateway.__init__
def silent(self, host, node):
    before(self, host, node)
    self.set_dhcp(silent=True)
Gateway.__init__ = silent
"""


def test_a_run_that_fails_gives_the_prompt_in_its_world() -> None:
    def facts() -> None:
        command.set_up()
        with ground.nothing_left():
            words = ("run", "lan_connectivity/", "--shell-on-fail", "--out", "out")
            terminal = Terminal(*words, program=SILENT)
            terminal.expect("lan_connectivity failed; its world is still up. `exit` ends it.")
            terminal.expect("mininet> ")
            ping = terminal.ask("gateway ping -c1 outer_dns")
            power = terminal.ask("hnb power_off")
            terminal.type("exit\n")
            status = terminal.end()

            assert " 0% packet loss" in ping
            assert "Error" not in power
            assert status == 1
            assert "step 1, OFFER did not happen within 0.5 s" in terminal.text
            assert [each["variants"] for each in command.results()] == [{"": "missed"}]

    ground.on_ground(facts)


def test_a_run_that_passes_gives_no_prompt() -> None:
    def facts() -> None:
        command.set_up()
        with ground.nothing_left():
            terminal = Terminal("run", "lan_connectivity/", "--shell-on-fail", "--out", "out")

            assert terminal.end() == 0
            assert "mininet>" not in terminal.text

    ground.on_ground(facts)
