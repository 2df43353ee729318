"""The HNB testbed: femtocells, their gateways and their managers, emulated, captured, judged."""

__version__ = "0.1.0"
