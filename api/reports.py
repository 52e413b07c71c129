"""Reports on what is open."""

from typing import Literal

from msgspec import Struct

from api import services
from api.paging import Items
from api.routing import Call, Nothing, Reply, Routes
from domain import decide, facts
from storage import reports

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
