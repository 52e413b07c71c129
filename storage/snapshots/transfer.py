"""From Postgres into DuckDB: the rows of a select as a CSV file, which both handle without a row passing through Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import Connection

from storage.snapshots import files

LONGEST_ROW: Final = 16 * 1024 * 1024
"""Bytes, for a fact that deletes a contact with tens of thousands of debts. By default DuckDB would take a buffer of sixteen such
rows, which is more memory than it may use."""


def download(connection: Connection, rows: str, path: Path, bound: Mapping[str, object]) -> int:
    """The rows of a select as a CSV file; how many there are."""
    driver = cast("psycopg.Connection[TupleRow]", connection.connection.driver_connection)
    with driver.cursor() as cursor, path.open("wb") as file:
        with cursor.copy(f"copy ({rows}) to stdout with (format csv)", bound) as copied:
            for data in copied:
                file.write(data)
        return cursor.rowcount


def csv(columns: Mapping[str, str], path: Path) -> str:
    """A reader of such a file, as text; `columns` are names and types of the select. An empty text stays one."""
    kinds = ", ".join(f"'{column}': '{kind}'" for column, kind in columns.items())
    form = "auto_detect = false, hive_partitioning = false, header = false, allow_quoted_nulls = false"
    room = f"max_line_size = {LONGEST_ROW}, buffer_size = {2 * LONGEST_ROW}"
    return f"read_csv({files.quoted(str(path))}, {form}, {room}, columns = {{{kinds}}})"
