"""Whether the files that analysts read say what the ledger says."""

import datetime
from collections import Counter

import dagster as dg

from pipelines.defs import resources
from pipelines.defs.snapshots import assets
from storage import snapshot_audit, snapshots


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
    """No ids and no amounts: what Dagster remembers outlives the ledgers."""
    counted = Counter(row.currency for row in found)
    lines = [f"| {currency} | {count} |" for currency, count in sorted(counted.items())]
    preview = "\n".join(["| currency | balances that differ |", "|---|---:|", *lines]) if lines else "No difference."
    return dg.AssetCheckResult(
        passed=not found,
        description=f"{len(found)} balances of {day} differ from their postings." if found else f"{day} adds up.",
        metadata={"differences": len(found), "day": day.isoformat(), "preview": dg.MetadataValue.md(preview)},
    )
