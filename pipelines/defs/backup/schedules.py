"""When backups are made, looked at, and put back for a trial."""

import dagster as dg

from pipelines.defs.backup import assets, checks

MAX_RUNTIME_SECONDS = 14_400
"""A large database, on a slow disk."""

nightly_backup = dg.define_asset_job(
    "nightly_backup",
    selection=dg.AssetSelection.assets(assets.backup).without_checks() | dg.AssetSelection.checks(checks.backup_is_recent),
    description="Writes a backup, reads it again, and throws away those whose time is over.",
    tags={"group": "upkeep", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
)

nightly_backup_schedule = dg.ScheduleDefinition(
    name="nightly_backup_schedule",
    job=nightly_backup,
    cron_schedule="30 3 * * *",  # after the erasure: who is gone by then needs not be erased again from it
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:30 UTC. A night missed is told by the check once the last backup is 48 hours old.",
)

check_backups = dg.define_asset_job(
    "check_backups",
    selection=dg.AssetSelection.checks(checks.backup_is_recent),
    description="Looks whether there is a backup that is young enough, also where none was made.",
    tags={"group": "upkeep"},
)

check_backups_schedule = dg.ScheduleDefinition(
    name="check_backups_schedule",
    job=check_backups,
    cron_schedule="45 */6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every six hours. A tick missed needs no catching up: each looks at what there is.",
)

restore_rehearsal = dg.define_asset_job(
    "restore_rehearsal",
    selection=dg.AssetSelection.assets(assets.rehearsal_report),
    description="Puts the newest backup back into a Postgres of its own, and proves every ledger.",
    tags={"group": "upkeep", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
)

restore_rehearsal_schedule = dg.ScheduleDefinition(
    name="restore_rehearsal_schedule",
    job=restore_rehearsal,
    cron_schedule="0 5 1 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="On the first of every month at 05:00 UTC. Of one missed Dagster says that the asset is too old.",
)
