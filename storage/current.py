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


class Contact(NamedTuple):
    """A row of contacts, live or deleted, with its balances ({"currency", "amount"}, not zero) and how many things are away.

    `phone` and `email` are sealed by the ledger's data key, which is sealed as well.
    """

    id: UUID
    name: str
    username: str | None
    phone: bytes | None
    email: bytes | None
    notes: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    deleted_at: datetime.datetime | None
    changed_seq: int
    balances: list[dict[str, Any]]
    open_items: int
    data_key: bytes


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


async def contacts(reader: Reader, places: Sequence[Place]) -> dict[Place, Contact]:
    """Those of `places` that there are."""
    rows = await reader.rows(CONTACTS, _parameters(places), {ledger for ledger, _ in places})
    return {(ledger, found[0]): Contact(*found) for ledger, *found in rows}


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


def _wanted(table: str, more: str = "") -> str:
    """The rows of `table` that are asked for, each with what `more` selects of it."""
    return f"""wanted as materialized (
        select found.*{more}
        from unnest(%(ledgers)s::uuid[], %(ids)s::uuid[]) place (ledger_id, id)
        cross join lateral (
            select * from debitum.{table} its where its.ledger_id = place.ledger_id and its.id = place.id limit 1
        ) found
    )"""  # noqa: S608 - our own names


def _tails(wrote: str) -> str:
    """What Dagster has not summed yet, of the ledgers that `wrote` names."""
    return f"""tails as materialized (
        select wrote.ledger_id, tail.*
        from (select distinct ledger_id from {wrote}) wrote
        left join debitum.projection_marks mark on mark.ledger_id = wrote.ledger_id
        cross join lateral (
            select contact_id, currency, sum(amount) as amount
            from debitum.postings its
            where its.ledger_id = wrote.ledger_id
              and its.seq > case when mark.covered_seq is null then 0 else mark.covered_seq end
            group by contact_id, currency
        ) tail
    )"""  # noqa: S608 - our own names


_OF_CONTACT: Final = ", ".join(f"wanted.{name}" for name in Contact._fields[:-3])
CONTACTS: Final = f"""
    with {_wanted("contacts")}, {_tails("wanted")}
    select wanted.ledger_id, {_OF_CONTACT}, account.balances, away.open_items, ledger.data_key
    from wanted
    cross join lateral (select data_key from debitum.ledgers its where its.id = wanted.ledger_id limit 1) ledger
    cross join lateral (
        select coalesce(json_agg(json_build_object('currency', currency, 'amount', amount) order by currency), '[]') as balances
        from (
            select currency, sum(amount)::bigint as amount
            from (
                select currency, amount from debitum.balances its
                where its.ledger_id = wanted.ledger_id and its.contact_id = wanted.id
                union all
                select currency, amount from tails its
                where its.ledger_id = wanted.ledger_id and its.contact_id = wanted.id
            ) part
            group by currency having sum(amount) <> 0
        ) sums
    ) account
    cross join lateral (
        select count(*) as open_items from debitum.transactions its
        where its.ledger_id = wanted.ledger_id and its.contact_id = wanted.id
          and its.type = 'item' and its.deleted_seq is null and its.returned_at is null
    ) away
"""  # noqa: S608 - our own names
_SHOWN: Final = ", ".join(f"wanted.{name}" for name in Transaction._fields if name != "open_amount")
TRANSACTIONS: Final = f"""
    with {_wanted("transactions", f", {allocation.ripe('found')} as ripe")},
         {_tails("wanted where type = 'money' and deleted_seq is null")}
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
