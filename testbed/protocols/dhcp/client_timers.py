"""How long a DHCP client waits: for an answer, and until a lease is to be extended."""

from __future__ import annotations

import math
from random import Random

from testbed.protocols.dhcp.client_policy import ClientPolicy
from testbed.protocols.dhcp.client_states import TRANSITIONS, Cause, State
from testbed.protocols.dhcp.lease import Lease

_ANSWER_STATES = {State.SELECTING, State.REQUESTING, State.REBOOTING, State.INFORMING}


def timeout_s(policy: ClientPolicy, attempts: int, random: Random) -> float:
    """RFC 2131 section 4.1: 4 s, doubled up to 64 s, each randomised by +-1 s."""
    doubled = 2.0 ** min(attempts - 1, 16)
    least_s = min(policy.first_timeout_s * doubled, policy.longest_timeout_s)
    jitter_s = min(policy.jitter_s, least_s / 4)
    return least_s + random.uniform(-jitter_s, jitter_s)


def retransmission_s(
    policy: ClientPolicy,
    state: State,
    attempts: int,
    lease: Lease | None,
    now: float,
    random: Random,
) -> float:
    """How long to wait for the answer to what has just been sent in a state."""
    if state in _ANSWER_STATES:
        return timeout_s(policy, attempts, random)
    assert lease is not None
    # RFC 2131 section 4.4.5: "one-half of the remaining time until T2 (in RENEWING state) and
    # one-half of the remaining lease time (in REBINDING state), down to a minimum of 60 seconds".
    end = lease.rebinding_at if state is State.RENEWING else lease.expires_at
    return max((end - now) / 2, policy.renewal_interval_s)


def renewal_at(state: State, lease: Lease | None) -> float:
    """T1, as a time; infinite where there is nothing to renew."""
    if lease is None or Cause.RENEWAL not in TRANSITIONS[state]:
        return math.inf
    return lease.renewal_at


def rebinding_at(state: State, lease: Lease | None) -> float:
    """T2, likewise."""
    if lease is None or Cause.REBINDING not in TRANSITIONS[state]:
        return math.inf
    return lease.rebinding_at
