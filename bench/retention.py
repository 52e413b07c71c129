"""Asks for how long retention holds its locks: the longest transaction, and the longest wait for a row that is being removed."""

import datetime
import time

from sqlalchemy import Engine, text

from bench import harness
from domain import retention as horizons
from storage import batching, engine, retention
from tests.storage import crowd

ROWS = 20_000
"""Messages with two attempts each; rejections that are old; and as many of one ledger that are too many."""
ROUNDS = 3
NOW = datetime.datetime(2026, 11, 22, 2, 0, tzinfo=datetime.UTC)
OVER_AT = NOW - datetime.timedelta(days=400)
GOAL_MS = batching.LOCK_SECONDS * 1_000

_AT_ONCE = text("delete from debitum.outbox where finished_at < :before")
_EMPTY = text("truncate debitum.outbox, debitum.delivery_attempts, debitum.rejections")


def main() -> None:
    """Fill, remove in batches, fill again, remove the messages in one statement: in turn."""
    transactions, waits, at_once, rows_a_second = list[float](), list[float](), list[float](), list[float]()
    with harness.database() as url:
        database = engine.sync_engine(url, "debitum-bench")
        begin = harness.as_jobs(url)
        for _ in range(ROUNDS):
            _fill(database)
            took, began = list[float](), time.perf_counter()
            with crowd.asking(url) as waited:
                removed = retention.remove(crowd.timing(begin, took), horizons.horizons({}), NOW)
            rows = sum(each.rows for each in removed)
            assert rows == 3 * ROWS - horizons.REJECTIONS_PER_LEDGER
            assert all(each.complete for each in removed)
            rows_a_second.append(rows / (time.perf_counter() - began))
            transactions.append(max(took) * 1_000)
            waits.append(max(waited) * 1_000)
            _fill(database)
            with crowd.asking(url) as waited, begin() as connection:
                connection.execute(_AT_ONCE, {"before": NOW})
            at_once.append(max(waited) * 1_000)
    harness.report(
        "retention",
        [
            harness.row("longest_transaction", transactions, "ms", goal=GOAL_MS),
            harness.row("longest_wait_for_a_row", waits, "ms", goal=GOAL_MS),
            harness.row("longest_wait_for_a_row_at_once", at_once, "ms"),
            harness.row("removed", rows_a_second, "rows/s", "more"),
        ],
    )


def _fill(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(_EMPTY)
        crowd.fill(connection, rows=ROWS, over_at=OVER_AT, now=NOW)


if __name__ == "__main__":
    main()
