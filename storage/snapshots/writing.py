"""Writes the file of a table and a day: what Postgres knows of the day, and where it sums up, on top of yesterday's file."""

import datetime
import itertools
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from domain import money
from storage import days
from storage.engine import Begin
from storage.snapshots import files, places, progress, transfer
from storage.snapshots.places import File, Root
from storage.snapshots.schema import Column, Growth, Table, kinds
from storage.snapshots.tables import DIM_CURRENCY, DIM_LEDGER, DIMENSIONS_VERSION

PATIENCE_SECONDS: Final = 60.0
"""How long a day that is over is waited for, and one that is about to begin."""
SLICE_ROWS: Final = 100_000
"""Rows that are folded at a time, of this day and of the one before: it bounds DuckDB's memory."""
ROW_GROUP: Final = 2**14
"""Rows of a file that are read, or left out, together."""
MOST_SLICES: Final = 2**12


Counts = list[tuple[str, int]]


@dataclass(frozen=True)
class Written:
    """What was written for a day: `added` rows came from Postgres, on top of `base`, yesterday's file (None: of nothing)."""

    day: datetime.date
    path: File
    provisional: bool
    rows: int
    added: int
    base: File | None
    bytes: int
    counts: Counts
    """How many rows there are of each value of the column that the table is counted by."""
    kept: bool = False
    """The file was there, and stays as it is."""


def write(begin: Begin, root: Root, table: Table, day: datetime.date, *, patience_seconds: float = PATIENCE_SECONDS) -> Written:
    """Write what was known at the end of the UTC day, or, of the running day, so far: `provisional`.

    The file is whole or not there; the same rows give the same bytes, whichever way it was built.
    Days before it that a table needs and lacks, or has in a damaged file, are written first. Raises Unsettled when the day is
    over but a commit may be missing, NotBegun when it is still to come, files.Damaged where a damaged file stays.
    """
    progress.wait_until_begun(begin, days.midnight(day), patience_seconds=patience_seconds)
    earlier = _days_until(begin, day) if table.growth is Growth.STEPS else []
    try:
        return _write_days(begin, root, table, day, earlier, _lacking(root, table, earlier), patience_seconds)
    except duckdb.Error:  # whatever has to be read was taken for whole
        if not (lacking := set(earlier) - files.final_days(root, table)):
            raise
        return _write_days(begin, root, table, day, earlier, lacking, patience_seconds)


def _write_days(
    begin: Begin,
    root: Root,
    table: Table,
    day: datetime.date,
    earlier: Sequence[datetime.date],
    lacking: Collection[datetime.date],
    patience_seconds: float,
) -> Written:
    for number, known in enumerate(earlier):
        if known in lacking:
            _write_day(begin, root, table, known, earlier[:number], patience_seconds)
    return _write_day(begin, root, table, day, earlier, patience_seconds)


def _days_until(begin: Begin, day: datetime.date) -> list[datetime.date]:
    """The days before `day` on which something may have been recorded, oldest first."""
    with begin() as connection:
        first = progress.first_day(connection) or day
    return days.between(first, day)


def _lacking(root: Root, table: Table, earlier: Sequence[datetime.date]) -> set[datetime.date]:
    """Those of `earlier` that have to be written first. Where the last is final, so are all before it."""
    there = files.there(root, table)
    if not earlier or (there.issuperset(earlier) and files.final(root, table, earlier[-1])):
        return set()
    return set(earlier) - files.final_days(root, table)


def _write_day(
    begin: Begin, root: Root, table: Table, day: datetime.date, earlier: Sequence[datetime.date], patience_seconds: float
) -> Written:
    path = files.path_of(root, table, day)
    if table.keeps and files.final(root, table, day) is not None:
        with tempfile.TemporaryDirectory() as spill, files.builder(root, Path(spill)) as duck:
            counts = _counts(duck, table, path)
        return Written(day, path, False, _rows(counts), 0, None, path.stat().st_size, counts, kept=True)
    with begin() as connection:
        provisional = not progress.is_over(connection, day)
    if not provisional:
        progress.wait_until_settled(begin, days.end(day), patience_seconds=patience_seconds)
    grows = table.growth is not Growth.NONE
    base = files.final(root, table, day - datetime.timedelta(days=1)) if grows else None
    start = None if grows and base is None else days.midnight(day)
    beside = _beside(begin, root, table.beside, day, provisional, patience_seconds) if table.beside else None
    with places.workshop(root, path) as work:
        taken, built = work / "taken.csv", work / path.name
        with begin() as connection:
            added = transfer.download(connection, table.day_rows, taken, {"start": start, "end": days.end(day)})
        sources = _sources(root, table, earlier, base, beside) if table.fold else {}
        counts = _build(root, table, day, built, taken, sources, provisional=provisional)
        size = built.stat().st_size
        places.put(built, path)
    return Written(day, path, provisional, _rows(counts), added, base, size, counts)


def _beside(begin: Begin, root: Root, table: Table, day: datetime.date, provisional: bool, patience_seconds: float) -> File:
    """The other table's file of the day: for a day that is over a final one."""
    there = files.path_of(root, table, day)
    if not (files.final(root, table, day) or (provisional and there.exists())):
        write(begin, root, table, day, patience_seconds=patience_seconds)
    return there


def write_dimensions(begin: Begin, root: Root) -> int:
    """Write dim_ledger and dim_currency as they are now; how many ledgers there are."""
    path = files.dimension(root, "dim_ledger")
    with places.workshop(root, path) as work:
        taken, built = work / "taken.csv", work / path.name
        with begin() as connection:
            ledgers = transfer.download(connection, _LEDGERS, taken, {})
        _build_dimension(root, built, DIM_LEDGER, taken)
        places.put(built, path)
    path = files.dimension(root, "dim_currency")
    with places.workshop(root, path) as work:
        built = work / path.name
        _build_dimension(root, built, DIM_CURRENCY, None)
        places.put(built, path)
    return ledgers


def currencies() -> str:
    """The rows of dim_currency as a SQL expression, for whoever has no file."""
    known = sorted(money.CURRENCIES.values(), key=lambda one: one.code)
    rows = ", ".join(f"('{one.code}', {one.exponent}, {10**-one.exponent:.4f}, {one.active})" for one in known)
    typed = ", ".join(f"{name}::{column.kind} as {name}" for name, column in DIM_CURRENCY.items())
    return f"select {typed} from (values {rows}) as known({', '.join(DIM_CURRENCY)})"  # noqa: S608 - ISO's codes, ours


def _build(
    root: Root,
    table: Table,
    day: datetime.date,
    path: Path,
    taken: Path,
    sources: Mapping[str, str],
    *,
    provisional: bool,
) -> Counts:
    # Opening a DuckDB takes longer than most days do: it is asked what it has written before it is closed.
    with files.builder(root, path.parent) as duck:
        csv = transfer.csv(table.day_columns or table.taken_columns, taken)
        duck.execute(f"create table whole as from {csv}")  # a table can go to disk, and the reader's buffers cannot
        if table.fold:
            duck.execute("set variable day = $day::date", {"day": day})
            _fold(duck, table, sources)
        else:
            duck.execute(f"create view built as from whole order by {', '.join(table.keys)}")
        duck.execute(
            f"""
            copy (
                select {", ".join(table.taken_columns)},
                       $provisional::boolean as provisional, $version::integer as schema_version
                from {_in_order(table)}
            ) to $path (
                format parquet, compression zstd, row_group_size {ROW_GROUP},
                kv_metadata {{provisional: $mark_provisional, schema_version: $mark_version}}
            )
            """,  # noqa: S608 - our own names
            {
                "path": str(path),
                "provisional": provisional,
                "version": table.version,
                "mark_provisional": str(provisional).lower(),
                "mark_version": str(table.version),
            },
        )
        return _counts(duck, table, path)


def _in_order(table: Table) -> str:
    """The built rows, those that come last at the end."""
    if table.last is None:
        return "built"
    return f"(from built where not {table.last} union all from built where {table.last})"


def _sources(
    root: Root, table: Table, earlier: Sequence[datetime.date], base: File | None, beside: File | None
) -> dict[str, str]:
    """What the fold reads beside the day's rows, by the name that it has there."""
    columns = ", ".join(table.taken_columns)
    nothing = files.nothing(table.taken_columns)
    sources = {"yesterday": nothing if base is None else f"select {columns} from {files.parquet(base)}"}  # noqa: S608 - our own names
    if table.growth is Growth.STEPS:
        days_before = f"select {columns}, day from {files.of_days(root, table, earlier)}" if earlier else ""  # noqa: S608 - our own names
        sources["earlier"] = days_before or files.nothing({**table.taken_columns, "day": "DATE"})
    if table.beside and beside:
        sources[table.beside.name] = f"select * from {files.parquet(beside)}"  # noqa: S608 - a path of ours, quoted
    return sources


def _fold(duck: duckdb.DuckDBPyConnection, table: Table, sources: Mapping[str, str]) -> None:
    """Make `built` of `whole`, what was taken, some ledgers at a time: what aggregates hold of a text cannot go to disk.

    Files are sorted by ledger, so that each slice reads its part of them, and the slices one after the other are sorted too.
    """
    whole = {"taken": "select * from whole", **sources}
    for name, source in whole.items():  # what a view reads cannot be a bound value
        within = "ledger_id >= getvariable('lower') and ledger_id < getvariable('upper')"
        duck.execute(f"create view {name} as from ({source}) where {within}")
    _look_between(duck, *_EVERYTHING)
    heights = [f"select count(*) from {name}" for name in whole if name != "earlier"]  # noqa: S608 - our own names
    rows = sum(_number(duck, height) for height in (*heights, table.looks_up or "select 0"))
    duck.execute(f"create table built as {files.nothing(table.taken_columns)}")
    columns, keys = ", ".join(table.taken_columns), ", ".join(table.keys)
    for lower, upper in itertools.pairwise(_cuts(1 + rows // SLICE_ROWS)):
        _look_between(duck, lower, upper)
        for statement in table.fold:
            duck.execute(statement)
        duck.execute(f"insert into built select {columns} from today order by {keys}")  # noqa: S608 - our own names


def _look_between(duck: duckdb.DuckDBPyConnection, lower: str, upper: str) -> None:
    """What the fold reads are the ledgers from `lower` to before `upper`."""
    duck.execute("set variable lower = $cut", {"cut": lower})
    duck.execute("set variable upper = $cut", {"cut": upper})


def _number(duck: duckdb.DuckDBPyConnection, query: str) -> int:
    [(number,)] = duck.execute(query).fetchall()
    return int(number)


def _cuts(slices: int) -> list[str]:
    """Texts between which the ledgers' ids, which are random, are in about as many parts."""
    first, last = _EVERYTHING
    parts = min(slices, MOST_SLICES)
    return [first, *(f"{number * 2**16 // parts:04x}" for number in range(1, parts)), last]


def _build_dimension(root: Root, path: Path, columns: dict[str, Column], taken: Path | None) -> None:
    """Of what was taken from Postgres, or of the currencies that we know."""
    by = next(iter(columns))
    with files.builder(root, path.parent) as duck:
        if taken is None:
            duck.execute(f"create view taken as {currencies()}")
        else:
            duck.execute(f"create view taken as from {transfer.csv(kinds(columns), taken)}")
        duck.execute(
            f"""
            copy (select {", ".join(columns)} from taken order by {by}) to $path (
                format parquet, compression zstd, kv_metadata {{schema_version: $mark_version}}
            )
            """,  # noqa: S608 - our own names
            {"path": str(path), "mark_version": str(DIMENSIONS_VERSION)},
        )


def _counts(duck: duckdb.DuckDBPyConnection, table: Table, path: File) -> Counts:
    counted = duck.execute(
        f"select {table.counted_by}, count(*) from read_parquet($path, hive_partitioning = false) group by 1 order by 1",  # noqa: S608 - our own names
        {"path": places.location(path)},
    )
    return [(str(value), int(count)) for value, count in counted.fetchall()]


def _rows(counts: Counts) -> int:
    return sum(count for _, count in counts)


_EVERYTHING: Final = ("", "g")
"""All ids lie between these."""
_LEDGERS: Final = """
    select ledgers.id, (ledgers.created_at at time zone 'UTC')::date, users.time_zone, users.locale, users.default_currency,
           (users.deleting_at at time zone 'UTC')::date
    from debitum.ledgers join debitum.users on users.ledger_id = ledgers.id
"""
