"""The first screen of a new device: everything that is live, at one version; the log can follow at leisure."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from api import contacts, reminders, services, transactions
from api.paging import MAX_LIMIT
from api.routing import Call, Nothing, Reply, Routes
from api.streams import snapshot_stream
from storage import events, exports
from storage import reminders as stored
from storage.pages import Page

routes = Routes("sync")
MEDIA_TYPE = "application/x-ndjson"


@routes.add("GET", "/api/sync/state", media=(MEDIA_TYPE,), codes=("ledger_gone",))
async def state(call: Call[None, Nothing]) -> Reply:
    """The live resources at one version, a JSON object a line: first {version, hash}, then {kind, …the resource}."""
    return Reply(content_type=MEDIA_TYPE, chunks=snapshot_stream(call, _lines))


async def _lines(connection: AsyncConnection, call: Call[None, Nothing]) -> AsyncGenerator[bytes, None]:
    ledger_id = call.caller.ledger_id
    version, digest = await events.head(connection, ledger_id)
    yield _line({"version": version, "hash": digest and digest.hex()})
    cipher = await call.cipher(connection)
    async for row in exports.rows(connection, "contacts", ledger_id):
        if row.deleted_at is None:
            yield _line({"kind": "contact"}, contacts.shown(row, cipher))
    async for row in exports.rows(connection, "transactions", ledger_id):
        if row.deleted_at is None:
            yield _line({"kind": "transaction"}, transactions.shown(row, row.open_amount))
    async for line in _reminders(connection, call):
        yield line


async def _reminders(connection: AsyncConnection, call: Call[None, Nothing]) -> AsyncGenerator[bytes, None]:
    page, now, ledger_id = Page(MAX_LIMIT), services.now(), call.caller.ledger_id
    coming = await stored.coming(connection, ledger_id, now=now)
    while True:
        found = await stored.listed(connection, ledger_id, stored.Filter(), page, now=now, known=coming)
        for row in found.rows:
            yield _line({"kind": "reminder"}, reminders.shown(row))
        if found.next is None:
            return
        page = Page(MAX_LIMIT, found.next)


def _line(head: dict[str, Any], resource: Struct | None = None) -> bytes:
    start = msgspec.json.encode(head)
    rest = b"" if resource is None else b"," + msgspec.json.encode(resource)[1:]
    return (start[:-1] + rest if rest else start) + b"\n"
