"""Removes many rows in short transactions: each batch is as large as the last one's time allows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from storage.engine import Begin

MOST_ROWS: Final = 1_000
"""Rows a transaction where the machine is fast: its locks are gone after some tens of milliseconds."""
FIRST_ROWS: Final = 100
"""Rows in the first batch, before it is known how long one takes."""
LOCK_SECONDS: Final = 0.2
"""No batch holds a lock for longer than this: who writes to one of its rows does not notice."""
TARGET_SECONDS: Final = 0.1
"""A batch that took longer halves the next one; one that took a quarter of it doubles it."""
STATEMENT_SECONDS: Final = 0.15
"""Postgres itself ends the statement of a batch then, also where it waits for somebody's lock; the rest is for the commit."""

_LIMIT = text("select set_config('statement_timeout', :milliseconds, true), set_config('synchronous_commit', 'off', true)")
"""Locks last until the commit does: it waits for no disk, for what a crash brings back is removed by the next run."""


class TooSlow(Exception):
    """A batch was given up after STATEMENT_SECONDS, and has removed nothing."""


@dataclass(frozen=True)
class Drained:
    """How many rows are gone, in how many transactions. Not `complete`: even one row at a time took too long, or was locked."""

    rows: int
    batches: int
    complete: bool = True

    def __add__(self, other: "Drained") -> "Drained":
        return Drained(self.rows + other.rows, self.batches + other.batches, self.complete and other.complete)


NOTHING: Final = Drained(0, 0)


def drain(remove: Callable[[int], int], *, most_rows: int = MOST_ROWS, clock: Callable[[], float] = time.monotonic) -> Drained:
    """Call `remove` with the most rows that it may remove in a transaction of its own, until it removes fewer.

    It returns how many it has removed, or raises TooSlow.
    """
    limit, done = min(FIRST_ROWS, most_rows), NOTHING
    while True:
        started = clock()
        try:
            removed = remove(limit)
        except TooSlow:
            if limit == 1:
                return done + Drained(0, 0, complete=False)
            limit = max(1, limit // 4)
            continue
        done += Drained(removed, 1)
        if removed < limit:
            return done
        limit = _next(limit, clock() - started, most_rows)


@contextmanager
def short(begin: Begin) -> Iterator[Connection]:
    """A transaction whose statements are given up after STATEMENT_SECONDS each, as TooSlow."""
    try:
        with begin() as connection:
            connection.execute(_LIMIT, {"milliseconds": str(round(STATEMENT_SECONDS * 1000))})
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise TooSlow from error
        raise


def _next(limit: int, took_seconds: float, most_rows: int) -> int:
    if took_seconds > TARGET_SECONDS:
        return max(1, limit // 2)
    return min(limit * 2, most_rows) if took_seconds <= TARGET_SECONDS / 4 else limit
