"""Which file is whose, what their footers say, and how DuckDB builds and reads them."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from storage.snapshots import places
from storage.snapshots.places import File, Root
from storage.snapshots.schema import PROVISIONAL, SCHEMA_VERSION, SNAPSHOTS, Table

MEMORY: Final = "176MB"
"""What DuckDB may hold while it builds a file; what is more goes to disk."""

HIVE: Final = "hive_partitioning = true, hive_types = {'day': DATE}"
"""A folder's name is a column."""


class Damaged(Exception):
    """A file is there, and is none that can be read; the text names it."""


def path_of(root: Root, table: Table, day: datetime.date) -> File:
    """Where the day's file is, or will be."""
    return root.folder(table.folder) / table.name / f"day={day.isoformat()}" / "part-0.parquet"


def dimension(root: Root, name: str) -> File:
    """Where the one file of a table without days is, or will be."""
    return root.folder(SNAPSHOTS) / name / "part-0.parquet"


def there(root: Root, table: Table) -> set[datetime.date]:
    """The days that have a file of the table, final or not."""
    return {_day(path.parent.name) for path in of_table(root, table)}


def final_days(root: Root, table: Table) -> set[datetime.date]:
    """The days whose file of the table is final; a damaged one counts where the table keeps it."""
    paths, kept = of_table(root, table), set[datetime.date]()
    try:
        found = footers(root, paths)
    except duckdb.Error:
        bad = damaged(root, paths)
        if table.keeps:
            kept = {_day(path.parent.name) for path in bad}
        found = footers(root, [path for path in paths if path not in bad])
    return kept | {_day(Path(name).parent.name) for name, marks in found.items() if is_final(table, marks)}


def of_table(root: Root, table: Table) -> list[File]:
    """The files that the table has, one a day."""
    return [*(root.folder(table.folder) / table.name).glob("day=*/*.parquet")]


def footers(root: Root, paths: Sequence[File]) -> dict[str, dict[str, str]]:
    """What is noted in the files' footers, by path: a file without rows has no other place for it."""
    if not paths:
        return {}
    with places.glance(root) as duck:
        return _footers(duck, paths)


def damaged(root: Root, paths: Sequence[File]) -> dict[File, str]:
    """Those of the files that DuckDB does not read, each with a line that names it: DuckDB's own words do not always.

    Raises OSError where one cannot be fetched at all: that says nothing of the file.
    """
    if not paths:
        return {}
    with places.glance(root) as duck:
        return _damaged(duck, paths)


def _footers(duck: duckdb.DuckDBPyConnection, paths: Sequence[File]) -> dict[str, dict[str, str]]:
    marks: dict[str, dict[str, str]] = {}
    for path, key, value in duck.execute(_FOOTERS, {"paths": [places.location(path) for path in paths]}).fetchall():
        marks.setdefault(path, {})[bytes(key).decode()] = bytes(value).decode()
    return marks


def _damaged(duck: duckdb.DuckDBPyConnection, paths: Sequence[File]) -> dict[File, str]:
    try:
        _footers(duck, paths)
    except duckdb.Error as error:
        if len(paths) > 1:  # by halves: each is read by many threads where that counts
            half = len(paths) // 2
            return _damaged(duck, paths[:half]) | _damaged(duck, paths[half:])
        with paths[0].open("rb") as file:
            file.read(1)
        why = str(error).partition("\n")[0]
        return {paths[0]: f"{places.location(paths[0])} is damaged: {why}"}
    return {}


def final(root: Root, table: Table, day: datetime.date) -> File | None:
    """The day's file where it holds a whole day in today's columns: it may stay, and may be built upon.

    A damaged one does not; raises Damaged where the table keeps its days, since what replaces it may hold less.
    """
    path = path_of(root, table, day)
    if not path.exists():
        return None
    try:
        marks = footers(root, [path]).get(places.location(path), {})
    except duckdb.Error:
        bad = damaged(root, [path])
        if bad and not table.keeps:
            return None
        refuse(bad)
        raise
    return path if is_final(table, marks) else None


def refuse(bad: Mapping[File, str]) -> None:
    """Raises Damaged where one of `damaged` is."""
    if bad:
        raise Damaged("; ".join(bad.values()))


def is_final(table: Table, marks: dict[str, str]) -> bool:
    """Whether a footer says so."""
    return marks.get(PROVISIONAL) == "false" and marks.get(SCHEMA_VERSION) == str(table.version)


@contextmanager
def builder(root: Root, work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that builds in the folder `work`: by one thread, so that the same rows are the same bytes."""
    with places.connect(root, threads=1, memory_limit=MEMORY, temp_directory=str(work / "spill")) as duck:
        duck.execute("set enable_progress_bar = false")  # it would write into the log of a run that takes seconds
        yield duck


def parquet(path: File, options: str = "hive_partitioning = false") -> str:
    """A reader of the files `path`, as text: where a statement outlives its execution, nothing can be bound."""
    return f"read_parquet({quoted(places.location(path))}, {options})"


def of_days(root: Root, table: Table, days: Sequence[datetime.date]) -> str:
    """A reader of the table's files of these days, as text, with a column `day`."""
    paths = ", ".join(quoted(places.location(path_of(root, table, day))) for day in days)
    return f"read_parquet([{paths}], {HIVE})"


def quoted(text: str) -> str:
    """A text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def nothing(kinds: Mapping[str, str]) -> str:
    """A select of columns of these types, without rows."""
    typed = ", ".join(f"null::{kind} as {name}" for name, kind in kinds.items())
    return f"select {typed} where false"


def _day(folder: str) -> datetime.date:
    return datetime.date.fromisoformat(folder.removeprefix("day="))


_FOOTERS: Final = "select file_name, key, value from parquet_kv_metadata($paths)"
