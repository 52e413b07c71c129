"""When snapshots are written: the running day often, and every day that is over once."""

import datetime
import os

import dagster as dg

from pipelines import runs
from pipelines.defs import resources
from pipelines.defs.snapshots import assets, partitions
from storage.snapshots import progress

DEFAULT_CRON = "0 * * * *"
"""Of the running day."""
MAX_RUNTIME_SECONDS = 14_400
"""Years of days in one run take hours."""
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

snapshot_today = dg.define_asset_job(
    "snapshot_today",
    selection=dg.AssetSelection.assets(*assets.ALL),
    description="Writes the tables of the running day, provisionally, and checks the newest day that is over.",
    tags={"group": "reporting"},
)

finish_snapshots = dg.define_asset_job(
    "finish_snapshots",
    selection=dg.AssetSelection.assets(*assets.ALL),
    description="Writes the days that are over and have no final snapshot yet, all in one run, and checks the newest.",
    tags={"group": "reporting", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
)


@dg.schedule(
    job=snapshot_today,
    cron_schedule=os.environ.get("DEBITUM_SNAPSHOT_CRON") or DEFAULT_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every tick of DEBITUM_SNAPSHOT_CRON: the running day so far. A missed tick needs no catching up.",
)
def snapshot_today_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The day of the tick."""
    return dg.RunRequest(partition_key=_day(context).isoformat())


@dg.schedule(
    job=finish_snapshots,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Five past every hour: asks for the days that are over and lack a final snapshot, first at 00:05 for yesterday. "
        "Dagster itself does not catch up on ticks that it missed; this does, however long it was down."
    ),
)
def finish_snapshots_schedule(
    context: dg.ScheduleEvaluationContext, database: resources.Database, data_folder: resources.DataFolder
) -> dg.RunRequest | dg.SkipReason:
    """One run from the first such day to the last; writing a final day between them again gives the same file."""
    with database.begin() as connection:
        first = progress.first_day(connection)
    if first is None:
        return dg.SkipReason("There is no ledger yet.")
    missing = progress.unfinished(data_folder.files, max(first, datetime.date.fromisoformat(partitions.FIRST_DAY)), _day(context))
    if not missing:
        return dg.SkipReason("Every day that is over has its snapshot.")
    now, name = context.scheduled_execution_time, finish_snapshots.name
    if runs.is_under_way(context.instance, name, now=now, max_runtime_seconds=MAX_RUNTIME_SECONDS):
        return dg.SkipReason("A run is under way.")
    return dg.RunRequest(tags={RANGE_START: missing[0].isoformat(), RANGE_END: missing[-1].isoformat()})


def _day(context: dg.ScheduleEvaluationContext) -> datetime.date:
    return context.scheduled_execution_time.astimezone(datetime.UTC).date()
