"""IKEv2 (RFC 7296) and ESP (RFC 4303), without sockets and clocks."""
