"""Resources as they are now, many at once: what requests that write have just changed."""

import datetime
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import Column, Uuid, and_, func, literal_column, select, true
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from storage import allocation, tables
from storage.balances import CURRENT_OF_MANY
from storage.reader import Reader, Rows

Place = tuple[UUID, UUID]
"""The ids of a ledger and of something in it."""


class Transaction(NamedTuple):
    """A row of transactions, live or deleted, and how much of it is open (0 where it is deleted)."""

    id: UUID
    contact_id: UUID
    type: Literal["money", "item"]
    direction: Literal["lent", "owed"]
    amount: int
    currency: str | None
    item: str | None
    description: str | None
    transaction_date: datetime.date
    due_date: datetime.date | None
    repays: UUID | None
    returned_at: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    deleted_at: datetime.datetime | None
    changed_seq: int
    open_amount: int


class Balances(NamedTuple):
    """What is not zero: (contact, currency, minor units), at a version of the ledger; up to which version Dagster has summed."""

    version: int
    materialized_version: int
    items: list[tuple[UUID, str, int]]


async def balances(reader: Reader, ledgers: Sequence[UUID]) -> dict[UUID, Balances]:
    """Of each of these ledgers, by contact and currency."""
    found: dict[UUID, Balances] = {}
    for ledger, version, materialized, *balance in await reader.rows(CURRENT_OF_MANY, {"ledgers": list(ledgers)}, ledgers):
        of_ledger = found.setdefault(ledger, Balances(version, materialized, []))
        if balance[0] is not None:
            contact_id, currency, amount = balance
            of_ledger.items.append((contact_id, currency, amount))
    return found


async def transactions(reader: Reader, places: Sequence[Place]) -> dict[Place, Transaction]:
    """Those of `places` that there are."""
    return _found(await reader.rows(_TRANSACTIONS, _parameters(places), {ledger for ledger, _ in places}))


async def ask(connection: psycopg.AsyncConnection[tuple[Any, ...]], places: Sequence[Place]) -> "Answer":
    """The same in a transaction that sees their ledgers: in a pipeline the answer can be read when that has been committed."""
    return Answer(await connection.execute(_TRANSACTIONS, _parameters(places)) if places else None)


class Answer:
    """Transactions that were asked for."""

    def __init__(self, cursor: psycopg.AsyncCursor[tuple[Any, ...]] | None) -> None:
        self._cursor = cursor

    async def read(self) -> dict[Place, Transaction]:
        """Those that there are."""
        return {} if self._cursor is None else _found(await self._cursor.fetchall())


def _parameters(places: Sequence[Place]) -> dict[str, Any]:
    return {"ledgers": [ledger for ledger, _ in places], "ids": [one for _, one in places]}


def _found(rows: Rows) -> dict[Place, Transaction]:
    return {(ledger, found[0]): Transaction(*found) for ledger, *found in rows}


_ALLOCATED: Final = (
    "ledger_id",
    "id",
    "created_seq",
    "deleted_seq",
    "contact_id",
    "type",
    "direction",
    "amount",
    "currency",
    "transaction_date",
    "due_date",
    "repays",
    "returned_at",
)
"""The columns that storage.allocation looks at: the others would be carried through all of its steps."""


def _transactions() -> str:
    """Each step looks its rows up by a key, whatever the planner believes of tables that it does not know yet."""
    its = tables.transactions
    wanted = (
        func.unnest(literal_column("<ledgers>"), literal_column("<ids>"))
        .table_valued(Column("ledger_id", Uuid), Column("id", Uuid))
        .render_derived()
    )
    found = select(its).where(its.c.ledger_id == wanted.c.ledger_id, its.c.id == wanted.c.id).limit(1).lateral()
    rows = select(*found.c).select_from(wanted).join(found, true()).cte("rows").prefix_with("materialized")
    accounts = select(rows.c.ledger_id, rows.c.contact_id).distinct().subquery()
    of_account = (
        select(*(its.c[name] for name in _ALLOCATED))
        .where(its.c.ledger_id == accounts.c.ledger_id, its.c.contact_id == accounts.c.contact_id)
        .offset(0)
        .lateral()
    )
    beside = select(*of_account.c).select_from(accounts).join(of_account, true()).subquery()
    opened = allocation.open_amounts(source=beside).subquery()
    shown = [rows.c[name] for name in Transaction._fields if name != "open_amount"]
    query = select(rows.c.ledger_id, *shown, func.coalesce(opened.c.open_amount, 0)).select_from(
        rows.outerjoin(opened, and_(opened.c.ledger_id == rows.c.ledger_id, opened.c.transaction_id == rows.c.id))
    )
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy says nothing of it
    compiled = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return compiled.replace("<ledgers>", "%(ledgers)s::uuid[]").replace("<ids>", "%(ids)s::uuid[]")


_TRANSACTIONS: Final = _transactions()
