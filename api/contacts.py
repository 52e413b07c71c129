"""Contacts: the people that one owes or is owed by."""

from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from api import commands, paging, problems
from api.paging import Items
from api.routing import Call, Nothing, Reply, Routes
from domain import errors, facts
from storage import current, projections
from storage.encryption import Cipher
from storage.ledgers import Receipt
from storage.pages import Record

routes = Routes("contacts")
KIND: facts.AggregateType = "contact"
_UPDATE_CODES = ("edit_of_deleted", *commands.SETTLING)


class ContactCreate(facts.ContactCreated, frozen=True):
    """A new contact; `id` is the client's choice where it has one."""

    id: UUID | UnsetType = UNSET


class Money(Struct, frozen=True):
    """Minor units of an ISO 4217 currency; positive: they owe the user."""

    currency: str
    amount: int


class Contact(Struct, frozen=True):
    """A contact with its balances, currencies never added, and how many things are away."""

    id: UUID
    name: str
    username: str | None
    phone: str | None
    email: str | None
    notes: str | None
    balances: list[Money]
    open_items: int
    created_at: str
    updated_at: str
    deleted_at: str | None
    version: int


class ContactQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`currency` goes with sort=balance."""

    search: facts.Text | None = None
    balance: Literal["nonzero", "zero", "any"] = "any"
    sort: Literal["name", "recent", "balance"] = "name"
    currency: facts.CurrencyCode | None = None
    include: Literal["deleted"] | None = None
    changed_since: facts.Seq | None = None
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


def shown(row: Record | current.Contact, cipher: Cipher) -> Contact:
    """A row of contacts as clients see it; `cipher` is that of its ledger."""
    return Contact(
        id=row.id,
        name=row.name,
        username=row.username,
        phone=cipher.open_any(KIND, row.id, "phone", row.phone),
        email=cipher.open_any(KIND, row.id, "email", row.email),
        notes=row.notes,
        balances=[Money(pair["currency"], pair["amount"]) for pair in row.balances],
        open_items=row.open_items,
        created_at=facts.wire_time(row.created_at),
        updated_at=facts.wire_time(row.updated_at),
        deleted_at=None if row.deleted_at is None else facts.wire_time(row.deleted_at),
        version=row.changed_seq,
    )


async def _represent(call: Call[Any, Any], contact_id: UUID, _: Receipt | None = None) -> Contact:
    row = await call.services.contacts.get((call.caller.ledger_id, contact_id))
    if row is None:
        raise problems.NotFound("there is no such contact")
    return shown(row, call.services.ciphers.known(call.caller.ledger_id, row.data_key))


@routes.add("POST", "/api/contacts", answer=Contact, status=201, body=ContactCreate, codes=("already_exists",), replays=True)
async def create(call: Call[ContactCreate, Nothing]) -> Reply:
    """Add a contact."""
    return await commands.create(call, KIND, _represent)


@routes.add("GET", "/api/contacts", answer=Items[Contact], query=ContactQuery)
async def listed(call: Call[None, ContactQuery]) -> Reply:
    """Contacts with their balances, a page at a time."""
    query = call.query
    if query.sort == "balance" and query.currency is None:
        raise errors.Invalid.at("/currency", "required with sort=balance", whole="which balance?")
    wanted = projections.ContactFilter(
        query.search, query.balance, query.sort, query.currency, query.include == "deleted", query.changed_since
    )
    order = _order(query)
    page = order.page(query.limit, query.cursor)
    async with call.reading() as connection:
        found = await projections.contacts(connection, call.caller.ledger_id, wanted, page)
        cipher = await call.cipher(connection)
    return Reply(Items([shown(row, cipher) for row in found.rows], order.cursor(found.next)))


def _order(query: ContactQuery) -> paging.Order:
    match query.sort:
        case "name":
            return paging.Order("contacts by name", str)
        case "recent":
            return paging.Order("contacts by recent", paging.Number)
        case "balance":
            return paging.Order(f"contacts by balance in {query.currency}", paging.Number)


@routes.add("GET", "/api/contacts/{id}", answer=Contact)
async def read(call: Call[None, Nothing]) -> Reply:
    """One contact, also when it is deleted."""
    contact = await _represent(call, call.path["id"])
    return Reply(contact, headers={"ETag": f'"{contact.version}"'})


@routes.add("POST", "/api/contacts/{id}", answer=Contact, body=facts.ContactUpdated, codes=_UPDATE_CODES, replays=True)
@routes.add("PATCH", "/api/contacts/{id}", answer=Contact, body=facts.ContactUpdated, codes=_UPDATE_CODES, replays=True)
async def update(call: Call[facts.ContactUpdated, Nothing]) -> Reply:
    """Change the members that are sent; null clears."""
    return await commands.update(call, KIND, _represent)


@routes.add(
    "DELETE", "/api/contacts/{id}", status=204, codes=("delete_vs_new", "has_dependants", "balance_out_of_range"), replays=True
)
async def delete(call: Call[None, Nothing]) -> Reply:
    """Delete a contact with its transactions and reminders."""
    return await commands.delete(call, KIND, _represent)


@routes.add("POST", "/api/contacts/{id}/restore", answer=Contact, codes=("balance_out_of_range",), replays=True)
async def restore(call: Call[None, Nothing]) -> Reply:
    """Bring back what the deletion took."""
    return await commands.restore(call, KIND, _represent)
