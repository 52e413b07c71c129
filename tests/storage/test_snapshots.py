"""Snapshots: what was known at the end of a day, by either way to the byte; and the questions that may be asked."""

import datetime
import uuid
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from sqlalchemy import Engine, text

from storage import engine, roles
from storage.engine import Begin
from storage.snapshots import files, places, progress, questions, transfer, writing
from storage.snapshots.places import Root
from storage.snapshots.schema import SNAPSHOTS
from storage.snapshots.tables import BALANCES, POSTINGS, TABLES
from tests.pipelines import postings
from tests.pipelines.postings import Posting

ANNA, BERT = UUID(int=1), UUID(int=2)
MONDAY, TUESDAY, WEDNESDAY = (datetime.date(2026, 3, day) for day in (2, 3, 4))
LAST_MOMENT = datetime.datetime(2026, 3, 2, 23, 59, 59, 999_999, UTC)
MIDNIGHT = datetime.datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def ledger(database: Engine) -> UUID:
    """A ledger with facts on either side of a midnight."""
    with database.begin() as connection:
        created = postings.ledger(connection, created_at=datetime.datetime(2026, 3, 2, 8, tzinfo=UTC))
        postings.commit(connection, created, Posting(ANNA, 500, at=LAST_MOMENT), Posting(BERT, 3, "JPY", at=LAST_MOMENT))
        postings.commit(connection, created, Posting(ANNA, 40, at=MIDNIGHT), Posting(BERT, -3, "JPY", at=MIDNIGHT))
    return created


def ask(root: Root, sql: str) -> list[tuple[object, ...]]:
    return questions.query(root, sql)[1]


def test_a_day_is_what_was_known_at_its_end(begin: Begin, root: Root, ledger: UUID) -> None:
    monday = writing.write(begin, root, BALANCES, MONDAY)
    tuesday = writing.write(begin, root, BALANCES, TUESDAY)
    wednesday = writing.write(begin, root, BALANCES, WEDNESDAY)
    assert (monday.base, monday.rows, monday.added, monday.provisional) == (None, 2, 2, False)
    assert (tuesday.base, wednesday.base, wednesday.added) == (monday.path, tuesday.path, 0)
    assert ask(root, "select day, contact_id, currency, amount, postings from balances order by all") == [
        (MONDAY, str(ANNA), "EUR", 500, 1),
        (MONDAY, str(BERT), "JPY", 3, 1),
        *(
            (day, str(contact), *rest)
            for day in (TUESDAY, WEDNESDAY)
            for contact, *rest in ((ANNA, "EUR", 540, 2), (BERT, "JPY", 0, 2))
        ),
    ]
    assert ask(root, "select distinct ledger_id, provisional, schema_version from balances") == [
        (str(ledger), False, BALANCES.version)
    ]
    assert tuesday.counts == [("EUR", 1), ("JPY", 1)]
    assert [path.name for path in tuesday.path.parent.iterdir()] == ["part-0.parquet"]


def test_either_way_gives_the_same_bytes(database: Engine, begin: Begin, root: Root) -> None:
    """From yesterday's file and from the first posting, and again; some ledgers have postings on Tuesday only."""
    with database.begin() as connection:
        connection.execute(
            text("""
                insert into debitum.postings
                    (ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at)
                select md5((n % 700)::text)::uuid, n, 0, md5((n % 30)::text)::uuid, gen_random_uuid(),
                       (array['EUR', 'JPY', 'TND'])[1 + n % 3], 1 + n % 900, date '2026-03-02',
                       timestamptz '2026-03-02 00:00Z' + (n % 10 / 7) * interval '1 day'
                from generate_series(1, 20000) n
            """)
        )
    writing.write(begin, root, BALANCES, MONDAY)
    built_on = writing.write(begin, root, BALANCES, TUESDAY)
    assert built_on.base is not None
    bytes_built_on = built_on.path.read_bytes()
    assert writing.write(begin, root, BALANCES, TUESDAY).path.read_bytes() == bytes_built_on
    files.path_of(root, BALANCES, MONDAY).unlink()
    in_full = writing.write(begin, root, BALANCES, TUESDAY)
    assert in_full.base is None
    assert in_full.path.read_bytes() == bytes_built_on
    keys = ask(root, "select ledger_id, contact_id, currency from balances where day = '2026-03-03'")
    assert keys == sorted(keys, key=str)
    with database.connect() as connection:
        sums = connection.execute(
            text("select count(distinct (ledger_id, contact_id, currency)), sum(amount) from debitum.postings")
        )
        assert ask(root, "select count(*), sum(amount)::bigint from balances where day = '2026-03-03'") == [
            tuple(int(value) for value in sums.one())
        ]


def test_the_running_day_is_provisional_and_never_built_upon(database: Engine, begin: Begin, here: Root) -> None:
    today = datetime.datetime.now(UTC)
    with database.begin() as connection:
        ledger = postings.ledger(connection, created_at=today)
        postings.commit(connection, ledger, Posting(ANNA, 500, at=today))
    written = writing.write(begin, here, BALANCES, today.date())
    assert (written.provisional, written.rows) == (True, 1)
    with database.begin() as connection:
        postings.commit(connection, ledger, Posting(ANNA, 40, at=today))
    writing.write(begin, here, BALANCES, today.date())
    assert ask(here, "select amount, provisional from balances") == [(540, True)]
    assert files.final(here, BALANCES, today.date()) is None


def test_a_day_that_is_still_to_come_is_not_written(begin: Begin, root: Root) -> None:
    """Its file was the newest day for whoever asks, and stayed as it was until that day."""
    to_come = datetime.datetime.now(UTC).date() + timedelta(days=2)
    for table in TABLES:
        with pytest.raises(progress.NotBegun, match=f"{to_come}T00:00:00.* is still to come"):
            writing.write(begin, root, table, to_come)
        assert files.there(root, table) == set()


def test_a_day_that_is_about_to_begin_is_waited_for(database: Engine, begin: Begin) -> None:
    with database.connect() as connection:
        moment: datetime.datetime = connection.execute(text("select clock_timestamp() + interval '50 ms'")).scalar_one()
        with pytest.raises(progress.NotBegun):
            progress.wait_until_begun(begin, moment + timedelta(hours=1), patience_seconds=60)
        progress.wait_until_begun(begin, moment, patience_seconds=60)
        assert connection.execute(text("select clock_timestamp() >= :moment"), {"moment": moment}).scalar_one()


def test_a_file_of_other_columns_is_not_built_upon(begin: Begin, here: Root, ledger: UUID) -> None:
    writing.write(begin, here, BALANCES, MONDAY)
    newer = replace(BALANCES, version=BALANCES.version + 1)
    assert progress.unfinished(here, MONDAY, TUESDAY, tables=[newer]) == [MONDAY]
    assert writing.write(begin, here, newer, TUESDAY).base is None


def test_a_day_without_a_posting_is_finished_too(begin: Begin, root: Root) -> None:
    assert progress.unfinished(root, MONDAY, WEDNESDAY, tables=[BALANCES]) == [MONDAY, TUESDAY]
    assert writing.write(begin, root, BALANCES, MONDAY).rows == 0
    assert progress.unfinished(root, MONDAY, WEDNESDAY, tables=[BALANCES]) == [TUESDAY]
    assert writing.write(begin, root, BALANCES, TUESDAY).base == files.path_of(root, BALANCES, MONDAY)
    assert ask(root, "select * from balances") == []


def test_a_provisional_day_is_unfinished_once_it_is_over(begin: Begin, here: Root) -> None:
    today = datetime.datetime.now(UTC).date()
    writing.write(begin, here, POSTINGS, today)
    assert progress.unfinished(here, today, today, tables=[POSTINGS]) == []
    assert progress.unfinished(here, today, today + timedelta(days=1)) == [today]


def test_the_first_day_is_that_of_the_oldest_ledger(database: Engine, begin: Begin) -> None:
    with begin() as connection:
        assert progress.first_day(connection) is None
    with database.begin() as connection:
        for hour in (30, 23):
            postings.ledger(connection, created_at=datetime.datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hour))
    with begin() as connection:
        assert progress.first_day(connection) == MONDAY


@pytest.mark.parametrize("api", [True, False])
def test_a_day_waits_for_whoever_may_still_record_something(database_url: str, database: Engine, begin: Begin, api: bool) -> None:
    """A transaction of the API, also one that has not written yet; and anyone's that has."""
    other = engine.sync_engine(database_url, "debitum-api" if api else "someone")
    with other.begin() as running:
        running.execute(text("select 1") if api else text("select pg_current_xact_id()"))
        with database.connect() as connection:
            moment: datetime.datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
        with pytest.raises(progress.Unsettled, match="still running"):
            progress.wait_until_settled(begin, moment, patience_seconds=0.1)
        before_it_began = moment - timedelta(minutes=1)
        progress.wait_until_settled(begin, before_it_began, patience_seconds=0)
    progress.wait_until_settled(begin, moment, patience_seconds=0)
    other.dispose()


def test_a_reader_is_not_waited_for(database_url: str, begin: Begin) -> None:
    someone = engine.sync_engine(database_url, "someone")
    with someone.begin() as reader:
        reader.execute(text("select 1"))
        with begin() as connection:
            assert progress.settled(connection, connection.execute(text("select clock_timestamp()")).scalar_one())
    someone.dispose()


def test_what_is_to_come_is_not_settled(begin: Begin) -> None:
    with begin() as connection:
        assert not progress.settled(connection, datetime.datetime.now(UTC) + timedelta(minutes=1))


def test_a_role_that_cannot_see_others_says_so(database: Engine) -> None:
    with database.begin() as connection:
        roles.enter(connection, roles.REPORT)
        with pytest.raises(progress.CannotTell, match="pg_read_all_stats"):
            progress.settled(connection, MIDNIGHT)


def test_what_a_killed_run_left_behind_goes(begin: Begin, root: Root) -> None:
    day = files.path_of(root, POSTINGS, MONDAY)
    with places.workshop(root, day) as work:
        left = work.with_name(f"{work.name}dead")
    left.mkdir()
    (left / "part-0.parquet").write_text("half a file")
    assert ask(root, "select * from postings") == []
    writing.write(begin, root, POSTINGS, TUESDAY)
    assert left.exists()
    writing.write(begin, root, POSTINGS, MONDAY)
    assert not left.exists()


def test_only_the_owner_may_look(begin: Begin, tmp_path: Path) -> None:
    for root in (Root(tmp_path / "data"), Root.of(tmp_path, f"file://{tmp_path}/mounted")):
        writing.write(begin, root, POSTINGS, MONDAY)
    for folder in ("data", "mounted"):
        assert (tmp_path / folder / "snapshots").stat().st_mode & 0o077 == 0


# --- questions ------------------------------------------------------------------------------------------------------


def test_before_the_first_snapshot_the_view_is_empty(root: Root) -> None:
    columns, rows = questions.query(root, "select * from balances")
    assert (columns, rows) == (list(questions.columns_of(BALANCES)), [])


def test_the_columns_have_the_types_that_are_promised(begin: Begin, root: Root, ledger: UUID) -> None:
    empty = ask(root, "select column_name, column_type from (describe balances)")
    writing.write(begin, root, BALANCES, MONDAY)
    assert ask(root, "select column_name, column_type from (describe balances)") == empty
    assert empty == [(name, column.kind) for name, column in questions.columns_of(BALANCES).items()]


NO_QUESTIONS = (
    "",
    "selekt 1",
    "select nothing from balances",
    "select 1; select 2",
    "create table t (n int)",
    "copy (select 1) to '{root}/snapshots/x.csv'",
    "explain analyze copy (select 1) to '{root}/snapshots/x.csv'",
    "explain (format json, analyse) copy (select 1) to '{root}/snapshots/x.csv'",
    "copy (pivot balances on currency using sum(amount)) to '{root}/snapshots/x.csv'",
    "with p as (pivot balances on currency using sum(amount)) insert into t select * from p",
    "attach '{root}/analytics.duckdb'",
    "set enable_external_access = true",
    "install httpfs",
    "select * from read_text('{root}/secret')",
    "select * from '{root}/secret.csv'",
    "select * from read_text('{root}/snapshots/../secret')",
    "select * from glob('{root}/*')",
    "select getenv('HOME')",
)


def test_what_is_not_a_question_is_refused(root: Root) -> None:
    row = ", ".join(f"null::{column.kind} as {name}" for name, column in BALANCES.columns.items())
    day = files.path_of(root, BALANCES, MONDAY)
    with places.workshop(root, day) as work:
        duckdb.execute(f"copy (select {row}) to $path (format parquet)", {"path": str(work / "built")})
        places.put(work / "built", day)
    questions.write_views(root)
    for place in {root.data, root.folder(SNAPSHOTS).parent}:
        (place / "secret").write_text("key")
        (place / "secret.csv").write_text("key\n1\n")
        asked = [sql.format(root=places.location(place)) for sql in NO_QUESTIONS]
        assert [sql for sql in asked if answered(root, sql)] == []
        assert not list((place / "snapshots").glob("*.csv"))


def answered(root: Root, sql: str) -> bool:
    try:
        questions.query(root, sql)
    except questions.QueryError:
        return False
    return True


@pytest.mark.parametrize(
    "sql",
    [
        *("describe balances", "summarize balances", "explain select 1", "from balances", "values (1)"),
        *("pivot balances on currency using sum(amount) group by day", "pivot balances on currency in ('EUR') using sum(amount)"),
    ],
)
def test_other_ways_to_ask(here: Root, sql: str) -> None:
    assert questions.query(here, sql)[0]


def test_the_views_file_holds_no_data_and_is_replaced(begin: Begin, here: Root, ledger: UUID) -> None:
    root = Root(here.data / f"it's {uuid.uuid4()}")
    root.data.mkdir()
    path = questions.write_views(root)
    with duckdb.connect(str(path), read_only=True) as duck:
        assert duck.execute("select count(*) from postings").fetchall() == [(0,)]
    writing.write(begin, root, POSTINGS, MONDAY)
    with duckdb.connect(str(path)) as held:
        assert questions.write_views(root) == path
        assert held.execute("select count(*) from postings").fetchall() == [(0,)]
    with duckdb.connect(str(path), read_only=True) as duck:
        assert duck.execute("select day, sum(amount) from postings group by all").fetchall() == [(MONDAY, 503)]
        assert duck.execute("select table_name from duckdb_tables()").fetchall() == []
    assert not list(root.data.glob(".analytics-*"))


def test_a_row_may_be_long_and_a_file_longer_than_a_buffer(tmp_path: Path) -> None:
    """DuckDB takes a row of more than two million bytes for an error, and, told of longer ones, all memory for one buffer."""
    long, many = "x" * (8 * 1024 * 1024), 27_000
    taken = tmp_path / "taken.csv"
    with taken.open("w") as file:
        file.write(f'0,"{long}"\n')
        file.writelines(f'{number},"{number:010000}"\n' for number in range(1, many))
    with files.builder(Root(tmp_path), tmp_path) as duck:
        duck.execute(f"create table t as from {transfer.csv({'n': 'BIGINT', 'text': 'VARCHAR'}, taken)}")
        assert duck.execute("select count(*), max(length(text)) from t").fetchall() == [(many, len(long))]
