"""The Dagster code location: assets, schedules, sensors, checks, jobs."""
