"""Transactions: money and things that changed hands."""

import datetime
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from api import commands, paging, problems, services
from api.paging import Items
from api.routing import Call, Nothing, Reply, Routes
from domain import decide, facts
from storage import projections

routes = Routes("transactions")
KIND: facts.AggregateType = "transaction"
_CODES = ("unknown_contact", "unknown_aggregate", "repays_mismatch", "balance_out_of_range")
_KEYS: dict[str, Any] = {"date": datetime.date, "recent": paging.Number, "due": datetime.date}


class TransactionCreate(facts.TransactionCreated, frozen=True):
    """A new transaction; `id` is the client's choice where it has one."""

    id: UUID | UnsetType = UNSET


class Transaction(Struct, frozen=True):
    """Money in minor units, or things; `open_amount` is what is not yet repaid or returned of it."""

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
    returned_at: str | None
    open_amount: int
    created_at: str
    updated_at: str
    deleted_at: str | None
    version: int


class TransactionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`from` and `to` are of transaction_date, both inclusive."""

    contact_id: UUID | None = None
    type: Literal["money", "item"] | None = None
    direction: Literal["lent", "owed"] | None = None
    currency: facts.CurrencyCode | None = None
    first: datetime.date | None = field(default=None, name="from")
    last: datetime.date | None = field(default=None, name="to")
    open: bool | None = None
    overdue: bool = False
    search: facts.Text | None = None
    sort: Literal["date", "recent", "due"] = "date"
    include: Literal["deleted"] | None = None
    changed_since: facts.Seq | None = None
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: str | None = None


def _transaction(row: projections.Record, open_amounts: Mapping[UUID, int]) -> Transaction:
    return Transaction(
        id=row.id,
        contact_id=row.contact_id,
        type=row.type,
        direction=row.direction,
        amount=row.amount,
        currency=row.currency,
        item=row.item,
        description=row.description,
        transaction_date=row.transaction_date,
        due_date=row.due_date,
        repays=row.repays,
        returned_at=None if row.returned_at is None else facts.wire_time(row.returned_at),
        open_amount=open_amounts.get(row.id, 0),
        created_at=facts.wire_time(row.created_at),
        updated_at=facts.wire_time(row.updated_at),
        deleted_at=None if row.deleted_at is None else facts.wire_time(row.deleted_at),
        version=row.changed_seq,
    )


async def _represent(call: Call[Any, Any], transaction_id: UUID) -> Transaction:
    async with call.reading() as connection:
        row = await projections.transaction(connection, call.caller.ledger_id, transaction_id)
        if row is None:
            raise problems.NotFound("there is no such transaction")
        return _transaction(row, await projections.open_amounts(connection, call.caller.ledger_id, {row.contact_id}))


@routes.add(
    "POST",
    "/api/transactions",
    answer=Transaction,
    status=201,
    body=TransactionCreate,
    codes=("already_exists", *_CODES),
    replays=True,
)
async def create(call: Call[TransactionCreate, Nothing]) -> Reply:
    """Record that money or a thing changed hands."""
    return await commands.create(call, KIND, _represent)


@routes.add("GET", "/api/transactions", answer=Items[Transaction], query=TransactionQuery)
async def listed(call: Call[None, TransactionQuery]) -> Reply:
    """Transactions, a page at a time, the newest first."""
    query, caller = call.query, call.caller
    today = decide.today(facts.wire_time(services.now()), caller.defaults.time_zone)
    wanted = projections.TransactionFilter(
        contact_id=query.contact_id,
        type=query.type,
        direction=query.direction,
        currency=query.currency,
        first=query.first,
        last=query.last,
        open=query.open,
        overdue_on=today if query.overdue else None,
        search=query.search,
        sort=query.sort,
        deleted=query.include == "deleted",
        changed_since=query.changed_since,
    )
    page = paging.page(query.limit, query.cursor, _KEYS[query.sort])
    async with call.reading() as connection:
        found = await projections.transactions(connection, caller.ledger_id, wanted, page)
        amounts = await projections.open_amounts(connection, caller.ledger_id, {row.contact_id for row in found.rows})
    return Reply(Items([_transaction(row, amounts) for row in found.rows], paging.cursor(found.next)))


@routes.add("GET", "/api/transactions/{id}", answer=Transaction)
async def read(call: Call[None, Nothing]) -> Reply:
    """One transaction, also when it is deleted."""
    transaction = await _represent(call, call.path["id"])
    return Reply(transaction, headers={"ETag": f'"{transaction.version}"'})


_UPDATE_CODES = (*_CODES, "edit", "edit_of_deleted")


@routes.add(
    "POST", "/api/transactions/{id}", answer=Transaction, body=facts.TransactionUpdated, codes=_UPDATE_CODES, replays=True
)
@routes.add(
    "PATCH", "/api/transactions/{id}", answer=Transaction, body=facts.TransactionUpdated, codes=_UPDATE_CODES, replays=True
)
async def update(call: Call[facts.TransactionUpdated, Nothing]) -> Reply:
    """Change the members that are sent; null clears."""
    return await commands.update(call, KIND, _represent)


@routes.add("DELETE", "/api/transactions/{id}", status=204, codes=("delete_vs_edit",), replays=True)
async def delete(call: Call[None, Nothing]) -> Reply:
    """Delete a transaction with its reminders; its repayments are no longer linked."""
    return await commands.delete(call, KIND, _represent)


@routes.add("POST", "/api/transactions/{id}/restore", answer=Transaction, replays=True)
async def restore(call: Call[None, Nothing]) -> Reply:
    """Bring back what the deletion took."""
    return await commands.restore(call, KIND, _represent)
