"""Retention: one second either side of each horizon, batches, and what must never go."""

import datetime
import threading
import uuid
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, Table, func, insert, select, update

from domain import retention as horizons
from domain.retention import Kind
from storage import retention, tables
from storage.engine import Begin
from tests.pipelines import postings

NOW = datetime.datetime(2026, 11, 22, 2, 0, tzinfo=datetime.UTC)
SECOND = timedelta(seconds=1)
DEFAULT = horizons.horizons({})


def message(connection: Connection, ledger: UUID, finished_at: datetime.datetime | None, state: str = "sent") -> UUID:
    message_id = uuid.uuid4()
    row = {"ledger_id": ledger, "id": message_id, "dedupe_key": str(message_id), "kind": "due", "channel": "email", "payload": {}}
    times = {"next_at": NOW, "created_at": NOW, "finished_at": finished_at}
    connection.execute(insert(tables.outbox).values(**row, **times, state=state if finished_at else "pending"))
    return message_id


def attempt(connection: Connection, ledger: UUID, message_id: UUID, started_at: datetime.datetime, number: int = 1) -> None:
    row = {"ledger_id": ledger, "outbox_id": message_id, "attempt": number, "provider": "files", "started_at": started_at}
    connection.execute(insert(tables.delivery_attempts).values(**row))


def rejection(connection: Connection, ledger: UUID, at: datetime.datetime) -> None:
    row = {"ledger_id": ledger, "event_id": uuid.uuid4(), "fingerprint": b"", "code": "id_reused", "command": b"sealed", "at": at}
    connection.execute(insert(tables.rejections).values(**row))


def session(connection: Connection, user: UUID, expires_at: datetime.datetime) -> UUID:
    device, session_id = uuid.uuid4(), uuid.uuid4()
    connection.execute(insert(tables.devices).values(user_id=user, id=device, name="d", created_at=NOW, last_seen_at=NOW))
    row = {"id": session_id, "user_id": user, "device_id": device, "created_at": NOW, "last_used_at": NOW}
    connection.execute(insert(tables.sessions).values(**row, expires_at=expires_at))
    return session_id


def refresh_token(connection: Connection, session_id: UUID, expires_at: datetime.datetime) -> None:
    row = {"hash": uuid.uuid4().bytes, "session_id": session_id, "created_at": NOW, "expires_at": expires_at}
    connection.execute(insert(tables.refresh_tokens).values(**row))


def one_time_token(connection: Connection, user: UUID, expires_at: datetime.datetime) -> None:
    row = {"hash": uuid.uuid4().bytes, "user_id": user, "purpose": "reset", "created_at": NOW, "expires_at": expires_at}
    connection.execute(insert(tables.one_time_tokens).values(**row))


def login_attempt(connection: Connection, last_at: datetime.datetime) -> None:
    connection.execute(insert(tables.login_attempts).values(key=uuid.uuid4().bytes, failures=1, last_at=last_at))


def invite(connection: Connection, expires_at: datetime.datetime) -> None:
    connection.execute(insert(tables.invites).values(hash=uuid.uuid4().bytes, created_at=NOW, expires_at=expires_at))


def personal_token(connection: Connection, user: UUID, expires_at: datetime.datetime | None) -> None:
    row = {"id": uuid.uuid4(), "user_id": user, "hash": uuid.uuid4().bytes, "name": "script", "scope": "read", "created_at": NOW}
    connection.execute(insert(tables.personal_tokens).values(**row, expires_at=expires_at))


def plant(connection: Connection, kind: Kind, over_at: datetime.datetime) -> None:
    """One row of `kind` that was over at this moment, and what it needs to hang on."""
    ledger = postings.ledger(connection)
    user: UUID = connection.execute(select(tables.ledgers.c.owner_id).where(tables.ledgers.c.id == ledger)).scalar_one()
    if kind is horizons.OUTBOX:
        attempt(connection, ledger, message(connection, ledger, over_at), over_at)
    elif kind is horizons.ATTEMPTS:
        attempt(connection, ledger, message(connection, ledger, NOW), over_at)
    elif kind is horizons.SESSIONS:
        refresh_token(connection, session(connection, user, over_at), NOW)
    elif kind is horizons.REFRESH_TOKENS:
        refresh_token(connection, session(connection, user, NOW), over_at)
    elif kind is horizons.ONE_TIME_TOKENS:
        one_time_token(connection, user, over_at)
    elif kind is horizons.LOGIN_ATTEMPTS:
        login_attempt(connection, over_at)
    elif kind is horizons.INVITES:
        invite(connection, over_at)
    elif kind is horizons.MAIL_EVENTS:
        row = {"id": uuid.uuid4().hex, "user_id": user, "kind": "bounced", "at": over_at}
        connection.execute(insert(tables.mail_events).values(row))
    elif kind is horizons.PERSONAL_TOKENS:
        personal_token(connection, user, over_at)
    else:
        rejection(connection, ledger, over_at)


TABLES: dict[Kind, tuple[Table, ...]] = {
    horizons.OUTBOX: (tables.outbox, tables.delivery_attempts),
    horizons.ATTEMPTS: (tables.delivery_attempts,),
    horizons.SESSIONS: (tables.sessions, tables.refresh_tokens),
    horizons.REFRESH_TOKENS: (tables.refresh_tokens,),
    horizons.ONE_TIME_TOKENS: (tables.one_time_tokens,),
    horizons.REJECTIONS: (tables.rejections,),
    horizons.LOGIN_ATTEMPTS: (tables.login_attempts,),
    horizons.INVITES: (tables.invites,),
    horizons.PERSONAL_TOKENS: (tables.personal_tokens,),
    horizons.MAIL_EVENTS: (tables.mail_events,),
}


def count(database: Engine, table: Table) -> int:
    with database.connect() as connection:
        found: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return found


def report(removed: list[retention.Removed]) -> dict[str, int]:
    return {each.kind.name: each.rows for each in removed if each.rows}


@pytest.mark.parametrize("kind", horizons.KINDS, ids=lambda kind: kind.name)
def test_one_second_either_side_of_the_horizon(database: Engine, begin: Begin, kind: Kind) -> None:
    horizon = timedelta(days=kind.default_days)
    with database.begin() as connection:
        plant(connection, kind, NOW - horizon - SECOND)
        plant(connection, kind, NOW - horizon + SECOND)
        plant(connection, kind, NOW - horizon)
    assert report(retention.remove(begin, DEFAULT, NOW)) == {kind.name: 1}
    assert [count(database, table) for table in TABLES[kind]] == [2] * len(TABLES[kind])
    assert report(retention.remove(begin, DEFAULT, NOW)) == {}


@pytest.mark.parametrize("kind", horizons.KINDS, ids=lambda kind: kind.name)
def test_no_horizon_keeps_for_ever(database: Engine, begin: Begin, kind: Kind) -> None:
    with database.begin() as connection:
        plant(connection, kind, NOW - timedelta(days=3650))
    keep = horizons.horizons({kind.setting: "none"})
    removed = {each.kind: each for each in retention.remove(begin, {**DEFAULT, kind: keep[kind]}, NOW)}
    if kind is not horizons.OUTBOX:  # its attempts have a horizon of their own
        assert [count(database, table) for table in TABLES[kind]] == [1] * len(TABLES[kind])
    assert (count(database, TABLES[kind][0]), removed[kind].before) == (1, None)


def test_batches_until_a_short_one(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        for _ in range(7):
            plant(connection, horizons.ONE_TIME_TOKENS, NOW - timedelta(days=8))
    removed = {each.kind: each for each in retention.remove(begin, DEFAULT, NOW, batch_rows=3)}
    assert (removed[horizons.ONE_TIME_TOKENS].rows, removed[horizons.ONE_TIME_TOKENS].batches) == (7, 3)
    assert count(database, tables.one_time_tokens) == 0


def test_what_waits_to_be_sent_stays_however_old(database: Engine, begin: Begin) -> None:
    long_ago = NOW - timedelta(days=3650)
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        waiting = message(connection, ledger, None)
        connection.execute(update(tables.outbox).values(created_at=long_ago, next_at=long_ago))
        attempt(connection, ledger, waiting, long_ago)
    assert report(retention.remove(begin, DEFAULT, NOW)) == {}


def test_a_personal_token_without_an_end_stays(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        owner = connection.execute(select(tables.ledgers.c.owner_id).where(tables.ledgers.c.id == ledger)).scalar_one()
        personal_token(connection, owner, None)
    assert report(retention.remove(begin, DEFAULT, NOW + timedelta(days=3650))) == {}
    assert count(database, tables.personal_tokens) == 1


def test_of_one_ledger_the_latest_rejections_stay(database: Engine, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizons, "REJECTIONS_PER_LEDGER", 3)
    with database.begin() as connection:
        crowded, quiet = postings.ledger(connection), postings.ledger(connection)
        for age in range(8):
            rejection(connection, crowded, NOW - timedelta(hours=age))
        for age in range(3):
            rejection(connection, quiet, NOW - timedelta(hours=age))
    assert report(retention.remove(begin, DEFAULT, NOW, batch_rows=2)) == {"rejections": 5}
    with database.connect() as connection:
        kept: Any = connection.scalars(select(tables.rejections.c.at).where(tables.rejections.c.ledger_id == crowded))
        assert sorted(kept) == [NOW - timedelta(hours=2), NOW - timedelta(hours=1), NOW]
    assert count(database, tables.rejections) == 6


def test_a_message_revived_meanwhile_is_not_removed(database: Engine, begin: Begin) -> None:
    """Its key came again after the batch was chosen: what was finished is pending once more."""
    old = NOW - timedelta(days=31)
    with database.begin() as connection:
        message(connection, postings.ledger(connection), old, "suppressed")
    with database.begin() as reviver:
        reviver.execute(update(tables.outbox).values(state="pending", finished_at=None))
        removal = threading.Thread(target=retention.remove, args=(begin, DEFAULT, NOW))
        removal.start()
        postings.until(lambda: postings.waiting(database) == 1)
    removal.join(timeout=10)
    assert count(database, tables.outbox) == 1
