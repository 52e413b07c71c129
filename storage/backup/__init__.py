"""Backups: one sealed file each, how it is made and put back, and what outlives it."""
