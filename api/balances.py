"""Balances: what is owed per contact and currency, exact at every moment, past ones too."""

import datetime
from uuid import UUID

from msgspec import Struct

from api.routing import Call, Reply, Routes
from domain import errors, facts
from storage import current, reports
from storage.ledgers import LedgerGone

routes = Routes("balances")


class Balance(Struct, frozen=True):
    """Minor units; positive: the contact owes the user."""

    contact_id: UUID
    currency: str
    amount: int


class Total(Struct, frozen=True):
    """Over all contacts, minor units: net = owed_to_you − you_owe."""

    currency: str
    owed_to_you: int
    you_owe: int
    net: int


class PointQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`as_of`: what was known then, inclusive; `effective_on`: only transactions with a date up to then."""

    as_of: facts.Moment | None = None
    effective_on: datetime.date | None = None


class Balances(Struct, frozen=True):
    """`version`: the fact up to which they are true; `materialized_version`: up to which Dagster has summed them by now."""

    items: list[Balance]
    totals: list[Total]
    version: int
    materialized_version: int


@routes.add("GET", "/api/balances", answer=Balances, query=PointQuery, codes=("ledger_gone",))
async def read(call: Call[None, PointQuery]) -> Reply:
    """Every balance that is not zero, and the totals per currency: now, or at a point of the past."""
    point = reports.Point(call.query.as_of, call.query.effective_on)
    if point == reports.NOW:
        return _reply(await call.services.balances.get(call.caller.ledger_id))
    async with call.reading() as connection:
        rows = await reports.balances(connection, call.caller.ledger_id, point)
    if not rows:
        raise LedgerGone()
    if rows[0].is_future:
        raise errors.Invalid.at("/as_of", "lies in the future")
    items = [(row.contact_id, row.currency, row.amount) for row in rows if row.contact_id is not None]
    return _reply(current.Balances(rows[0].version, rows[0].materialized_version, items))


def _reply(found: current.Balances | None) -> Reply:
    if found is None:
        raise LedgerGone()
    items = [Balance(*item) for item in found.items]
    return Reply(Balances(items, _totals(items), found.version, found.materialized_version))


def _totals(items: list[Balance]) -> list[Total]:
    sums: dict[str, tuple[int, int]] = {}
    for item in items:
        lent, owed = sums.get(item.currency, (0, 0))
        sums[item.currency] = (lent + max(item.amount, 0), owed + max(-item.amount, 0))
    return [Total(currency, lent, owed, lent - owed) for currency, (lent, owed) in sorted(sums.items())]
