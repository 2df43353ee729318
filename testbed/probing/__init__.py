"""NATs under the probe, in a world or in the field: whether each does what its kind says."""
