"""Questions to the snapshots: views over all days, as a file for DuckDB, as SQL, and for `debitum sql`."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from storage.snapshots import files, places, writing
from storage.snapshots.derived import VIEWS
from storage.snapshots.places import File, Root
from storage.snapshots.schema import DAY, SNAPSHOTS, VALUE, VALUED, Column, Table, kinds
from storage.snapshots.tables import DIM_LEDGER, TABLES

DATABASE: Final = "analytics.duckdb"
SCRIPT: Final = "analytics.sql"
PAGE_ROWS: Final = 10_000
"""Rows of an answer that are in memory at a time."""
Found = TypeVar("Found")
_DOING: Final = re.compile(r"\banaly[zs]e\b", re.IGNORECASE)
_PIVOT: Final = re.compile(r"\s*pivot(_wider)?\s", re.IGNORECASE)


class QueryError(Exception):
    """The question could not be answered; the text says why."""


def columns_of(table: Table) -> dict[str, Column]:
    """The columns of the table's view."""
    found: dict[str, Column] = {"day": DAY}
    for name, column in table.columns.items():
        found[name] = column
        if name in VALUED:
            added, value = VALUED[name]
            found[added] = value
    return found


def write_views(root: Root) -> Path:
    """Replace analytics.duckdb, which holds views over all days and no data, and analytics.sql, which makes the same.

    Whoever has it open, also to write, keeps the old one. Returns the former's path. Raises files.Damaged.
    """
    statements = {name: f"create view {name} as {select}" for name, select in views(root)}
    with tempfile.TemporaryDirectory(prefix=".analytics-", dir=root.data) as work:
        built, script = Path(work, DATABASE), Path(work, SCRIPT)
        with places.connect(root, str(built)) as duck:
            for name, statement in statements.items():
                try:
                    duck.execute(statement)
                except duckdb.Error:
                    files.refuse(_damaged(root, name))
                    raise
        script.write_text("".join(f"{statement};\n" for statement in statements.values()))
        places.put(built, root.data / DATABASE)
        places.put(script, root.data / SCRIPT)
    return root.data / DATABASE


def query(root: Root, sql: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """The whole answer of `asked`."""
    with asked(root, sql) as (columns, rows):
        return columns, list(rows)


@contextmanager
def asked(root: Root, sql: str) -> Iterator[tuple[list[str], Iterator[tuple[object, ...]]]]:
    """Answer one reading statement over the views: names of the columns, and the rows as they come. Times are in UTC.

    Before the first snapshot they are empty. Nothing but snapshots can be read and nothing written. Raises QueryError, also
    where rows are taken, with the words of DuckDB, or of what keeps the snapshots. A table with a damaged file is not there:
    who asks it is told why.
    """
    with _in_words(), places.connect(root) as duck:
        statements = duck.extract_statements(sql)
        if len(statements) != 1 or not _reads(statements[0]):
            raise QueryError("one statement that reads, please: select, describe, summarize, explain (without analyze) …")
        missing = _confine(duck, root)
        try:
            _aside(duck, lambda: duck.execute(statements[0]))
        except duckdb.CatalogException as error:
            raise QueryError("\n".join([*missing, str(error)])) from error
        yield [column[0] for column in duck.description or []], _rows(duck)


def _rows(duck: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, ...]]:
    with _in_words():
        while page := _aside(duck, lambda: duck.fetchmany(PAGE_ROWS)):
            yield from page


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise QueryError(str(error)) from error


def _aside(duck: duckdb.DuckDBPyConnection, work: Callable[[], Found]) -> Found:
    """Have it done by another thread: while DuckDB is at work in this one, Ctrl-C is not heard."""
    with ThreadPoolExecutor(1, thread_name_prefix="question") as other:
        done = other.submit(work)
        try:
            return done.result()
        except BaseException:
            duck.interrupt()
            raise


def are_there(root: Root) -> bool:
    """Whether any have been written; the first brings its dimensions. Raises QueryError."""
    try:
        return bool(files.dimension(root, "dim_ledger").exists())
    except OSError as error:
        raise QueryError(str(error)) from error


def _reads(statement: duckdb.Statement) -> bool:
    """Whatever statement is explained, `explain analyze` does it.

    A pivot whose columns follow from the data is several statements to DuckDB, and so is `copy` of one: only the former
    is a question.
    """
    if statement.type is duckdb.StatementType.EXPLAIN:
        return _DOING.search(statement.query) is None
    if statement.type is duckdb.StatementType.MULTI:
        return _PIVOT.match(statement.query) is not None
    return statement.type is duckdb.StatementType.SELECT


def _confine(duck: duckdb.DuckDBPyConnection, root: Root) -> list[str]:
    """From here on DuckDB reads the snapshots and nothing else, in UTC, and no statement can change that.

    Returns why views are missing, a line each.
    """
    duck.execute("set allowed_directories = [$folder]", {"folder": f"{places.location(root.folder(SNAPSHOTS))}/"})
    duck.execute("set enable_external_access = false")
    duck.execute("set timezone = 'UTC'")
    missing = []
    for name, select in views(root):
        try:
            duck.execute(f"create view {name} as {select}")
        except duckdb.Error as error:
            missing += [f"{name} cannot be asked: {why}" for why in _damaged(root, name).values() or [str(error)]]
    duck.execute("set lock_configuration = true")
    return missing


def _damaged(root: Root, name: str) -> Mapping[File, str]:
    """Of the files of a view: see files.damaged."""
    folder = root.folder(SNAPSHOTS) / name
    return files.damaged(root, [*folder.glob("*.parquet"), *folder.glob("day=*/*.parquet")])


def views(root: Root) -> Iterator[tuple[str, str]]:
    """Name and select of each view. A view cannot have bound values: paths are quoted as literals."""
    yield "dim_currency", writing.currencies()
    yield "dim_ledger", _dimension(root)
    for table in TABLES:
        yield table.name, _days(root, table)
    for view in VIEWS:
        yield view.name, view.select


def _dimension(root: Root) -> str:
    path = files.dimension(root, "dim_ledger")
    if not path.exists():
        return files.nothing(kinds(DIM_LEDGER))
    return f"select {', '.join(DIM_LEDGER)} from {files.parquet(path)}"  # noqa: S608 - our own names and path, quoted


def _days(root: Root, table: Table) -> str:
    folder = root.folder(SNAPSHOTS) / table.name
    if not any(folder.glob("day=*/*.parquet")):
        return files.nothing(kinds(columns_of(table)))
    values = {added: f"({name} * unit)::{VALUE} as {added}" for name, (added, _) in VALUED.items()}
    names = ", ".join(values.get(name, f"written.{name}") for name in columns_of(table))
    options = f"{files.HIVE}, union_by_name = true"
    rows = f"{files.parquet(folder / 'day=*' / '*.parquet', options)} written"
    units = " left join dim_currency on dim_currency.currency = written.currency" if VALUED.keys() & table.columns.keys() else ""
    return f"select {names} from {rows}{units}"  # noqa: S608 - our own names, and a path of the operator's, quoted
