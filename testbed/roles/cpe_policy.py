"""What a CPE is told to do in its sessions, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from testbed.errors import PeerError
from testbed.host import TlsCause
from testbed.protocols.cwmp import rpc
from testbed.protocols.cwmp.envelope import VERSIONS


@dataclass(frozen=True, slots=True)
class CpePolicy:
    """A CPE's patience and principles.

    Attributes:
        version: of CWMP that it opens with.
        requires_tls: refuses to speak to an ACS whose URL is not https (AMB-3G-07).
        verifies_name: an ACS whose certificate names another host is refused; False: only the chain
            counts (AMB-3G-07, lenient).
        accepts_common_name: a certificate without subjectAltName is read by its common name.
        connect_within_s: for TCP and TLS together.
        answer_within_s: for each response of the ACS.
        session_within_s: for the whole session.
        retry_minimum_s: of TR-069 3.2.1.1; None: what the data model says.
        retry_multiplier: likewise, in thousandths.
        reboot_s: how long a reboot takes.
        connection_requests_within_s: no more than `connection_requests` are accepted in this time.
    """

    version: str = VERSIONS[0]
    requires_tls: bool = False
    verifies_name: bool = True
    accepts_common_name: bool = False
    connect_within_s: float = 15.0
    answer_within_s: float = 30.0
    session_within_s: float = 300.0
    retry_minimum_s: float | None = None
    retry_multiplier: int | None = None
    reboot_s: float = 0.0
    connection_requests: int = 5
    connection_requests_within_s: float = 30.0


class Stage(Enum):
    """How far a session has come: what it was doing when it ended."""

    RESOLVE = "resolving the name of the ACS"
    CONNECT = "connecting to the ACS"
    SECURE = "securing the connection"
    INFORM = "waiting for the InformResponse"
    SERVE = "serving the ACS"
    OVER = "released"


class SessionFailed(PeerError):
    """A session did not come to its end.

    Attributes:
        stage: what it was doing.
        retry_after_s: how long the ACS asks to wait; None: it does not say.
        tls: why TLS refused; None: it did not.
        refusal: the fault that answered the Inform; None: none did.
    """

    def __init__(
        self,
        stage: Stage,
        cause: str,
        retry_after_s: int | None = None,
        tls: TlsCause | None = None,
        refusal: rpc.Fault | None = None,
    ) -> None:
        super().__init__(cause)
        self.stage = stage
        self.retry_after_s = retry_after_s
        self.tls = tls
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Served:
    """A call of the ACS and what was answered."""

    call: rpc.Rpc
    answer: rpc.Rpc


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What came of a session.

    Attributes:
        url: of the ACS.
        events: that its Inform told.
        served: the calls of the ACS, in order.
        failure: why it did not come to its end; None: it did.
    """

    url: str
    events: tuple[rpc.Event, ...]
    served: tuple[Served, ...] = ()
    failure: SessionFailed | None = None

    @property
    def refused_sets(self) -> tuple[Served, ...]:
        """What the ACS wanted to set, and was answered a fault; other calls may be refused."""
        return tuple(
            each
            for each in self.served
            if isinstance(each.call, rpc.SetParameterValues) and isinstance(each.answer, rpc.Fault)
        )
