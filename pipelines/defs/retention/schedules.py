"""When retention runs."""

import dagster as dg

from pipelines.defs.retention import assets

retention = dg.define_asset_job(
    "retention",
    selection=dg.AssetSelection.assets(assets.retention_report),
    description="Removes what has outlived its horizon.",
    tags={"group": "upkeep"},
)

retention_schedule = dg.ScheduleDefinition(
    name="retention_schedule",
    job=retention,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 02:00 UTC. A night missed needs no catching up: the next one removes its share too.",
)
