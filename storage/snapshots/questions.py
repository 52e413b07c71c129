"""Questions to the snapshots: views over all days, as a file for DuckDB, as SQL, and for `debitum sql`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from storage.snapshots import files, writing
from storage.snapshots.tables import DIM_LEDGER, TABLES, Column, Table

DATABASE: Final = "analytics.duckdb"
SCRIPT: Final = "analytics.sql"
EFFECT_DAYS: Final = 14
"""A repayment that comes so soon after a reminder counts as its effect."""
_READING: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_DAY: Final = Column("DATE", "the UTC day (the name of the folder)")
VALUE: Final = Column("DECIMAL(24,4)", "the amount in the currency's own unit: 12.5000 for 1250 cents")
"""What a view adds to a table with amounts of money."""


class QueryError(Exception):
    """The question could not be answered; the text says why."""


def columns_of(table: Table) -> dict[str, Column]:
    """The columns of the table's view."""
    valued = {"value": VALUE} if "amount" in table.columns else {}
    found: dict[str, Column] = {"day": _DAY}
    for name, column in table.columns.items():
        found |= {name: column} | (valued if name == "amount" else {})
    return found


def write_views(root: Path) -> Path:
    """Replace analytics.duckdb, which holds views over all days and no data, and analytics.sql, which makes the same.

    Whoever has it open, also to write, keeps the old one. Returns the former's path.
    """
    statements = list(views(root))
    with tempfile.TemporaryDirectory(prefix=".analytics-", dir=root) as work:
        built, script = Path(work, DATABASE), Path(work, SCRIPT)
        with duckdb.connect(str(built)) as duck:
            for statement in statements:
                duck.execute(statement)
        script.write_text("".join(f"{statement};\n" for statement in statements))
        files.put(built, root / DATABASE)
        files.put(script, root / SCRIPT)
    return root / DATABASE


def query(root: Path, sql: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """Answer one reading statement over the views: names of the columns, and the rows.

    Before the first snapshot they are empty. Nothing but snapshots can be read and nothing written. Raises QueryError
    with DuckDB's words.
    """
    try:
        with duckdb.connect() as duck:
            statements = duck.extract_statements(sql)
            if len(statements) != 1 or statements[0].type not in _READING:
                raise QueryError("one statement that reads, please: select, describe, summarize, explain …")
            _confine(duck, root)
            answer = duck.execute(statements[0])
            return [column[0] for column in answer.description or []], answer.fetchall()
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _confine(duck: duckdb.DuckDBPyConnection, root: Path) -> None:
    """From here on DuckDB reads the snapshots and nothing else, and no statement can change that."""
    duck.execute("set allowed_directories = [$folder]", {"folder": f"{root / files.FOLDER}/"})
    duck.execute("set enable_external_access = false")
    for statement in views(root):
        duck.execute(statement)
    duck.execute("set lock_configuration = true")


def views(root: Path) -> Iterator[str]:
    """The statements that make the views. A view cannot have bound values: paths are quoted as literals."""
    yield f"create view dim_currency as {writing.currencies()}"
    yield f"create view dim_ledger as {_dimension(root)}"
    for table in TABLES:
        yield f"create view {table.name} as {_days(root, table)}"
    yield f"create view reminder_effects as {_EFFECTS}"


def _dimension(root: Path) -> str:
    path = files.dimension(root, "dim_ledger")
    if not path.exists():
        return _nothing(DIM_LEDGER)
    return f"select {', '.join(DIM_LEDGER)} from read_parquet({_quoted(path)})"  # noqa: S608 - our own names and path, quoted


def _days(root: Path, table: Table) -> str:
    folder = root / files.FOLDER / table.name
    if not any(folder.glob("day=*/*.parquet")):
        return _nothing(columns_of(table))
    names = ", ".join(
        f"(amount * unit)::{VALUE.kind} as value" if name == "value" else f"written.{name}" for name in columns_of(table)
    )
    options = "hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true"
    rows = f"read_parquet({_quoted(folder / 'day=*' / '*.parquet')}, {options}) written"
    units = " left join dim_currency on dim_currency.currency = written.currency" if "amount" in table.columns else ""
    return f"select {names} from {rows}{units}"  # noqa: S608 - our own names, and a path of the operator's, quoted


def _nothing(columns: dict[str, Column]) -> str:
    typed = ", ".join(f"null::{column.kind} as {name}" for name, column in columns.items())
    return f"select {typed} where false"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


EFFECTS: Final = {
    "day": Column("DATE", "the UTC day of the reminder"),
    "ledger_id": Column("VARCHAR", "as in reminders"),
    "contact_id": Column("VARCHAR", "as in reminders"),
    "transaction_id": Column("VARCHAR", "as in reminders"),
    "channel": Column("VARCHAR", "email or push"),
    "offset_days": Column("INTEGER", "days from the due date on; negative: before it"),
    "sent_at": Column("TIMESTAMP WITH TIME ZONE", "when the reminder was handed over"),
    "repaid_at": Column(
        "TIMESTAMP WITH TIME ZONE",
        f"when, in the {EFFECT_DAYS} days after it, the first amount was recorded with that contact, in the debt's currency and "
        "against it; null: none was",
    ),
    "days_to_repayment": Column("BIGINT", "whole days between the two"),
}
"""The columns of reminder_effects."""
_EFFECTS: Final = f"""
    with debts as (
        select ledger_id, transaction_id, any_value(currency) as currency, sign(sum(amount)) as side
        from postings group by ledger_id, transaction_id
    ), answered as (
        select reminders.*, min(answer.recorded_at) as repaid_at
        from reminders
        left join debts using (ledger_id, transaction_id)
        left join postings answer
          on answer.ledger_id = reminders.ledger_id and answer.contact_id = reminders.contact_id
         and answer.currency = debts.currency and sign(answer.amount) = -debts.side
         and answer.recorded_at > reminders.sent_at and answer.recorded_at <= reminders.sent_at + interval {EFFECT_DAYS} day
        group by all
    )
    select day, ledger_id, contact_id, transaction_id, channel, offset_days, sent_at, repaid_at,
           datediff('day', sent_at, repaid_at) as days_to_repayment
    from answered
"""  # noqa: S608 - a number of ours
