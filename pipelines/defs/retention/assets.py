"""The asset whose materialisation removes what has been kept long enough, and says what it was."""

import datetime
import os
import time

import dagster as dg

from domain import retention as horizons
from pipelines import freshness
from pipelines.defs import resources
from storage import retention as store


@dg.asset(
    group_name="upkeep",
    kinds={"postgres"},
    owners=["team:operations"],
    pool="retention",
    freshness_policy=freshness.DAILY,
    description=(
        "Removes what has outlived its horizon and reports how much of each kind: finished messages and their delivery "
        "attempts, expired sessions, tokens and invitations, refused commands. Never the log or anything that follows from it. "
        "Each horizon is a setting, DEBITUM_RETAIN_<KIND>_DAYS; none keeps for ever. Safe to start at any time."
    ),
)
def retention_report(database: resources.Database) -> dg.MaterializeResult[None]:
    """Remove and report."""
    started = time.monotonic()
    now = datetime.datetime.now(datetime.UTC)
    removed = store.remove(database.begin, horizons.horizons(os.environ), now)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(each.rows for each in removed),
            **{each.kind.name: each.rows for each in removed},
            "seconds": round(time.monotonic() - started, 3),
            "report": dg.MetadataValue.md(_table(removed)),
        }
    )


def _table(removed: list[store.Removed]) -> str:
    lines = ["| removed | what | over before | setting |", "|---:|---|---|---|"]
    for each in removed:
        before = f"{each.before:%F %T}Z" if each.before else "kept for ever"
        lines.append(f"| {each.rows} | {each.kind.what} | {before} | {each.kind.setting} |")
    return "\n".join(lines)
