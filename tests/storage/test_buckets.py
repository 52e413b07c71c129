"""Buckets part all ledgers: none is left out and none is in two, whatever their number and whichever way balances are summed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, Uuid, select, text

from storage import balances, buckets, tables
from storage.buckets import Bucket
from storage.engine import Begin
from tests.pipelines import postings
from tests.pipelines.postings import Posting

ANNA = UUID(int=1)
LEDGERS = 60
ENDS = (UUID(int=1), UUID(int=2**128 - 1))
FEW, MANY = 10_000, 2
"""From how many new ledgers on they are summed as their postings lie."""
_OF_BUCKET = buckets.split("select id from debitum.ledgers where {of_bucket}", id=Uuid)


@pytest.fixture
def ledgers(database: Engine) -> set[UUID]:
    """With a posting each, and no balance yet."""
    with database.begin() as connection:
        made = {postings.ledger(connection, id=id) for id in (*ENDS, *(None for _ in range(LEDGERS)))}
        for number, ledger in enumerate(sorted(made)):
            postings.commit(connection, ledger, Posting(ANNA, number + 1))
    return made


def members(database: Engine, bucket: Bucket) -> list[UUID]:
    with database.connect() as connection:
        return list(connection.scalars(_OF_BUCKET[bucket.is_part], bucket.binds()))


def covered(database: Engine) -> set[UUID]:
    marks = tables.projection_marks.c
    with database.connect() as connection:
        return set(connection.scalars(select(marks.ledger_id).where(marks.covered_seq > 0)))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_each_ledger_is_in_one_bucket(database: Engine, ledgers: set[UUID], count: int) -> None:
    found = [ledger for bucket in buckets.of(count) for ledger in members(database, bucket)]
    assert len(found) == len(ledgers)
    assert set(found) == ledgers
    with database.connect() as connection:
        signs = set(connection.scalars(text("select sign(uuid_hash_extended(id, 0)) from debitum.ledgers")))
    assert {-1, 1} <= signs, "without negative hashes this shows little"


@pytest.mark.parametrize("new_ledgers", [FEW, MANY])
def test_buckets_cover_all_ledgers_and_each_once(database: Engine, begin: Begin, ledgers: set[UUID], new_ledgers: int) -> None:
    """The tails of few, and all of them anew as after a rebuild; each bucket touches its own ledgers and no other."""
    count, seen = 4, set[UUID]()
    for bucket in buckets.of(count):
        done = balances.materialise(begin, bucket, chunk_ledgers=3, new_ledgers=new_ledgers, stride_ledgers=5)
        own = covered(database) - seen
        assert own == set(members(database, bucket))
        assert (done.ledgers, done.covered, done.rows) == (len(own), len(own), len(own))
        assert done.chunks == -(-len(own) // (5 if new_ledgers == MANY else 3))
        seen |= own
    assert seen == ledgers
    with begin() as connection:
        assert not balances.any_dirty(connection)
        assert balances.row_count(connection) == len(ledgers)
    assert list(balances.differences(begin)) == []


@pytest.mark.parametrize("new_ledgers", [FEW, MANY])
def test_no_bucket_waits_for_another(database: Engine, begin: Begin, ledgers: set[UUID], new_ledgers: int) -> None:
    """Somebody sums all ledgers of one, and does not come to an end."""
    held, *others = buckets.of(3)

    @contextmanager
    def impatient() -> Iterator[Connection]:
        with begin() as connection:
            connection.execute(text("set local lock_timeout = '5s'"))
            yield connection

    with database.begin() as holder:
        balances._lock(holder, members(database, held))
        for bucket in others:
            balances.materialise(impatient, bucket, new_ledgers=new_ledgers)
    assert covered(database) == ledgers - set(members(database, held))
    balances.materialise(begin, held, new_ledgers=new_ledgers)
    assert list(balances.differences(begin)) == []


def test_who_sums_a_bucket_that_another_is_at_waits_and_adds_nothing(database: Engine, begin: Begin, ledgers: set[UUID]) -> None:
    """As a step is that has been given to a second worker, though the first was only slow."""
    [bucket, _] = buckets.of(2)
    done: list[balances.Materialised] = []
    runs = [threading.Thread(target=lambda: done.append(balances.materialise(begin, bucket))) for _ in range(2)]
    with database.begin() as holder:
        balances._lock(holder, members(database, bucket))
        for run in runs:
            run.start()
        postings.until(lambda: postings.waiting(database) == 2)
    for run in runs:
        run.join(timeout=30)
    assert sorted(one.ledgers for one in done) == [0, len(members(database, bucket))]
    assert list(balances.differences(begin)) == []
