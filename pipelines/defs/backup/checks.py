"""Whether there is a backup that is young enough."""

import datetime
from typing import Final

import dagster as dg

from pipelines.defs import resources
from pipelines.defs.alerts import runbook
from pipelines.defs.backup import assets
from storage.backup import shelf
from storage.snapshots import progress

OLDEST: Final = datetime.timedelta(hours=48)
"""One night may fail, and somebody has a day to mend it."""


@dg.asset_check(
    asset=assets.backup,
    description=runbook.described(
        "backup_is_recent",
        "Is the newest backup that opens, and has its end, less than 48 hours old?",
    ),
)
def backup_is_recent(database: resources.Database, data_folder: resources.DataFolder) -> dg.AssetCheckResult:
    """Look at the files themselves: what Dagster remembers of a run is no backup."""
    now = datetime.datetime.now(datetime.UTC)
    found, wrong = shelf.newest_whole(data_folder.root / shelf.FOLDER, assets.secrets(), now=now)
    if found is None:
        with database.begin() as connection:
            first = progress.first_day(connection)
        new = not wrong and (first is None or now.date() - first < OLDEST)
        said = "; ".join(wrong) or ("There is none yet, and nothing that is older than it may be." if new else "There is none.")
        return dg.AssetCheckResult(passed=new, description=said, metadata={"unusable": len(wrong)})
    hours = (now - found.head.began_at) / datetime.timedelta(hours=1)
    return dg.AssetCheckResult(
        passed=now - found.head.began_at < OLDEST,
        description=f"The newest backup is {hours:.1f} hours old{f'; {len(wrong)} newer ones cannot be used' if wrong else ''}.",
        metadata={"hours": round(hours, 1), "unusable": len(wrong), "path": dg.MetadataValue.path(found.path)},
    )
