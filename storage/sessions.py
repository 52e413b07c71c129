"""Sessions: a device that is signed in, its refresh tokens, and how it ends."""

import datetime
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Row, and_, exists, func, insert, not_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import arrays, devices, identity, tables
from storage.pages import Page, Rows, read_page
from storage.reader import Reader

REFRESH_TOKEN_LIFETIME = datetime.timedelta(days=60)
"""A device that stays away longer than this signs in again."""
TOKEN_BYTES = 32
MAX_DEVICES = 50
"""Of a user; a device that is not named at a login counts as a new one."""
_sessions = tables.sessions.c


@dataclass(frozen=True)
class Session:
    """A signed-in device; `refresh_token` is shown once."""

    id: UUID
    user_id: UUID
    ledger_id: UUID
    device_id: UUID
    refresh_token: str


async def begin(connection: AsyncConnection, user_id: UUID, device: devices.Device, *, now: datetime.datetime) -> Session:
    """Sign a device in, whether the user knows it already or not."""
    await _make_room(connection, user_id, device.id, now)
    await devices.seen(connection, user_id, device, now=now)
    session_id = uuid4()
    times = {"created_at": now, "last_used_at": now, "expires_at": now + REFRESH_TOKEN_LIFETIME}
    await connection.execute(insert(tables.sessions).values(id=session_id, user_id=user_id, device_id=device.id, **times))
    token = await _issue(connection, session_id, None, now)
    return Session(session_id, user_id, await identity.ledger_of(connection, user_id), device.id, token)


async def _make_room(connection: AsyncConnection, user_id: UUID, device_id: UUID, now: datetime.datetime) -> None:
    """Forget a device if this would be one too many: the one that was away the longest, and rather one where nobody is signed in.

    Nobody is refused for it: whoever signs in often without saying on which device leaves many behind.
    """
    await identity.hold(connection, user_id)
    its = tables.devices.c
    others = and_(its.user_id == user_id, its.id != device_id)
    if (await connection.execute(select(func.count()).where(others))).scalar_one() < MAX_DEVICES:
        return
    in_use = exists().where(_sessions.user_id == its.user_id, _sessions.device_id == its.id, *_going(now))
    longest = select(its.id).where(others).order_by(in_use, its.last_seen_at, its.id).limit(1)
    await devices.remove(connection, user_id, (await connection.execute(longest)).scalar_one())


async def refresh(connection: AsyncConnection, token: str, *, now: datetime.datetime) -> Session | None:
    """Exchange a refresh token for its successor; None where the token is not good.

    A token may be used again only while its successor is unused (the reply was lost); any other reuse ends the session,
    because then two parties hold it (RFC 9700, 4.14). The caller commits also when there is no session.
    """
    given = identity.digest(token)
    row = await _refreshable(connection, given, now)
    if row is None:
        return None
    child = tables.refresh_tokens.c.parent_hash == given
    used = select(func.count()).where(child, tables.refresh_tokens.c.used_at.is_not(None))
    if row.superseded_at is not None or await connection.scalar(used):
        await end(connection, row.user_id, row.session_id, now=now)
        return None
    await connection.execute(update(tables.refresh_tokens).where(child).values(revoked_at=now))
    await connection.execute(update(tables.refresh_tokens).where(tables.refresh_tokens.c.hash == given).values(used_at=now))
    prolonged = update(tables.sessions).where(tables.sessions.c.id == row.session_id)
    await connection.execute(prolonged.values(last_used_at=now, expires_at=now + REFRESH_TOKEN_LIFETIME))
    await devices.touch(connection, row.user_id, row.device_id, now=now)
    successor = await _issue(connection, row.session_id, given, now)
    return Session(row.session_id, row.user_id, row.ledger_id, row.device_id, successor)


async def _refreshable(connection: AsyncConnection, given: bytes, now: datetime.datetime) -> Row[*tuple[Any, ...]] | None:
    """The token's row and its live session, locked: uses of the tokens of a session are decided one after the other.

    The lock is a statement of its own: one that has waited for it would show tokens as they were before.
    """
    tokens, sessions = tables.refresh_tokens.c, tables.sessions.c
    its = select(tokens.session_id).where(tokens.hash == given).scalar_subquery()
    await connection.execute(select(sessions.id).where(sessions.id == its).with_for_update())
    query = (
        select(
            tokens.session_id,
            tokens.revoked_at.label("superseded_at"),
            sessions.user_id,
            sessions.device_id,
            tables.users.c.ledger_id,
        )
        .join(tables.sessions, sessions.id == tokens.session_id)
        .join(tables.users, tables.users.c.id == sessions.user_id)
        .where(tokens.hash == given, tokens.expires_at > now, sessions.revoked_at.is_(None))
    )
    return (await connection.execute(query)).first()


async def of_user(connection: AsyncConnection, user_id: UUID, page: Page, *, now: datetime.datetime) -> Rows:
    """A page of the user's live sessions, newest first: id, device_id, device_name, created_at, last_used_at."""
    its = tables.devices.c
    query = (
        select(_sessions.id, _sessions.device_id, its.name.label("device_name"), _sessions.created_at, _sessions.last_used_at)
        .join(tables.devices, and_(its.user_id == _sessions.user_id, its.id == _sessions.device_id))
        .where(_sessions.user_id == user_id, *_going(now))
    )
    return await read_page(connection, query, _sessions.created_at, _sessions.id, page, descending=True)


async def end(connection: AsyncConnection, user_id: UUID, session_id: UUID, *, now: datetime.datetime) -> bool:
    """No token of this session, access or refresh, is good any more. False: the user has no such live session."""
    return await _end(connection, user_id, _sessions.id == session_id, now)


async def end_all(connection: AsyncConnection, user_id: UUID, *, but: UUID | None = None, now: datetime.datetime) -> None:
    """End every session of the user's, or all but one."""
    await _end(connection, user_id, true() if but is None else _sessions.id != but, now)


async def _end(connection: AsyncConnection, user_id: UUID, which: ColumnElement[bool], now: datetime.datetime) -> bool:
    live = and_(_sessions.user_id == user_id, which, *_going(now))
    ended = await connection.scalars(update(tables.sessions).where(live).values(revoked_at=now).returning(_sessions.device_id))
    left = set(ended.all())
    if left:
        await _silence(connection, user_id, left, now)
    return bool(left)


async def _silence(connection: AsyncConnection, user_id: UUID, device_ids: Collection[UUID], now: datetime.datetime) -> None:
    """Nothing is pushed to a device on which nobody is signed in any more: it may be somebody else's by now."""
    its = tables.devices.c
    on_it = exists().where(_sessions.user_id == its.user_id, _sessions.device_id == its.id, *_going(now))
    left = and_(its.user_id == user_id, its.id.in_(device_ids), not_(on_it))
    await connection.execute(update(tables.devices).where(left).values(devices.SILENT))


async def hold(connection: AsyncConnection, user_id: UUID, session_id: UUID, *, now: datetime.datetime) -> bool:
    """Whether this session has not ended; then it goes on until the transaction ends.

    Who asks is looked up in a transaction of its own: what is written down behind this cannot outlive a reset of the password.
    """
    await identity.hold(connection, user_id)
    going = select(_sessions.id).where(_sessions.id == session_id, *_going(now)).with_for_update(read=True)
    return (await connection.execute(going)).first() is not None


class Caller(NamedTuple):
    """Whom a session belongs to, and what they have set."""

    user_id: UUID
    device_id: UUID
    ledger_id: UUID
    time_zone: str
    default_currency: str


async def callers(reader: Reader, session_ids: list[UUID], *, now: datetime.datetime) -> dict[UUID, Caller]:
    """By id, for those of these sessions that are live."""
    rows = await reader.rows(_CALLERS, {"sessions": arrays.of(session_ids), "now": now})
    return {session_id: Caller(*found) for session_id, *found in rows}


async def live(connection: AsyncConnection, session_ids: Collection[UUID], *, now: datetime.datetime) -> set[UUID]:
    """Those of these sessions that have not ended."""
    found = await connection.scalars(select(_sessions.id).where(_sessions.id.in_(session_ids), *_going(now)))
    return set(found.all())


def _going(now: datetime.datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (_sessions.revoked_at.is_(None), _sessions.expires_at > now)


_CALLERS: Final = """
    select one.id, one.user_id, one.device_id, users.ledger_id, users.time_zone, users.default_currency
    from unnest(%(sessions)s::uuid[]) wanted (id)
    cross join lateral (select * from debitum.sessions its where its.id = wanted.id limit 1) one
    join debitum.users on users.id = one.user_id
    where one.revoked_at is null and one.expires_at > %(now)s
"""


async def _issue(connection: AsyncConnection, session_id: UUID, parent: bytes | None, now: datetime.datetime) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values = {"hash": identity.digest(token), "session_id": session_id, "parent_hash": parent, "created_at": now}
    await connection.execute(insert(tables.refresh_tokens).values(values | {"expires_at": now + REFRESH_TOKEN_LIFETIME}))
    return token
