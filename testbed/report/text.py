"""Text that a peer may have chosen, made fit for a terminal, XML and HTML."""

from __future__ import annotations

import re

# What XML 1.0 cannot hold, even escaped; among it all that steers a terminal, and lone surrogates.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def readable(text: str) -> str:
    """The text with a replacement character for each that cannot be shown."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
