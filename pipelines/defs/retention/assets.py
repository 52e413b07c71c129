"""The asset whose materialisation removes what has been kept long enough, and says what it was."""

import datetime
import os
import time

import dagster as dg

from domain import retention as horizons
from domain.retention import Horizons
from pipelines import freshness
from pipelines.defs import resources
from pipelines.defs.retention import runs, ticks
from storage import batching
from storage import retention as store
from storage.batching import Drained


@dg.asset(
    group_name="upkeep",
    kinds={"postgres"},
    owners=["team:operations"],
    pool="retention",
    freshness_policy=freshness.DAILY,
    description=(
        "Removes what has outlived its horizon and reports how much of each kind: finished messages and their delivery "
        "attempts, expired sessions, tokens and invitations, refused commands, and Dagster's own runs and ticks. Never the log "
        "or anything that follows from it, nor a run that is the last word on an asset, a partition or a check. "
        "Each horizon is a setting, DEBITUM_RETAIN_<KIND>_DAYS; none keeps for ever. Safe to start at any time."
    ),
)
def retention_report(context: dg.AssetExecutionContext, database: resources.Database) -> dg.MaterializeResult[None]:
    """Remove and report."""
    started = time.monotonic()
    now = datetime.datetime.now(datetime.UTC)
    kept = horizons.horizons(os.environ)
    removed = store.remove(database.begin, kept, now)
    removed.append(_old_ticks(context.instance, kept, now))
    old_runs, pruned = _old_runs(context.instance, kept, now)
    removed.append(old_runs)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(each.rows for each in removed),
            **{each.kind.name: each.rows for each in removed},
            "dagster_runs_kept": pruned.kept,
            "dagster_runs_left": pruned.left,
            "seconds": round(time.monotonic() - started, 3),
            "report": dg.MetadataValue.md(_table(removed)),
        }
    )


def _old_ticks(instance: dg.DagsterInstance, kept: Horizons, now: datetime.datetime) -> store.Removed:
    before = horizons.before(horizons.DAGSTER_TICKS, kept, now)
    done = batching.NOTHING if before is None else ticks.remove(instance, before)
    return store.report(horizons.DAGSTER_TICKS, before, done)


def _old_runs(instance: dg.DagsterInstance, kept: Horizons, now: datetime.datetime) -> tuple[store.Removed, runs.Pruned]:
    before = horizons.before(horizons.DAGSTER_RUNS, kept, now)
    pruned = runs.Pruned(0, 0, 0) if before is None else runs.remove(instance, before)
    done = Drained(pruned.removed, pruned.removed, complete=pruned.left == 0)
    return store.report(horizons.DAGSTER_RUNS, before, done), pruned


def _table(removed: list[store.Removed]) -> str:
    lines = ["| removed | what | over before | setting |", "|---:|---|---|---|"]
    for each in removed:
        before = f"{each.before:%F %T}Z" if each.before else "kept for ever"
        rest = "" if each.complete else " (some are left to the next run)"
        lines.append(f"| {each.rows}{rest} | {each.kind.what} | {before} | {each.kind.setting} |")
    return "\n".join(lines)
