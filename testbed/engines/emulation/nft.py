"""nftables' own program, which loads a text of rules as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess

from testbed.engines.emulation.namespace import Namespace
from testbed.errors import MissingFeature

_SYSTEM_FOLDERS = "/usr/sbin:/sbin"


def load(namespace: Namespace, text: str, needed_by: str) -> str:
    """Have the rules loaded in a namespace.

    Args:
        namespace: whose rules they are.
        text: as `nft -f` reads it.
        needed_by: who cannot do without, for whoever lacks the program.

    Returns:
        What nft has to complain of; "" where the rules are loaded.

    Raises:
        MissingFeature: nft is not on this machine.
    """
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if program is None:
        raise MissingFeature(
            f"the program nft is not on this machine, and {needed_by} needs it "
            "(apt install nftables)"
        )
    with namespace:  # the process is born inside; it is waited for outside
        process = subprocess.Popen(
            [program, "-f", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    _, complaint = process.communicate(text)
    return "" if process.returncode == 0 else complaint.strip() or "no reason given"
