"""The HNB testbed: femtocells, their gateways and their managers, emulated, simulated, judged."""

__version__ = "0.1.0"
