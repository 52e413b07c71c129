"""Balances: what is owed per contact and currency, exact at every moment."""

from uuid import UUID

from msgspec import Struct

from api.routing import Call, Nothing, Reply, Routes
from storage import projections

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


class Balances(Struct, frozen=True):
    """`version`: the fact up to which they are true; `materialized_version`: up to which Dagster has summed them."""

    items: list[Balance]
    totals: list[Total]
    version: int
    materialized_version: int


@routes.add("GET", "/api/balances", answer=Balances)
async def read(call: Call[None, Nothing]) -> Reply:
    """Every balance that is not zero, and the totals per currency."""
    async with call.reading() as connection:
        rows = await projections.current_balances(connection, call.caller.ledger_id)
    items = [Balance(row.contact_id, row.currency, row.amount) for row in rows if row.contact_id is not None]
    return Reply(Balances(items, _totals(items), rows[0].version, rows[0].materialized_version))


def _totals(items: list[Balance]) -> list[Total]:
    sums: dict[str, tuple[int, int]] = {}
    for item in items:
        lent, owed = sums.get(item.currency, (0, 0))
        sums[item.currency] = (lent + max(item.amount, 0), owed + max(-item.amount, 0))
    return [Total(currency, lent, owed, lent - owed) for currency, (lent, owed) in sorted(sums.items())]
