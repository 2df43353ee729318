"""The states of a DHCP client and what leads from one to another, as data (RFC 2131 figure 5)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """Where a client is: RFC 2131 figure 5, and what a client does that is off or only informs."""

    OFF = "off"
    INIT = "init"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    INIT_REBOOT = "init-reboot"
    REBOOTING = "rebooting"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"
    INFORMING = "informing"
    INFORMED = "informed"


class Cause(Enum):
    """What moves a client from one state to another."""

    START = "told to start"
    REBOOT = "told to start with an address that it remembers"
    INFORM = "told to inform"
    STOP = "told to stop"
    DECLINE = "told that the address is in use"
    WAITED = "the delay before it begins is over"
    CHOSEN = "an offer is chosen"
    ACK = "ACK"
    NAK = "NAK"
    ANEW = "no answer: begins anew"
    KEPT = "no answer: uses the rest of its lease"
    GAVE_UP = "no answer: gives up"
    RENEWAL = "T1 has passed"
    REBINDING = "T2 has passed"
    EXPIRY = "the lease has expired"


_TOLD: dict[Cause, State] = {
    Cause.START: State.INIT,
    Cause.REBOOT: State.INIT_REBOOT,
    Cause.INFORM: State.INFORMING,
    Cause.STOP: State.OFF,
}
_HOLDING = {Cause.DECLINE: State.INIT, Cause.EXPIRY: State.INIT}

TRANSITIONS: Mapping[State, Mapping[Cause, State]] = {
    State.OFF: _TOLD,
    State.INIT: _TOLD | {Cause.WAITED: State.SELECTING},
    State.SELECTING: _TOLD
    | {Cause.CHOSEN: State.REQUESTING, Cause.ANEW: State.INIT, Cause.GAVE_UP: State.OFF},
    State.REQUESTING: _TOLD
    | {Cause.ACK: State.BOUND, Cause.NAK: State.INIT, Cause.ANEW: State.INIT},
    State.INIT_REBOOT: _TOLD | _HOLDING | {Cause.WAITED: State.REBOOTING},
    State.REBOOTING: _TOLD
    | _HOLDING
    | {
        Cause.ACK: State.BOUND,
        Cause.NAK: State.INIT,
        Cause.ANEW: State.INIT,
        Cause.KEPT: State.BOUND,
    },
    State.BOUND: _TOLD
    | _HOLDING
    | {Cause.RENEWAL: State.RENEWING, Cause.REBINDING: State.REBINDING},
    State.RENEWING: _TOLD
    | _HOLDING
    | {Cause.ACK: State.BOUND, Cause.NAK: State.INIT, Cause.REBINDING: State.REBINDING},
    State.REBINDING: _TOLD | _HOLDING | {Cause.ACK: State.BOUND, Cause.NAK: State.INIT},
    State.INFORMING: _TOLD
    | {Cause.ACK: State.INFORMED, Cause.ANEW: State.INFORMING, Cause.GAVE_UP: State.OFF},
    State.INFORMED: _TOLD,
}
"""State -> what may happen in it -> the state after.  What is not there is ignored, or a defect."""
