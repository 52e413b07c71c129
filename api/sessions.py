"""Where a user is signed in: the list, and the end of a session from another device."""

import datetime
from uuid import UUID

from msgspec import Struct

from api import paging, problems, services
from api.paging import Items, PageQuery
from api.routing import Call, Nothing, Reply, Routes
from domain import facts
from storage import sessions

routes = Routes("identity")
_ORDER = paging.Order("sessions", datetime.datetime)


class SessionItem(Struct, frozen=True):
    """A device that is signed in; `current`: the one that asks. `last_used_at`: when it last got new tokens."""

    id: UUID
    device_id: UUID
    device_name: str
    created_at: str
    last_used_at: str
    current: bool


@routes.add("GET", "/api/auth/sessions", answer=Items[SessionItem], query=PageQuery, needs="session")
async def list_sessions(call: Call[None, PageQuery]) -> Reply:
    """The sessions that have not ended, newest first."""
    page = _ORDER.page(call.query.limit, call.query.cursor)
    async with call.services.transaction() as connection:
        found = await sessions.of_user(connection, call.caller.user_id, page, now=services.now())
    items = [
        SessionItem(
            id=row.id,
            device_id=row.device_id,
            device_name=row.device_name,
            created_at=facts.wire_time(row.created_at),
            last_used_at=facts.wire_time(row.last_used_at),
            current=row.id == call.caller.credential_id,
        )
        for row in found.rows
    ]
    return Reply(Items(items, _ORDER.cursor(found.next)))


@routes.add("DELETE", "/api/auth/sessions/{id}", status=204, needs="session")
async def end_session(call: Call[None, Nothing]) -> Reply:
    """End a session of one's own; its tokens are good for nothing from now on."""
    async with call.changing() as connection:
        if not await sessions.end(connection, call.caller.user_id, call.path["id"], now=services.now()):
            raise problems.NotFound("there is no such session, or it has ended")
    return Reply(None, 204)
