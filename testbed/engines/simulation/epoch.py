"""The date in a simulation: it begins at the same moment every time."""

from __future__ import annotations

import asyncio

EPOCH_S = 1_767_225_600
"""When every simulation begins: 2026-01-01 00:00:00 UTC, seconds since 1970."""


def date_now() -> float:
    """The date, seconds since 1970 (UTC), for a node that goes by the engine's clock."""
    return EPOCH_S + asyncio.get_running_loop().time()
