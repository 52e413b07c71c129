"""Erasure in Postgres: every row of a user who is due, in one transaction, whatever is under way; and no row of anybody else."""

import datetime
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, text, update
from sqlalchemy.exc import ProgrammingError

from storage import balances, erasure, ledgers, rebuild, roles, tables, urls
from storage.engine import Begin
from storage.ledgers import Push
from storage.snapshots import audit as snapshot_audit
from storage.snapshots import erasure as snapshot_erasure
from storage.snapshots import files, places, progress, questions, writing
from storage.snapshots.places import Root
from storage.snapshots.tables import BALANCES
from tests.factories import DEFAULTS, contact, lent
from tests.pipelines import postings
from tests.pipelines.postings import Posting
from tests.storage import everything, rows
from tests.storage.test_ledgers import KEYS, commit, new_ledger, send

ANNA = UUID(int=1)


def leave(connection: Connection, ledger_id: UUID | str, *, ago: timedelta = timedelta(0)) -> UUID:
    """The user's time has come; their id."""
    mine = tables.users.c.ledger_id == UUID(str(ledger_id))
    when = text("clock_timestamp() - cast(:ago as interval)").bindparams(ago=ago)
    leaving = update(tables.users).where(mine).values(deleting_at=when).returning(tables.users.c.id)
    user_id: UUID = connection.execute(leaving).scalar_one()
    return user_id


def erase(begin: Begin, user_id: UUID) -> Any:
    with begin() as connection:
        return erasure.erase(connection, user_id, calls_seen=0)


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def all_rows(database: Engine) -> dict[str, list[str]]:
    with database.begin() as connection:
        return everything.rows(connection)


def test_no_row_of_the_user_is_left_in_any_table_and_none_of_others_is_touched(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ada, bo = everything.fill(connection, "adaadaad"), everything.fill(connection, "b0b0b0b0")
        before = everything.rows(connection)
        leave(connection, ada.ledger_id)
    theirs = {name: [row for row in rows if ada.name in row] for name, rows in before.items()}
    assert {name for name, rows in theirs.items() if not rows} == set(everything.NOBODYS), "the test did not fill these tables"
    with begin() as connection:
        removed = erasure.erase(connection, ada.user_id, calls_seen=1, files=3, snapshot_files=4)
    after = all_rows(database)
    assert {name: [row for row in rows if ada.name in row] for name, rows in after.items()} == {name: [] for name in before}
    assert {name: [row for row in rows if bo.name in row] for name, rows in after.items()} == {
        name: [row for row in rows if bo.name in row] for name, rows in before.items()
    }
    assert removed == {name: len(rows) for name, rows in theirs.items() if rows} | {"files": 3, "snapshot_files": 4}
    [record] = after["erasures"]
    assert ada.email not in record
    with database.begin() as connection:
        recorded = connection.execute(select(tables.erasures)).one()
    assert (recorded.removed, recorded.due_at <= recorded.erased_at) == (removed, True)


def test_who_is_not_due_stays_and_who_is_gone_is_no_error(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        stays, kept, leaves = (postings.ledger(connection) for _ in range(3))
        user_id = leave(connection, leaves)
        tomorrow = leave(connection, stays, ago=timedelta(days=-1))
        owner = connection.execute(select(tables.users.c.id).where(tables.users.c.ledger_id == kept)).scalar_one()
    before = all_rows(database)
    assert [erase(begin, one) for one in (tomorrow, owner, uuid.uuid4())] == [None, None, None]
    assert all_rows(database) == before
    with begin() as connection:
        [due] = erasure.due(connection)
        assert due == erasure.Due(user_id, leaves, f"{user_id}@example.org", due.due_at)
        assert due.due_at <= datetime.datetime.now(datetime.UTC)
    assert erase(begin, user_id)["users"] == 1
    assert erase(begin, user_id) is None
    assert len(all_rows(database)["erasures"]) == 1


def test_only_the_function_may_and_only_for_the_jobs(database: Engine) -> None:
    with database.begin() as connection:
        user_id = leave(connection, postings.ledger(connection))
    refused = {
        roles.API: [
            "select debitum.erase_user(:user, 0, 0, 0)",
            "select debitum.mark_resurrected()",
            "delete from debitum.erasures",
        ],
        roles.REPORT: ["select debitum.erase_user(:user, 0, 0, 0)", "select debitum.mark_resurrected()"],
        roles.JOBS: [
            "delete from debitum.events",
            "delete from debitum.postings",
            "delete from debitum.users where id = :user",
            "update debitum.users set deleting_at = now() where id = :user",
            "insert into debitum.erasures (id) values (:user)",
            "delete from debitum.erasures",
        ],
    }
    for role, statements in refused.items():
        for statement in statements:
            with database.begin() as connection:
                roles.enter(connection, role)
                with pytest.raises(ProgrammingError, match="permission denied"):
                    connection.execute(text(statement), {"user": user_id})


async def test_a_write_in_flight_is_erased_too_and_a_later_one_finds_no_ledger(
    database: Engine, database_url: str, begin: Begin
) -> None:
    ledger_id, person = new_ledger(database), str(uuid.uuid4())
    writer = await urls.async_connection(database_url, "debitum-api")
    await send(writer, ledger_id, contact(person))
    with database.begin() as connection:
        user_id = leave(connection, ledger_id)
    removed: list[Any] = []
    async with writer.transaction():
        await ledgers.commit(writer, [Push(ledger_id, [lent(str(uuid.uuid4()), person, 100)], DEFAULTS)], KEYS)
        erasing = in_thread(lambda: removed.append(erase(begin, user_id)))
        postings.until(lambda: postings.waiting(database) == 1)
    erasing.join()
    assert (removed[0]["events"], removed[0]["postings"]) == (2, 1)
    [gone] = await commit(writer, Push(ledger_id, [contact(str(uuid.uuid4()))], DEFAULTS))
    assert isinstance(gone, ledgers.LedgerGone)
    assert all_rows(database)["events"] == []
    await writer.close()


def test_a_refresh_in_flight_is_waited_for(database: Engine, begin: Begin) -> None:
    """It locks its session, then changes tokens."""
    with database.begin() as connection:
        ada = everything.fill(connection, "adaadaad")
        leave(connection, ada.ledger_id)
    removed: list[Any] = []

    def act() -> None:
        with begin() as connection:
            removed.append(erasure.erase(connection, ada.user_id, calls_seen=1))

    with database.begin() as connection:
        connection.execute(text("select from debitum.sessions where user_id = :user for update"), {"user": ada.user_id})
        erasing = in_thread(act)
        postings.until(lambda: postings.waiting(database) == 1)
        connection.execute(text("update debitum.refresh_tokens set used_at = clock_timestamp()"))
    erasing.join()
    assert removed[0]["sessions"] > 0


@pytest.mark.parametrize("first", ["the balances", "the erasure"])
@pytest.mark.parametrize("before", ["new", "covered before"])
def test_balances_that_are_being_brought_up_to_date_leave_nothing_behind(
    database: Engine, begin: Begin, first: str, before: str
) -> None:
    with database.begin() as connection:
        ledger_id = postings.ledger(connection)
        user_id = leave(connection, ledger_id)
        postings.commit(connection, ledger_id, Posting(ANNA, 500))
    if before == "covered before":
        balances.materialise(begin)
        with database.begin() as connection:
            postings.commit(connection, ledger_id, Posting(UUID(int=2), 3))
    if first == "the balances":
        with begin() as connection:
            balances._cover(connection, [ledger_id], balances.Materialised())  # a chunk that has not committed yet
            other = in_thread(lambda: erase(begin, user_id))
            postings.until(lambda: postings.waiting(database) == 1)
    else:
        with begin() as connection:
            erasure.erase(connection, user_id, calls_seen=0)
            other = in_thread(lambda: balances.materialise(begin))
            postings.until(lambda: postings.waiting(database) == 1)
    other.join()
    found = all_rows(database)
    assert (found["ledgers"], found["projection_marks"], found["balances"]) == ([], [], [])


def message(connection: Connection, ledger_id: UUID, lease_until: datetime.datetime | None) -> UUID:
    message_id, now = uuid.uuid4(), everything.NOW
    row = {"ledger_id": ledger_id, "id": message_id, "dedupe_key": str(message_id), "kind": "reset", "channel": "email"}
    state = {"state": "pending" if lease_until is None else "leased", "lease_until": lease_until}
    connection.execute(insert(tables.outbox).values(**row, **state, payload={}, next_at=now, created_at=now))
    return message_id


def test_not_while_a_message_of_the_user_may_be_handed_over(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger_id = postings.ledger(connection)
        user_id = leave(connection, ledger_id)
        now = connection.execute(text("select clock_timestamp()")).scalar_one()
        lapsed = message(connection, ledger_id, now - timedelta(seconds=1))
        held = message(connection, ledger_id, now + timedelta(minutes=1))
    before = all_rows(database)
    with pytest.raises(erasure.NotNow, match=r"^a message is on its way$"):
        erase(begin, user_id)
    assert all_rows(database) == before
    with database.begin() as connection:
        connection.execute(update(tables.outbox).where(tables.outbox.c.id == held).values(lease_until=now))
        call = {"ledger_id": ledger_id, "outbox_id": lapsed, "attempt": 1, "provider": "files", "started_at": now}
        call |= {"finished_at": now, "outcome": "sent"}
        connection.execute(insert(tables.delivery_attempts).values(call))
    with pytest.raises(erasure.NotNow, match="message"):  # it was handed over since the files were looked through
        erase(begin, user_id)
    caught: list[erasure.NotNow] = []

    def try_to_erase() -> None:
        with pytest.raises(erasure.NotNow, match="message") as raised:
            erase(begin, user_id)
        caught.append(raised.value)

    with database.begin() as connection:  # somebody is just taking it
        connection.execute(update(tables.outbox).where(tables.outbox.c.id == held).values(lease_until=now + timedelta(hours=1)))
        connection.execute(delete(tables.delivery_attempts))
        erasing = in_thread(try_to_erase)
        postings.until(lambda: postings.waiting(database) == 1)
    erasing.join()
    assert caught
    with begin() as connection:
        connection.execute(update(tables.outbox).where(tables.outbox.c.id == held).values(lease_until=now))
        connection.execute(insert(tables.delivery_attempts).values(call))
        seen = erasure.calls(connection, ledger_id)
        assert erasure.erase(connection, user_id, calls_seen=seen) is not None


def test_not_while_a_rebuild_has_copies_and_what_a_killed_one_left_goes(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        user_id = leave(connection, postings.ledger(connection))
    with database.connect() as rebuilding, rebuild._alone(rebuilding):
        rebuild._make_fresh(rebuilding)
        with pytest.raises(erasure.NotNow, match=r"^a rebuild is at work$"):
            erase(begin, user_id)
    with database.begin() as connection:
        there = text("select count(*) from pg_namespace where nspname = :fresh").bindparams(fresh=rebuild.FRESH)
        assert connection.scalar(there) == 1
        assert erase(begin, user_id) is not None
        assert connection.scalar(there) == 0


def test_who_comes_back_with_a_backup_is_due_again(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        erased, other, later = (postings.ledger(connection) for _ in range(3))
        user_id = leave(connection, erased)
        leave(connection, later, ago=timedelta(days=-7))
        old = connection.execute(select(tables.users).where(tables.users.c.ledger_id == erased)).mappings().one()
        head = connection.execute(select(tables.ledgers).where(tables.ledgers.c.id == erased)).mappings().one()
    erase(begin, user_id)
    with database.begin() as connection:
        connection.execute(insert(tables.users).values({**old, "deleting_at": None}))
        connection.execute(insert(tables.ledgers).values({**head}))
    with begin() as connection:
        assert erasure.resurrected(connection) == [erased]
        assert erasure.resurrected(connection) == []
        assert [user.ledger_id for user in erasure.due(connection)] == [erased]
    assert erase(begin, user_id) is not None
    found = all_rows(database)
    assert (len(found["users"]), len(found["erasures"])) == (2, 2)
    assert any(str(other) in row for row in found["ledgers"])


def test_messages_of_nobody_are_swept(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger_id = postings.ledger(connection)
        message(connection, ledger_id, None)
        message(connection, uuid.uuid4(), None)
    with begin() as connection:
        assert erasure.sweep(connection) == 1
    assert [str(ledger_id) in row for row in all_rows(database)["outbox"]] == [True]


@pytest.mark.parametrize("others", [True, False])
def test_the_planner_forgets_values_of_rows_that_are_gone(database: Engine, begin: Begin, others: bool) -> None:
    def sampled(mark: str) -> bool:
        statement = text("select count(*) from pg_stats s where schemaname = 'debitum' and s::text like :mark")
        with database.connect() as superuser:
            return bool(superuser.execute(statement, {"mark": f"%{mark} %"}).scalar_one())

    with database.begin() as connection:
        ada, bo = rows.ledger(connection), rows.ledger(connection)
        for number in range(20):
            ada.contact(f"ada {number}")
            if others:
                bo.contact(f"bo {number}")
        connection.execute(text("analyze debitum.contacts"))
        leave(connection, ada.id)
    assert (sampled("ada"), sampled("bo")) == (True, others)
    erase(begin, ada.user_id)
    assert erasure.renew_statistics(begin) > 1
    assert (sampled("ada"), sampled("bo")) == (False, others)
    assert erasure.renew_statistics(begin) == 0


DAYS = [datetime.date(2026, 3, day) for day in (1, 2)]


def content(root: Root, day: datetime.date) -> object:
    """Columns with their types, rows in their order, the footer."""
    path = files.path_of(root, BALANCES, day)
    with places.connect(root) as duck:
        columns = duck.execute(f"describe from {files.parquet(path)}").fetchall()
        found = duck.execute(f"from {files.parquet(path)}").fetchall()
    return columns, found, files.footers(root, [path])[places.location(path)]


def test_a_snapshot_without_a_ledger_is_as_if_it_had_never_been(
    database: Engine, begin: Begin, root: Root, tmp_path: Path
) -> None:
    with database.begin() as connection:
        stays, also_stays = (postings.ledger(connection) for _ in range(2))
        for ledger_id in (stays, also_stays):
            postings.commit(connection, ledger_id, Posting(ANNA, 500), Posting(ANNA, -3, "JPY"))
    never = Root(tmp_path / "never")
    for day in DAYS:
        writing.write(begin, never, BALANCES, day)
    with database.begin() as connection:
        leaves, too = (postings.ledger(connection, id=uuid.UUID(int=number << 120 | 77)) for number in (1, 200))
        second = datetime.datetime.combine(DAYS[1], datetime.time(12), datetime.UTC)
        postings.commit(connection, leaves, Posting(ANNA, 9_999))
        postings.commit(connection, too, Posting(ANNA, 9_998, at=second))
    for day in DAYS:
        writing.write(begin, root, BALANCES, day)
    left = root.data / "snapshots/balances/day=2026-02-01/.building-x/delta.csv"
    left.parent.mkdir(parents=True)
    left.write_text(str(leaves))
    assert snapshot_erasure.erase(root, {leaves, too, uuid.uuid4()}) == {leaves: 2, too: 1}
    for day in DAYS:
        assert content(root, day) == content(never, day)
    assert [path.name for path in root.data.glob("snapshots/**/.building-*")] == []
    assert snapshot_erasure.erase(root, {leaves, too}) == {}
    assert progress.unfinished(root, DAYS[0], DAYS[-1], tables=[BALANCES]) == []


def test_the_check_of_snapshots_leaves_out_who_is_being_erased(database: Engine, begin: Begin, root: Root) -> None:
    with database.begin() as connection:
        stays, leaves = (postings.ledger(connection) for _ in range(2))
        for ledger_id in (stays, leaves):
            postings.commit(connection, ledger_id, Posting(ANNA, 500))
    writing.write(begin, root, BALANCES, DAYS[0])
    snapshot_erasure.erase(root, {leaves})

    def differing() -> list[str]:
        with begin() as connection:
            return [one.ledger_id for one in snapshot_audit.differences(connection, root, DAYS[0])]

    assert differing() == [str(leaves)]
    with database.begin() as connection:
        user_id = leave(connection, leaves)
    assert differing() == []
    erase(begin, user_id)
    assert differing() == []
    for day in DAYS:  # once more, and the next one, which is made of it
        writing.write(begin, root, BALANCES, day)
    assert questions.query(root, "select distinct ledger_id from balances") == (["ledger_id"], [(str(stays),)])
