"""A run's capture as somebody in the field would have it: octets and times, and who is who at most.

`cuts` gives the ways in which a capture falls short of a lab's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from testbed.commands.key_files import read_keys
from testbed.conformance import Verdict, examine, judge
from testbed.protocols.tls_secrets import merged
from testbed.trace.names import ROUTERS, Names
from testbed.trace.opened_tls import TlsOpener
from testbed.trace.pcapng_reader import load_capture
from testbed.trace.record import Frame
from testbed.trace.trace import Trace


class FieldCapture:
    """The capture of a run's folder, and what somebody who was there could say of it.

    Attributes:
        frames: with the nodes that the testbed has written beside them.
        names: addresses and roles of every node; no facts.
        is_staged: the scenario itself made a node break its duty: who looks at the wire sees that.
    """

    def __init__(self, folder: Path) -> None:
        capture = load_capture(folder / "trace.pcapng")
        self.frames = capture.frames
        self._secrets = merged(read_keys(capture.key_logs, ()).tls)
        self.names = Names()
        self.is_staged = False
        for line in (folder / "events.jsonl").read_text().splitlines():
            told = json.loads(line)
            self.is_staged = self.is_staged or told["event"] == "STAGED"
            if told["event"] == "PLACES":
                self._take_places(told["fields"])
            elif told["event"] == "ADDRESS" and told["fields"].get("address"):
                self._take_address(told["node"], str(told["fields"]["address"]).split("/")[0])

    def _take_places(self, fields) -> None:
        self.names.roles.update(fields["roles"])
        self.names.ports["web_ports"].update(fields["web_ports"])
        for node, _, address in fields["addresses"]:
            self._take_address(node, address)
        for mac, (node, _, _) in fields["places"].items():
            if fields["roles"].get(node) not in ROUTERS:
                self.names.hardware_addresses[mac] = node

    def _take_address(self, node: str, address: str) -> None:
        is_known = any(address in held for held in self.names.addresses.values())
        if not is_known and not address.startswith("127.") and address != "::1":
            self.names.addresses.setdefault(node, []).append(address)

    def trace(self, frames: list[Frame], names: Names) -> Trace:
        """As `testbed judge` reads it from a file."""
        trace = names.trace(frames)
        opener = TlsOpener(self._secrets, trace.decoders.web_ports) if self._secrets else None
        for frame in frames:
            record = trace.add_frame(frame)[0]
            for clear in opener.inside(frame, record) if opener else ():
                trace.add_clear(clear)
        trace.close()
        return trace


def failures(trace: Trace) -> dict[str, str]:
    """What all checks of the register accuse a trace of, with the reason."""
    return {
        each.requirement.id: each.reason
        for each in judge(None, {"": examine(None, trace)})
        if each.verdict is Verdict.FAIL
    }


def anonymous(frames: list[Frame]) -> list[Frame]:
    """As a classic capture of one interface has them: nobody's, and on one link."""
    return [replace(each, node="", interface="", link="capture") for each in frames]


def cuts(capture: FieldCapture) -> Iterator[tuple[str, list[Frame], Names]]:
    """Ways of seeing less: what it is called, the frames, the names that are told."""
    frames, names = capture.frames, capture.names
    yield "no names", frames, Names()
    yield "names", frames, names
    yield "names, and it is whole", frames, replace(names, facts={"whole"})
    yield "one pile", anonymous(frames), names
    for link in dict.fromkeys(each.link for each in frames):
        seen = anonymous([each for each in frames if each.link == link])
        yield f"only {link}", seen, names
        yield f"only {link}, from the middle", seen[len(seen) // 2 :], names
    for part in (4, 2):
        yield f"without its first {part}th", frames[len(frames) // part :], names
    yield "96 octets a frame", [replace(each, data=each.data[:96]) for each in frames], names
