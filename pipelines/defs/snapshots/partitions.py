"""UTC days, the running one included."""

import dagster as dg

FIRST_DAY = "2026-01-01"
"""Before the first ledger of any Debitum; days before a ledger's own first are never asked for."""

days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=1)
"""`end_offset`: the running day is a partition too, provisional until it is over."""
