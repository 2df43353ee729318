"""What a command line or a file says of a topology, as values: `--set`, `--nat`, a NAT file."""

from testbed.settings.changes import (
    LINK_PREFIX,
    NAT_PREFIX,
    asks_for_nat,
    build_topology,
    chosen_nat,
    engine_settings,
    named_nat,
    parse_settings,
)

__all__ = [
    "LINK_PREFIX",
    "NAT_PREFIX",
    "asks_for_nat",
    "build_topology",
    "chosen_nat",
    "engine_settings",
    "named_nat",
    "parse_settings",
]
