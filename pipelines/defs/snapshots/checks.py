"""Whether the files that analysts read say what the ledger says."""

import datetime
from collections import Counter
from typing import Final

import dagster as dg

from pipelines import markdown
from pipelines.defs import resources
from pipelines.defs.alerts import runbook
from pipelines.defs.snapshots import assets
from storage.snapshots import audit, progress
from storage.snapshots.tables import BALANCES

ASKED_LEDGERS: Final = 50
"""Of which the check of the history draws a sample: each is a statement."""


@dg.asset_check(
    asset=assets.balances_daily,
    blocking=True,  # the run fails, and builds nothing on the file
    description=runbook.described(
        "newest_file_adds_up",
        "After every writing: does the newest final file say what the postings up to its end add up to? The file is read "
        "by another engine than the one that wrote it, and the sums are made from the first posting on. Where it does not, the "
        "first day is named that does not: each is built on the one before.",
    ),
)
def newest_file_adds_up(database: resources.Database, data_folder: resources.DataFolder) -> dg.AssetCheckResult:
    """Compare the newest final day."""
    day = progress.newest_final(data_folder.files, BALANCES)
    if day is None:
        return dg.AssetCheckResult(passed=True, description="No day is final yet.")
    with database.begin() as connection:
        found = audit.differences(connection, data_folder.files, day)
        first = audit.first_wrong(connection, data_folder.files) if found else None
    return _result(day, found, first)


@dg.asset_check(
    asset=assets.balances_daily,
    description=runbook.described(
        "history_agrees",
        "After every writing: does what the API draws as history (GET /api/reports/history, from Postgres) say the same "
        "of the newest final day as its file? Asked of up to 50 ledgers, drawn anew each time.",
    ),
)
def history_agrees(database: resources.Database, data_folder: resources.DataFolder) -> dg.AssetCheckResult:
    """Compare what clients and analysts read."""
    day = progress.newest_final(data_folder.files, BALANCES)
    if day is None:
        return dg.AssetCheckResult(passed=True, description="No day is final yet.")
    with database.begin() as connection:
        wrong, asked = audit.disagreements(connection, data_folder.files, day, most=ASKED_LEDGERS)
    return dg.AssetCheckResult(
        passed=wrong == 0,
        description=f"Of {asked} ledgers the history of {day} differs from the file's for {wrong}.",
        metadata={"ledgers": asked, "differ": wrong, "day": day.isoformat()},
    )


def _result(day: datetime.date, found: list[audit.Difference], first: datetime.date | None) -> dg.AssetCheckResult:
    counted = Counter(row.currency for row in found)
    preview = markdown.table(["currency", "balances that differ"], sorted(counted.items()), otherwise="No difference.")
    return dg.AssetCheckResult(
        passed=not found,
        description=(
            f"{len(found)} balances of {day} differ from their postings; so do the files from {first} on."
            if found
            else f"{day} adds up."
        ),
        metadata={
            "differences": len(found),
            "day": day.isoformat(),
            "first_day": None if first is None else first.isoformat(),
            "preview": dg.MetadataValue.md(preview),
        },
    )
