"""Reads of the log: heads, facts in order, the chain's hash at any seq."""

import datetime
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import sequence
from storage import sealing, tables
from storage.pages import Page, Rows, cut
from storage.reader import Reader
from storage.sealing import Ciphers

_events, _ledgers = tables.events.c, tables.ledgers.c
STORED_FACT = (_events.event_id, _events.fact, _events.sealed, _events.hash)
"""The columns of sealing.StoredFact."""


async def head(connection: AsyncConnection, ledger_id: UUID) -> Row[int, bytes | None]:
    """(version, head_hash) of the ledger; 0 and None while it is empty."""
    query: Any = select(_ledgers.version, _ledgers.head_hash).where(_ledgers.id == ledger_id)
    found: Row[int, bytes | None] = (await connection.execute(query)).one()
    return found


async def hash_at(connection: AsyncConnection, ledger_id: UUID, seq: int) -> bytes | None:
    """The chain's hash at `seq`, None where there is no such event."""
    return await connection.scalar(select(_events.hash).where(_events.ledger_id == ledger_id, _events.seq == seq))


class Behind(NamedTuple):
    """What lies behind a seq: the head, the chain's hash at that seq (None: there is none), and some facts in order."""

    version: int
    hash: bytes | None
    hash_there: bytes | None
    facts: list[bytes]


async def behind(reader: Reader, ledger_id: UUID, since: int, limit: int, ciphers: Ciphers) -> Behind | None:
    """Up to `limit` facts as clients read them, seq ascending without gaps from `since` + 1. Raises KeyRingError.

    None: there is no such ledger.
    """
    rows = await reader.rows(_BEHIND, {"ledger": ledger_id, "since": since, "limit": limit}, [ledger_id])
    if not rows:
        return None
    version, digest, there, data_key = rows[0][:4]
    cipher = ciphers.known(ledger_id, data_key)
    stored = (row[4:] for row in rows if row[4] is not None)
    facts = [sequence.wire(sealing.fact_text(cipher, event_id, fact, sealed), link) for event_id, fact, sealed, link in stored]
    return Behind(version, digest, there, facts)


_BEHIND: Final = """
    select version, head_hash, (select hash from debitum.events where ledger_id = ledger.id and seq = %(since)s), data_key,
           event_id, fact, sealed, hash
    from debitum.ledgers ledger
    left join lateral (
        select seq, event_id, fact, sealed, hash from debitum.events
        where ledger_id = ledger.id and seq > %(since)s order by seq limit %(limit)s
    ) event on true
    where ledger.id = %(ledger)s
    order by seq
"""


@dataclass(frozen=True)
class Filter:
    """Which facts; `first` … `last` by recorded_at, both inclusive."""

    aggregate_id: UUID | None = None
    aggregate_type: str | None = None
    event_type: str | None = None
    first: datetime.datetime | None = None
    last: datetime.datetime | None = None


async def listed(connection: AsyncConnection, ledger_id: UUID, wanted: Filter, page: Page) -> Rows:
    """A page of facts, newest first: seq and the columns of sealing.StoredFact; the sort key is the seq."""
    query = select(_events.seq, *STORED_FACT).where(_events.ledger_id == ledger_id)
    for name in ("aggregate_id", "aggregate_type", "event_type"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(_events[name] == value)
    if wanted.first is not None:
        query = query.where(_events.recorded_at >= wanted.first)
    if wanted.last is not None:
        query = query.where(_events.recorded_at <= wanted.last)
    if page.after is not None:
        query = query.where(_events.seq < page.after[0])
    rows = (await connection.execute(query.order_by(_events.seq.desc()).limit(page.limit + 1))).all()
    return cut(rows, page, "seq", "event_id")


async def is_known(connection: AsyncConnection, ledger_id: UUID, event_id: UUID) -> bool:
    """Whether there is an event of this id."""
    found = await connection.scalar(select(_events.seq).where(_events.ledger_id == ledger_id, _events.event_id == event_id))
    return found is not None
