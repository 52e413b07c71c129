"""The asset that keeps each day's balances for analysts."""

import datetime
import time
import warnings
from collections.abc import Mapping

import dagster as dg

from pipelines.defs import resources
from pipelines.defs.snapshots import partitions
from storage import snapshots as store

COLUMNS = dg.TableSchema(columns=[dg.TableColumn(name, kind, what) for name, (kind, what) in store.COLUMNS.items()])

warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)  # tests hold what we need of it


@dg.asset(
    group_name="reporting",
    kinds={"parquet", "duckdb"},
    owners=["team:analytics"],
    deps=["postings"],
    pool="snapshots",
    partitions_def=partitions.days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": COLUMNS},
    description=(
        "All balances as they were known at the end of each UTC day: one Parquet file a day, made of the day before and the "
        "day's postings. The running day is written too, marked provisional, and replaced until it is over. Any range of days "
        "can be written again, in one run, and gives the same files. There are no names in it, only pseudonymous ids. "
        'Ask it with: debitum sql "select day, currency, sum(amount) from balances group by all"'
    ),
)
def balances_daily(
    context: dg.AssetExecutionContext, database: resources.Database, data_folder: resources.DataFolder
) -> dg.MaterializeResult[None]:
    """Write the days that were asked for, oldest first, so that each finds the one before it."""
    for key in context.partition_keys:
        started = time.monotonic()
        written = store.write_balances(database.begin, data_folder.root, datetime.date.fromisoformat(key))
        context.add_asset_metadata(_metadata(written, time.monotonic() - started), context.asset_key, key)
    store.write_views(data_folder.root)
    return dg.MaterializeResult()


def _metadata(written: store.Written, seconds: float) -> Mapping[str, dg.MetadataValue]:
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(written.rows),
        "rows_changed": dg.MetadataValue.int(written.added),
        "provisional": dg.MetadataValue.bool(written.provisional),
        "made_of": dg.MetadataValue.text("the day before and the day's postings" if written.base else "all postings so far"),
        "bytes": dg.MetadataValue.int(written.bytes),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "path": dg.MetadataValue.path(written.path),
        "preview": dg.MetadataValue.md(_preview(written)),
    }


def _preview(written: store.Written) -> str:
    """No ids and no amounts: what Dagster remembers outlives the ledgers."""
    lines = [f"| {currency} | {balances} | {postings} |" for currency, balances, postings in written.currencies]
    if not lines:
        return "Nothing was posted up to this day."
    return "\n".join(["| currency | balances | postings |", "|---|---:|---:|", *lines])
