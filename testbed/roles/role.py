"""What all roles share: a host to act through, a node that says who they are, power on and off."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeVar

from testbed.host import Host, Mend
from testbed.topology import Node


class Closable(Protocol):
    """A port, a listener, a drive: something that is given back when the power goes."""

    def close(self) -> None:
        """Give it back."""


C = TypeVar("C", bound=Closable)


class Part(Protocol):
    """Whoever plays a node: a role of ours, or a third party's program with the life of one.

    What a scenario asks beyond this (`outer_dns.zone`), only our own role may have; the others
    raise `Unsupported` for it.
    """

    starts_off: bool
    tells_nothing: bool
    node: Node

    @property
    def name(self) -> str:
        """The node's name."""
        ...

    @property
    def host(self) -> Host:
        """What it sees of the world."""
        ...

    async def start(self) -> None:
        """Power on; returns when it serves."""

    def stop(self) -> None:
        """Power is about to go."""

    def must_tell(self, event: str) -> None:
        """A scenario is about to wait for that event.

        Raises:
            Unsupported: it never tells it.
        """


class Role:
    """One box of the ladder.

    Attributes:
        starts_off: whether a scenario gives it power; else it has power from the start.
        tells_nothing: whether no event is ever heard of it, as of a device on the bench.
        facts: what it knows of itself before it has power, by attribute: all that is told of a
            device in its place.

    Args:
        host: all it may ask of the world.
        node: its place in the topology: addresses, names, settings.
    """

    starts_off = False
    tells_nothing = False
    facts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, host: Host, node: Node) -> None:
        self.host = host
        self.node = node
        self._kept: list[Closable] = []
        self._mends: dict[str, Mend[Any]] = {}

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    def mend_of(self, protocol: str) -> Mend[Any]:
        """What stands between this role's messages of that protocol and the wire: faults."""
        return self._mends.setdefault(protocol, Mend())

    def must_tell(self, event: str) -> None:
        """A scenario is about to wait for that event: a role of ours can tell them all."""

    async def start(self) -> None:
        """Power on: bind what it listens on, begin what it does by itself.

        Raises:
            OSError: a port is taken, or an address is not this node's.
        """

    def keep(self, thing: C) -> C:
        """Remember something that `stop` is to close."""
        self._kept.append(thing)
        return thing

    def stop(self) -> None:
        """Power off: give back all that was kept, the last first."""
        while self._kept:
            self._kept.pop().close()
