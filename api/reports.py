"""Reports: how what is owed has moved, and how old what is open is."""

import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from api import services
from api.paging import Items
from api.routing import Call, Nothing, Reply, Routes
from domain import decide, errors, facts
from storage import history, reports

routes = Routes("reports")


class Ageing(Struct, frozen=True):
    """What is open in one currency and direction, minor units, by the days since it was due; without a due date: not due."""

    currency: str
    direction: Literal["lent", "owed"]
    not_due: int
    days_1_30: int
    days_31_60: int
    days_61_90: int
    days_over_90: int
    total: int


@routes.add("GET", "/api/reports/ageing", answer=Items[Ageing])
async def ageing(call: Call[None, Nothing]) -> Reply:
    """Open debts by how long they are overdue, today in the user's zone."""
    today = decide.today(facts.wire_time(services.now()), call.caller.defaults.time_zone)
    async with call.reading() as connection:
        rows = await reports.ageing(connection, call.caller.ledger_id, today)
    return Reply(Items([Ageing(**row._mapping) for row in rows]))


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """UTC days, both inclusive: `from` the first one with a posting and `to` today where they are left out."""

    first: datetime.date | None = field(default=None, name="from")
    last: datetime.date | None = field(default=None, name="to")
    interval: history.Interval = "day"
    currency: facts.CurrencyCode | None = None
    contact_id: UUID | None = None


class HistoryPoint(Struct, frozen=True):
    """What was known at the end of the UTC day `date`, minor units: the sums of contacts' balances by their sign."""

    date: datetime.date
    currency: str
    net: int
    owed_to_you: int
    you_owe: int


@routes.add("GET", "/api/reports/history", answer=Items[HistoryPoint], query=HistoryQuery)
async def moved(call: Call[None, HistoryQuery]) -> Reply:
    """What was owed at the end of each day, week (on Sundays) or month, whole; the last one is of `to` itself.

    A currency is there from its first posting on. Days that are not over are shown so far, those that have not begun are not.
    """
    query, today = call.query, services.now().date()
    last = today if query.last is None else min(query.last, today)
    if query.first is not None and query.last is not None and query.first > query.last:
        raise errors.Invalid.at("/from", "lies after `to`", whole="the range is empty")
    async with call.reading() as connection:
        levels = await connection.run_sync(
            history.changes, call.caller.ledger_id, last, currency=query.currency, contact_id=query.contact_id
        )
    first = query.first or min((level.date for level in levels), default=last)
    if first > last:
        return Reply(Items([]))
    if (last - first).days >= history.MAX_DATES * history.DAYS[query.interval]:
        what = f"more than {history.MAX_DATES} dates: ask for fewer days, or a longer interval"
        raise errors.Invalid.at("/from", what, whole="the history would be too long")
    found = history.at(levels, history.dates(first, last, query.interval))
    return Reply(Items([_point(level) for level in found]))


def _point(level: history.Level) -> HistoryPoint:
    return HistoryPoint(level.date, level.currency, level.owed_to_you - level.you_owe, level.owed_to_you, level.you_owe)
