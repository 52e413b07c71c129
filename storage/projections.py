"""Reads of what follows from the log: contacts with balances, transactions with what is open."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import words
from storage import allocation, balances, search, tables
from storage.pages import Page, Record, Rows, read_page

# What every request runs is built once, with these parameters: to build such a statement takes longer than to run it.
_LEDGER = bindparam("ledger", type_=Uuid)
_ID = bindparam("id", type_=Uuid)

_NEVER = datetime.date(9999, 12, 31)
"""Sorts what has no due date behind what has one."""
_SORTED_CHARACTERS: Final = 200
"""By so many a name is sorted: as many as a name has, but decomposed it may have 18 times as many, and a cursor repeats them."""


def _shown(table: Table) -> list[Column[Any]]:
    """All columns but what only search looks at."""
    return [column for column in table.c if column.name != "words"]


# --- contacts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ContactFilter:
    """Which contacts, in which order; `currency` is what sort "balance" looks at."""

    search: str | None = None
    balance: Literal["nonzero", "zero", "any"] = "any"
    sort: Literal["name", "recent", "balance"] = "name"
    currency: str | None = None
    deleted: bool = False
    changed_since: int | None = None


async def contact(connection: AsyncConnection, ledger_id: UUID, contact_id: UUID) -> Record | None:
    """A contact, live or deleted: its columns, `balances` ([{currency, amount}]) and `open_items`."""
    return (await connection.execute(_CONTACT, {"ledger": ledger_id, "id": contact_id})).first()


async def contacts(connection: AsyncConnection, ledger_id: UUID, wanted: ContactFilter, page: Page) -> Rows:
    """A page of contacts; columns as of `contact`."""
    columns = tables.contacts.c
    query = _CONTACTS_WITH_AMOUNT if wanted.sort == "balance" else CONTACTS
    if not wanted.deleted:
        query = query.where(columns.deleted_seq.is_(None))
    if wanted.changed_since is not None:
        query = query.where(columns.changed_seq > wanted.changed_since)
    if wanted.search:
        query = query.where(search.matches(columns.words, wanted.search))
    if wanted.balance != "any":
        query = query.where(_IS_SETTLED if wanted.balance == "zero" else ~_IS_SETTLED)
    match wanted.sort:
        case "name":
            return await read_page(connection, query, _NAME_BY_LETTERS, columns.id, page, ledger=ledger_id)
        case "recent":
            return await read_page(connection, query, columns.changed_seq, columns.id, page, ledger=ledger_id, descending=True)
        case "balance":
            parameters = {"ledger": ledger_id, "currency": wanted.currency}
            return await read_page(connection, query, _AMOUNT, columns.id, page, descending=True, **parameters)


def _by_letters() -> ColumnElement[str]:
    """The name without case and accents: whatever the collation of a database is, É stands between D and F.

    Only the beginning, of up to _SORTED_CHARACTERS: what begins alike is in the order of its ids.
    """
    name = tables.contacts.c.name
    bare = func.regexp_replace(func.normalize(name, literal_column("NFKD")), "[\u0300-\u036f]", "", "g")
    alone = {letter: plain for letter, plain in words.LETTERS.items() if len(plain) == 1}
    alone |= {letter.upper(): plain for letter, plain in alone.items()}
    folded = func.lower(func.translate(bare, "".join(alone), "".join(alone.values())))
    is_ascii = func.octet_length(name) == func.char_length(name)  # as most are, and then all of that is for nothing
    return case((is_ascii, func.lower(name)), else_=func.left(folded, _SORTED_CHARACTERS))


_NAME_BY_LETTERS: Final = _by_letters()


def _contacts() -> Select[*tuple[Any, ...]]:
    """Contacts with their balances and things, each from one object by contact in a scalar subquery.

    That is evaluated once; a join may be repeated for each contact while the ledger's tables have no statistics.
    """
    columns, things = tables.contacts.c, tables.transactions.c
    now = balances.CURRENT.subquery()
    pair = func.jsonb_build_object("currency", now.c.currency, "amount", now.c.amount)
    accounts = (
        select(now.c.contact_id, func.jsonb_agg(aggregate_order_by(pair, now.c.currency)).label("balances"))
        .where(now.c.contact_id.is_not(None))
        .group_by(now.c.contact_id)
        .subquery("accounts")
    )
    away = (
        select(things.contact_id, func.count().label("open_items"))
        .where(things.ledger_id == _LEDGER, things.type == "item", things.deleted_seq.is_(None), things.returned_at.is_(None))
        .group_by(things.contact_id)
        .subquery("away")
    )
    owed = select(func.jsonb_object_agg(accounts.c.contact_id, accounts.c.balances)).scalar_subquery()
    out = select(func.jsonb_object_agg(away.c.contact_id, away.c.open_items)).scalar_subquery()
    key = cast(columns.id, Text)
    return select(
        *_shown(tables.contacts),
        func.coalesce(owed.op("->")(key), func.jsonb_build_array(), type_=JSONB).label("balances"),
        func.coalesce(cast(out.op("->>")(key), BigInteger), 0).label("open_items"),
    ).where(columns.ledger_id == _LEDGER)


CONTACTS = _contacts()
_CONTACT = CONTACTS.where(tables.contacts.c.id == _ID)
_IS_SETTLED = func.jsonb_array_length(CONTACTS.selected_columns["balances"]) == 0


def _with_amount() -> tuple[Select[*tuple[Any, ...]], ColumnElement[int]]:
    """Contacts beside their balances in one `currency`, and that amount."""
    its = balances.CURRENT.subquery("sorted")
    joined = CONTACTS.outerjoin(its, and_(its.c.contact_id == tables.contacts.c.id, its.c.currency == bindparam("currency")))
    return joined, func.coalesce(its.c.amount, 0)


_CONTACTS_WITH_AMOUNT, _AMOUNT = _with_amount()


# --- transactions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TransactionFilter:
    """Which transactions, in which order; `first` … `last` by transaction_date, `overdue` as of `today`."""

    contact_id: UUID | None = None
    type: str | None = None
    direction: str | None = None
    currency: str | None = None
    first: datetime.date | None = None
    last: datetime.date | None = None
    open: bool | None = None
    overdue: bool | None = None
    today: datetime.date | None = None
    search: str | None = None
    sort: Literal["date", "recent", "due"] = "date"
    deleted: bool = False
    changed_since: int | None = None


async def transaction(connection: AsyncConnection, ledger_id: UUID, transaction_id: UUID) -> Record | None:
    """A transaction's columns, live or deleted."""
    return (await connection.execute(_TRANSACTION, {"ledger": ledger_id, "id": transaction_id})).first()


async def transactions(connection: AsyncConnection, ledger_id: UUID, wanted: TransactionFilter, page: Page) -> Rows:
    """A page of transactions; columns as of `transaction`."""
    columns = tables.transactions.c
    query = TRANSACTIONS.where(*_conditions(wanted))
    parameters: dict[str, Any] = {"ledger": ledger_id, "contact_ids": [wanted.contact_id]}
    is_open = _IS_OPEN if wanted.contact_id is None else _IS_OPEN_OF_CONTACTS
    if wanted.open is not None:
        query = query.where(is_open if wanted.open else ~is_open)
    if wanted.overdue is not None:
        is_overdue = and_(columns.due_date.is_not(None), columns.due_date < wanted.today, is_open)
        query = query.where(is_overdue if wanted.overdue else ~is_overdue)
    match wanted.sort:
        case "date":
            return await read_page(connection, query, columns.transaction_date, columns.id, page, descending=True, **parameters)
        case "recent":
            return await read_page(connection, query, columns.changed_seq, columns.id, page, descending=True, **parameters)
        case "due":
            return await read_page(connection, query, func.coalesce(columns.due_date, _NEVER), columns.id, page, **parameters)


async def open_amounts(connection: AsyncConnection, ledger_id: UUID, debts: Collection[Record]) -> Mapping[UUID, int]:
    """By transaction id, of those of these rows of transactions that are live.

    All that their contacts have is allocated, by Postgres: only what was asked for travels, however much that is.
    """
    if not debts:
        return {}
    bound = {"ledger": ledger_id, "contact_ids": list({row.contact_id for row in debts}), "ids": [row.id for row in debts]}
    return {row.transaction_id: row.open_amount for row in await connection.execute(_OPEN_AMOUNTS_OF, bound)}


TRANSACTIONS = select(*_shown(tables.transactions)).where(tables.transactions.c.ledger_id == _LEDGER)
_TRANSACTION = TRANSACTIONS.where(tables.transactions.c.id == _ID)
_OPEN_AMOUNTS = allocation.open_amounts(ledger_id=_LEDGER, contact_ids=bindparam("contact_ids", type_=Uuid, expanding=True))


def _of_some(amounts: Select[UUID, UUID, int]) -> Select[UUID, int]:
    of_each = amounts.subquery("open").c
    wanted = of_each.transaction_id.in_(bindparam("ids", type_=Uuid, expanding=True))
    return select(of_each.transaction_id, of_each.open_amount).where(wanted)


_OPEN_AMOUNTS_OF = _of_some(_OPEN_AMOUNTS)


def _is_open(amounts: Select[UUID, UUID, int]) -> ColumnElement[bool]:
    """Whether a transaction is open: a key of one object in a scalar subquery, evaluated once also without statistics.

    An array would be searched from its beginning for each transaction: that takes the square of their number.
    """
    of_each = amounts.subquery("open").c
    found = select(func.jsonb_object_agg(of_each.transaction_id, True)).where(of_each.open_amount > 0).scalar_subquery()
    ids = func.coalesce(found, func.jsonb_build_object(), type_=JSONB)
    is_there: ColumnElement[bool] = ids.has_key(cast(tables.transactions.c.id, Text))
    return is_there


_IS_OPEN, _IS_OPEN_OF_CONTACTS = _is_open(allocation.open_amounts(ledger_id=_LEDGER)), _is_open(_OPEN_AMOUNTS)


def _conditions(wanted: TransactionFilter) -> list[ColumnElement[bool]]:
    columns = tables.transactions.c
    equal = {"contact_id": wanted.contact_id, "type": wanted.type, "direction": wanted.direction, "currency": wanted.currency}
    conditions: list[ColumnElement[bool]] = [columns[name] == value for name, value in equal.items() if value is not None]
    if not wanted.deleted:
        conditions.append(columns.deleted_seq.is_(None))
    if wanted.first is not None:
        conditions.append(columns.transaction_date >= wanted.first)
    if wanted.last is not None:
        conditions.append(columns.transaction_date <= wanted.last)
    if wanted.changed_since is not None:
        conditions.append(columns.changed_seq > wanted.changed_since)
    if wanted.search:
        conditions.append(search.matches(columns.words, wanted.search))
    return conditions


# --- balances -------------------------------------------------------------------------------------------------------


async def current_balances(connection: AsyncConnection, ledger_id: UUID) -> list[Record]:
    """Rows of storage.balances.CURRENT: (contact_id, currency, amount, …), those that are not 0."""
    return list((await connection.execute(balances.CURRENT, {"ledger": ledger_id})).all())
