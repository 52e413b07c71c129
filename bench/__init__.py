"""Measurements: each module answers one question, by ratios and times of one run."""
