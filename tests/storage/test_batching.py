"""Batches: as large as their time allows, and never a lock that somebody notices."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from domain import retention as horizons
from storage import batching, retention, tables
from storage.batching import Drained
from storage.engine import Begin
from tests.pipelines import postings
from tests.storage import crowd, overdue

MANY = 10_000


class Machine:
    """A table of so many rows on a machine that needs so long for each, and more at some times than at others."""

    def __init__(self, rows: int, seconds_per_row: float, noise: list[float]) -> None:
        self.rows, self.seconds_per_row, self.noise = rows, seconds_per_row, itertools.cycle(noise)
        self.now, self.held, self.limits = 0.0, list[float](), list[int]()

    def remove(self, limit: int) -> int:
        removed = min(limit, self.rows)
        took = min(removed * self.seconds_per_row * next(self.noise), batching.STATEMENT_SECONDS)
        self.now += took
        self.held.append(took)
        self.limits.append(limit)
        if took == batching.STATEMENT_SECONDS:
            raise batching.TooSlow
        self.rows -= removed
        return removed


@given(
    count=st.integers(0, 5_000),
    seconds_per_row=st.floats(0.000_001, 0.03),
    noise=st.lists(st.floats(0.5, 4.0), min_size=1, max_size=5),
)
def test_on_any_machine_all_goes_and_no_lock_is_held_for_long(count: int, seconds_per_row: float, noise: list[float]) -> None:
    machine = Machine(count, seconds_per_row, noise)
    done = batching.drain(machine.remove, clock=lambda: machine.now)
    assert (done.rows, done.complete, machine.rows) == (count, True, 0)
    assert max(machine.held) < batching.LOCK_SECONDS


def test_a_fast_machine_soon_takes_the_most() -> None:
    machine = Machine(5_000, 0.000_01, [1.0])
    batching.drain(machine.remove, clock=lambda: machine.now)
    assert machine.limits == [100, 200, 400, 800, 1000, 1000, 1000, 1000]


def test_a_slow_one_takes_less_and_more_again_when_it_is_fast() -> None:
    machine = Machine(600, 0.000_1, [12.0, 20.0, 1.0])
    batching.drain(machine.remove, clock=lambda: machine.now)
    assert machine.limits[:6] == [100, 50, 50, 100, 50, 50]


def test_where_one_row_takes_too_long_the_rest_is_left() -> None:
    machine = Machine(10, 1.0, [1.0])
    assert batching.drain(machine.remove, clock=lambda: machine.now) == Drained(0, 0, complete=False)
    assert machine.limits == [100, 25, 6, 1]


SLOW = """
    create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.004); return old; end $$;
    create trigger slowly before delete on debitum.one_time_tokens for each row execute function slowly()
"""


def test_postgres_ends_a_batch_that_takes_too_long(database: Engine, begin: Begin) -> None:
    """4 ms a row: more than 37 in one transaction would be more than 150 ms of locks."""
    removed_at_once = []

    @contextmanager
    def counting() -> Iterator[Connection]:
        before = overdue.count(database, tables.one_time_tokens)
        with begin() as connection:
            yield connection
        removed_at_once.append(before - overdue.count(database, tables.one_time_tokens))

    with database.begin() as connection:
        for _ in range(110):
            overdue.plant(connection, horizons.ONE_TIME_TOKENS, overdue.NOW - timedelta(days=400))
        connection.execute(text(SLOW))
    removed = {each.kind: each for each in retention.remove(counting, overdue.DEFAULT, overdue.NOW)}[horizons.ONE_TIME_TOKENS]
    assert (removed.rows, removed.complete) == (110, True)
    assert 0 < max(removed_at_once) <= 37


def test_a_row_that_somebody_holds_is_left_and_holds_up_nothing_else(database: Engine, begin: Begin) -> None:
    """Whoever waits for a row of the batch waits no longer than the batch may: Postgres ends its wait, too."""
    old = overdue.NOW - timedelta(days=400)
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        held = overdue.message(connection, ledger, old)
        overdue.message(connection, ledger, old + overdue.SECOND)
        overdue.plant(connection, horizons.INVITES, old)
    with database.begin() as holder:
        holder.execute(tables.outbox.select().where(tables.outbox.c.id == held).with_for_update())
        removed = {each.kind: each for each in retention.remove(begin, overdue.DEFAULT, overdue.NOW)}
    assert (removed[horizons.OUTBOX].rows, removed[horizons.OUTBOX].complete) == (0, False)
    assert (removed[horizons.INVITES].rows, removed[horizons.INVITES].complete) == (1, True)
    assert overdue.report(retention.remove(begin, overdue.DEFAULT, overdue.NOW)) == {"outbox": 2}


def test_nobody_waits_for_long_while_thousands_of_rows_go(database: Engine, database_url: str, begin: Begin) -> None:
    """Once in three: what a shared machine does to one of them is no lock of ours. `bench.retention` has more rows."""
    waited = list[float]()
    for _ in range(3):
        with database.begin() as connection:
            crowd.fill(connection, rows=MANY, over_at=overdue.NOW - timedelta(days=400), now=overdue.NOW)
        with crowd.asking(database_url) as waits:
            removed = retention.remove(begin, overdue.DEFAULT, overdue.NOW)
        assert overdue.report(removed) == {"outbox": MANY, "rejections": 2 * MANY - horizons.REJECTIONS_PER_LEDGER}
        assert overdue.count(database, tables.rejections) == horizons.REJECTIONS_PER_LEDGER
        with database.begin() as connection:
            connection.execute(tables.rejections.delete())
        waited.append(max(waits))
        if waited[-1] <= batching.LOCK_SECONDS:
            break
    assert min(waited) <= batching.LOCK_SECONDS
