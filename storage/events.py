"""Reads of the log: heads, facts in order, the chain's hash at any seq."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import sequence
from storage import tables

_events, _ledgers = tables.events.c, tables.ledgers.c


async def head(connection: AsyncConnection, ledger_id: UUID) -> Row[int, bytes | None]:
    """(version, head_hash) of the ledger; 0 and None while it is empty."""
    query: Any = select(_ledgers.version, _ledgers.head_hash).where(_ledgers.id == ledger_id)
    found: Row[int, bytes | None] = (await connection.execute(query)).one()
    return found


async def hash_at(connection: AsyncConnection, ledger_id: UUID, seq: int) -> bytes | None:
    """The chain's hash at `seq`, None where there is no such event."""
    return await connection.scalar(select(_events.hash).where(_events.ledger_id == ledger_id, _events.seq == seq))


async def after(connection: AsyncConnection, ledger_id: UUID, since: int, limit: int) -> list[bytes]:
    """Up to `limit` facts as clients read them, seq ascending without gaps from `since` + 1."""
    query = (
        select(_events.fact, _events.hash)
        .where(_events.ledger_id == ledger_id, _events.seq > since)
        .order_by(_events.seq)
        .limit(limit)
    )
    return [sequence.wire(row.fact.encode(), row.hash) for row in await connection.execute(query)]
