"""What a link does to frames that cross it; plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from testbed.errors import BadInput


@dataclass(frozen=True, slots=True)
class Quality:
    """How a link carries frames, the same for every direction.

    Attributes:
        delay_ms: from one end to the other.
        jitter_ms: up to so much more, drawn for each frame; alone it changes no order.
        rate_kbps: kilobits a second; 0: no bound.
        loss: probability that a frame is lost.
        duplication: probability that it arrives twice.
        reordering: probability that it is overtaken: it takes `delay_ms` and `jitter_ms` once more
            and keeps nobody behind it.
        mtu: octets of the longest IP packet.

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

    def __post_init__(self) -> None:
        for name, least, most in (
            ("delay_ms", 0, 60_000),
            ("jitter_ms", 0, 60_000),
            ("rate_kbps", 0, 1e9),
            ("loss", 0, 1),
            ("duplication", 0, 1),
            ("reordering", 0, 1),
            ("mtu", 576, 9000),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise BadInput(f"link: {name} is {value:g}; it may be {least:g} to {most:g}")

    @property
    def is_plain(self) -> bool:
        """Whether nobody has asked for anything else."""
        return self == Quality()

    def changed(self, values: Mapping[str, object]) -> Quality:
        """The same with other values of the attributes of those names."""
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]


QUALITIES = tuple(each.name for each in dataclasses.fields(Quality))
"""What `--set link.QUALITY=VALUE` may change."""
