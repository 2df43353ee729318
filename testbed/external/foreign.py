"""Whoever plays a node and is not ours, program or device, and cannot do all that a role can."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from testbed.errors import Unsupported
from testbed.topology import Node


class Foreign:
    """A player that is not ours.

    Attributes:
        node: its place in the topology: addresses, names, settings.
        tells_nothing: whether no event is ever heard of it, so that a scenario cannot wait for one.
    """

    tells_nothing = False

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    if not TYPE_CHECKING:  # else no misspelt attribute would ever be found

        def __getattr__(self, ability: str) -> NoReturn:
            """What only our role has.

            Raises:
                Unsupported: always; says what a scenario has asked for.
            """
            if ability.startswith("_"):
                raise AttributeError(ability)
            raise self.unable(ability)

    def unable(self, ability: str) -> Unsupported:
        """The error for something that a scenario asks for and this player cannot do."""
        raise NotImplementedError

    def must_tell(self, event: str) -> None:
        """A scenario is about to wait for that event.

        Raises:
            Unsupported: it never tells it, though it tells others.
        """
