"""A row of a user in every table there is, made of what the tables say of themselves; each value of a row names the user."""

import datetime
import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    insert,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.types import TypeEngine

from storage import tables

NOW: Final = datetime.datetime(2026, 11, 22, 2, 0, tzinfo=datetime.UTC)
NOBODYS: Final = {
    "login_attempts": "a keyed hash of what somebody signed in as: nobody can say whose, and it is gone after a day",
    "circuits": "says of a provider that it refuses everybody",
    "erasures": "says that somebody was erased, and not who",
    "alembic_version": "the revision of the schema",
}
"""Tables in which no row belongs to a user, and why."""
CHOSEN: Final[dict[str, dict[str, Any]]] = {
    "users": {"deleting_at": None},
    "ledgers": {"version": 0},
    "events": {"aggregate_type": "contact", "event_type": "CREATED", "status": "accepted", "fact": "{name}"},
    "transactions": {"type": "item", "direction": "lent", "currency": None, "item": "{name}"},
    "reminders": {"channels": ["email"], "remind_at": NOW},
    "conflicts": {"aggregate_type": "contact", "kind": "edit"},
    "outbox": {"channel": "email"},
    "one_time_tokens": {"purpose": "reset"},
    "personal_tokens": {"scope": "read"},
    "mail_events": {"kind": "bounced"},
    "invites": {"email": "{email}"},
}
"""What a constraint asks for; every other column that must have a value gets one of its type."""


@dataclass
class Person:
    """A user whose ids, digests and texts all begin with the same eight letters, `name`."""

    name: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def user_id(self) -> UUID:
        return UUID(f"{self.name}-0000-4000-8000-00000000000a")

    @property
    def ledger_id(self) -> UUID:
        return UUID(f"{self.name}-0000-4000-8000-00000000000b")

    @property
    def email(self) -> str:
        return f"{self.name}@example.org"

    def id(self) -> UUID:
        return UUID(f"{self.name}-0000-4000-9000-{next(self.numbers):012d}")

    def value(self, kind: TypeEngine[Any]) -> Any:
        """Something of this type."""
        if isinstance(kind, Uuid):
            return self.id()
        if isinstance(kind, LargeBinary):
            return bytes.fromhex(self.name) + bytes(24) + next(self.numbers).to_bytes(4, "big")
        if isinstance(kind, DateTime | Date):
            return NOW
        if isinstance(kind, Boolean):
            return False
        if isinstance(kind, JSONB):
            return {"of": self.name}
        if isinstance(kind, ARRAY | TSVECTOR):
            raise NotImplementedError("say in CHOSEN what it holds")
        if isinstance(kind, BigInteger | SmallInteger | Integer | Numeric):
            return 1
        assert isinstance(kind, Text), kind
        return f"{self.name} {next(self.numbers)}"


def fill(connection: Connection, name: str) -> Person:
    """One row of a new user in every table that is not NOBODYS; `name` is eight hexadecimal digits, and the mark of each row."""
    person, parents = Person(name), dict[str, Any]()
    for table in tables.metadata.sorted_tables:
        if table.name not in NOBODYS:
            row = {column.name: _value(table, column, person, parents) for column in table.c if _is_needed(table, column)}
            connection.execute(insert(table).values(row))
            parents |= {f"{table.name}.{column}": value for column, value in row.items()}
    return person


def rows(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table of the schema as a text, also of tables that the code does not know."""
    names = connection.scalars(
        text("select tablename from pg_tables where schemaname = :schema"), {"schema": tables.SCHEMA}
    ).all()
    return {name: list(connection.scalars(text(f"select t::text from debitum.{name} t order by 1"))) for name in names}


def _is_needed(table: Table, column: "Column[Any]") -> bool:
    return column.name in CHOSEN.get(table.name, {}) or not (column.nullable or column.server_default is not None)


def _value(table: Table, column: "Column[Any]", person: Person, parents: dict[str, Any]) -> Any:
    for key in column.foreign_keys:
        return parents[key.target_fullname.removeprefix(f"{tables.SCHEMA}.")]
    chosen = CHOSEN.get(table.name, {})
    if column.name in chosen:
        value = chosen[column.name]
        return value.format(name=person.name, email=person.email) if isinstance(value, str) else value
    if column.name in ("ledger_id", "email") or (table.name, column.name) in (("users", "id"), ("ledgers", "id")):
        of = {
            "ledger_id": person.ledger_id,
            "email": person.email,
            "id": {"users": person.user_id}.get(table.name, person.ledger_id),
        }
        return of[column.name]
    return person.value(column.type)


def new_name() -> str:
    """The mark of somebody new."""
    return uuid.uuid4().hex[:8]
