"""Reads of the log: heads, facts in order, the chain's hash at any seq."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Row, Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import sequence
from storage import sealing, tables
from storage.ledgers import LedgerGone
from storage.pages import Page, Rows, cut
from storage.reader import Reader
from storage.sealing import Ciphers

_events, _ledgers = tables.events.c, tables.ledgers.c
STORED_FACT = (_events.event_id, _events.fact, _events.sealed, _events.hash)
"""The columns of sealing.StoredFact."""


async def head(connection: AsyncConnection, ledger_id: UUID) -> Row[int, bytes | None]:
    """(version, head_hash) of the ledger; 0 and None while it is empty. Raises LedgerGone."""
    query: Any = select(_ledgers.version, _ledgers.head_hash).where(_ledgers.id == ledger_id)
    found: Row[int, bytes | None] | None = (await connection.execute(query)).first()
    if found is None:
        raise LedgerGone()
    return found


PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of facts in one page of the audit log: a fact that deletes a contact can have some megabytes."""


class Behind(NamedTuple):
    """What lies behind a seq: the head, the chain's hash at that seq (None: there is none), and some facts in order.

    Hashes are 64 hex digits.
    """

    version: int
    hash: str | None
    hash_there: str | None
    facts: list[str]


async def behind(reader: Reader, ledger_id: UUID, since: int, limit: int, ciphers: Ciphers) -> Behind | None:
    """Up to `limit` facts as clients read them, seq ascending without gaps from `since` + 1. Raises KeyRingError.

    A large one comes by itself. None: there is no such ledger.
    """
    rows = await reader.rows(_BEHIND, {"ledger": ledger_id, "since": since, "limit": limit}, [ledger_id])
    if not rows:
        return None
    rows.sort(key=itemgetter(0))
    (_, digest, version, data_key, _), *rest = rows
    there = rest.pop(0)[1] if rest and rest[0][0] == since else None
    cipher = ciphers.known(ledger_id, data_key)
    facts = [
        sequence.wire_text(fact if sealed is None else sealing.fact_text(cipher, event_id, None, sealed).decode(), link)
        for _, link, fact, sealed, event_id in rest
    ]
    return Behind(int(version), digest, there, facts)


# The head, the event at `since`, and those after it: each says what it has and nothing twice, because most of the time of a pull
# goes into taking rows apart.
_BEHIND: Final = f"""
    select -1::bigint as seq, encode(head_hash, 'hex') as hash, version::text as fact, data_key as sealed, null::uuid as event_id
    from debitum.ledgers where id = %(ledger)s
    union all
    select seq, encode(hash, 'hex'), null, null, null from debitum.events where ledger_id = %(ledger)s and seq = %(since)s
    union all
    select seq, encode(hash, 'hex'), fact, sealed, case when fact is null then event_id end from (
        select seq, hash, fact, sealed, event_id from debitum.events
        where ledger_id = %(ledger)s and seq > %(since)s order by seq limit least(%(limit)s, (
            select greatest(seq - %(since)s - 1, 1) from debitum.events
            where ledger_id = %(ledger)s and seq > %(since)s and {tables.LARGE}
            order by seq limit 1
        ))
    ) event
"""  # noqa: S608  # a condition of our own


@dataclass(frozen=True)
class Filter:
    """Which facts; `first` … `last` by recorded_at, both inclusive."""

    aggregate_id: UUID | None = None
    aggregate_type: str | None = None
    event_type: str | None = None
    first: datetime.datetime | None = None
    last: datetime.datetime | None = None


_CONDITIONS: Final[Mapping[str, ColumnElement[bool]]] = {
    "aggregate_id": _events.aggregate_id == bindparam("aggregate_id"),
    "aggregate_type": _events.aggregate_type == bindparam("aggregate_type"),
    "event_type": _events.event_type == bindparam("event_type"),
    "first": _events.recorded_at >= bindparam("first"),
    "last": _events.recorded_at <= bindparam("last"),
    "before": _events.seq < bindparam("before"),
}
"""What a list can be restricted by: the members of Filter, and where the page before it ended."""


async def listed(connection: AsyncConnection, ledger_id: UUID, wanted: Filter, page: Page) -> Rows:
    """A page of facts, newest first: seq and the columns of sealing.StoredFact; the sort key is the seq."""
    asked = {**vars(wanted), "before": None if page.after is None else page.after[0]}
    given = {name: value for name, value in asked.items() if value is not None}
    parameters = {"ledger": ledger_id, "most": page.limit + 1, "most_bytes": PAGE_BYTES, **given}
    rows = (await connection.execute(_listed(tuple(given)), parameters)).all()
    return cut(rows, page, "seq", "event_id", found=rows[0].found if rows else 0)


@cache
def _listed(conditions: tuple[str, ...]) -> Select[Any]:
    """Made once for each of their combinations: to make it took the API as long as all else for a page."""
    of_ledger = select(_events.seq, *STORED_FACT).where(_events.ledger_id == bindparam("ledger"))
    held = of_ledger.where(*(_CONDITIONS[name] for name in conditions))
    found = held.order_by(_events.seq.desc()).limit(bindparam("most", type_=Integer)).subquery()
    size = func.coalesce(func.octet_length(found.c.fact), func.octet_length(found.c.sealed))
    before = func.coalesce(func.sum(size).over(order_by=found.c.seq.desc(), rows=(None, -1)), 0)
    measured = select(found, before.label("before"), func.count().over().label("found")).subquery()
    return select(measured).where(measured.c.before < bindparam("most_bytes")).order_by(measured.c.seq.desc())


async def is_known(connection: AsyncConnection, ledger_id: UUID, event_id: UUID) -> bool:
    """Whether there is an event of this id."""
    found = await connection.scalar(select(_events.seq).where(_events.ledger_id == ledger_id, _events.event_id == event_id))
    return found is not None
