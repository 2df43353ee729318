"""The scenarios: one ladder each, line by line."""
