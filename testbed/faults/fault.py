"""What a fault is, and how it comes to work on a role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.errors import BadInput
from testbed.roles.role import Role


@dataclass(frozen=True, slots=True)
class Fault:
    """One deviation.

    Attributes:
        name: protocol or area, a dot, what is wrong ("connectivity.asks-before-lease").
        role: who shows it.
        breaks: ids of the requirements that it makes FAIL, in the scenarios that judge them.
        seen_in: where such a thing was met; may be empty.
        shown_in: the runs that show it, as the command line takes them: "discovery_public/" is the
            main run of that scenario, "discovery_public/no_match" a variant, "discovery_public" all
            of them together.
        acts_on: "rule" (the function gets the role), or "message PROTOCOL" (it gets a message and
            its destination and gives the messages to send instead), or "octets PROTOCOL" (likewise
            with encoded datagrams, or with what goes onto a stream).  For "cwmp" a message is an
            envelope, or None for an empty body, and is replaced by exactly one.  With a `Pause`
            among what it gives, the rest goes out later; with a `Finish` among the octets of a
            stream, nothing more is sent there.
        function: the deviation.
        emulation_only: why the simulation cannot show it; "": it can.
    """

    name: str
    role: str
    breaks: tuple[str, ...]
    seen_in: str
    acts_on: str
    shown_in: tuple[str, ...]
    function: Callable[..., Any]
    emulation_only: str = ""

    @property
    def about(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    role: str,
    breaks: Sequence[str],
    acts_on: str = "rule",
    seen_in: str = "",
    shown_in: Sequence[str] = ("discovery_public/",),
    emulation_only: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function below as a fault."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        if name in FAULTS:
            raise BadInput(f"two faults are called {name!r}")
        if acts_on != "rule" and not acts_on.startswith(("message ", "octets ")):
            raise BadInput(
                f"the fault {name} acts on {acts_on!r}: 'rule', 'message PROTOCOL' or "
                f"'octets PROTOCOL' is expected"
            )
        ids, runs = tuple(breaks), tuple(shown_in)
        FAULTS[name] = Fault(name, role, ids, seen_in, acts_on, runs, function, emulation_only)
        return function

    return enter


def put_on(found: Fault, role: Role) -> None:
    """Make the fault work on a role; before the role gets power."""
    kind, _, protocol = found.acts_on.partition(" ")
    if kind == "rule":
        found.function(role)
    elif kind == "message":
        role.mend_of(protocol).message.append(found.function)
    else:
        assert kind == "octets", f"{found.name} acts on {found.acts_on!r}"
        role.mend_of(protocol).octets.append(found.function)
