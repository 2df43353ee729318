"""Every error of the testbed, by owner and by exit status.

Two families: `LocalError` for our user's misuse and for what this machine lacks, `PeerError` for
what the other side of a wire sent.  Bugs are asserts.  Knows nothing else of the testbed, so that
every layer may use it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when results find no place."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_MISSING = 3
EXIT_INTERRUPTED = 130


class TestbedError(Exception):
    """Base of all errors that are told to the user in one sentence, without a traceback."""

    __test__ = False  # pytest: a class of ours that begins with "Test", not a test
    exit_status = EXIT_FAILED


class LocalError(TestbedError):
    """Our side: bad usage, or an environment that cannot do what was asked."""


class BadInput(LocalError):
    """What the user gave cannot be used: unknown name, bad value, unreadable file."""

    exit_status = EXIT_BAD_INPUT


class MissingFeature(LocalError):
    """This machine lacks a program or a kernel feature; the message names it and the remedy."""

    exit_status = EXIT_MISSING


class Unsupported(LocalError):
    """Whoever plays a node cannot do what is asked of it: the run is INCONCLUSIVE, with reason."""

    exit_status = EXIT_OK


class PeerError(TestbedError):
    """The other side of a wire sent something that cannot be used."""


class DecodeError(PeerError):
    """Octets that cannot be cut into the fields of their protocol."""


class StepMissed(TestbedError):
    """A step of a scenario did not happen within its time.

    Args:
        sentence: what was awaited, and what came instead.
        awaited: the scenario's own description of it.
    """

    def __init__(self, sentence: str, awaited: object = None) -> None:
        super().__init__(sentence)
        self.awaited = awaited


class RoleCrashed(TestbedError):
    """A role ended by an exception of its own: a defect of the testbed, told as such."""


def unknown(what: str, name: str, known: Iterable[str], shown_by: str = "") -> BadInput:
    """The error for a name nobody knows, with the nearest ones and where to see them all.

    Args:
        what: what kind of name it is, in the singular ("scenario").
        name: as the user wrote it.
        known: all the names there are.
        shown_by: the command that shows them, where they are too many to be told here.
    """
    import difflib  # only when it is needed: `--help` answers at once

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    where = f": `{shown_by}` shows them" if shown_by else ""
    listing = ", ".join(names) if len(names) <= 12 else f"{len(names)} are known{where}"
    return BadInput(f"no {what} is called {name!r}{hint} ({listing})")


def defect_sentence(error: BaseException) -> str:
    """An exception that nobody foresaw, in one line: what, and where."""
    import traceback  # only when it is needed: `--help` answers at once

    what = f"{type(error).__name__}: {error}".split("\n")[0]
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return what
    place = frames[-1]
    return f"{what} (in {place.name}, {place.filename.rpartition('/')[2]} line {place.lineno})"
