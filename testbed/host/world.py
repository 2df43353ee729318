"""An engine with one topology in it: what a stage and a run may ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from testbed.host.node import Host


class World(Protocol):
    """An engine with one topology in it: what a stage and a run may ask."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """By node name."""
        ...

    def power(self, node: str, on: bool) -> None:
        """Give the node power, or take it: all its tasks, ports and leased addresses are gone, and
        nothing is said on the wire about it."""

    def set_link(self, node: str, interface: str, up: bool) -> None:
        """Plug the node's cable in or pull it out."""

    async def flush(self) -> None:
        """Wait until all that is on the wires by now is in the trace."""
