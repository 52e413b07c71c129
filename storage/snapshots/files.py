"""Where snapshots lie, what their footers say, and how a file is put in its place."""

import datetime
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from storage.snapshots.schema import PROVISIONAL, SCHEMA_VERSION, SNAPSHOTS, Table

MEMORY: Final = "256MB"
"""What DuckDB may hold while it builds a file; what is more goes to disk."""
LONGEST_ROW: Final = 16 * 1024 * 1024
"""Bytes of a row that comes from Postgres: a fact that deletes a contact with tens of thousands of debts."""


def path_of(root: Path, table: Table, day: datetime.date) -> Path:
    """Where the day's file is, or will be; `root` is the data folder."""
    return root / table.folder / table.name / f"day={day.isoformat()}" / "part-0.parquet"


def dimension(root: Path, name: str) -> Path:
    """Where the one file of a table without days is, or will be."""
    return root / SNAPSHOTS / name / "part-0.parquet"


def states(root: Path, table: Table) -> Iterator[tuple[datetime.date, bool]]:
    """Each day that has a file of the table, and whether it is final."""
    folder = root / table.folder / table.name
    if any(folder.glob("day=*/*.parquet")):
        for path, marks in footers(folder / "day=*" / "*.parquet").items():
            yield datetime.date.fromisoformat(Path(path).parent.name.removeprefix("day=")), is_final(table, marks)


def footers(pattern: Path) -> dict[str, dict[str, str]]:
    """What is noted in the files' footers, by path: a file without rows has no other place for it."""
    marks: dict[str, dict[str, str]] = {}
    with duckdb.connect() as duck:
        for path, key, value in duck.execute(_FOOTERS, {"pattern": str(pattern)}).fetchall():
            marks.setdefault(path, {})[bytes(key).decode()] = bytes(value).decode()
    return marks


def final(root: Path, table: Table, day: datetime.date) -> Path | None:
    """The day's file where it holds a whole day in today's columns: it may stay, and may be built upon."""
    path = path_of(root, table, day)
    return path if path.exists() and is_final(table, footers(path)[str(path)]) else None


def is_final(table: Table, marks: dict[str, str]) -> bool:
    """Whether a footer says so."""
    return marks.get(PROVISIONAL) == "false" and marks.get(SCHEMA_VERSION) == str(table.version)


@contextmanager
def workshop(root: Path, path: Path) -> Iterator[Path]:
    """A folder beside the file `path`, for what is not finished; what a killed run left there goes first."""
    (root / path.relative_to(root).parts[0]).mkdir(mode=0o700, parents=True, exist_ok=True)
    home = path.parent
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(".building-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=home) as work:
        yield Path(work)


@contextmanager
def builder(work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that builds in the folder `work`: by one thread, so that the same rows are the same bytes."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": MEMORY,
        "temp_directory": str(work / "spill"),
    }
    with duckdb.connect(config=config) as duck:
        duck.execute("set enable_progress_bar = false")  # it would write into the log of a run that takes seconds
        yield duck


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


def csv(columns: Mapping[str, str], path: str = "$taken") -> str:
    """A reader of what Postgres's COPY wrote, these columns with their types, at a path that is text of a statement."""
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    exact = f"header = false, allow_quoted_nulls = false, max_line_size = {LONGEST_ROW}"
    return f"read_csv({path}, auto_detect = false, hive_partitioning = false, {exact}, columns = {{{kinds}}})"


def parquet(path: Path, options: str = "hive_partitioning = false") -> str:
    """A reader of the files `path`, as text: where a statement outlives its execution, nothing can be bound."""
    return f"read_parquet({quoted(path)}, {options})"


def quoted(path: Path) -> str:
    """A path as a literal."""
    return "'" + str(path).replace("'", "''") + "'"


def nothing(kinds: Mapping[str, str]) -> str:
    """A select of columns of these types, without rows."""
    typed = ", ".join(f"null::{kind} as {name}" for name, kind in kinds.items())
    return f"select {typed} where false"


_FOOTERS: Final = "select file_name, key, value from parquet_kv_metadata($pattern)"
