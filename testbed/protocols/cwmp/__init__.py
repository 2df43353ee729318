"""CWMP, the CPE WAN Management Protocol of TR-069: messages, envelopes, sessions."""
