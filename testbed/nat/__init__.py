"""A NAT as a pure function of (flow, now), without clock or socket: `topology.Nat` at work."""

from testbed.nat.outcomes import BindingEvent, Forwarded, Happening, Reason, Refused
from testbed.nat.table import NatTable, asks_for_long_binding

__all__ = [
    "BindingEvent",
    "Forwarded",
    "Happening",
    "NatTable",
    "Reason",
    "Refused",
    "asks_for_long_binding",
]
