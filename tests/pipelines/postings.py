"""Ledgers and postings put straight into Postgres: the parts under test only read them, and know nothing of who wrote them."""

import datetime
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, insert, text

from storage import tables

BEGINNING: Final = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Posting:
    """One line of a fact; `at` is when the fact was recorded."""

    contact: UUID
    amount: int
    currency: str = "EUR"
    at: datetime.datetime = BEGINNING


def ledger(connection: Connection, *, created_at: datetime.datetime = BEGINNING, id: UUID | None = None) -> UUID:
    """A user and the empty ledger that they own."""
    ledger_id, owner_id = id or uuid.uuid4(), uuid.uuid4()
    connection.execute(
        insert(tables.users).values(
            id=owner_id,
            ledger_id=ledger_id,
            email=f"{owner_id}@example.org",
            password_hash="-",
            time_zone="UTC",
            locale="en",
            default_currency="EUR",
            reminder_settings={},
            created_at=created_at,
        )
    )
    connection.execute(insert(tables.ledgers).values(id=ledger_id, owner_id=owner_id, data_key=b"", created_at=created_at))
    return ledger_id


def commit(connection: Connection, ledger_id: UUID, *postings: Posting) -> int:
    """One fact of the ledger with these postings (none: a fact that moves no money); its seq."""
    recorded_at = postings[-1].at if postings else BEGINNING
    seq: int = connection.execute(_MOVE_HEAD, {"ledger": ledger_id, "at": recorded_at, "hash": bytes(32)}).scalar_one()
    lines = [
        {
            "ledger_id": ledger_id,
            "seq": seq,
            "line": line,
            "contact_id": posting.contact,
            "transaction_id": uuid.uuid4(),
            "currency": posting.currency,
            "amount": posting.amount,
            "effective_date": posting.at.date(),
            "recorded_at": posting.at,
        }
        for line, posting in enumerate(postings)
    ]
    if lines:
        connection.execute(_INSERT, lines)
    return seq


_MOVE_HEAD: Final = text(
    "update debitum.ledgers set version = version + 1, dirty = true, head_hash = :hash, recorded_at = :at "
    "where id = :ledger returning version"
)
_INSERT: Final = insert(tables.postings)


def waiting(database: Engine) -> int:
    """How many backends of this database wait for a lock."""
    waiters = text("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
    with database.connect() as connection:
        count: int = connection.execute(waiters).scalar_one()
    return count


def until(happened: Callable[[], bool]) -> None:
    """Return when it has happened; half a minute is more than any of it takes, on a busy machine too."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
