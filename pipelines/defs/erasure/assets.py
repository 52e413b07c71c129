"""The asset whose materialisation erases the users whose grace period is over, and says how much that was, never whose."""

import datetime
import time

import dagster as dg

from pipelines import freshness
from pipelines.defs import resources
from pipelines.defs.erasure import erasing


@dg.asset(
    group_name="upkeep",
    kinds={"postgres", "parquet"},
    owners=["team:operations"],
    pool="snapshots",  # a snapshot that is being written would bring back what has just been taken out
    freshness_policy=freshness.DAILY,
    description=(
        "Erases the users who asked for it and whose grace period is over: their rows in every snapshot, their mails and "
        "pushes that were written to files, and every row of theirs in Postgres. What stays is one row in the table erasures, "
        "which knows them by nothing but a digest: should a backup bring them back, the next run erases them again. One user "
        "who cannot be erased does not keep the others, and fails the run at its end. Safe to start at any time."
    ),
)
def erasure_report(database: resources.Database, data_folder: resources.DataFolder) -> dg.MaterializeResult[None]:
    """Erase and report."""
    started = time.monotonic()
    done = erasing.erase_all(database.begin, data_folder.files, now=datetime.datetime.now(datetime.UTC))
    metadata = {
        "users": done.users,
        "came_back_with_a_backup": done.resurrected,
        "rows": done.rows,
        "files": done.files,
        "snapshot_files": done.snapshot_files,
        "failed": done.failed.total(),
        "seconds": round(time.monotonic() - started, 3),
    }
    if done.failed:
        reasons = ", ".join(f"{count} ({reason})" for reason, count in sorted(done.failed.items()))
        raise dg.Failure(f"users who could not be erased: {reasons}", metadata=metadata)
    return dg.MaterializeResult(metadata=metadata)
