"""What charon logs, cut into lines with a meaning, and what a failure's lines come to.

charon tells nobody but its log why there is no tunnel; its sentences are strongSwan 5.9's and 6.0's
(`libcharon`, `libstrongswan`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from testbed.host import TunnelCause
from testbed.protocols.wire import Endpoint

TOLD_LEVEL = 1
"""Up to this level a line is for readers; what is above is for the keys in it."""

_LINE = re.compile(
    r"(?P<time>\S+ )?(?P<thread>\d+)\[(?P<group>[A-Z]{3})(?P<level>\d)\] "
    r"(?:<(?:[^|>]*\|)?(?P<number>\d+)> )?(?P<text>.*)"
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of charon's log.

    Attributes:
        thread: charon's, that wrote it; what one thread writes belongs together.
        group: "IKE", "CFG", "NET" and so on.
        level: 0 is always told, 4 holds keys.
        sa: the IKE security association that it is about, by charon's number; 0: none.
        text: what is said.
    """

    thread: int
    group: str
    level: int
    sa: int
    text: str


def read_line(line: str) -> LogLine | None:
    """A line of a log with thread, group, level and IKE_SA; None: it is none."""
    found = _LINE.match(line)
    if found is None:
        return None
    return LogLine(
        int(found["thread"]),
        found["group"],
        int(found["level"]),
        int(found["number"] or 0),
        found["text"],
    )


_DATES = re.compile(r"certificate invalid \(valid from (.+?) to (.+?)\)")
_DATE = "%b %d %H:%M:%S %Y"

_CAUSES: tuple[tuple[str, TunnelCause], ...] = (
    (r"giving up after \d+ retransmits", "no answer"),
    (r"half open IKE_SA .*after timeout", "no answer"),
    (r"received (NO_PROPOSAL_CHOSEN|INVALID_KE_PAYLOAD)", "proposal"),
    (r"no acceptable (ENCRYPTION|INTEGRITY|PSEUDO|KEY|DIFFIE|proposal)", "proposal"),
    (r"received proposals unacceptable|received proposals inacceptable", "proposal"),
    (r"no acceptable proposal found", "proposal"),
    (r"constraint check failed: identity", "name"),
    (r"constraint check failed: peer not authenticated by CA", "chain"),
    (r"no issuer certificate found", "chain"),
    (r"is not trusted|using untrusted intermediate certificate", "chain"),
    # Of AUTH: the certificate is right, and the responder has not its key.
    (r"signature validation failed", "other"),
    (r"received [A-Z_]+ notify", "peer"),
    (r"no trusted \S+ public key found for", "name"),
    (r"no matching peer config found", "name"),
    (r"peer didn't accept", "proposal"),  # INVALID_KE_PAYLOAD, until charon gives it up
)
"""What a failure's lines say, the strongest reason first."""


def cause_of(lines: Sequence[str], moment: float) -> tuple[TunnelCause, str]:
    """Why there is no tunnel, by the log of its IKE_SA; and the line that tells it.

    Dates come before chains, because charon looks at no issuer of a certificate whose dates are
    wrong; a name that no certificate has is known by the lack of any other reason.

    Args:
        lines: what charon told of this IKE_SA.
        moment: what the node believes the date is, seconds since 1970 (UTC).
    """
    for line in lines:
        if found := _DATES.search(line):
            return _by_dates(found[1], moment), line
    for pattern, cause in _CAUSES:
        for line in lines:
            if re.search(pattern, line):
                return cause, line
    return "other", lines[-1] if lines else "charon says nothing"


def _by_dates(valid_from: str, moment: float) -> TunnelCause:
    begins = datetime.strptime(valid_from, _DATE).replace(tzinfo=UTC)
    return "not yet valid" if begins.timestamp() > moment else "expired"


_SENTENCES: dict[TunnelCause, str] = {
    "no answer": "nobody answers there",
    "proposal": "no proposal suits both sides",
    "name": "the responder cannot show that it is {name}",
    "chain": "the responder's certificate does not lead to a trusted root",
    "expired": "the responder's certificate has expired",
    "not yet valid": "the responder's certificate is not yet valid",
    "peer": "the responder refuses",
    "other": "charon gives it up",
}


def sentence_of(cause: TunnelCause, line: str, node: str, remote: str, name: str) -> str:
    """Who refused what, in one sentence.

    Args:
        cause: of the refusal.
        line: charon's own that tells it.
        node: the initiator.
        remote: the responder's outer address.
        name: that was asked for.
    """
    reason = _SENTENCES[cause].format(name=name)
    return f"{node} has no tunnel to {name} at {remote}: {reason} ({line.strip()})"


@dataclass(frozen=True, slots=True)
class Failed:
    """An IKE_SA at a responder that came to nothing.

    Attributes:
        remote: the initiator's address and port.
        lines: what was told of it.
    """

    remote: str
    lines: Sequence[str]


@dataclass(slots=True)
class _Sa:
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))
    remote: str = ""
    is_responder: bool = False


_LINES_KEPT = 64
_SAS_KEPT = 1024
_RECEIVED = re.compile(r"received packet: from (\S+)\[(\d+)\]")
_ENDS = (
    (re.compile(r"giving up after \d+ retransmits"), "dead"),
    (re.compile(r"received DELETE for|received INITIAL_CONTACT"), "deleted"),
)


class SaLog:
    """What charon has told of each IKE_SA of late."""

    def __init__(self) -> None:
        self._sas: dict[int, _Sa] = {}

    def add(self, line: LogLine) -> Failed | None:
        """Take a line; gives the IKE_SA whose end as a responder's failure it tells."""
        if not line.sa:
            return None
        sa = self._sas.get(line.sa)
        if sa is None:
            sa = self._sas[line.sa] = _Sa()
            if len(self._sas) > _SAS_KEPT:
                del self._sas[next(iter(self._sas))]
        if line.group == "NET" and (found := _RECEIVED.match(line.text)):
            sa.remote = str(Endpoint(found[1], int(found[2])))
        if line.level <= TOLD_LEVEL:
            sa.lines.append(line.text)
            sa.is_responder |= line.text.endswith("is initiating an IKE_SA")
        elif sa.is_responder and line.text.endswith("state change: CONNECTING => DESTROYING"):
            return Failed(sa.remote, tuple(sa.lines))
        return None

    def end_of(self, sa: int) -> str:
        """Why a tunnel is down: "deleted" by its peer, or "dead"."""
        for line in reversed(self._sas[sa].lines if sa in self._sas else ()):
            for pattern, cause in _ENDS:
                if pattern.search(line):
                    return cause
        return "deleted"
