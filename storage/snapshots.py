"""Daily snapshots: Parquet files, one folder a UTC day, each yesterday's file plus the day's postings; and questions to them."""

import datetime
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import duckdb
import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import Boolean, Connection, Date, text

from storage import days
from storage.engine import Begin

SCHEMA_VERSION: Final = 1
"""Rises with every change of the columns; a file of another version is never built upon."""
COLUMNS: Final = {
    "ledger_id": ("VARCHAR", "Whose ledger: a pseudonym, no name stands behind it here"),
    "contact_id": ("VARCHAR", "Who owes or is owed: a pseudonym too"),
    "currency": ("VARCHAR", "ISO 4217 code; amounts of different currencies never add up"),
    "amount": ("BIGINT", "Minor units of the currency; positive: they owe the user; 0: settled"),
    "postings": ("BIGINT", "How many postings the amount is the sum of"),
    "provisional": ("BOOLEAN", "The day was still running when this was written"),
    "schema_version": ("INTEGER", "Version of these columns"),
}
MEMORY: Final = "256MB"
"""What DuckDB may hold while it builds a day; what is more goes to disk."""
POLL_SECONDS: Final = 0.5


class Unsettled(Exception):
    """A transaction that may still record something for the day is running: its snapshot would lack it for ever."""


class CannotTell(Exception):
    """The jobs role may not see other backends' transactions (it lacks pg_read_all_stats): no day can be called complete."""


class QueryError(Exception):
    """The question could not be answered; the text says why."""


@dataclass(frozen=True)
class Written:
    """What was written for a day: `added` rows changed since `base`, yesterday's file (None: summed from the first posting)."""

    day: datetime.date
    path: Path
    provisional: bool
    rows: int
    added: int
    base: Path | None
    bytes: int
    currencies: list[tuple[str, int, int]]
    """(currency, balances, postings that they are the sums of)."""


# --- which days -----------------------------------------------------------------------------------------------------


def first_day(connection: Connection) -> datetime.date | None:
    """The day of the oldest ledger: nothing was recorded before it; None: there is no ledger."""
    day: datetime.date | None = connection.execute(_FIRST_DAY).scalar_one()
    return day


def unfinished(root: Path, first: datetime.date, today: datetime.date) -> list[datetime.date]:
    """The days from `first` to the one before `today` that have no file or only a provisional one."""
    finished = {day for day, final in _states(root) if final}
    all_days = (first + datetime.timedelta(days=number) for number in range((today - first).days))
    return [day for day in all_days if day not in finished]


def newest_final(root: Path) -> datetime.date | None:
    """The newest day whose file is final, None where there is none."""
    return max((day for day, final in _states(root) if final), default=None)


def is_over(connection: Connection, day: datetime.date) -> bool:
    """Whether the day has ended by Postgres's clock, which is the one that facts are recorded by."""
    return bool(connection.scalar(_IS_OVER, {"end": days.end(day)}))


def settled(connection: Connection, moment: datetime.datetime) -> bool:
    """Whether nothing can be recorded any more as of before `moment`.

    A fact's time is read when its ledger is locked, and is seen when it commits: a transaction that began before may
    still do either. Raises CannotTell where the role does not see the transactions of others.
    """
    if not connection.scalar(_SEES_OTHERS):
        raise CannotTell("grant pg_read_all_stats to debitum_jobs")
    return bool(connection.scalar(_SETTLED, {"moment": moment}))


def wait_until_settled(begin: Begin, moment: datetime.datetime, *, patience_seconds: float) -> None:
    """Return when `moment` is settled; Unsettled when that takes longer than `patience_seconds`."""
    deadline = time.monotonic() + patience_seconds
    while True:
        with begin() as connection:  # a transaction each: pg_stat_activity is read once in one
            if settled(connection, moment):
                return
        if time.monotonic() >= deadline:
            raise Unsettled(f"a transaction from before {moment.isoformat()} is still running")
        time.sleep(POLL_SECONDS)


_FIRST_DAY = text("select (min(created_at) at time zone 'UTC')::date as day from debitum.ledgers").columns(day=Date)

_IS_OVER = text("select clock_timestamp() >= :end as over").columns(over=Boolean)

_SEES_OTHERS = text("select pg_has_role('pg_read_all_stats', 'usage') as sees").columns(sees=Boolean)

_SETTLED = text("""
    select clock_timestamp() >= :moment and not exists (
        select from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and xact_start < :moment
          and (application_name like 'debitum-api%' or backend_xid is not null)
    ) as settled
""").columns(settled=Boolean)


# --- write ----------------------------------------------------------------------------------------------------------


def write_balances(begin: Begin, root: Path, day: datetime.date, *, patience_seconds: float = 60) -> Written:
    """Write the balances as they were known at the end of the UTC day, or, of the running day, so far: `provisional`.

    `root` is the data folder. The file is whole or not there; the same postings give the same bytes, whether they were
    added to yesterday's file or summed from the first. Raises Unsettled when the day is over but a commit may be missing.
    """
    with begin() as connection:
        provisional = not is_over(connection, day)
    if not provisional:
        wait_until_settled(begin, days.end(day), patience_seconds=patience_seconds)
    yesterday = path_of(root, day - datetime.timedelta(days=1))
    base = yesterday if yesterday.exists() and _is_final(footers(yesterday)[str(yesterday)]) else None
    with _workshop(root, day) as work:
        delta, built, path = work / "delta.csv", work / "part-0.parquet", path_of(root, day)
        with begin() as connection:
            added = _download(connection, delta, days.midnight(day) if base else None, days.end(day))
        rows = _build(built, delta, base, provisional)
        currencies = _currencies(built)
        put(built, path)
    return Written(day, path, provisional, rows, added, base, path.stat().st_size, currencies)


def path_of(root: Path, day: datetime.date) -> Path:
    """Where the day's file is, or will be."""
    return root / "snapshots" / "balances" / f"day={day.isoformat()}" / "part-0.parquet"


def _states(root: Path) -> Iterator[tuple[datetime.date, bool]]:
    """Each day that has a file, and whether it is final."""
    folder = root / "snapshots" / "balances"
    if any(folder.glob("day=*/*.parquet")):
        for path, marks in footers(folder / "day=*" / "*.parquet").items():
            yield datetime.date.fromisoformat(Path(path).parent.name.removeprefix("day=")), _is_final(marks)


def footers(pattern: Path) -> dict[str, dict[str, str]]:
    """What is noted in the files' footers, by path: a file without rows has no other place for it."""
    marks: dict[str, dict[str, str]] = {}
    with duckdb.connect() as duck:
        for path, key, value in duck.execute(_FOOTERS, {"pattern": str(pattern)}).fetchall():
            marks.setdefault(path, {})[bytes(key).decode()] = bytes(value).decode()
    return marks


def _is_final(marks: dict[str, str]) -> bool:
    """Whether the file holds a whole day in today's columns: may stay, and may be built upon."""
    return marks.get("provisional") == "false" and marks.get("schema_version") == str(SCHEMA_VERSION)


@contextmanager
def _workshop(root: Path, day: datetime.date) -> Iterator[Path]:
    """A folder beside the day's file, for what is not finished; what a killed run left there goes first."""
    (root / "snapshots").mkdir(mode=0o700, parents=True, exist_ok=True)
    home = path_of(root, day).parent
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(".building-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=home) as work:
        yield Path(work)


def _download(connection: Connection, path: Path, start: datetime.datetime | None, end: datetime.datetime) -> int:
    """Sum the postings recorded from `start` (None: the first) to before `end` into a CSV file; the number of its rows."""
    driver = cast("psycopg.Connection[TupleRow]", connection.connection.driver_connection)
    with driver.cursor() as cursor, path.open("wb") as file:
        with cursor.copy(_SUMS, {"start": start, "end": end}) as rows:
            for data in rows:
                file.write(data)
        return cursor.rowcount


def _build(path: Path, delta: Path, base: Path | None, provisional: bool) -> int:
    """Add the delta to the base and write the sums, sorted, by one thread: the same rows are the same bytes. How many rows."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": MEMORY,
        "temp_directory": str(path.parent / "spill"),
    }
    bound = {
        "path": str(path),
        "provisional": provisional,
        "schema_version": SCHEMA_VERSION,
        "mark_provisional": str(provisional).lower(),
        "mark_schema_version": str(SCHEMA_VERSION),
    }
    with duckdb.connect(config=config) as duck:
        duck.execute(_TAKE_DELTA, {"delta": str(delta)})
        if base:
            duck.execute(_TAKE_BASE, {"base": str(base)})
        return int(duck.execute(_WRITE, bound).fetchall()[0][0])


def _currencies(path: Path) -> list[tuple[str, int, int]]:
    with duckdb.connect() as duck:
        return cast("list[tuple[str, int, int]]", duck.execute(_BY_CURRENCY, {"path": str(path)}).fetchall())


def put(built: Path, path: Path) -> None:
    """Put the file in its place, for good: a reader sees the old one or the new one, also after a power cut."""
    with built.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(built, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


_SUMS: Final = """
    copy (
        select ledger_id, contact_id, currency, sum(amount)::bigint, count(*)
        from debitum.postings
        where recorded_at >= coalesce(%(start)s::timestamptz, '-infinity') and recorded_at < %(end)s
        group by ledger_id, contact_id, currency
    ) to stdout with (format csv)
"""

_TAKE_DELTA: Final = """
    create table parts as from read_csv($delta, auto_detect = false, hive_partitioning = false, header = false, columns = {
        'ledger_id': 'VARCHAR', 'contact_id': 'VARCHAR', 'currency': 'VARCHAR', 'amount': 'BIGINT', 'postings': 'BIGINT'
    })
"""

_TAKE_BASE: Final = """
    insert into parts
    select ledger_id, contact_id, currency, amount, postings from read_parquet($base, hive_partitioning = false)
"""

_WRITE: Final = """
    copy (
        select ledger_id, contact_id, currency, sum(amount)::bigint as amount, sum(postings)::bigint as postings,
               $provisional::boolean as provisional, $schema_version::integer as schema_version
        from parts
        group by ledger_id, contact_id, currency
        order by ledger_id, contact_id, currency
    ) to $path (
        format parquet, compression zstd, kv_metadata {provisional: $mark_provisional, schema_version: $mark_schema_version}
    )
"""
"""What is settled stays with amount 0: without its row the number of its postings would depend on which way a day was built."""

_FOOTERS: Final = "select file_name, key, value from parquet_kv_metadata($pattern)"

_BY_CURRENCY: Final = """
    select currency, count(*), sum(postings)::bigint from read_parquet($path, hive_partitioning = false)
    group by currency order by currency
"""


# --- read -----------------------------------------------------------------------------------------------------------


def write_views(root: Path) -> Path:
    """Replace <root>/analytics.duckdb, which holds views over all days and no data; whoever has it open keeps the old one."""
    with tempfile.TemporaryDirectory(prefix=".analytics-", dir=root) as work:
        built = Path(work, "analytics.duckdb")
        with duckdb.connect(str(built)) as duck:
            duck.execute(_view(root))
        put(built, root / "analytics.duckdb")
    return root / "analytics.duckdb"


def query(root: Path, sql: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """Answer one reading statement over the view `balances`: names of the columns, and the rows.

    The view has the file's COLUMNS and `day`; before the first snapshot it is empty. Nothing but snapshots can be read and
    nothing written. Raises QueryError with DuckDB's words.
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
    duck.execute("set allowed_directories = [$folder]", {"folder": f"{root / 'snapshots'}/"})
    duck.execute("set enable_external_access = false")
    duck.execute(_view(root))
    duck.execute("set lock_configuration = true")


def _view(root: Path) -> str:
    """The statement that makes the view. A view cannot have bound values: the path is quoted as a literal."""
    columns = ", ".join(["day", *COLUMNS])
    if not any((root / "snapshots" / "balances").glob("day=*/*.parquet")):
        typed = ", ".join(f"null::{kind} as {name}" for name, (kind, _) in {"day": ("DATE", ""), **COLUMNS}.items())
        return f"create view balances as select {typed} where false"
    files = str(root / "snapshots" / "balances" / "day=*" / "*.parquet").replace("'", "''")
    return (
        f"create view balances as select {columns} "  # noqa: S608 - our own names, and a path of the operator's, quoted
        f"from read_parquet('{files}', hive_partitioning = true, hive_types = {{'day': DATE}}, union_by_name = true)"
    )


_READING: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
