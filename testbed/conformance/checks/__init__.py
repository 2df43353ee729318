"""The checks, one module a protocol or flow."""
