"""The Home NodeB, from power-up to the address of its first contact (TS 32.583, 5.1.1, to 2.2).

It knows its factory data and nothing else; which name it resolves first follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.host import Host
from testbed.roles.device import Device
from testbed.topology import Node


@dataclass(frozen=True, slots=True)
class Factory:
    """What an HNB holds before its first network contact.

    Attributes:
        segw: name of the Security Gateway (initial); None where the HMS is on the public Internet.
    """

    segw: str | None


class Hnb(Device):
    """The HNB: a device whose first contact is what its factory data name."""

    def __init__(self, host: Host, node: Node) -> None:
        super().__init__(host, node)
        self.factory = Factory(segw=node.settings.get("segw"))
        self.first_name = self.factory.segw
