"""Small deviations, each with a name, a role and the requirements that it breaks.

A fault is put on a role before it gets power: it changes a decoded message, the octets of a
datagram, or a rule of the role itself.  Every check has a fault that it catches.
"""

from testbed.faults.fault import FAULTS, Fault, fault, find_fault, load_faults, put_on

__all__ = ["FAULTS", "Fault", "fault", "find_fault", "load_faults", "put_on"]
