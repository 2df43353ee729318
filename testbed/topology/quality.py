"""What a link does to frames that cross it; plain data.

One table of words for both engines: in a topology (`net.link("internet", "203.0.113.0/24",
delay_ms=20)`), in a scenario's variant (`links={"internet": {"loss": 0.01}}`), and by
`--set link.QUALITY=VALUE` and `--set link.NAME.QUALITY=VALUE`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from testbed.errors import BadInput, unknown


class Passage(Enum):
    """Whether packets of a kind get through a link."""

    PASSED = "passed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Quality:
    """How a link carries frames, the same for every direction.

    Attributes:
        delay_ms: from one end to the other.
        jitter_ms: up to so much more, drawn for each frame; alone it changes no order.
        rate_kbps: kilobits a second that each sender has, Ethernet headers counted; 0: no bound.
        loss: probability that a frame is lost.
        duplication: probability that it arrives twice.
        reordering: probability that it is overtaken: it takes `delay_ms` and `jitter_ms` once more
            and keeps nobody behind it.
        mtu: octets of the longest IP packet that interfaces on the link send.
        fragments: whether fragments of IPv4 packets get through.
        icmp: whether ICMP does; without it nobody learns of an MTU on the way.

    Raises:
        BadInput: a value is out of its range; says which.
    """

    delay_ms: float = 0.2
    jitter_ms: float = 0.1
    rate_kbps: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    mtu: int = 1500
    fragments: Passage = Passage.PASSED
    icmp: Passage = Passage.PASSED

    def __post_init__(self) -> None:
        for name, (least, most, _) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                hint = f": {value / 100:g} is {value:g} %" if most == 1 < value <= 100 else ""
                raise BadInput(f"link: {name} is {value:g}; it may be {least:g} to {most:g}{hint}")

    @property
    def is_plain(self) -> bool:
        """Whether nobody has asked for anything else."""
        return self == _PLAIN

    @property
    def is_a_wire(self) -> bool:
        """Whether nothing is asked for but an MTU, which the interfaces keep by themselves."""
        return dataclasses.replace(self, mtu=_PLAIN.mtu) == _PLAIN

    @property
    def is_selective(self) -> bool:
        """Whether it depends on what is in a frame whether it gets through."""
        return Passage.DROPPED in (self.fragments, self.icmp)

    @property
    def is_drawn(self) -> bool:
        """Whether chance decides more than how late a frame is."""
        return bool(self.loss or self.duplication or self.reordering)

    def changed(self, values: Mapping[str, object]) -> Quality:
        """The same with other values of the attributes of those names.

        Raises:
            BadInput: there is no such quality, or a value is out of its range.
        """
        for name in values:
            if name not in QUALITIES:
                raise unknown("quality of a link", name, QUALITIES)
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]

    def told(self) -> dict[str, object]:
        """What differs from a plain link, as `--set` takes it."""
        values = {name: getattr(self, name) for name in QUALITIES}
        return {
            name: value.value if isinstance(value, Passage) else value
            for name, value in values.items()
            if value != getattr(_PLAIN, name)
        }


_RANGES = {
    "delay_ms": (0, 60_000, "MILLISECONDS"),
    "jitter_ms": (0, 60_000, "MILLISECONDS"),
    "rate_kbps": (0, 1e9, "KILOBITS A SECOND"),
    "loss": (0, 1, "PROBABILITY"),
    "duplication": (0, 1, "PROBABILITY"),
    "reordering": (0, 1, "PROBABILITY"),
    "mtu": (576, 9000, "OCTETS"),
}
"""Least, most and measure of each quality that is a number."""

_PLAIN = Quality()

QUALITIES = tuple(each.name for each in dataclasses.fields(Quality))
"""What `--set link.QUALITY=VALUE` may change."""


def measure(quality: str) -> str:
    """What its value is, for lists: "MILLISECONDS 0 to 60000", "passed|dropped"."""
    if quality not in _RANGES:
        return "|".join(each.value for each in Passage)
    least, most, unit = _RANGES[quality]
    return f"{unit} {least:g} to {most:g}"


Links = Mapping[str, Mapping[str, object]]
"""Qualities of links, by the names of both: `{"internet": {"delay_ms": 150}}`."""


def link_settings(links: Links) -> dict[str, object]:
    """The same by the names that `--set` has for them: `{"link.internet.delay_ms": 150}`."""
    return {
        f"link.{link}.{quality}": value
        for link, qualities in links.items()
        for quality, value in qualities.items()
    }
