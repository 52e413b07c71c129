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


def path_of(root: Root, table: Table, day: datetime.date) -> File:
    """Where the day's file is, or will be."""
    return root.folder(table.folder) / table.name / f"day={day.isoformat()}" / "part-0.parquet"


def dimension(root: Root, name: str) -> File:
    """Where the one file of a table without days is, or will be."""
    return root.folder(SNAPSHOTS) / name / "part-0.parquet"


def there(root: Root, table: Table) -> set[datetime.date]:
    """The days that have a file of the table, final or not."""
    return {_day(path.parent.name) for path in (root.folder(table.folder) / table.name).glob("day=*/*.parquet")}


def states(root: Root, table: Table) -> Iterator[tuple[datetime.date, bool]]:
    """Each day that has a file of the table, and whether it is final."""
    folder = root.folder(table.folder) / table.name
    if any(folder.glob("day=*/*.parquet")):
        for path, marks in footers(root, folder / "day=*" / "*.parquet").items():
            yield _day(Path(path).parent.name), is_final(table, marks)


def footers(root: Root, pattern: File) -> dict[str, dict[str, str]]:
    """What is noted in the files' footers, by path: a file without rows has no other place for it."""
    marks: dict[str, dict[str, str]] = {}
    with places.glance(root) as duck:
        for path, key, value in duck.execute(_FOOTERS, {"pattern": places.called(pattern)}).fetchall():
            marks.setdefault(path, {})[bytes(key).decode()] = bytes(value).decode()
    return marks


def final(root: Root, table: Table, day: datetime.date) -> File | None:
    """The day's file where it holds a whole day in today's columns: it may stay, and may be built upon."""
    path = path_of(root, table, day)
    return path if path.exists() and is_final(table, footers(root, path)[places.called(path)]) else None


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
    return f"read_parquet({quoted(places.called(path))}, {options})"


def of_days(root: Root, table: Table, days: Sequence[datetime.date]) -> str:
    """A reader of the table's files of these days, as text, with a column `day`."""
    paths = ", ".join(quoted(places.called(path_of(root, table, day))) for day in days)
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


_FOOTERS: Final = "select file_name, key, value from parquet_kv_metadata($pattern)"
