"""A balance explained event by event, and the statement of a month, for people and for programs."""

import calendar
import csv
import datetime
import html
import io
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pages, paging, problems, services
from api.balances import PointQuery
from api.paging import Items
from api.routing import Call, Reply, Routes
from domain import decide, errors, facts, money
from storage import projections, reports
from storage.pages import Record

routes = Routes("contacts")


class ExplainQuery(PointQuery, frozen=True):
    """The point as of balances, one currency or all, a page."""

    currency: facts.CurrencyCode | None = None
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


class Effect(Struct, frozen=True):
    """What one event did to a balance through one transaction, minor units; `running_total` is the currency's after it."""

    seq: int
    event_id: UUID
    transaction_id: UUID
    amount: int
    currency: str
    effective_date: datetime.date
    recorded_at: str
    running_total: int


class StatementQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`month` as YYYY-MM, by default the running one."""

    month: Annotated[str, Meta(pattern=r"^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])$(?!\n)")] | None = None
    format: Literal["json", "csv", "html"] = "json"


class Movement(Struct, frozen=True):
    """What a transaction adds to the balance, minor units; positive: towards the user."""

    transaction_id: UUID
    date: datetime.date
    description: str | None
    amount: int
    running_total: int


class Account(Struct):
    """One currency of a month: opening + movements = closing."""

    currency: str
    opening: int
    movements: list[Movement]
    closing: int


class Statement(Struct, frozen=True):
    """A contact's month, by the dates of the transactions, as it is known now."""

    contact_id: UUID
    name: str
    month: str
    accounts: list[Account]


async def _contact(call: Call[Any, Any], connection: AsyncConnection) -> Record:
    row = await projections.contact(connection, call.caller.ledger_id, call.path["id"])
    if row is None:
        raise problems.NotFound("there is no such contact")
    return row


@routes.add("GET", "/api/contacts/{id}/explain", answer=Items[Effect], query=ExplainQuery)
async def explain(call: Call[None, ExplainQuery]) -> Reply:
    """What made the balances of a contact, oldest first. An event that left a balance as it was is not listed."""
    query = call.query
    point = reports.Point(query.as_of, query.effective_on)
    order = _order(query)
    page = order.page(query.limit, query.cursor)
    async with call.reading() as connection:
        contact = await _contact(call, connection)
        found = await reports.explanation(connection, call.caller.ledger_id, contact.id, point, page, currency=query.currency)
    items = [
        Effect(
            seq=row.seq,
            event_id=row.event_id,
            transaction_id=row.transaction_id,
            amount=row.amount,
            currency=row.currency,
            effective_date=row.effective_date,
            recorded_at=facts.wire_time(row.recorded_at),
            running_total=row.running_total,
        )
        for row in found.rows
    ]
    return Reply(Items(items, order.cursor(found.next)))


def _order(query: ExplainQuery) -> paging.Order:
    """A place is a count of items: with another currency or point it would be another place."""
    as_of = None if query.as_of is None else facts.wire_time(query.as_of, "/as_of")
    return paging.Order(f"explain {query.currency} {as_of} {query.effective_on}", paging.Number)


@routes.add("GET", "/api/contacts/{id}/statement", answer=Statement, query=StatementQuery, media=("text/csv", "text/html"))
async def statement(call: Call[None, StatementQuery]) -> Reply:
    """The month of a contact: as JSON, as CSV for spreadsheets, or as a page to print."""
    first, last = _month(call)
    async with call.reading() as connection:
        contact = await _contact(call, connection)
        rows = await reports.statement(connection, call.caller.ledger_id, contact.id, first, last)
    found = Statement(contact.id, contact.name, first.isoformat()[:7], _accounts(rows))
    name = f"statement-{found.month}-{found.contact_id}"
    match call.query.format:
        case "csv":
            headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
            return Reply(_csv(found).encode(), headers=headers, content_type="text/csv; charset=utf-8")
        case "html":
            return Reply(
                pages.document(f"{found.name}, {found.month}", _html(found)), headers=pages.HEADERS, content_type=pages.MEDIA_TYPE
            )
    return Reply(found)


def _month(call: Call[None, StatementQuery]) -> tuple[datetime.date, datetime.date]:
    if call.query.month is None:
        first = decide.today(facts.wire_time(services.now()), call.caller.defaults.time_zone).replace(day=1)
    else:
        try:
            first = datetime.date.fromisoformat(f"{call.query.month}-01")
        except ValueError as error:
            raise errors.Invalid.at("/month", "no such month") from error
    return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])


def _accounts(rows: Iterable[Record]) -> list[Account]:
    accounts: dict[str, Account] = {}
    for row in rows:
        account = accounts.setdefault(row.currency, Account(row.currency, 0, [], 0))
        account.closing += row.amount
        if row.effective_date is None:
            account.opening = row.amount
        else:
            movement = Movement(row.transaction_id, row.effective_date, row.description, row.amount, account.closing)
            account.movements.append(movement)
    return list(accounts.values())


def decimal(amount: int, currency: str) -> str:
    """Minor units as a decimal number, as spreadsheets read it."""
    return str(Decimal(amount).scaleb(-money.CURRENCIES[currency].exponent))


def _csv(found: Statement) -> str:
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(["currency", "date", "description", "amount", "balance", "amount_minor", "balance_minor", "transaction_id"])
    for account in found.accounts:
        code = account.currency
        lines.writerow([code, "", "opening", "", decimal(account.opening, code), "", account.opening, ""])
        for one in account.movements:
            said = [code, one.date.isoformat(), plain_cell(one.description or "")]
            decimals = [decimal(one.amount, code), decimal(one.running_total, code)]
            lines.writerow([*said, *decimals, one.amount, one.running_total, one.transaction_id])
        lines.writerow([code, "", "closing", "", decimal(account.closing, code), "", account.closing, ""])
    return out.getvalue()


_FORMULA = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r])")
"""Where one would begin: in the cell, or in a part of it for whoever takes semicolons or tabs for separators."""


def plain_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    return _FORMULA.sub(r"\1'", text)


def _html(found: Statement) -> str:
    return "".join(_table(account) for account in found.accounts) or "<p>Nothing is owed, and nothing happened.</p>"


def _table(account: Account) -> str:
    def row(*cells: str, tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    code = account.currency
    moved = "".join(
        row(one.date.isoformat(), one.description or "", decimal(one.amount, code), decimal(one.running_total, code))
        for one in account.movements
    )
    first = row("", "Before", "", decimal(account.opening, code))
    last = row("", "After", "", decimal(account.closing, code))
    return f"<h2>{code}</h2><table>{row('Date', 'What', 'Amount', 'Balance', tag='th')}{first}{moved}{last}</table>"
