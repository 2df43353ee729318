"""One run from start to end, inside its world, and its folder.

A run is one variant of one scenario.  Many runs, and what they come to together, are `batch.py`.
"""

from testbed.run.plan import Plan, topology_of

__all__ = ["Plan", "topology_of"]
