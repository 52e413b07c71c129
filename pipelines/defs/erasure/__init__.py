"""Whoever asked to be forgotten is forgotten."""
