"""What faults rest on that a capture from the field does not show by itself.

A lab shows every link from before the first power-on, and its nodes tell what they are set to; a
capture may begin in mid-life and show one link only.  There a fault whose supposition nobody has
told is no accusation: the verdict is INCONCLUSIVE, and says what is not known.  Whoever has made
the capture may tell it, in the file of names.
"""

from __future__ import annotations

from testbed.conformance.verdict import Finding
from testbed.trace.trace import Trace

SUPPOSITIONS = {
    "whole": "whether the capture begins before the first power-on and shows every link",
    "arrivals": "whether all that was sent has arrived",
    "challenges": "whether the STUN server is to challenge whoever tells a change",
    "no_challenges": "whether the STUN server is to challenge nobody",
    "one_address": "whether the STUN server has one address only",
    "notification": "whether the ACS is to go by what it is notified of",
    "resolved": "whether a name in the place of an address stands for no address of the binding",
    "association": "whether the box implements TR-111 Part 1",
    "connected": "whether every cable stayed in, the gateway ran on and nobody keeps devices out",
    "no_window": "whether the CPE takes requests of any time, and has forgotten none",
    "telling": "what the node itself has noticed and done",
}
"""What is not known without being told, by the name under which it is told to hold."""

FACTS = tuple(name for name in SUPPOSITIONS if name != "telling")
"""What whoever made a capture can tell; what a node has noticed only the node could."""


def unknown_of(trace: Trace, finding: Finding, supposes: tuple[str, ...]) -> str:
    """What nobody has told and a fault would rest on; "": nothing, or it is no fault.

    Args:
        trace: a lab's leaves nothing open.
        finding: what a check says.
        supposes: of every fault of that check.
    """
    if finding.ok or not trace.is_excerpt:
        return ""
    for name in (*supposes, *finding.supposes):
        if name not in FACTS:
            return SUPPOSITIONS[name]
        if name not in trace.facts:
            return f"{SUPPOSITIONS[name]} (fact {name!r})"
    return ""
