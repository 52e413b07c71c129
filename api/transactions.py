"""Transactions: money and things that changed hands."""

import contextlib
import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from api import commands, idempotency, paging, problems, services
from api.paging import Items
from api.routing import Call, Nothing, Reply, Routes
from domain import decide, errors, facts, ids
from storage import current, events, projections
from storage.ledgers import Moved, Push, Receipt
from storage.pages import Record

routes = Routes("transactions")
KIND: facts.AggregateType = "transaction"
_CODES = ("unknown_contact", "unknown_aggregate", "repays_mismatch", "balance_out_of_range")
_LOOKS = 8
"""How often the open amount is read anew because another change came between the look and the repayment."""
_ORDERS = {
    "date": paging.Order("transactions by date", datetime.date),
    "recent": paging.Order("transactions by recent", paging.Number),
    "due": paging.Order("transactions by due", datetime.date),
}


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


class Return(Struct, frozen=True, forbid_unknown_fields=True):
    """When a thing came back; by default now."""

    returned_at: facts.Moment | UnsetType = UNSET


class Repay(Struct, frozen=True, forbid_unknown_fields=True):
    """What was repaid, by default all that is open; `id` is that of the repayment, where the client has one."""

    id: UUID | UnsetType = UNSET
    amount: facts.Amount | UnsetType = UNSET
    transaction_date: datetime.date | UnsetType = UNSET


class TransactionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`from` and `to` are of transaction_date, both inclusive. `overdue`: due before today in the user's zone, and still open."""

    contact_id: UUID | None = None
    type: Literal["money", "item"] | None = None
    direction: Literal["lent", "owed"] | None = None
    currency: facts.CurrencyCode | None = None
    first: datetime.date | None = field(default=None, name="from")
    last: datetime.date | None = field(default=None, name="to")
    open: bool | None = None
    overdue: bool | None = None
    search: facts.Text | None = None
    sort: Literal["date", "recent", "due"] = "date"
    include: Literal["deleted"] | None = None
    changed_since: facts.Seq | None = None
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


def shown(row: Record | current.Transaction, open_amount: int) -> Transaction:
    """A row of transactions as clients see it."""
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
        open_amount=open_amount,
        created_at=facts.wire_time(row.created_at),
        updated_at=facts.wire_time(row.updated_at),
        deleted_at=None if row.deleted_at is None else facts.wire_time(row.deleted_at),
        version=row.changed_seq,
    )


async def _represent(call: Call[Any, Any], transaction_id: UUID, receipt: Receipt | None = None) -> Transaction:
    found = None if receipt is None else receipt.shown
    if found is None or found.id != transaction_id:
        found = await call.services.transactions.get((call.caller.ledger_id, transaction_id))
    if found is None:
        raise problems.NotFound("there is no such transaction")
    return shown(found, found.open_amount)


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
    """Transactions, a page at a time: by `sort`, the newest first or what is due first."""
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
        overdue=query.overdue,
        today=today,
        search=query.search,
        sort=query.sort,
        deleted=query.include == "deleted",
        changed_since=query.changed_since,
    )
    order = _ORDERS[query.sort]
    page = order.page(query.limit, query.cursor)
    async with call.reading() as connection:
        found = await projections.transactions(connection, caller.ledger_id, wanted, page)
        amounts = await projections.open_amounts(connection, caller.ledger_id, found.rows)
    return Reply(Items([shown(row, amounts.get(row.id, 0)) for row in found.rows], order.cursor(found.next)))


@routes.add("GET", "/api/transactions/{id}", answer=Transaction)
async def read(call: Call[None, Nothing]) -> Reply:
    """One transaction, also when it is deleted."""
    transaction = await _represent(call, call.path["id"])
    return Reply(transaction, headers={"ETag": f'"{transaction.version}"'})


_UPDATE_CODES = (*_CODES, "edit", "edit_of_deleted", *commands.SETTLING)


@routes.add(
    "POST", "/api/transactions/{id}", answer=Transaction, body=facts.TransactionUpdated, codes=_UPDATE_CODES, replays=True
)
@routes.add(
    "PATCH", "/api/transactions/{id}", answer=Transaction, body=facts.TransactionUpdated, codes=_UPDATE_CODES, replays=True
)
async def update(call: Call[facts.TransactionUpdated, Nothing]) -> Reply:
    """Change the members that are sent; null clears."""
    return await commands.update(call, KIND, _represent)


@routes.add(
    "DELETE",
    "/api/transactions/{id}",
    status=204,
    codes=("delete_vs_edit", "has_dependants", "balance_out_of_range"),
    replays=True,
)
async def delete(call: Call[None, Nothing]) -> Reply:
    """Delete a transaction with its reminders; its repayments are no longer linked."""
    return await commands.delete(call, KIND, _represent)


@routes.add("POST", "/api/transactions/{id}/restore", answer=Transaction, codes=("balance_out_of_range",), replays=True)
async def restore(call: Call[None, Nothing]) -> Reply:
    """Bring back what the deletion took."""
    return await commands.restore(call, KIND, _represent)


@routes.add(
    "POST",
    "/api/transactions/{id}/return",
    answer=Transaction,
    body=Return,
    codes=_UPDATE_CODES,
    replays=True,
    body_optional=True,
)
async def give_back(call: Call[Return, Nothing]) -> Reply:
    """A thing has come back: an update of returned_at. Without a time, what was returned before keeps the time it has."""
    returned_at = call.body.returned_at
    if returned_at is UNSET:
        before = await _represent(call, call.path["id"])
        returned_at = services.now() if before.returned_at is None else facts.parse_time(before.returned_at)
    return await commands.update(call, KIND, _represent, members={"returned_at": facts.wire_time(returned_at, "/returned_at")})


@routes.add(
    "POST",
    "/api/transactions/{id}/repay",
    answer=Transaction,
    status=201,
    body=Repay,
    codes=("already_exists", *_CODES),
    replays=True,
    body_optional=True,
)
async def repay(call: Call[Repay, Nothing]) -> Reply:
    """Record a repayment: money in the other direction that names the debt. If-Match is compared with the debt.

    The default amount and the debt's version are read before the repayment is decided; where the ledger moved in between,
    they are read again: two devices that press "repaid" at once do not pay twice.
    """
    given = call.body.id
    new_id = ids.uuid7(services.now()) if given is UNSET else given
    for _ in range(_LOOKS):
        version, data, unfit = await _repayment(call)
        command = commands.build(call, KIND, new_id, "CREATED", data)
        if unfit is not None:
            await commands.refuse(call, command, unfit)
            continue
        push = Push(str(call.caller.ledger_id), [command], call.caller.defaults, expected_version=version, shows=new_id)
        with contextlib.suppress(Moved):
            return await commands.submit(call, push, _represent, status=201)
    raise problems.Unavailable("the ledger changes all the time")


async def _repayment(call: Call[Repay, Nothing]) -> tuple[int, dict[str, Any], errors.Rejected | None]:
    """The head that was looked at, the members of the repayment, and why that is refused, if it is. Raises problems.NotFound."""
    debt_id, ledger_id, key = call.path["id"], call.caller.ledger_id, idempotency.key(call.request)
    if_match = commands.if_match(call)
    async with call.reading() as connection:
        head = await events.head(connection, ledger_id)
        known = key is not None and await events.is_known(connection, ledger_id, key)
        row = await projections.transaction(connection, ledger_id, debt_id)
        if row is None:
            raise problems.NotFound("there is no such transaction")
        amounts = await projections.open_amounts(connection, ledger_id, [row])
    # A retry is answered as the first time, whatever is open now.
    unfit = None if known else _objection(row, amounts.get(debt_id, 0), if_match, call.body.amount)
    amount = (amounts.get(debt_id) or row.amount) if call.body.amount is UNSET else call.body.amount
    members = commands.event_data(call) | {
        "contact_id": str(row.contact_id),
        "direction": "owed" if row.direction == "lent" else "lent",
        "amount": amount,
        "currency": row.currency or call.caller.defaults.currency,
        "repays": str(debt_id),
    }
    return head[0], members, unfit


def _objection(row: Record, open_amount: int, version: int | None, amount: int | UnsetType) -> errors.Rejected | None:
    if version is not None and version != row.changed_seq:
        return errors.Stale(row.changed_seq)
    if row.type == "item":
        return errors.RepaysMismatch("a thing is returned, not repaid")
    if row.deleted_seq is not None:
        return errors.RepaysMismatch("this debt has been deleted")
    if open_amount == 0 and amount is UNSET:
        return errors.RepaysMismatch("nothing of this debt is open")
    return None
