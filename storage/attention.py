"""Reads of what waits for the user: conflicts, and commands that were rejected."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Boolean, DateTime, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import sealing
from storage.encryption import Cipher
from storage.pages import Page, Record, Rows, cut


async def conflicts(connection: AsyncConnection, ledger_id: UUID, page: Page, *, resolved: bool | None = None) -> Rows:
    """A page of conflicts, newest first: seq, resolved_by and the columns of sealing.StoredFact; the sort key is the seq."""
    bound = {"ledger": ledger_id, "after": page.after[0] if page.after else None, "resolved": resolved, "limit": page.limit + 1}
    return cut((await connection.execute(_CONFLICTS, bound)).all(), page, "seq", "event_id")


async def rejections(connection: AsyncConnection, ledger_id: UUID, page: Page) -> Rows:
    """A page of remembered rejections, newest first: event_id, code, detail, command (sealed), at; the sort key is `at`."""
    at, event_id = page.after or (None, None)
    bound = {"ledger": ledger_id, "at": at, "event_id": event_id, "limit": page.limit + 1}
    return cut((await connection.execute(_REJECTIONS, bound)).all(), page, "at", "event_id")


def command(cipher: Cipher, row: Record) -> Any:
    """The rejected item of a row of `rejections` as JSON; where it was none, its text. Raises KeyRingError."""
    text = sealing.command_text(cipher, row.event_id, row.command)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


_LEDGER = bindparam("ledger", type_=Uuid)

_CONFLICTS = text("""
    select conflict.seq, conflict.event_id, conflict.resolved_by, event.fact, event.sealed, event.hash
    from debitum.conflicts conflict
    join debitum.events event on event.ledger_id = conflict.ledger_id and event.seq = conflict.seq
    where conflict.ledger_id = :ledger and (:after is null or conflict.seq < :after)
      and (cast(:resolved as boolean) is null or (conflict.resolved_by is not null) = :resolved)
    order by conflict.seq desc limit :limit
""").bindparams(_LEDGER, bindparam("after", type_=BigInteger), bindparam("resolved", type_=Boolean))

_REJECTIONS = text("""
    select event_id, code, detail, command, at from debitum.rejections
    where ledger_id = :ledger and (:at is null or (at, event_id) < (:at, :event_id))
    order by at desc, event_id desc limit :limit
""").bindparams(_LEDGER, bindparam("at", type_=DateTime(timezone=True)), bindparam("event_id", type_=Uuid))
