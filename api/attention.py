"""What waits for the user: conflicts with both values, and commands that were rejected."""

import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from api import paging
from api.paging import Items, PageQuery
from api.routing import Call, Reply, Routes
from domain import facts
from storage import attention, sealing
from storage.encryption import Cipher

routes = Routes("sync")
_CONFLICTS = paging.Order("conflicts", facts.Seq)
_REJECTIONS = paging.Order("rejections", datetime.datetime)


class ConflictQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Without `state` both."""

    state: Literal["open", "resolved"] | None = None
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


class ConflictFact(facts.WireFact, frozen=True, kw_only=True):
    """A fact of status `conflict`; `resolved_by` is the event that settled it."""

    state: Literal["open", "resolved"]
    resolved_by: UUID | None


class Rejection(Struct, frozen=True):
    """A command that was not taken, as it was sent; where it was no JSON object, or was too long, the text that is kept of it."""

    id: UUID
    code: str
    detail: str | None
    command: Any
    at: str


@routes.add("GET", "/api/sync/conflicts", answer=Items[ConflictFact], query=ConflictQuery)
async def conflicts(call: Call[None, ConflictQuery]) -> Reply:
    """Conflicts, newest first. `resolves` in an update, deletion or restoration settles one."""
    query = call.query
    page = _CONFLICTS.page(query.limit, query.cursor)
    resolved = None if query.state is None else query.state == "resolved"
    async with call.reading() as connection:
        found = await attention.conflicts(connection, call.caller.ledger_id, page, resolved=resolved)
        cipher = await call.cipher(connection)
    return Reply(Items([_conflict(cipher, row) for row in found.rows], _CONFLICTS.cursor(found.next)))


def _conflict(cipher: Cipher, row: Any) -> msgspec.Raw:
    state = {"state": "resolved" if row.resolved_by else "open", "resolved_by": row.resolved_by}
    return msgspec.Raw(msgspec.json.encode(state)[:-1] + b"," + sealing.wire(cipher, row)[1:])


@routes.add("GET", "/api/sync/rejections", answer=Items[Rejection], query=PageQuery)
async def rejections(call: Call[None, PageQuery]) -> Reply:
    """Commands that were rejected and are remembered, newest first: the same id gets the same answer."""
    page = _REJECTIONS.page(call.query.limit, call.query.cursor)
    async with call.reading() as connection:
        found = await attention.rejections(connection, call.caller.ledger_id, page)
        cipher = await call.cipher(connection)
    items = [
        Rejection(row.event_id, row.code, row.detail, attention.command(cipher, row), facts.wire_time(row.at))
        for row in found.rows
    ]
    return Reply(Items(items, _REJECTIONS.cursor(found.next)))
