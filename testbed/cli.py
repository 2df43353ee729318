"""The command line: names of commands, and the one place where errors become exit statuses.

Each command is a small module of `testbed.commands`, imported when it is called, so that `--help`
answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import NoReturn

import click

from testbed import __version__
from testbed.errors import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_MISSING,
    NO_ROOM,
    TestbedError,
    defect_sentence,
    unknown,
)

COMMANDS = {
    "list": "What there is: scenarios, topologies, roles, faults, checks, nats, casts.",
    "run": "Play scenarios and judge them.",
    "grid": "Play scenarios under many kinds of NAT: a matrix of verdicts.",
    "probe-nat": "Measure what a kind of NAT does on this machine.",
    "judge": "Judge a capture, or a run once more, by the requirements.",
    "draw": "Draw the ladder of a run or a capture.",
    "requirements": "Every requirement, and who checks it.",
    "doctor": "What this machine has, what each gap costs, how to mend it.",
    "shell": "A topology with its roles up, and Mininet's prompt in it.",
}

EXAMPLES = """\b
Examples:
  testbed doctor
  testbed list scenarios
  testbed run lan_connectivity
  testbed run --all --jobs 4 --out results
  testbed judge results/lan_connectivity
  testbed draw results/lan_connectivity --svg ladder.svg
  testbed shell home_behind_nat --set homes=2

\b
Exit status: 0 all as expected, 1 a FAIL, a missed step or a crash, 2 bad usage or input,
3 this machine lacks something (named), 130 Ctrl-C.
"""


class LazyGroup(click.Group):
    """Commands by name; a command's module is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and give the command.

        Raises:
            BadInput: nobody is called that; names the nearest.
        """
        if cmd_name not in COMMANDS:
            raise unknown("command", cmd_name, COMMANDS)
        name = {"list": "listing"}.get(cmd_name, cmd_name).replace("-", "_")
        module = importlib.import_module(f"testbed.commands.{name}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, epilog=EXAMPLES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="testbed")
def cli() -> None:
    """Femtocells, their gateways and their managers: emulated, captured, judged."""


def _tell_defect(error: Exception) -> int:
    """An exception that nobody foresaw: one sentence, and where it was; all of it on request."""
    if os.environ.get("TESTBED_TRACEBACK"):
        traceback.print_exception(error)
        return EXIT_FAILED
    sys.stderr.write(
        f"testbed: a defect of the testbed itself: {defect_sentence(error)}; "
        "TESTBED_TRACEBACK=1 shows all of it\n"
    )
    return EXIT_FAILED


def _tell_no_room(error: OSError) -> int:
    """The disk is full, or this user's part of it: which one, if that is known, and what to do."""
    place = f"to {error.filename} " if error.filename else ""
    sys.stderr.write(
        f"testbed: results cannot be written {place}whole: {error.strerror}; make room there, or "
        "name a folder elsewhere (--out)\n"
    )
    return EXIT_MISSING


def _tell_usage(error: click.ClickException) -> int:
    """What click refused, in one sentence, and where the right way is told."""
    context: click.Context | None = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and context is not None:
        click.echo(context.get_help(), err=True)
        return EXIT_BAD_INPUT
    sentence = " ".join(error.format_message().split()).rstrip(".")
    command = context.command_path if context is not None else "testbed"
    sys.stderr.write(f"testbed: {sentence}; see `{command} --help`\n")
    return EXIT_BAD_INPUT


def _open_streams() -> None:
    """Lead streams that the caller has closed (`>&-`) nowhere: what is opened next would otherwise
    stand in their place, and be written into by whoever has something to say."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def main() -> NoReturn:
    """Run the command line and exit with its status; an error is one sentence on stderr."""
    _open_streams()
    try:
        status = cli.main(prog_name="testbed", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        status = EXIT_INTERRUPTED
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except click.ClickException as error:
        status = _tell_usage(error)
    except TestbedError as error:
        sys.stderr.write(f"testbed: {error}\n")
        status = error.exit_status
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is left to be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_FAILED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            status = _tell_no_room(error)
        else:
            status = _tell_defect(error)
    sys.exit(status if isinstance(status, int) else 0)
