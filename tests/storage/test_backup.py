"""A backup and the database: what goes in comes back, row by row, or nothing has changed; whoever was erased stays erased."""

import datetime
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, Engine, insert, make_url, text, update

from storage import embedded, engine, erasure, revisions, roles, tables, urls
from storage.backup import aftermath, container, dumping, erased, programs, rehearsing, restoring, shelf
from storage.backup.container import Opened, Secrets
from storage.backup.dumping import Made
from storage.backup.erased import Erased
from storage.backup.errors import BackupError, DamagedError, RefusedError
from storage.engine import Begin
from storage.snapshots import files, questions, writing
from storage.snapshots.places import Root
from storage.snapshots.tables import BALANCES, DELIVERY
from tests.factories import contact
from tests.fixtures import database as databases
from tests.pipelines import postings
from tests.storage import everything
from tests.storage.test_erasure import all_rows, leave
from tests.storage.test_ledgers import KEYS, RING, new_id, new_ledger, send

SECRETS = Secrets(None, KEYS)
ANNA = uuid.UUID(int=1)


def dump(url: str, path: Path) -> Made:
    return dumping.dump(url, path, SECRETS, version="0.1.0", ring=RING)


def restore(url: str, path: Path, *noted: Erased) -> restoring.Restored:
    return restoring.restore(url, Opened.of(path, SECRETS), noted, postgres=18)


def schema_of(url: str) -> str:
    """The schema as pg_dump writes it: tables, constraints, indexes, policies, functions, rights."""
    command = [str(embedded.programs() / "pg_dump"), "--dbname", urls.libpq_url(url), "--schema-only", "--schema=debitum"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in said.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


@pytest.fixture
def full(database: Engine) -> Engine:
    """A database with a row of two users in every table, and one of everything that is nobody's."""
    with database.begin() as connection:
        for name in ("adaadaad", "b0b0b0b0"):
            everything.fill(connection, name)
        _as_many_facts_as_there_are(connection)
    return database


@pytest.fixture
def another(server: str) -> Iterator[Engine]:
    """A second database, migrated and empty."""
    with databases.cloned(server) as url:
        created = engine.sync_engine(url, "debitum-test")
        yield created
        created.dispose()


def url_of(database: Engine) -> str:
    return database.url.render_as_string(hide_password=False)


def test_every_row_and_the_schema_come_back(full: Engine, another: Engine, tmp_path: Path) -> None:
    made = dump(url_of(full), tmp_path / "a")
    assert (made.end.ledgers, made.end.facts, made.head.revision) == (2, 2, revisions.newest())
    with another.begin() as connection:
        everything.fill(connection, "cafecafe")
    assert restore(url_of(another), tmp_path / "a") == restoring.Restored(2, 2, 0)
    before, after = all_rows(full), all_rows(another)
    assert {name for name, rows in before.items() if not rows} == set(everything.NOBODYS) - {"alembic_version"}
    assert after == before
    assert schema_of(url_of(another)) == schema_of(url_of(full))


def test_a_login_that_is_no_superuser_backs_up_and_restores(full: Engine, another: Engine, tmp_path: Path) -> None:
    with _login(full, another) as (source, target):
        dump(source, tmp_path / "a")
        restore(target, tmp_path / "a")
    assert all_rows(another) == all_rows(full)
    assert schema_of(url_of(another)) == schema_of(url_of(full))


@contextmanager
def _login(*owned: Engine) -> Iterator[list[str]]:
    """URLs of databases for a login as docs/operations.md has it, which owns them."""
    name = f"login_{uuid.uuid4().hex}"
    with owned[0].connect().execution_options(isolation_level="AUTOCOMMIT") as superuser:
        superuser.execute(text(f"create role {name} login createrole"))
        superuser.execute(text(f"grant pg_read_all_stats to {name} with admin option"))
        for role in roles.ALL:
            superuser.execute(text(f"grant {role} to {name} with admin true, inherit false"))
        for database in owned:
            superuser.execute(text(f"alter database {database.url.database} owner to {name}"))
    try:
        yield [make_url(url_of(database)).set(username=name).render_as_string(hide_password=False) for database in owned]
    finally:
        for database in owned:
            with database.begin() as superuser:
                superuser.execute(text(f"reassign owned by {name} to current_user"))
                superuser.execute(text(f"drop owned by {name}"))
        with owned[0].begin() as superuser:
            superuser.execute(text(f"drop role {name}"))


def test_what_fails_on_the_way_has_changed_nothing(full: Engine, another: Engine, tmp_path: Path) -> None:
    """A file that is damaged in its middle, and a row that Postgres refuses: the transaction never commits."""
    made = dump(url_of(full), tmp_path / "a")
    with another.begin() as connection:
        everything.fill(connection, "cafecafe")
    before = all_rows(another)
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:-2_000] + bytes([whole[-2_000] ^ 1]) + whole[-1_999:])
    with pytest.raises(DamagedError, match="is not what was written"):
        restore(url_of(another), made.path)
    assert all_rows(another) == before
    made.path.write_bytes(whole)
    twice = [Erased("ab" * 32, datetime.datetime.now(datetime.UTC))] * 2
    with pytest.raises(RefusedError, match=r"^psql ended with 3: .*unique constraint") as caught:
        restore(url_of(another), made.path, *twice)
    assert "ab" * 32 not in str(caught.value), "details of errors are rows"
    assert all_rows(another) == before
    assert restore(url_of(another), made.path, *twice[:1]).ledgers == 2


def test_a_backup_is_one_moment_while_others_write(database: Engine, another: Engine, tmp_path: Path) -> None:
    """The dump has the very rows that were counted, and what was committed before is there."""
    with database.begin() as connection:
        ledgers = [postings.ledger(connection) for _ in range(4)]
    over, committed = threading.Event(), [0]

    def work() -> None:
        while not over.is_set():
            with database.begin() as connection:
                for ledger_id in ledgers:
                    postings.commit(connection, ledger_id, postings.Posting(ANNA, 1))
            committed[0] += 1

    writer = threading.Thread(target=work)
    writer.start()
    try:
        while committed[0] < 5:
            assert writer.is_alive()
        before = committed[0]
        made = dump(url_of(database), tmp_path / "a")
    finally:
        over.set()
        writer.join()
    assert made.end.facts % len(ledgers) == 0
    assert made.end.facts >= before * len(ledgers)
    with pytest.raises(BackupError, match="4 ledgers and 0 facts"):  # these were put straight into heads and postings
        restore(url_of(another), made.path)
    assert len(all_rows(another)["postings"]) == made.end.facts


def test_what_was_recorded_before_it_settled_is_in_it(database: Engine, tmp_path: Path) -> None:
    """A transaction that began before the backup may record as of its beginning, and commit later."""
    with database.begin() as early:
        began = early.execute(text("select now()")).scalar_one()
        made = dump(url_of(database), tmp_path / "a")
    assert made.head.settled_at <= began < made.head.began_at


def test_who_was_erased_since_is_due_again_before_anybody_can_see_them(
    database: Engine, another: Engine, begin: Begin, tmp_path: Path
) -> None:
    with database.begin() as connection:
        ada, bo = everything.fill(connection, "adaadaad"), everything.fill(connection, "b0b0b0b0")
        _as_many_facts_as_there_are(connection)
    made = dump(url_of(database), tmp_path / "a")
    with database.begin() as connection:
        user_id = leave(connection, ada.ledger_id)
    with begin() as connection:
        [due] = erasure.due(connection)
        erasure.erase(connection, user_id, calls_seen=1)
        assert erased.note(connection, tmp_path) == 1
        assert erased.note(connection, tmp_path) == 0
    assert erased.read(tmp_path) == [Erased.of(ada.ledger_id, due.due_at)]
    for _ in range(2):
        assert restore(url_of(another), made.path, *erased.read(tmp_path)).resurrected == 1
    with another.begin() as connection:
        roles.enter(connection, roles.JOBS)
        assert [one.user_id for one in erasure.due(connection)] == [ada.user_id]
        assert erasure.resurrected(connection) == []
    assert restore(url_of(another), made.path).resurrected == 0, "without the list they are back"
    assert bo.email not in (tmp_path / erased.FILE).read_text()


def test_a_list_that_was_cut_off_is_mended_and_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    at = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
    first, second = (Erased.of(uuid.uuid4(), at) for _ in range(2))
    assert erased.read(tmp_path) == []
    assert erased.add(tmp_path, [first, first]) == 1
    file = tmp_path / erased.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open("a") as opened:
        opened.write('{"ledger":"ab')
    assert erased.read(tmp_path) == [first]
    assert erased.add(tmp_path, [first, second]) == 1
    assert erased.read(tmp_path) == [first, second]
    file.write_text('{"ledger":"\\t\\\\.","due_at":"2026-11-28T00:00:00Z"}\n')
    with pytest.raises(BackupError, match="without a digest"):
        erased.read(tmp_path)


def test_what_does_not_fit_is_refused_with_words(database: Engine, tmp_path: Path) -> None:
    found = restoring.look(url_of(database))
    assert (found.empty, found.sessions) == (True, ())
    made = dump(url_of(database), tmp_path / "a")
    backup = Opened.of(made.path, SECRETS)
    restoring.require_fitting(backup, found)
    newer = replace(backup, head=msgspec.structs.replace(backup.head, revision="0999"))
    with pytest.raises(BackupError, match=r"revision 0999 .* knows revisions up to"):
        restoring.require_fitting(newer, found)
    with pytest.raises(BackupError, match="from PostgreSQL 18, and this server is 15"):
        restoring.require_fitting(backup, replace(found, postgres=15))
    with database.begin() as connection:
        connection.execute(text("update debitum.alembic_version set version_num = '0001'"))
    with pytest.raises(BackupError, match="revision 0001, this code needs"):
        dump(url_of(database), tmp_path / "b")
    with database.begin() as connection:
        connection.execute(text("drop schema debitum cascade"))
    with pytest.raises(BackupError, match="nothing to back up"):
        dump(url_of(database), tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_uses_the_database_is_named(database: Engine, another: Engine) -> None:
    other = engine.sync_engine(url_of(another), "debitum-api")
    with other.connect() as connection:
        connection.execute(text("select"))
        assert restoring.look(url_of(another)).sessions == ("debitum-api",)
    other.dispose()


def test_a_password_is_nothing_that_others_see() -> None:
    place = programs.Place.of("postgresql://u:hunter2@h/d?sslmode=require&application_name=x")
    assert "hunter2" not in place.dsn + repr(place)
    assert place.environment["PGPASSWORD"] == "hunter2"
    with pytest.raises(BackupError, match="sslpassword"):
        programs.Place.of("postgresql://u@h/d?sslpassword=hunter2")


def test_rotation_leaves_other_files_and_what_is_being_written(tmp_path: Path) -> None:
    now = datetime.datetime(2026, 11, 28, 3, 30, tzinfo=datetime.UTC)
    for day in range(40):
        (tmp_path / shelf.name(now - datetime.timedelta(days=day))).touch()
    others = [tmp_path / name for name in ("debitum-before-the-move.backup", "erasures.jsonl", "debitum-2026.backup")]
    for path in (*others, tmp_path / f"{container.MAKING}killed"):
        path.touch()
    with container.new_file(tmp_path / "finished") as file:
        file.write(b"whole")
        assert len(shelf.rotate(tmp_path, now=now)) == 40 - 9
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {path.name for path in others} | {"finished", shelf.name(now)}
    assert f"{container.MAKING}killed" not in names
    assert len(shelf.backups(tmp_path)) == 9


def test_days_since_the_backup_are_made_anew_and_strangers_are_taken_out(
    database: Engine, begin: Begin, root: Root, tmp_path: Path
) -> None:
    monday, tuesday, wednesday = (datetime.date(2026, 3, day) for day in (2, 3, 4))
    with database.begin() as connection:
        stays = postings.ledger(connection, created_at=datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC))
        postings.commit(connection, stays, postings.Posting(ANNA, 5, at=datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)))
        newer = postings.ledger(connection, created_at=datetime.datetime(2026, 3, 3, 8, tzinfo=datetime.UTC))
    for ledger_id in (stays, newer):
        _sent(database, ledger_id, datetime.datetime(2026, 3, 3, 12, tzinfo=datetime.UTC))
    for table in (BALANCES, DELIVERY):
        for day in (monday, tuesday, wednesday):
            writing.write(begin, root, table, day)
    assert _ledgers_of_deliveries(root) == {str(stays), str(newer)}
    assert aftermath.forget_days(root, tuesday) == 4, "balances and the transactions that they are made of"
    assert files.there(root, BALANCES) == {monday}
    assert files.there(root, DELIVERY) == {monday, tuesday, wednesday}
    with database.begin() as connection:
        connection.execute(text("delete from debitum.ledgers where id = :id"), {"id": newer})
    assert aftermath.forget_strangers(begin, root) == 1
    assert _ledgers_of_deliveries(root) == {str(stays)}
    assert aftermath.forget_strangers(begin, root) == 0


async def test_a_rehearsal_finds_what_does_not_follow_from_the_log(database: Engine, database_url: str) -> None:
    """One that finds nothing, in a server of its own, is in tests/pipelines/test_backup.py."""
    connection = await urls.async_connection(database_url, "debitum-test")
    for number, name in enumerate((new_id(), new_id())):
        await send(connection, new_ledger(database), contact(name, name="Ada" if number else "Ana"))
    await connection.close()
    assert rehearsing.prove(database_url, KEYS) == 0
    with database.begin() as writer:
        writer.execute(update(tables.contacts).where(tables.contacts.c.name == "Ada").values(name="Bo"))
    assert rehearsing.prove(database_url, KEYS) == 1


def test_a_disk_without_room_and_one_without_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackupError, match="a cannot be written: No space left"), container.new_file(tmp_path / "a") as file:
        file.write(bytes(os.pwrite(os.open("/dev/full", os.O_WRONLY), b"x", 0)))

    def refuses(made: str, path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")  # as exFAT does it

    monkeypatch.setattr(os, "link", refuses)
    with container.new_file(tmp_path / "b") as file:
        file.write(b"whole")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"whole"}
    with pytest.raises(BackupError, match="is there already"), container.new_file(tmp_path / "b") as file:
        file.write(b"other")


def _as_many_facts_as_there_are(connection: Connection) -> None:
    """`fill` gives each ledger one, and a head that knows of none."""
    connection.execute(text("update debitum.ledgers set version = 1, head_hash = sha256('-'), recorded_at = now()"))


def _sent(database: Engine, ledger_id: uuid.UUID, at: datetime.datetime) -> None:
    message = {"ledger_id": ledger_id, "id": uuid.uuid4(), "dedupe_key": str(ledger_id), "kind": "due", "channel": "email"}
    attempt = {"ledger_id": ledger_id, "outbox_id": message["id"], "attempt": 1, "provider": "smtp", "started_at": at}
    with database.begin() as connection:
        of_message = {"payload": {}, "state": "sent", "finished_at": at, "next_at": at, "created_at": at}
        connection.execute(insert(tables.outbox).values(**message, **of_message))
        connection.execute(insert(tables.delivery_attempts).values(**attempt, outcome="sent"))


def _ledgers_of_deliveries(root: Root) -> set[str]:
    return {str(row[0]) for row in questions.query(root, "select distinct ledger_id from delivery")[1]}
