"""The asset that keeps balances up to date."""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from pipelines import markdown, spread
from pipelines.defs import resources
from storage import balances as store
from storage import buckets
from storage.buckets import Bucket

COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("ledger_id", "uuid", "Whose ledger"),
        dg.TableColumn("contact_id", "uuid", "Who owes or is owed"),
        dg.TableColumn("currency", "text", "ISO 4217 code"),
        dg.TableColumn("amount", "bigint", "Minor units of the currency; positive: they owe the user; never 0"),
    ]
)
POOL: Final = "balances"
ABOUT: Final[Mapping[str, Any]] = {
    "name": "balances",
    "group_name": "ledger",
    "kinds": {"table", "postgres"},
    "owners": ["team:operations"],
    "metadata": {"dagster/column_schema": COLUMNS, "dagster/table_name": "debitum.balances"},
    "description": (
        "What every contact owes the user or is owed, per currency. A run adds the new postings of the ledgers that changed "
        "and touches nothing else. The API never waits for it: it adds what is still missing here by itself, so people see "
        "exact balances also while this stands still. Safe to start at any time."
    ),
}


def in_buckets(count: int) -> dg.AssetsDefinition:
    """The asset: one step, or `count` steps side by side, each of a bucket of ledgers, and one that says what they did."""
    return _side_by_side(count) if count > 1 else _at_once()


def _at_once() -> dg.AssetsDefinition:
    def balances(database: resources.Database) -> dg.MaterializeResult[None]:
        """Bring every ledger that changed up to date."""
        done, seconds = _materialised(database, buckets.EVERY_LEDGER)
        return dg.MaterializeResult(metadata=_metadata(database, done, seconds))

    made: dg.AssetsDefinition = dg.asset(deps=["postings"], pool=POOL, **ABOUT)(balances)
    return made


def _side_by_side(count: int) -> dg.AssetsDefinition:
    steps = [_step(bucket) for bucket in buckets.of(count)]

    @dg.op(ins={"buckets": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), description="Says what the buckets of this run did.")
    def covered(context: dg.OpExecutionContext, database: resources.Database) -> None:
        """Steps of several hosts share no folder in which they could leave results for each other: Dagster's log has them."""
        done, seconds = _said(context)
        context.add_output_metadata({**_metadata(database, done, seconds), "buckets": count})

    def balances(postings: Any) -> Any:
        return covered([step(postings) for step in steps])

    made: dg.AssetsDefinition = dg.graph_asset(ins={"postings": dg.AssetIn(dagster_type=dg.Nothing)}, **ABOUT)(balances)
    return made


def _step(bucket: Bucket) -> dg.OpDefinition:
    @dg.op(
        name=f"bucket_{bucket.number}",
        ins={"postings": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        pool=POOL,
        description=f"Brings ledgers that changed up to date: those of the bucket {bucket.number} of {bucket.count}.",
    )
    def step(context: dg.OpExecutionContext, database: resources.Database) -> None:
        done, seconds = _materialised(database, bucket)
        context.add_output_metadata({**_counts(done, seconds), "currencies": dg.MetadataValue.json(dict(done.currencies))})

    return step


def _materialised(database: resources.Database, bucket: Bucket) -> tuple[store.Materialised, float]:
    started = time.monotonic()
    done = store.materialise(database.begin, bucket)
    return done, time.monotonic() - started


def _said(context: dg.OpExecutionContext) -> tuple[store.Materialised, float]:
    """What the steps of this run did, all together; seconds are those that each was at work."""
    done, seconds = store.Materialised(), 0.0
    for entry in context.instance.all_logs(context.run_id, of_type=dg.DagsterEventType.STEP_OUTPUT):
        said: dict[str, Any] = {name: found.value for name, found in entry.get_dagster_event().step_output_data.metadata.items()}
        if "currencies" not in said:
            continue
        done.ledgers += said["ledgers"]
        done.covered += said["events_covered"]
        done.rows += said["rows_changed"]
        done.chunks += said["chunks"]
        done.currencies.update(said["currencies"])
        seconds += said["seconds"]
    return done, seconds


def _metadata(database: resources.Database, done: store.Materialised, seconds: float) -> dict[str, Any]:
    with database.begin() as connection:
        row_count = store.row_count(connection)
    changed = markdown.table(["currency", "balances changed"], sorted(done.currencies.items()), otherwise="No balance changed.")
    return {"dagster/row_count": row_count, **_counts(done, seconds), "preview": dg.MetadataValue.md(changed)}


def _counts(done: store.Materialised, seconds: float) -> dict[str, Any]:
    return {
        "ledgers": done.ledgers,
        "events_covered": done.covered,
        "rows_changed": done.rows,
        "chunks": done.chunks,
        "seconds": round(seconds, 3),
    }


balances = in_buckets(spread.buckets(os.environ.get(spread.BUCKETS) or "1"))
