"""Balances as they were known at the end of each day, for analysts."""
