"""Protocols as machines without clock and socket: bytes and time come in, bytes and events go out."""
