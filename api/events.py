"""The audit log: every fact of the ledger, newest first."""

from uuid import UUID

import msgspec
from msgspec import Struct, field

from api import paging
from api.paging import Items
from api.routing import Call, Reply, Routes
from domain import facts
from storage import events, sealing

routes = Routes("events")
_ORDER = paging.Order("events", facts.Seq)


class EventQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`from` and `to` are of recorded_at, both inclusive."""

    aggregate_id: UUID | None = None
    aggregate_type: facts.AggregateType | None = None
    event_type: facts.EventType | None = None
    first: facts.Moment | None = field(default=None, name="from")
    last: facts.Moment | None = field(default=None, name="to")
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


@routes.add("GET", "/api/events", answer=Items[facts.WireFact], query=EventQuery)
async def listed(call: Call[None, EventQuery]) -> Reply:
    """What happened, newest first: the facts as they are in the log."""
    query = call.query
    wanted = events.Filter(query.aggregate_id, query.aggregate_type, query.event_type, query.first, query.last)
    page = _ORDER.page(query.limit, query.cursor)
    async with call.reading() as connection:
        found = await events.listed(connection, call.caller.ledger_id, wanted, page)
        cipher = await call.cipher(connection)
    items = [msgspec.Raw(sealing.wire(cipher, row)) for row in found.rows]
    return Reply(Items(items, _ORDER.cursor(found.next)))
