"""The self-audit: it finds nothing where nothing is wrong, and the next run finds what was planted into any table."""

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from pipelines.defs import resources
from storage import balances, projecting
from storage.audit import auditing
from storage.audit.auditing import Audited, Finding
from storage.audit.log import LOG
from storage.backup import aftermath
from storage.encryption import KeyRing
from storage.engine import Begin
from storage.snapshots import erasure, files
from storage.snapshots.places import Root
from tests.fixtures.database import lasting
from tests.storage import logs
from tests.storage.conftest import as_jobs
from tests.storage.test_ledgers import KEYS

FIRST = datetime.datetime.combine(datetime.datetime.now(UTC).date() - timedelta(days=4), datetime.time(9), UTC)
LEDGERS, LENGTH = 8, 160
EVERY = timedelta(days=3) / LENGTH


@dataclass(frozen=True)
class Known:
    """A database, and the ledgers that are in it."""

    database: Engine
    pasts: list[logs.Past]

    @property
    def begin(self) -> Begin:
        return as_jobs(self.database)


def recorded(database: Engine) -> Known:
    """Ledgers with everything in them, the last one recorded today."""
    now = datetime.datetime.now(UTC)
    with database.begin() as connection:
        found = [logs.past(connection, seed, FIRST, EVERY, length=LENGTH) for seed in range(1, LEDGERS)]
        found.append(logs.past(connection, LEDGERS, now - timedelta(seconds=LENGTH), timedelta(seconds=1), length=LENGTH))
    balances.materialise(as_jobs(database))
    return Known(database, found)


@pytest.fixture(scope="module")
def known(server: str) -> Iterator[Known]:
    """The same for all tests that change nothing in Postgres."""
    with lasting(server) as database:
        yield recorded(database)


def days_over() -> list[datetime.date]:
    """Since FIRST."""
    count = (datetime.datetime.now(UTC).date() - FIRST.date()).days
    return [FIRST.date() + timedelta(days=number) for number in range(count)]


def audit(database: Engine, begin: Begin, root: Path, keys: KeyRing = KEYS) -> Audited:
    return auditing.audit(begin, resources.Database(url=database.url.render_as_string(hide_password=False)).snapshot, root, keys)


def test_nothing_is_found_where_nothing_is_wrong(known: Known, tmp_path: Path) -> None:
    before = days_over()
    first = audit(known.database, known.begin, tmp_path)
    assert first.findings == []
    assert (first.ledgers, first.facts) == (LEDGERS, sum(len(past.facts) for past in known.pasts))
    assert first.copied in (before, days_over())  # a day may end meanwhile
    kinds = "select count(distinct event_type) = 5 and count(distinct status) = 2 and count(sealed) > 50 from debitum.events"
    with known.database.begin() as connection:
        assert connection.scalar(text(kinds))
        assert connection.scalar(text("select count(*) > 20 and count(resolved_by) > 3 from debitum.conflicts"))
    second = audit(known.database, known.begin, tmp_path)
    assert (second.copied, second.findings) == ([], [])
    assert not list(tmp_path.glob("audit/replay/.building-*"))
    assert (tmp_path / "audit").stat().st_mode & 0o077 == 0


def test_a_damaged_copy_is_named_and_not_made_anew(database: Engine, begin: Begin, tmp_path: Path) -> None:
    with database.begin() as connection:
        logs.past(connection, 1, FIRST, EVERY, length=5)
    audit(database, begin, tmp_path)
    path = files.path_of(Root(tmp_path), LOG, FIRST.date())
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        with pytest.raises(files.Damaged, match=f"{path} is damaged: "):
            audit(database, begin, tmp_path)


PLANTED = {
    "a fact": ("events", "update debitum.events set fact = replace(fact, 'accepted', 'rejected') where {at}"),
    "a fingerprint": ("events", "update debitum.events set fingerprint = '\\x00' where {at}"),
    "a time": ("events", "update debitum.events set recorded_at = recorded_at + interval '1 second' where {at}"),
    "a hash": ("events", "update debitum.events set hash = sha256(hash) where {at}"),
    "a lost event": ("events", "delete from debitum.events where {at}"),
    "a name": ("contacts", "update debitum.contacts set name = name || '!' where {one}"),
    "a phone": ("contacts", "update debitum.contacts set phone = '\\x00' where {one}"),
    "a mark": ("contacts", """update debitum.contacts set marks = marks || '{{"name": [1, null]}}' where {one}"""),
    "a lost contact": ("contacts", "delete from debitum.contacts where {one}"),
    "an amount": ("transactions", "update debitum.transactions set amount = amount + 1 where {one}"),
    "a description": ("transactions", "update debitum.transactions set description = 'x' where {one}"),
    "a deletion": ("transactions", "update debitum.transactions set deleted_seq = null, deleted_at = null where {one}"),
    "a time of change": ("transactions", "update debitum.transactions set updated_at = updated_at + interval '1 us' where {one}"),
    "a schedule": ("reminders", "update debitum.reminders set remind_at = remind_at + interval '1 hour' where {one}"),
    "a channel": ("reminders", "update debitum.reminders set channels = array['push'] where {one}"),
    "an invented reminder": (
        "reminders",
        """
        insert into debitum.reminders select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid()))).*
        from debitum.reminders one where {one}
    """,
    ),
    "a settlement": ("conflicts", "update debitum.conflicts set resolved_by = gen_random_uuid() where {conflict}"),
    "a lost conflict": ("conflicts", "delete from debitum.conflicts where {conflict}"),
    "a posting": ("postings", "update debitum.postings set amount = amount + 1 where {posting}"),
    "a date": ("postings", "update debitum.postings set effective_date = effective_date - 1 where {posting}"),
    "a lost posting": ("postings", "delete from debitum.postings where {posting}"),
    "a posting twice": (
        "postings",
        """
        insert into debitum.postings select (jsonb_populate_record(one, '{{"line": 77}}')).*
        from debitum.postings one where {posting}
    """,
    ),
    "a balance": ("balances", "update debitum.balances set amount = amount + 1 where {balance}"),
    "a lost balance": ("balances", "delete from debitum.balances where {balance}"),
    "a cursor": ("projection_marks", "update debitum.projection_marks set covered_seq = 100000 where {of_ledger}"),
    "a version": ("ledgers", "update debitum.ledgers set version = version + 1, dirty = true where id = :ledger"),
    "a head": ("ledgers", "update debitum.ledgers set head_hash = sha256(head_hash) where id = :ledger"),
    "a turnover": ("ledgers", "update debitum.ledgers set turnover = turnover + 1 where id = :ledger"),
    "a ledger that nobody covers": ("ledgers", "delete from debitum.projection_marks where {of_ledger}"),
}
WHERE = {
    "at": "ledger_id = :ledger and seq = :seq and fact is not null",
    "one": "ledger_id = :ledger and changed_seq = :seq",
    "conflict": "ledger_id = :ledger and seq = :seq",
    "posting": "ledger_id = :ledger and seq = :seq and line = 0",
    "balance": "(ledger_id, contact_id, currency) = (select ledger_id, contact_id, currency from debitum.balances"
    " where ledger_id = :ledger order by contact_id, currency limit 1)",
    "of_ledger": "ledger_id = :ledger",
}


def test_what_was_planted_into_a_table_is_found_by_the_next_run(database: Engine, begin: Begin, tmp_path: Path) -> None:
    """Each in a ledger of its own whose days are in the copy already, and in one that is all of today."""
    now, seeds = datetime.datetime.now(UTC), itertools.count(1_000)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    apart = min(timedelta(seconds=1), (now - midnight) / (LENGTH + 1))  # also where the day has just begun
    spoiled: dict[str, tuple[logs.Past, logs.Past]] = {}
    with database.begin() as connection:
        for planted in PLANTED:
            old = spoilable(connection, planted, seeds, FIRST, EVERY)
            spoiled[planted] = old, spoilable(connection, planted, seeds, now - LENGTH * apart, apart)
        logs.past(connection, next(seeds), FIRST, EVERY, length=LENGTH)
    balances.materialise(begin)
    assert audit(database, begin, tmp_path).findings == []
    expected: dict[tuple[str, str], int] = {}
    for planted, (table, statement) in PLANTED.items():
        for past in spoiled[planted]:
            with database.begin() as connection:
                seq = place(connection, planted, past.ledger_id)
                assert seq is not None
                done = connection.execute(text(statement.format(**WHERE)), {"ledger": past.ledger_id, "seq": seq})
                assert done.rowcount == 1, planted
            expected[str(past.ledger_id), table] = seq
    of_today = {planted: str(past.ledger_id) for planted, (_, past) in spoiled.items()}
    del expected[of_today["a fingerprint"], "events"]  # nothing but the copy can know it
    expected[of_today["a lost event"], "events"] += 1  # the one after it does not follow
    found = audit(database, begin, tmp_path).findings
    first = {(one.ledger_id, one.table): one.seq for one in found}
    assert {key: first.get(key) for key, seq in expected.items() if first.get(key) != seq and seq} == {}
    assert {key for key in expected if key not in first} == set()
    assert {ledger for ledger, _ in first} == {ledger for ledger, _ in expected}


def spoilable(
    connection: Connection, planted: str, seeds: Iterator[int], first: datetime.datetime, every: timedelta
) -> logs.Past:
    """A new ledger that has what is to be spoiled."""
    while True:
        found = logs.past(connection, next(seeds), first, every, length=LENGTH)
        if place(connection, planted, found.ledger_id) is not None:
            return found


def place(connection: Connection, planted: str, ledger_id: UUID) -> int | None:
    """A seq that only one row of the ledger has, which is of the kind that is to be spoiled; 0 where the kind has none."""
    table, _ = PLANTED[planted]
    column = {"events": "seq", "conflicts": "seq", "postings": "seq"}.get(table, "changed_seq")
    if table in ("balances", "projection_marks", "ledgers"):
        return 0
    condition = {
        "events": "fact like '%accepted%' and seq > 20",
        "contacts": "phone is not null",
        "transactions": "deleted_seq is not null" if planted == "a deletion" else "true",
    }.get(table, "true")
    query = f"""
        select {column} from debitum.{table} where ledger_id = :ledger and {condition} and {column} in (
            select {column} from debitum.{table} where ledger_id = :ledger group by {column} having count(*) = 1
        ) order by {column} limit 1
    """
    seq: int | None = connection.execute(text(query), {"ledger": ledger_id}).scalar_one_or_none()
    return seq


def test_a_copy_that_was_changed_is_found(known: Known, tmp_path: Path) -> None:
    audit(known.database, known.begin, tmp_path)
    erasure.erase(Root(tmp_path), [known.pasts[0].ledger_id])
    found = audit(known.database, known.begin, tmp_path).findings
    assert found[0] == Finding(str(known.pasts[0].ledger_id), 1, "events")


def test_keys_that_do_not_open_are_found_as_broken_facts(known: Known, tmp_path: Path) -> None:
    other = KeyRing.parse("other:" + "QUJD" * 10 + "QUI=")
    found = audit(known.database, known.begin, tmp_path, other).findings
    assert {one.ledger_id for one in found if one.table == "events"} == {str(past.ledger_id) for past in known.pasts}


def lose(database: Engine, ledger_id: UUID) -> None:
    """Every row of the ledger, as if it had never been."""
    with database.begin() as connection:
        for name in ("events", *projecting.PROJECTED, "balances", "projection_marks"):
            connection.execute(text(f"delete from debitum.{name} where ledger_id = :id"), {"id": ledger_id})
        connection.execute(text("delete from debitum.users where ledger_id = :id"), {"id": ledger_id})


def test_a_ledger_that_is_lost_with_its_key_is_found(database: Engine, begin: Begin, tmp_path: Path) -> None:
    with database.begin() as connection:
        lost = logs.past(connection, 1, FIRST, EVERY, length=20).ledger_id
        assert connection.scalar(text("select count(sealed) > 0 from debitum.events"))
        logs.past(connection, 2, FIRST, EVERY, length=5)
    balances.materialise(begin)
    audit(database, begin, tmp_path)
    lose(database, lost)
    found = audit(database, begin, tmp_path).findings
    assert {(one.ledger_id, one.table) for one in found} >= {(str(lost), "events"), (str(lost), "ledgers")}
    assert {one.ledger_id for one in found} == {str(lost)}


def test_what_came_back_with_a_backup_is_not_held_against_days_since(database: Engine, begin: Begin, tmp_path: Path) -> None:
    since, root = FIRST + timedelta(days=2), Root(tmp_path)
    with database.begin() as connection:
        logs.past(connection, 1, FIRST, EVERY, length=5)
        newer = logs.past(connection, 2, since, EVERY, length=5).ledger_id
    balances.materialise(begin)
    audit(database, begin, tmp_path)
    lose(database, newer)
    aftermath.forget_days(root, since.date())
    after = audit(database, begin, tmp_path)
    assert after.findings == []
    assert set(after.copied) >= {day for day in days_over() if day >= since.date()}
    assert erasure.erase(root, [newer]) == {}, "a name in the copy, of whom no erasure knows any more"


def test_who_is_leaving_is_left_out(database: Engine, begin: Begin, tmp_path: Path) -> None:
    stays = recorded(database).pasts[1].ledger_id
    with database.begin() as connection:
        connection.execute(text("update debitum.postings set amount = amount + 1"))
        connection.execute(
            text("update debitum.users set deleting_at = clock_timestamp() where ledger_id <> :one"), {"one": stays}
        )
    assert {one.ledger_id for one in audit(database, begin, tmp_path).findings} == {str(stays)}
