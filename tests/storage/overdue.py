"""Rows of every kind that retention removes, over at whatever time a test says."""

import datetime
import uuid
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, Table, func, insert, select

from domain import retention as horizons
from domain.retention import Kind
from storage import retention, tables
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


def count(database: Engine, table: Table) -> int:
    with database.connect() as connection:
        found: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return found


def report(removed: list[retention.Removed]) -> dict[str, int]:
    return {each.kind.name: each.rows for each in removed if each.rows}
