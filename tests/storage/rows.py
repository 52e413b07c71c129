"""Writes rows of users and ledgers directly, for tests of what reads them; the write path has tests of its own."""

import datetime
import os
import uuid
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, insert

from domain import recurrence
from storage import tables

LONG_AGO = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Ledger:
    """A user with a ledger and one contact; each call adds a live row and returns its id."""

    connection: Connection
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    user_id: uuid.UUID = field(default_factory=uuid.uuid4)
    seq: int = 0

    def contact(self, name: str = "Ada", **columns: Any) -> uuid.UUID:
        """A contact."""
        return self._entity(tables.contacts, {"name": name, **columns})

    def money(self, contact_id: uuid.UUID, amount: int = 2_000, direction: str = "lent", **columns: Any) -> uuid.UUID:
        """A money transaction; `due_date` may stand without due_changed_at."""
        defaults = {"type": "money", "currency": "EUR", "transaction_date": datetime.date(2026, 1, 1)}
        return self._transaction({**defaults, "contact_id": contact_id, "amount": amount, "direction": direction, **columns})

    def item(self, contact_id: uuid.UUID, item: str = "Drill", **columns: Any) -> uuid.UUID:
        """A thing that is lent."""
        defaults = {"type": "item", "amount": 1, "direction": "lent", "transaction_date": datetime.date(2026, 1, 1)}
        return self._transaction({**defaults, "contact_id": contact_id, "item": item, **columns})

    def reminder(self, remind_at: datetime.datetime, **columns: Any) -> uuid.UUID:
        """An explicit reminder; `repeat` may stand without what follows from it."""
        if (rule := columns.get("repeat")) is not None:
            columns = {
                "repeat_days": recurrence.marks(rule, remind_at),
                "repeat_until": recurrence.last_day(rule, remind_at),
            } | columns
        defaults = {"time_zone": "UTC", "channels": ["email"], "schedule_changed_at": LONG_AGO}
        return self._entity(tables.reminders, {**defaults, "remind_at": remind_at, **columns})

    def _transaction(self, columns: dict[str, Any]) -> uuid.UUID:
        if columns.get("due_date") is not None:
            columns.setdefault("due_changed_at", LONG_AGO)
        return self._entity(tables.transactions, columns)

    def _entity(self, table: Table, columns: dict[str, Any]) -> uuid.UUID:
        self.seq += 1
        standard = {
            "ledger_id": self.id,
            "created_seq": self.seq,
            "created_at": LONG_AGO,
            "changed_seq": self.seq,
            "updated_at": LONG_AGO,
            "marks": {},
        }
        if columns.get("deleted_seq") is not None:
            columns.setdefault("deleted_at", LONG_AGO)
        entity_id: uuid.UUID = columns.setdefault("id", uuid.uuid4())
        self.connection.execute(insert(table).values(standard | columns))
        return entity_id


def ledger(
    connection: Connection,
    *,
    settings: dict[str, Any] | None = None,
    begun: datetime.datetime = LONG_AGO,
    **columns: Any,
) -> Ledger:
    """A verified user in UTC, with a ledger since `begun`; `settings` is reminder_settings, `columns` are of the user."""
    created = Ledger(connection)
    user = {
        "id": created.user_id,
        "ledger_id": created.id,
        "email": f"{created.user_id}@example.org",
        "email_verified_at": LONG_AGO,
        "password_hash": "-",
        "time_zone": "UTC",
        "locale": "en-GB",
        "default_currency": "EUR",
        "reminder_settings": {"channels": ["email"]} if settings is None else settings,
        "created_at": LONG_AGO,
    }
    connection.execute(insert(tables.users).values(user | columns))
    connection.execute(
        insert(tables.ledgers).values(id=created.id, owner_id=created.user_id, data_key=os.urandom(32), created_at=begun)
    )
    return created
