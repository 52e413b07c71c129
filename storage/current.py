"""Resources as they are now, many at once: what requests that write have just changed."""

import datetime
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import psycopg

from storage import allocation, arrays
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
    for ledger, version, materialized, *balance in await reader.rows(CURRENT_OF_MANY, {"ledgers": arrays.of(ledgers)}, ledgers):
        of_ledger = found.setdefault(ledger, Balances(version, materialized, []))
        if balance[0] is not None:
            contact_id, currency, amount = balance
            of_ledger.items.append((contact_id, currency, amount))
    return found


async def transactions(reader: Reader, places: Sequence[Place]) -> dict[Place, Transaction]:
    """Those of `places` that there are."""
    return _found(await reader.rows(TRANSACTIONS, _parameters(places), {ledger for ledger, _ in places}))


async def ask(connection: psycopg.AsyncConnection[tuple[Any, ...]], places: Sequence[Place]) -> "Answer":
    """The same in a transaction that sees their ledgers: in a pipeline the answer can be read when that has been committed."""
    return Answer(await connection.execute(TRANSACTIONS, _parameters(places)) if places else None)


class Answer:
    """Transactions that were asked for."""

    def __init__(self, cursor: psycopg.AsyncCursor[tuple[Any, ...]] | None) -> None:
        self._cursor = cursor

    async def read(self) -> dict[Place, Transaction]:
        """Those that there are."""
        return {} if self._cursor is None else _found(await self._cursor.fetchall())


def _parameters(places: Sequence[Place]) -> dict[str, str]:
    return {"ledgers": arrays.of(ledger for ledger, _ in places), "ids": arrays.of(one for _, one in places)}


def _found(rows: Rows) -> dict[Place, Transaction]:
    return {(ledger, found[0]): Transaction(*found) for ledger, *found in rows}


_SHOWN: Final = ", ".join(f"wanted.{name}" for name in Transaction._fields if name != "open_amount")
TRANSACTIONS: Final = f"""
    with wanted as materialized (
        select found.*, {allocation.ripe("found")} as ripe
        from unnest(%(ledgers)s::uuid[], %(ids)s::uuid[]) place (ledger_id, id)
        cross join lateral (
            select * from debitum.transactions its where its.ledger_id = place.ledger_id and its.id = place.id limit 1
        ) found
    ), tails as materialized (
        select wrote.ledger_id, tail.*
        from (select distinct ledger_id from wanted where type = 'money' and deleted_seq is null) wrote
        left join debitum.projection_marks mark on mark.ledger_id = wrote.ledger_id
        cross join lateral (
            select contact_id, currency, sum(amount) as amount
            from debitum.postings its
            where its.ledger_id = wrote.ledger_id
              and its.seq > case when mark.covered_seq is null then 0 else mark.covered_seq end
            group by contact_id, currency
        ) tail
    )
    select wanted.ledger_id, {_SHOWN},
           case when wanted.deleted_seq is not null or wanted.returned_at is not null then 0
                when wanted.type = 'item' then wanted.amount
                else {allocation.open_amount("wanted", balance="balance.amount")} end::bigint
    from wanted
    cross join lateral (
        select coalesce(sum(amount), 0) as amount
        from (
            select amount from debitum.balances its
            where its.ledger_id = wanted.ledger_id and its.contact_id = wanted.contact_id and its.currency = wanted.currency
            union all
            select amount from tails its
            where its.ledger_id = wanted.ledger_id and its.contact_id = wanted.contact_id and its.currency = wanted.currency
        ) part
    ) balance
"""  # noqa: S608 - our own names
"""Each step looks its rows up by a key, whatever the planner believes of tables that it does not know yet."""
