"""Mininet's prompt on a network of ours, with the roles' own commands beside Mininet's.

mininet> net
mininet> hnb ping -c1 outer_dns
mininet> link hnb gateway down
mininet> hnb power_on
"""

from __future__ import annotations

import difflib
import sys
import termios
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from mininet.cli import CLI
from mininet.log import error, output

from testbed.engines.emulation.network import Network
from testbed.errors import BadInput, TestbedError

INTERRUPT = "\x03"
"""Ctrl-C as a character."""

RoleCall = Callable[[str, str], str]
"""Called with (node, method) in the place of the method; gives the text to print."""


def public_methods(role: object) -> list[str]:
    """The names of a role's methods that the prompt offers, sorted."""
    return sorted(
        name
        for name in dir(type(role))
        if not name.startswith("_") and callable(getattr(type(role), name))
    )


def _take_ctrl_c_for_a_key() -> bool:
    """Bind Ctrl-C so that it ends the line and stands in it; whether readline can."""
    try:
        import readline
    except ImportError:
        return False
    if "libedit" in (readline.__doc__ or ""):
        return False  # another language of bindings
    readline.parse_and_bind(r'"\C-c": "\C-v\C-c\C-m"')
    return True


class Shell(CLI):  # type: ignore[misc]  # Mininet has no types
    """Mininet's prompt; runs until `exit`, Ctrl-D or the end of its input, as Mininet's does.

    While a line is edited, Ctrl-C is a key and no signal.  As a signal it may come when readline
    has been told that there is something to read: the terminal throws away what was typed, and
    readline waits for a key and hears no signal before it has one.  While a command runs, Ctrl-C
    is a signal as everywhere.

    Args:
        network: a started one.
        roles: the role of each node that has one, by the node's name.
        call: does what `NODE METHOD` says and gives the text to print.
        stdin: where commands are read from.
        script: a file of commands to run instead.
    """

    def __init__(
        self,
        network: Network,
        roles: Mapping[str, object] | None = None,
        call: RoleCall | None = None,
        stdin: TextIO | None = None,
        script: str | None = None,
    ) -> None:
        self.network = network
        self.roles = dict(roles or {})
        self.call = call
        self.edits = False
        super().__init__(network.mininet, stdin=stdin or sys.stdin, script=script)

    @classmethod
    def initReadline(cls) -> None:  # noqa: N802 -- Mininet's name
        """No history file: a lab leaves nothing in its user's home."""

    def run(self) -> None:
        """Read commands until the end; Ctrl-C ends a command, not the prompt."""
        # Mininet asks the terminal even where it was given another input.
        self.use_rawinput = self.isatty()
        self.edits = self.use_rawinput and _take_ctrl_c_for_a_key()
        super().run()

    def preloop(self) -> None:
        """Before the first line of all, and after an interrupted command."""
        super().preloop()
        self._take_signals(False)

    def precmd(self, line: str) -> str:
        """A line was read; what Ctrl-C ended is dropped."""
        self._take_signals(True)
        if INTERRUPT in line:
            import readline

            readline.remove_history_item(readline.get_current_history_length() - 1)
            output("Interrupt\n")
            return ""
        return str(super().precmd(line))

    def postcmd(self, stop: bool, line: str) -> bool:
        """The command is done; the next line is read, or it was the last."""
        self._take_signals(stop)
        return bool(super().postcmd(stop, line))

    def _take_signals(self, takes: bool) -> None:
        """Whether the terminal makes a signal of Ctrl-C."""
        if not self.edits:
            return
        with suppress(termios.error):  # the terminal has gone: the prompt's next read finds its end
            settings = termios.tcgetattr(self.stdin)
            settings[6][termios.VINTR] = INTERRUPT.encode() if takes else b"\0"
            termios.tcsetattr(self.stdin, termios.TCSADRAIN, settings)

    def onecmd(self, line: str) -> bool:
        """Do one command; whatever goes wrong is told in one sentence."""
        try:
            return bool(super().onecmd(line))
        except TestbedError as told:
            error(f"{told}\n")
        except Exception as unforeseen:  # a prompt survives its commands
            error(f"{line.strip()}: {type(unforeseen).__name__}: {unforeseen}\n")
        return False

    def do_net(self, _line: str) -> None:
        """List network connections; the far end is told with its node's name."""
        for node in self.mn.values():
            words = []
            for intf in node.intfList():
                ends = [intf.link.intf1, intf.link.intf2] if intf.link else []
                words += [f"{intf}:{end.qualified_name}" for end in ends if end is not intf]
                words += [] if ends else [f"{intf}: "]
            output(f"{node.name} {' '.join(words)}\n")

    def do_source(self, line: str) -> None:
        """Read commands from an input file, up to its end or to 'exit'.
        Usage: source <file>"""
        if len(line.split()) != 1:
            raise BadInput("usage: source FILE")
        try:
            with open(line.strip(), encoding="utf-8") as script:
                commands = script.readlines()
        except OSError as refused:
            raise BadInput(f"cannot read {line.strip()}: {refused.strerror}") from None
        for command in commands:
            if self.onecmd(self.precmd(command)):
                break

    def do_roles(self, _line: str) -> None:
        """List what the roles can be told: NODE METHOD."""
        for node, role in self.roles.items():
            output(f"{node}: {' '.join(public_methods(role))}\n")

    def do_iperf(self, line: str) -> None:
        """Simple iperf TCP test between two (optionally specified) hosts.
        Usage: iperf node1 node2"""
        self._need_addresses(line.split() or [self.mn.hosts[0].name, self.mn.hosts[-1].name])
        super().do_iperf(line)

    def do_iperfudp(self, line: str) -> None:
        """Simple iperf UDP test between two (optionally specified) hosts.
        Usage: iperfudp bw node1 node2"""
        self._need_addresses(line.split()[1:] or [self.mn.hosts[0].name, self.mn.hosts[-1].name])
        super().do_iperfudp(line)

    def default(self, line: str) -> None:
        """A command for a node: its role's, or a program to run in it."""
        name, arguments, line = self.parseline(line)
        if not name or name not in self.mn:
            first = line.split()[0]
            near = difflib.get_close_matches(first, [*self.mn, *self.completenames("")], n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ", see 'help' and 'nodes'"
            raise BadInput(f"no command and no node is called {first!r}{hint}")
        words = (arguments or "").split()
        if not words:
            raise BadInput(f"what shall {name} do? say '{name} COMMAND'")
        if name in self.roles and words[0] in public_methods(self.roles[name]):
            self._tell_role(name, words)
            return
        node = self.mn[name]
        node.sendCmd(" ".join(self._address_of(word) for word in arguments.split(" ")))
        self.waitForNode(node)

    def waitForNode(self, node: Any) -> None:  # noqa: N802 -- Mininet's name
        """Print what the node's command says until it ends; Ctrl-C interrupts it.

        From a terminal the command reads what is typed.  From a script or a pipe it reads nothing:
        those are the prompt's next commands.
        """
        if self.isatty():
            super().waitForNode(node)
            return
        while node.waiting:
            try:
                output(node.monitor())
            except KeyboardInterrupt:
                node.sendInt()

    def _tell_role(self, node: str, words: list[str]) -> None:
        method = words[0]
        if len(words) > 1:
            raise BadInput(f"{node} {method} takes nothing, and {' '.join(words[1:])!r} was given")
        if self.call is None:
            raise BadInput(f"{node} {method}: no roles run here")
        said = self.call(node, method)
        output(f"{said}\n" if said else "")

    def _address_of(self, word: str) -> str:
        """A node's name stands for its first address, if it has one; other words for themselves."""
        if word not in self.mn:
            return word
        intf = self.mn[word].defaultIntf()
        return (intf and intf.updateIP()) or word

    def _need_addresses(self, names: list[str]) -> None:
        for name in names:
            if name in self.mn and not self.mn[name].IP():
                raise BadInput(f"{name} has no address")
