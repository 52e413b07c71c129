"""When users are erased."""

import dagster as dg

from pipelines.defs.erasure import assets

MAX_RUNTIME_SECONDS = 14_400
"""Years of snapshots that have to be written anew take hours."""

erasure = dg.define_asset_job(
    "erasure",
    selection=dg.AssetSelection.assets(assets.erasure_report),
    description="Erases the users whose grace period is over.",
    tags={"group": "upkeep", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
)

erasure_schedule = dg.ScheduleDefinition(
    name="erasure_schedule",
    job=erasure,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 02:30 UTC. A night missed needs no catching up: the next one erases everybody who is due.",
)
