"""Whoever runs it learns that something is wrong."""
