"""Balances: exact at every moment, whatever runs beside them; the check finds what is planted."""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, func, select, text, update

from storage import balances, roles, tables
from storage.engine import Begin
from tests.pipelines import postings
from tests.pipelines.postings import Posting
from tests.storage import plans

ANNA, BERT = UUID(int=1), UUID(int=2)


def read(database: Engine, ledger: UUID) -> tuple[int, int, dict[tuple[UUID, str], int]]:
    """(version, materialized_version, amounts) as the API reads them: in its role, in one statement."""
    with database.begin() as connection:
        roles.enter(connection, roles.API, [ledger])
        rows = connection.execute(balances.CURRENT, {"ledger": ledger}).all()
    amounts = {(row.contact_id, row.currency): row.amount for row in rows if row.contact_id is not None}
    return rows[0].version, rows[0].materialized_version, amounts


def stored(database: Engine) -> dict[tuple[UUID, UUID, str], int]:
    with database.connect() as connection:
        rows = connection.execute(select(tables.balances)).all()
    return {(row.ledger_id, row.contact_id, row.currency): row.amount for row in rows}


def dirty(database: Engine) -> set[UUID]:
    with database.connect() as connection:
        return set(connection.scalars(select(tables.ledgers.c.id).where(tables.ledgers.c.dirty)))


def test_adds_the_tail_of_what_changed(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        one, two = postings.ledger(connection), postings.ledger(connection)
        postings.commit(connection, one, Posting(ANNA, 500), Posting(BERT, -20, "JPY"))
        postings.commit(connection, one, Posting(ANNA, -200))
        postings.commit(connection, two)
    done = balances.materialise(begin)
    assert (done.ledgers, done.rows, done.chunks, done.covered) == (2, 2, 1, 3)
    assert stored(database) == {(one, ANNA, "EUR"): 300, (one, BERT, "JPY"): -20}
    assert read(database, one) == (2, 2, {(ANNA, "EUR"): 300, (BERT, "JPY"): -20})
    assert read(database, two) == (1, 1, {})
    assert dirty(database) == set()
    with begin() as connection:
        assert not balances.any_dirty(connection)
        assert balances.row_count(connection) == 2
    assert balances.materialise(begin) == balances.Materialised()


def test_a_balance_that_becomes_zero_loses_its_row(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, Posting(ANNA, 500))
    balances.materialise(begin)
    with database.begin() as connection:
        postings.commit(connection, ledger, Posting(ANNA, -500))
    assert read(database, ledger) == (2, 1, {})
    done = balances.materialise(begin)
    assert (done.rows, done.currencies) == (1, {"EUR": 1})
    assert stored(database) == {}
    with database.begin() as connection:
        postings.commit(connection, ledger, Posting(ANNA, 7))
    balances.materialise(begin)
    assert stored(database) == {(ledger, ANNA, "EUR"): 7}


def test_the_api_sees_the_tail_before_dagster_does(database: Engine) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
    assert read(database, ledger) == (0, 0, {})
    with database.begin() as connection:
        postings.commit(connection, ledger, Posting(ANNA, 500))
    assert read(database, ledger) == (1, 0, {(ANNA, "EUR"): 500})


def test_of_the_postings_only_the_tail_is_read(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        for _ in range(200):
            postings.commit(connection, ledger, Posting(ANNA, 1))
    balances.materialise(begin)
    with database.begin() as connection:
        for _ in range(3):
            postings.commit(connection, ledger, Posting(ANNA, 1))
    with database.begin() as connection:
        roles.enter(connection, roles.API, [ledger])
        assert plans.looked_at(connection, balances.CURRENT_OF_MANY, {"ledgers": [ledger]}, "postings") == 3


def test_chunks_go_through_every_dirty_ledger(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledgers = [postings.ledger(connection) for _ in range(5)]
        for ledger in ledgers:
            postings.commit(connection, ledger, Posting(ANNA, 1))
    done = balances.materialise(begin, chunk_ledgers=2)
    assert (done.chunks, done.ledgers, done.rows) == (3, 5, 5)
    assert stored(database) == {(ledger, ANNA, "EUR"): 1 for ledger in ledgers}


def test_many_new_ledgers_are_summed_as_their_postings_lie(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledgers = sorted(postings.ledger(connection) for _ in range(6))
        old = ledgers[2]
        postings.commit(connection, old, Posting(ANNA, 1))
    balances.materialise(begin)
    with database.begin() as connection:
        for number, ledger in enumerate(ledgers):
            postings.commit(connection, ledger, Posting(ANNA, 10 * number + 1), Posting(BERT, 5))
            postings.commit(connection, ledger, Posting(BERT, -5))
        stale = {"ledger_id": ledgers[0], "contact_id": ANNA, "currency": "EUR", "amount": 77}
        connection.execute(tables.balances.insert().values(stale))
    done = balances.materialise(begin, new_ledgers=5, stride_ledgers=3)  # the second of them covers one that is not new
    assert (done.ledgers, done.rows, done.covered, done.chunks) == (6, 6, 12, 2 + 1)
    expected = {(ledger, ANNA, "EUR"): 10 * number + 1 for number, ledger in enumerate(ledgers)}
    assert stored(database) == expected | {(old, ANNA, "EUR"): 22}
    assert dirty(database) == set()
    assert list(balances.differences(begin)) == []


def test_few_new_ledgers_are_found_by_their_keys(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        for _ in range(4):
            postings.commit(connection, postings.ledger(connection), Posting(ANNA, 1))
    assert balances.materialise(begin, new_ledgers=5, stride_ledgers=1).chunks == 1


def test_a_commit_between_chunk_and_cleaning_keeps_the_ledger_dirty(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, Posting(ANNA, 500))
    opened = 0

    @contextmanager
    def interrupted() -> Iterator[Connection]:
        nonlocal opened
        opened += 1
        if opened == 3:  # after the look whether many are new, the chunk has committed, its flag is not cleared yet
            with database.begin() as connection:
                postings.commit(connection, ledger, Posting(ANNA, 1))
        with begin() as connection:
            yield connection

    balances.materialise(interrupted)
    assert read(database, ledger) == (2, 1, {(ANNA, "EUR"): 501})
    assert dirty(database) == {ledger}
    balances.materialise(begin)
    assert (stored(database), dirty(database)) == ({(ledger, ANNA, "EUR"): 501}, set())


def test_a_writer_that_holds_the_head_is_not_waited_for(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, Posting(ANNA, 500))
    with database.begin() as writer:
        postings.commit(writer, ledger, Posting(ANNA, 1))
        balances.materialise(begin)
        assert stored(database) == {(ledger, ANNA, "EUR"): 500}
    assert dirty(database) == {ledger}


@pytest.mark.parametrize("new_ledgers", [1, 2])
@pytest.mark.parametrize("has_mark", [False, True])
def test_the_first_run_of_a_ledger_is_waited_for(database: Engine, begin: Begin, new_ledgers: int, has_mark: bool) -> None:
    """A second run starts when the first has written its chunk and not committed; what was paid back meanwhile is a tail."""
    marks = tables.projection_marks
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, Posting(ANNA, 500))
        if has_mark:
            connection.execute(marks.insert().values(ledger_id=ledger, covered_seq=0, materialized_at=func.now()))
    second = threading.Thread(target=balances.materialise, args=(begin,), kwargs={"new_ledgers": new_ledgers})

    @contextmanager
    def slow() -> Iterator[Connection]:
        with begin() as connection:
            yield connection
            if second.ident is None and connection.scalar(select(marks.c.covered_seq)):
                with database.begin() as writer:
                    postings.commit(writer, ledger, Posting(ANNA, -500))
                second.start()
                postings.until(lambda: postings.waiting(database) == 1)

    balances.materialise(slow, new_ledgers=new_ledgers)
    second.join(timeout=10)
    balances.materialise(begin)
    assert stored(database) == {}
    assert dirty(database) == set()


def test_what_is_written_while_new_ledgers_wait_is_a_tail(database: Engine, begin: Begin) -> None:
    """A run sums all new ledgers by one statement, which waits for another run at the first of them."""
    marks = tables.projection_marks
    with database.begin() as connection:
        first, second = sorted(postings.ledger(connection) for _ in range(2))
        for ledger in (first, second):
            postings.commit(connection, ledger, Posting(ANNA, 500))
    run = threading.Thread(target=balances.materialise, args=(begin,), kwargs={"new_ledgers": 1})
    with database.connect() as other:
        other.execute(marks.insert().values(ledger_id=first, covered_seq=0, materialized_at=func.now()))
        run.start()
        postings.until(lambda: postings.waiting(database) == 1)
        with database.begin() as writer:
            postings.commit(writer, second, Posting(ANNA, 7))
        other.rollback()
        run.join(timeout=10)
    assert stored(database) == {(first, ANNA, "EUR"): 500, (second, ANNA, "EUR"): 507}
    with database.connect() as connection:
        assert dict(connection.execute(select(marks.c.ledger_id, marks.c.covered_seq)).all()) == {first: 1, second: 2}
    assert list(balances.differences(begin)) == []


def test_two_runs_at_once_count_each_posting_once(database: Engine, begin: Begin) -> None:
    """A run that is held up with an old snapshot must not set back what a younger one has covered meanwhile."""
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, Posting(ANNA, 500))
    balances.materialise(begin)
    runs = [threading.Thread(target=balances.materialise, args=(begin,)) for _ in range(2)]
    with database.begin() as connection:
        postings.commit(connection, ledger, Posting(ANNA, 30))
    with database.begin() as holder:
        holder.execute(select(tables.balances).with_for_update())
        runs[0].start()
        postings.until(lambda: postings.waiting(database) == 1)
        with database.begin() as connection:
            postings.commit(connection, ledger, Posting(ANNA, -30), Posting(BERT, 7))
        runs[1].start()
        postings.until(lambda: postings.waiting(database) == 2 or not runs[1].is_alive())
    for run in runs:
        run.join(timeout=10)
    assert read(database, ledger)[2] == {(ANNA, "EUR"): 500, (BERT, "EUR"): 7}
    assert list(balances.differences(begin)) == []


steps = st.lists(
    st.one_of(
        st.none(),
        st.tuples(
            st.integers(0, 2),
            st.lists(
                st.builds(
                    Posting, st.sampled_from([ANNA, BERT]), st.integers(-3, 3).filter(bool), st.sampled_from(["EUR", "JPY"])
                ),
                max_size=3,
            ),
        ),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_current_is_the_sum_of_the_postings(
    database: Engine, begin: Begin, steps: list[tuple[int, list[Posting]] | None]
) -> None:
    """None runs the materialisation, anything else commits a fact in the middle of it all, also between its transactions."""
    with database.begin() as connection:
        ledgers = [postings.ledger(connection) for _ in range(3)]
    expected: dict[UUID, Counter[tuple[UUID, str]]] = {ledger: Counter() for ledger in ledgers}
    remaining = iter(steps)

    def write(which: int, lines: list[Posting]) -> None:
        with database.begin() as connection:
            postings.commit(connection, ledgers[which], *lines)
        for line in lines:
            expected[ledgers[which]][line.contact, line.currency] += line.amount

    @contextmanager
    def interleaved() -> Iterator[Connection]:
        step = next(remaining, None)
        if step:
            write(*step)
        with begin() as connection:
            yield connection

    for step in remaining:
        if step is None:
            balances.materialise(interleaved, chunk_ledgers=2, new_ledgers=2, stride_ledgers=2)
        else:
            write(*step)
        for ledger in ledgers:
            assert read(database, ledger)[2] == {key: amount for key, amount in expected[ledger].items() if amount}
    assert list(balances.differences(begin, chunk_ledgers=2)) == []


def test_differences_name_what_is_wrong(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledgers = sorted(postings.ledger(connection) for _ in range(3))
        for ledger in ledgers:
            postings.commit(connection, ledger, Posting(ANNA, 500), Posting(BERT, 1))
    balances.materialise(begin)
    lost = uuid.uuid4()
    with database.begin() as connection:
        postings.commit(connection, ledgers[0], Posting(ANNA, 9))  # not covered, so not a difference
        of_anna = (tables.balances.c.ledger_id == ledgers[0]) & (tables.balances.c.contact_id == ANNA)
        connection.execute(update(tables.balances).where(of_anna).values(amount=501))
        connection.execute(delete(tables.balances).where(tables.balances.c.ledger_id == ledgers[2]))
        connection.execute(tables.balances.insert().values(ledger_id=lost, contact_id=ANNA, currency="EUR", amount=4))
    planted = {
        balances.Difference(ledgers[0], ANNA, "EUR", 501, 500),
        balances.Difference(ledgers[2], ANNA, "EUR", 0, 500),
        balances.Difference(ledgers[2], BERT, "EUR", 0, 1),
        balances.Difference(lost, ANNA, "EUR", 4, 0),
    }
    assert set(balances.differences(begin, chunk_ledgers=1)) == planted
    with begin() as connection:
        assert set(balances.sample_differences(connection, start=ledgers[1], ledgers=50)) == planted
        assert {found.ledger_id for found in balances.sample_differences(connection, start=UUID(int=0), ledgers=1)} <= {
            ledgers[0],
            lost,
        }


def test_rebuild_mends_one_ledger(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger, other = postings.ledger(connection), postings.ledger(connection)
        for each in (ledger, other):
            postings.commit(connection, each, Posting(ANNA, 500), Posting(BERT, 1))
            postings.commit(connection, each, Posting(BERT, -1))
    balances.materialise(begin)
    with database.begin() as connection:
        connection.execute(update(tables.balances).values(amount=4))
    with begin() as connection:
        assert balances.rebuild(connection, ledger) == 1
    assert stored(database) == {(ledger, ANNA, "EUR"): 500, (other, ANNA, "EUR"): 4}
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.projection_marks)) == 2


def test_beyond_the_limit_rows_are_estimated(database: Engine, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, *(Posting(UUID(int=number), 1) for number in range(1, 6)))
    balances.materialise(begin)
    monkeypatch.setattr(balances, "EXACT_COUNT_ROWS", 2)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert balances.row_count(connection) == 3  # never analysed: at least what was counted
        connection.execute(text("analyze debitum.balances"))
        assert balances.row_count(connection) == 5
