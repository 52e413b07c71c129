"""The days between a user's word that everything shall go and its end, in which they may take it back."""

import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import personal_tokens, sessions, tables

GRACE: Final = datetime.timedelta(days=7)
"""Enough to find out that it was a mistake, or somebody else."""
_users = tables.users.c


async def schedule(
    connection: AsyncConnection,
    user_id: UUID,
    *,
    but: UUID | None = None,
    grace: datetime.timedelta = GRACE,
    now: datetime.datetime,
) -> datetime.datetime:
    """Have the user erased after `grace`; when that is. Their sessions but one end now, and every personal token.

    The earliest moment that anybody has asked for stands.
    """
    due = func.least(func.coalesce(_users.deleting_at, now + grace), now + grace)
    changed = update(tables.users).where(_users.id == user_id).values(deleting_at=due).returning(_users.deleting_at)
    deleting_at: datetime.datetime = (await connection.execute(changed)).scalar_one()
    await sessions.end_all(connection, user_id, but=but, now=now)
    await personal_tokens.remove_all(connection, user_id)
    return deleting_at


async def cancel(connection: AsyncConnection, user_id: UUID) -> bool:
    """The user stays. False: the days are over, and the erasure may be at work already."""
    in_time = or_(_users.deleting_at.is_(None), _users.deleting_at > func.clock_timestamp())  # the clock of the erasure
    kept = await connection.execute(update(tables.users).where(_users.id == user_id, in_time).values(deleting_at=None))
    return kept.rowcount == 1
