"""The command `sql`: a question to the daily snapshots, and its answer as it comes; what it needs is imported when it runs."""

import argparse
import itertools
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from debitum.commands import DATA_DIR, OK, WRONG, Command, complain

if TYPE_CHECKING:
    from debitum.settings import Settings


def _sql(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import printing
    from storage.snapshots import places, questions, schema

    try:
        root = places.Root.of(loaded.data_dir, loaded.snapshot_url)
        with questions.asked(root, parsed.query) as (columns, rows):
            first = list(itertools.islice(rows, 1))
            if not first and not questions.are_there(root):
                complain(f"there are no snapshots in {places.location(root.folder(schema.SNAPSHOTS))} yet")
            return _write(printing.FORMATS[parsed.format](columns, itertools.chain(first, rows)))
    except (questions.QueryError, printing.SameName) as error:
        complain(str(error))
        return WRONG


def _write(texts: Iterable[str]) -> int:
    """Unlike what is said to a person, all of it has to arrive, unless whoever reads it wants no more."""
    try:
        for text in texts:
            print(text, end="")
        print(end="", flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is held back for it has nowhere else to go
        if isinstance(error, BrokenPipeError):
            return OK
        complain(f"the answer could not be written: {error.strerror}")
        return WRONG
    return OK


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", help='for example "select * from balances order by day"')
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="default table")


SQL: Final = Command("sql", "ask the daily snapshots a question in SQL (DuckDB)", _sql, (DATA_DIR,), _arguments)
