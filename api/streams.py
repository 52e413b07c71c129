"""Answers that are larger than memory should be: written from one snapshot while they are read."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from api.ahead import CHUNK_BYTES
from api.routing import Call

Write = Callable[[AsyncConnection, Call[Any, Any]], AsyncGenerator[bytes, None]]
"""Gives the parts of an answer, from a connection that sees one snapshot of the caller's ledger."""


async def snapshot_stream(call: Call[Any, Any], write: Write) -> AsyncGenerator[bytes, None]:
    """What `write` gives, in chunks. Raises problems.Unavailable, before the first of them, where too many are running."""
    place = call.services.snapshots.hold(call.caller.user_id)
    async with place, call.reading() as connection, contextlib.aclosing(write(connection, call)) as source:
        chunk = bytearray()
        async for part in source:
            chunk += part
            if len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        if chunk:
            yield bytes(chunk)
