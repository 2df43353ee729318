"""The frames of a run while it lasts: an append-only log that is itself a pcapng file.

A run that is killed still has it.  At the run's end it becomes the capture, with the secrets, which
are known only then, before the packets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from testbed.trace.pcapng import PcapngWriter
from testbed.trace.pcapng_reader import read_capture
from testbed.trace.record import Frame


class PacketLog:
    """The frames of a run that is still going on.

    Each frame is handed to the kernel at once: what was written survives the death of the process.

    Args:
        path: made anew.
        notes: what the run is, as far as it is known by now.
    """

    def __init__(self, path: Path, notes: Mapping[str, object] = MappingProxyType({})) -> None:
        self.path = path
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._writer = PcapngWriter(self._file, notes)

    def add(self, frame: Frame) -> None:
        """Write one frame, as its sender put it on the link."""
        self._writer.write_frame(frame)

    def close(self) -> None:
        """Write no more; the log stays."""
        self._file.close()

    def finish(
        self,
        target: Path,
        notes: Mapping[str, object] = MappingProxyType({}),
        key_logs: Iterable[bytes] = (),
        comments: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Make the capture of the log, and remove the log.

        Args:
            target: where the capture goes; it appears whole or not at all.
            notes: what the run was.
            key_logs: contents of TLS key log files.
            comments: by the frame's place in the log, from 0.
        """
        self.close()
        capture = read_capture(self.path.read_bytes())
        unfinished = target.with_name(target.name + ".part")
        with unfinished.open("wb") as file:
            writer = PcapngWriter(file, notes, key_logs)
            for place, frame in enumerate(capture.frames):
                writer.write_frame(frame, comment=comments.get(place))
        os.replace(unfinished, target)
        if self.path != target:
            self.path.unlink()
