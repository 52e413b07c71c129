"""When the audit runs."""

import dagster as dg

from pipelines.defs.audit import assets

MAX_RUNTIME_SECONDS = 14_400
"""A log of tens of millions of facts."""

audit = dg.define_asset_job(
    "audit",
    selection=dg.AssetSelection.assets(assets.ledger_audit),
    description="Replays the log and compares everything that should follow from it.",
    tags={"group": "upkeep", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
)

audit_schedule = dg.ScheduleDefinition(
    name="audit_schedule",
    job=audit,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 04:00 UTC. A night missed needs no catching up: each run looks at everything.",
)
