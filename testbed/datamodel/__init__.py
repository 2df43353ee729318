"""Typed parameter trees of TR-069."""
