"""What a CPE's STUN client is told, how it behaves, and what it tells; plain data for `binding`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from testbed.errors import DecodeError
from testbed.protocols.stun.attributes import UsernamePadding
from testbed.protocols.stun.integrity import Computation
from testbed.protocols.stun.lifetime import LifetimePolicy, Phase
from testbed.protocols.wire import Endpoint

NO_MAXIMUM = -1


class Side(Enum):
    """The client's ports: the primary one listens for UDP Connection Requests."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class Purpose(Enum):
    """What a Binding Request is for."""

    KEEP_ALIVE = "keep-alive"
    """Discovery and maintenance of the binding (TR-111 2.2.1.1, 2.2.1.2)."""
    CHANGE = "binding change"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the ACS decides, by the parameters of TR-111 Part 2, Table 6.

    Attributes:
        enabled: STUNEnable.
        server: STUNServerAddress and STUNServerPort, resolved; None: not known yet.
        username: STUNUsername.
        password: STUNPassword.
        minimum_s: STUNMinimumKeepAlivePeriod.
        maximum_s: STUNMaximumKeepAlivePeriod; -1: none.
    """

    enabled: bool = False
    server: Endpoint | None = None
    username: str = ""
    password: str = ""
    minimum_s: int = 0
    maximum_s: int = NO_MAXIMUM


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """What TR-111 leaves to the CPE; the defaults are good behaviour.

    Attributes:
        computation: how it signs.
        accepts: ways of signing that it accepts in responses.
        username_padding: how USERNAME is made a multiple of 4 octets.
        has_cookie: whether its transaction IDs begin with RFC 5389's magic cookie.
        initial_s: keep-alive interval before anything is known.
        untranslated_s: interval where nothing is translated and no maximum is set.
        cautious_s: interval where the lifetime cannot be found out.
        change_pause_s: least time between two BINDING-CHANGE requests (AMB-P2-30).
        lifetime: how the lifetime is looked for.
    """

    computation: Computation = Computation.RFC3489
    accepts: tuple[Computation, ...] = tuple(Computation)
    username_padding: UsernamePadding = "nul"
    has_cookie: bool = False
    initial_s: float = 30.0
    untranslated_s: float = 60.0
    cautious_s: float = 25.0
    change_pause_s: float = 1.0
    lifetime: LifetimePolicy = field(default_factory=LifetimePolicy)


@dataclass(frozen=True, slots=True)
class BindingDetermined:
    """Where the CPE can be reached is known, or has changed.

    Attributes:
        endpoint: for UDPConnectionRequestAddress: the public one, or our own where nothing is
            translated or STUN is off.
        is_translated: NATDetected.
    """

    endpoint: Endpoint
    is_translated: bool


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """The client goes about the binding's lifetime in another way.

    Attributes:
        phase: what it does now.
        lifetime_s: the longest idle period that a binding has been seen to survive.
        interval_s: of keep-alives, where the search has ended.
    """

    phase: Phase
    lifetime_s: float
    interval_s: float


@dataclass(frozen=True, slots=True)
class LadderWanted:
    """Other bindings are to tell how long one lives: see `ladder.Ladder`.

    Attributes:
        rungs_s: the idle periods; none: whatever ladder there is is to be taken down.
    """

    rungs_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Probed:
    """A test of the binding has ended.

    Attributes:
        idle_s: how long the primary port had been idle.
        alive: whether the binding was still there.
    """

    idle_s: float
    alive: bool


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A transaction has failed for want of an answer."""

    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Rejected:
    """A transaction has ended by an error response."""

    purpose: Purpose
    code: int | None


@dataclass(frozen=True, slots=True)
class Discarded:
    """A response was not believed; says why."""

    reason: str
    source: Endpoint


@dataclass(frozen=True, slots=True)
class NotStun:
    """A datagram that came to the primary port and is no STUN: a UDP Connection Request, maybe."""

    data: bytes
    source: Endpoint


@dataclass(frozen=True, slots=True)
class Malformed:
    """A datagram that begins as STUN does and cannot be cut."""

    error: DecodeError
    source: Endpoint


ClientEvent = (
    BindingDetermined
    | PhaseChanged
    | LadderWanted
    | Probed
    | NoAnswer
    | Rejected
    | Discarded
    | NotStun
    | Malformed
)
