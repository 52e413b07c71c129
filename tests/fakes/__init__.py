"""Servers that are not ours, spoken to on loopback."""
