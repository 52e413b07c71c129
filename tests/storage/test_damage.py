"""Damaged files of snapshots: what can be made anew is, what cannot is named, and the other tables are asked as ever."""

import datetime
from collections.abc import Callable
from datetime import UTC, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from storage.audit.log import LOG
from storage.engine import Begin
from storage.snapshots import erasure, files, places, progress, questions, writing
from storage.snapshots.places import File, Root
from storage.snapshots.schema import Table
from storage.snapshots.tables import BALANCES, DELIVERY, POSTINGS
from storage.snapshots.transactions import TRANSACTIONS
from tests.pipelines import postings
from tests.pipelines.postings import Posting

MONDAY, TUESDAY, WEDNESDAY = DAYS = tuple(datetime.date(2026, 3, day) for day in (2, 3, 4))
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "a footer that is none": lambda whole: whole[:-60] + b"\xff" * 52 + whole[-8:],  # DuckDB does not say of which file
}


@pytest.fixture(autouse=True)
def ledger(database: Engine) -> UUID:
    """One that has had a posting a day."""
    first = datetime.datetime(2026, 3, 2, 8, tzinfo=UTC)
    with database.begin() as connection:
        created = postings.ledger(connection, created_at=first)
        for number in range(3):
            postings.commit(connection, created, Posting(UUID(int=1), 5, at=first + timedelta(days=number)))
    return created


def written(begin: Begin, root: Root, table: Table) -> list[bytes]:
    """What the files of all days hold."""
    return [writing.write(begin, root, table, day).path.read_bytes() for day in DAYS]


def damage(root: Root, table: Table, day: datetime.date, how: str = "cut off") -> File:
    path = files.path_of(root, table, day)
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    return path


def test_a_day_that_can_be_made_anew_is_asked_for_and_is_what_it_was(begin: Begin, root: Root) -> None:
    whole = written(begin, root, BALANCES)
    for how in DAMAGES:
        for day in (MONDAY, TUESDAY):
            damage(root, BALANCES, day, how)
        asked = progress.unfinished(root, MONDAY, WEDNESDAY + timedelta(days=1), tables=[BALANCES])
        assert asked == [MONDAY, TUESDAY], how
        assert progress.newest_final(root, BALANCES) == WEDNESDAY, how
        for day in asked:
            writing.write(begin, root, BALANCES, day)
        assert [files.path_of(root, BALANCES, day).read_bytes() for day in DAYS] == whole, how


def test_a_day_that_reads_all_days_before_it_mends_them(begin: Begin, root: Root) -> None:
    whole = written(begin, root, TRANSACTIONS)
    for how in DAMAGES:
        damage(root, TRANSACTIONS, MONDAY, how)
        assert files.final(root, TRANSACTIONS, TUESDAY), "by which days before it are taken for whole"
        writing.write(begin, root, TRANSACTIONS, WEDNESDAY)
        assert [files.path_of(root, TRANSACTIONS, day).read_bytes() for day in DAYS] == whole, how


@pytest.mark.parametrize("table", [DELIVERY, LOG], ids=lambda table: table.name)
def test_what_postgres_may_have_forgotten_is_not_replaced(begin: Begin, root: Root, table: Table) -> None:
    """And a copy of the log that is made anew is held against what it was made of. Days after it are written as ever."""
    writing.write(begin, root, table, MONDAY)
    path = damage(root, table, MONDAY, "a footer that is none")
    left = path.read_bytes()
    assert progress.unfinished(root, MONDAY, WEDNESDAY, tables=[table]) == [TUESDAY]
    with pytest.raises(files.Damaged, match=f"{places.location(path)} is damaged: "):
        writing.write(begin, root, table, MONDAY)
    assert path.read_bytes() == left
    path.unlink()
    assert not writing.write(begin, root, table, MONDAY).kept


def test_what_cannot_be_fetched_is_not_damaged(begin: Begin, here: Root) -> None:
    """Or a bucket that does not answer would have all days written again."""
    written(begin, here, POSTINGS)
    path = files.path_of(here, POSTINGS, TUESDAY)
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        progress.unfinished(here, MONDAY, WEDNESDAY, tables=[POSTINGS])


def test_a_damaged_table_hides_no_other(begin: Begin, root: Root, ledger: UUID) -> None:
    written(begin, root, POSTINGS)
    writing.write(begin, root, TRANSACTIONS, TUESDAY)
    writing.write_dimensions(begin, root)
    questions.write_views(root)
    views = (root.data / questions.DATABASE).read_bytes()
    whole = files.path_of(root, TRANSACTIONS, TUESDAY).read_bytes()
    for how in DAMAGES:
        path = damage(root, TRANSACTIONS, TUESDAY, how)
        assert questions.query(root, "select count(*) from postings, dim_ledger")[1] == [(3,)]
        for view in ("transactions", "debts"):
            with pytest.raises(questions.QueryError, match=f"transactions cannot be asked: {places.location(path)} is damaged: "):
                questions.query(root, f"select count(*) from {view} where day = '2026-03-02'")
        with pytest.raises(files.Damaged, match=places.location(path)):
            questions.write_views(root)
        assert (root.data / questions.DATABASE).read_bytes() == views
        with pytest.raises(files.Damaged, match=places.location(path)):
            erasure.erase(root, [ledger])
        path.write_bytes(whole)
    damage(root, TRANSACTIONS, TUESDAY)
    path = files.dimension(root, "dim_ledger")
    path.write_bytes(b"PAR1")
    with pytest.raises(questions.QueryError, match=f"dim_ledger cannot be asked: {places.location(path)} is damaged: "):
        questions.query(root, "from dim_ledger")
