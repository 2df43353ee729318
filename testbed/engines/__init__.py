"""Who carries bytes and tells the time."""

EMULATION, SIMULATION = "emulation", "simulation"
ENGINES = (EMULATION, SIMULATION)
"""By name, as the command line takes them."""
