"""Names in the database, for modules that do not load SQLAlchemy too: roles, and the schema of Dagster's tables."""

from typing import Final

OWNER: Final = "debitum_owner"
"""Owns the schema; migrations and rebuilds run as this role."""
API: Final = "debitum_api"
"""Sees the ledgers that the transaction names, and may not change what is in the log."""
JOBS: Final = "debitum_jobs"
"""Dagster's jobs: sees every ledger."""
REPORT: Final = "debitum_report"
"""Reads everything but identity's secrets."""
ROLES: Final = (OWNER, API, JOBS, REPORT)

DAGSTER_SCHEMA: Final = "dagster"
"""Where Dagster keeps its runs and events: beside ours, never joined with it."""
