"""The simulation: the same roles and scenarios in virtual time, with nothing but Python.

`clock` is an asyncio loop that jumps to its next deadline; `links`, `stack` and `tcp` carry packets
with real headers between nodes; `world` joins them into what a stage and a run ask for.  What is
modelled, and what is real, is told in docs/simulation.md and in every report.
"""
