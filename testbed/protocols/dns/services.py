"""In which order the servers of a service are tried (RFC 2782, "Usage rules")."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from testbed.protocols.dns.message import Service


def in_order(services: Sequence[Service], random: Random) -> list[Service]:
    """The services, lowest priority first, those of one priority by chance and weight.

    Nothing where the only one says "." (the service is decidedly not there).
    """
    if len(services) == 1 and services[0].target.rstrip(".") == "":
        return []
    ordered: list[Service] = []
    for priority in sorted({each.priority for each in services}):
        # RFC 2782: those of weight 0 stand first, so that they have a very small chance.
        left = sorted(
            (each for each in services if each.priority == priority), key=lambda each: each.weight
        )
        while left:
            drawn = random.randint(0, sum(each.weight for each in left))
            running = 0
            for each in left:
                running += each.weight
                if running >= drawn:
                    ordered.append(each)
                    left.remove(each)
                    break
    return ordered
