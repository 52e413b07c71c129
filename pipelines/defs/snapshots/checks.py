"""Whether the files that analysts read say what the ledger says."""

import datetime

import dagster as dg

from pipelines.defs import resources
from pipelines.defs.snapshots import assets
from storage import snapshot_audit, snapshots

SHOWN_DIFFERENCES = 50


@dg.asset_check(
    asset=assets.balances_daily,
    description=(
        "After days were finished: does the newest final file say what the postings up to its end add up to? The file is read "
        "by another engine than the one that wrote it, and the sums are made from the first posting on."
    ),
)
def newest_file_adds_up(database: resources.Database, data_folder: resources.DataFolder) -> dg.AssetCheckResult:
    """Compare the newest final day."""
    day = snapshots.newest_final(data_folder.root)
    if day is None:
        return dg.AssetCheckResult(passed=True, description="No day is final yet.")
    with database.begin() as connection:
        found = snapshot_audit.differences(connection, data_folder.root, day)
    return _result(day, found)


def _result(day: datetime.date, found: list[snapshot_audit.Difference]) -> dg.AssetCheckResult:
    lines = [f"| {row.ledger_id} | {row.contact_id} | {row.currency} |" for row in found[:SHOWN_DIFFERENCES]]
    header = ["| ledger | contact | currency |", "|---|---|---|"]
    preview = "\n".join([*header, *lines]) if lines else "No difference."
    return dg.AssetCheckResult(
        passed=not found,
        description=f"{len(found)} balances of {day} differ from their postings." if found else f"{day} adds up.",
        metadata={"differences": len(found), "day": day.isoformat(), "preview": dg.MetadataValue.md(preview)},
    )
