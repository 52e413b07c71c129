"""Invitations: who has one may register once, where the operator says so."""

import datetime
import secrets
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import addresses
from storage import identity, tables

LIFETIME: Final = datetime.timedelta(days=14)
"""Over a holiday of whoever is invited."""
TOKEN_BYTES: Final = 32
_invites = tables.invites.c


async def create(connection: AsyncConnection, email: str | None, *, now: datetime.datetime) -> str:
    """A new invitation, for whoever has this address or for whoever has the token; the token, of which a hash is kept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    whose = email and addresses.canonical(email)
    values = {"hash": identity.digest(token), "email": whose, "created_at": now, "expires_at": now + LIFETIME}
    await connection.execute(insert(tables.invites).values(values))
    return token


async def is_good(connection: AsyncConnection, token: str, email: str | None = None, *, now: datetime.datetime) -> bool:
    """Whether `take` would take it, as far as the address is known yet."""
    return bool(await connection.scalar(select(exists().where(_is_good(token, email, now)))))


async def take(connection: AsyncConnection, token: str, email: str, *, now: datetime.datetime) -> bool:
    """Use it up for `email`. False: it is unknown, used, too old, or for another address."""
    taken = await connection.execute(update(tables.invites).where(_is_good(token, email, now)).values(used_at=now))
    return taken.rowcount == 1


def _is_good(token: str, email: str | None, now: datetime.datetime) -> ColumnElement[bool]:
    unused = and_(_invites.hash == identity.digest(token), _invites.used_at.is_(None), _invites.expires_at > now)
    return and_(unused, true() if email is None else or_(_invites.email.is_(None), _invites.email == addresses.canonical(email)))
