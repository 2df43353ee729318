"""The topologies that scenarios run on."""
