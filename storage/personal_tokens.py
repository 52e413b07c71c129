"""Personal tokens: what a user gives to a program of their own. It is no device, and says so by having none."""

import datetime
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import errors
from storage import identity, tables
from storage.pages import Page, Record, Rows, read_page

Scope = Literal["read", "write"]
"""`write` includes `read`."""
PREFIX: Final = "debitum_"
"""By which a token is told from others, by us and by whoever searches sources for secrets that should not be there."""
TOKEN_BYTES: Final = 32
MAX_TOKENS: Final = 50
"""Of a user; expired ones make room."""
TOUCH_AFTER: Final = datetime.timedelta(minutes=1)
"""`last_used_at` is written no more often: a program that asks a hundred times a second does not cause a hundred writes."""
_tokens, _users = tables.personal_tokens.c, tables.users.c
_SHOWN = (_tokens.id, _tokens.name, _tokens.scope, _tokens.created_at, _tokens.expires_at, _tokens.last_used_at)


class TooManyTokens(errors.DomainError):
    """The user has as many personal tokens as one may have: delete one that is not needed any more."""

    code = "too_many_tokens"


@dataclass(frozen=True)
class NewToken:
    """What a user asks for; without `expires_at` it is good until it is deleted."""

    name: str
    scope: Scope
    expires_at: datetime.datetime | None = None


async def create(connection: AsyncConnection, user_id: UUID, new: NewToken, *, now: datetime.datetime) -> tuple[Record, str]:
    """A new token: its row (without the hash) and the token itself, which is known only here and now. Raises TooManyTokens."""
    await identity.hold(connection, user_id)
    if await _count(connection, user_id) >= MAX_TOKENS:
        await connection.execute(delete(tables.personal_tokens).where(_tokens.user_id == user_id, not_(_is_good(now))))
        if await _count(connection, user_id) >= MAX_TOKENS:
            raise TooManyTokens(f"there are {MAX_TOKENS} personal tokens; delete one first")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    values = {"id": uuid4(), "user_id": user_id, "hash": identity.digest(token), "created_at": now, **vars(new)}
    row = (await connection.execute(insert(tables.personal_tokens).values(values).returning(*_SHOWN))).one()
    return row, token


async def _count(connection: AsyncConnection, user_id: UUID) -> int:
    found: int = (await connection.execute(select(func.count()).where(_tokens.user_id == user_id))).scalar_one()
    return found


async def of_user(connection: AsyncConnection, user_id: UUID, page: Page) -> Rows:
    """A page of the user's tokens, newest first, expired ones too: id, name, scope and times."""
    query = select(*_SHOWN).where(_tokens.user_id == user_id)
    return await read_page(connection, query, _tokens.created_at, _tokens.id, page, descending=True)


async def remove(connection: AsyncConnection, user_id: UUID, token_id: UUID) -> bool:
    """The token is good for nothing from now on. False: the user has no such token."""
    mine = and_(_tokens.user_id == user_id, _tokens.id == token_id)
    removed = await connection.execute(delete(tables.personal_tokens).where(mine))
    return removed.rowcount == 1


async def remove_all(connection: AsyncConnection, user_id: UUID) -> None:
    """None of the user's tokens is good any more."""
    await connection.execute(delete(tables.personal_tokens).where(_tokens.user_id == user_id))


async def caller(connection: AsyncConnection, token: str, *, now: datetime.datetime) -> Record | None:
    """Who a token stands for: id, scope, expires_at, user_id, ledger_id and what the user set; None where it is not good."""
    row: Record | None = (await connection.execute(_CALLER, {"hash": identity.digest(token), "now": now})).first()
    if row is not None and (row.last_used_at is None or row.last_used_at <= now - TOUCH_AFTER):
        await connection.execute(update(tables.personal_tokens).where(_tokens.id == row.id).values(last_used_at=now))
    return row


async def live(connection: AsyncConnection, token_ids: Collection[UUID], *, now: datetime.datetime) -> set[UUID]:
    """Those of these tokens that are still good."""
    found = await connection.scalars(select(_tokens.id).where(_tokens.id.in_(token_ids), _is_good(now)))
    return set(found.all())


def _is_good(now: Any) -> ColumnElement[bool]:
    return or_(_tokens.expires_at.is_(None), _tokens.expires_at > now)


_CALLER = (
    select(*_SHOWN, _tokens.user_id, _users.ledger_id, _users.time_zone, _users.default_currency)
    .join(tables.users, _users.id == _tokens.user_id)
    .where(_tokens.hash == bindparam("hash"), _is_good(bindparam("now")))
)
"""Built once: it runs for every request."""
