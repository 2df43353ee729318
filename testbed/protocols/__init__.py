"""Protocols as machines without clock and socket: bytes and time in, bytes and events out."""
