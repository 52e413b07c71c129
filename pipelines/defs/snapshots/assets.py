"""The assets that keep each day for analysts, one a table, and what makes questions to them easy."""

import datetime
import time
import warnings
from collections.abc import Mapping
from typing import Final

import dagster as dg

from pipelines import freshness, markdown
from pipelines.defs import resources
from pipelines.defs.snapshots import partitions, plots
from storage.snapshots import places, questions, trends, writing
from storage.snapshots.schema import Growth, Table
from storage.snapshots.tables import BALANCES, DELIVERY, REMINDERS, TABLES
from storage.snapshots.transactions import TRANSACTIONS

warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)  # tests hold what we need of it

MADE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "transactions": ("events",),
    "balances": ("postings", "transactions_daily"),
    "postings": ("postings",),
    "restatements": ("postings",),
    "activity": ("events",),
    "delivery": ("deliveries",),
    "reminders": ("deliveries", "transactions"),
}
"""What each table is read from."""
_HOW: Final = (
    "One Parquet file a UTC day; the running day is written too, marked provisional, and replaced until it is over. Any range of "
    "days can be written again, in one run{again}. There are no names in it, only pseudonymous ids."
)


def _daily(table: Table) -> dg.AssetsDefinition:
    again = " (days that are final stay as they are)" if table.keeps else ", and gives the same files"

    @dg.asset(
        name=f"{table.name}_daily",
        group_name="reporting",
        kinds={"parquet", "duckdb"},
        owners=["team:analytics"],
        deps=list(MADE_OF[table.name]),
        pool="snapshots",
        partitions_def=partitions.days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        freshness_policy=freshness.HOURLY,
        metadata={"dagster/column_schema": _schema(table)},
        description=f"{table.means} {_HOW.format(again=again)}",
    )
    def daily(
        context: dg.AssetExecutionContext, database: resources.Database, data_folder: resources.DataFolder
    ) -> dg.MaterializeResult[None]:
        keys = context.partition_keys if context.has_partition_key or context.has_partition_key_range else []
        if not keys:
            raise dg.Failure(
                "Of which days? They are chosen where the run is launched, the first before the last.", allow_retries=False
            )
        written = dict[str, Mapping[str, dg.MetadataValue]]()
        try:
            # The days that were asked for, oldest first, so that each finds the one before it.
            for key in keys:
                written[key] = _write(table, datetime.date.fromisoformat(key), database, data_folder)
        except BaseException:  # an operator who stops the run, too
            # Dagster would show them as missing, and nobody asks again for a day whose file is final.
            for key, metadata in written.items():
                context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
            raise
        for key, metadata in written.items():
            context.add_asset_metadata(metadata, context.asset_key, key)
        return dg.MaterializeResult()

    return daily


def _write(
    table: Table, day: datetime.date, database: resources.Database, data_folder: resources.DataFolder
) -> Mapping[str, dg.MetadataValue]:
    """Write the day; what Dagster shows of it."""
    started = time.monotonic()
    written = writing.write(database.begin, data_folder.files, table, day)
    return _metadata(table, written, time.monotonic() - started)


def _schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, column.kind, column.means) for name, column in table.columns.items()])


def _metadata(table: Table, written: writing.Written, seconds: float) -> Mapping[str, dg.MetadataValue]:
    preview = markdown.table([table.counted_by, "rows"], written.counts, otherwise="There are no rows.")
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(written.rows),
        "rows_taken": dg.MetadataValue.int(written.added),
        "provisional": dg.MetadataValue.bool(written.provisional),
        "made_of": dg.MetadataValue.text(_made_of(table, written)),
        "bytes": dg.MetadataValue.int(written.bytes),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "path": dg.MetadataValue.path(places.location(written.path)),
        "preview": dg.MetadataValue.md(preview),
    }


def _made_of(table: Table, written: writing.Written) -> str:
    if written.kept:
        return "nothing: it was final already"
    if table.growth is Growth.NONE:
        return "the day's rows"
    return "the day before and the day's rows" if written.base else "all rows so far"


DAILY: Final = {table.name: _daily(table) for table in TABLES}
balances_daily = DAILY[BALANCES.name]
transactions_daily = DAILY[TRANSACTIONS.name]
postings_daily, activity_daily = DAILY["postings"], DAILY["activity"]
restatements_daily = DAILY["restatements"]
delivery_daily, reminders_daily = DAILY[DELIVERY.name], DAILY[REMINDERS.name]


@dg.asset(
    group_name="reporting",
    kinds={"parquet", "duckdb"},
    owners=["team:analytics"],
    deps=[asset.key for asset in DAILY.values()],
    pool="snapshots",
    freshness_policy=freshness.HOURLY,
    description=(
        "What stands beside the days: dim_ledger (when each ledger was made, its zone and currency) and dim_currency (digits "
        "after the point), as they are now; and analytics.duckdb and analytics.sql, which hold views over all of it and no data. "
        "The plots show the last 90 days. "
        'Ask it with: debitum sql "select day, currency, sum(value) from balances group by all"'
    ),
)
def analytics(database: resources.Database, data_folder: resources.DataFolder) -> dg.MaterializeResult[None]:
    """Write them anew."""
    ledgers = writing.write_dimensions(database.begin, data_folder.files)
    path = questions.write_views(data_folder.files)
    return dg.MaterializeResult(
        metadata={
            "ledgers": ledgers,
            "path": dg.MetadataValue.path(path),
            "net": plots.lines(trends.net(data_folder.files), "Owed to users, less what they owe, by currency"),
            "deliveries": plots.bars(trends.deliveries(data_folder.files), "Attempts to deliver, by outcome"),
            "ageing": plots.bars(trends.ageing(data_folder.files), "Open debts, by how late they are"),
        }
    )


ALL: Final = (*DAILY.values(), analytics)
