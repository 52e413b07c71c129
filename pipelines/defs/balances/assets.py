"""The asset that keeps balances up to date."""

import time
from collections.abc import Mapping

import dagster as dg

from pipelines.defs import resources
from storage import balances as store

COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("ledger_id", "uuid", "Whose ledger"),
        dg.TableColumn("contact_id", "uuid", "Who owes or is owed"),
        dg.TableColumn("currency", "text", "ISO 4217 code"),
        dg.TableColumn("amount", "bigint", "Minor units of the currency; positive: they owe the user; never 0"),
    ]
)


@dg.asset(
    group_name="ledger",
    kinds={"table", "postgres"},
    owners=["team:operations"],
    deps=["postings"],
    pool="balances",
    metadata={"dagster/column_schema": COLUMNS, "dagster/table_name": "debitum.balances"},
    description=(
        "What every contact owes the user or is owed, per currency. A run adds the new postings of the ledgers that changed "
        "and touches nothing else. The API never waits for it: it adds what is still missing here by itself, so people see "
        "exact balances also while this stands still. Safe to start at any time."
    ),
)
def balances(database: resources.Database) -> dg.MaterializeResult[None]:
    """Bring every ledger that changed up to date."""
    started = time.monotonic()
    done = store.materialise(database.begin)
    seconds = time.monotonic() - started
    with database.begin() as connection:
        row_count = store.row_count(connection)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": row_count,
            "ledgers": done.ledgers,
            "events_covered": done.covered,
            "rows_changed": done.rows,
            "chunks": done.chunks,
            "seconds": round(seconds, 3),
            "preview": dg.MetadataValue.md(_preview(done.currencies)),
        }
    )


def _preview(currencies: Mapping[str, int]) -> str:
    """No ids and no amounts: what Dagster remembers outlives the ledgers."""
    lines = [f"| {currency} | {count} |" for currency, count in sorted(currencies.items())]
    if not lines:
        return "No balance changed."
    return "\n".join(["| currency | balances changed |", "|---|---:|", *lines])
