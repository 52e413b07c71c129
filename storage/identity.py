"""Users, their devices and sessions; one ledger a user. Secrets are stored hashed, and compared by their hash."""

import datetime
import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import Row, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import errors, reminders
from storage import outbox, roles, tables
from storage.encryption import KeyRing

REFRESH_TOKEN_LIFETIME = datetime.timedelta(days=60)
"""A device that stays away longer than this signs in again."""
TOKEN_BYTES = 32


class EmailTaken(errors.DomainError):
    """Another user has this address."""

    code = "email_taken"


@dataclass(frozen=True)
class NewUser:
    """What registration asks for; `email` is lower-cased, `password_hash` argon2id."""

    email: str
    password_hash: str
    name: str | None
    time_zone: str
    locale: str
    default_currency: str


@dataclass(frozen=True)
class Device:
    """What a client says of itself; `id` is its own choice and kept across logins."""

    id: UUID
    name: str
    platform: str | None = None


@dataclass(frozen=True)
class Session:
    """A signed-in device; `refresh_token` is shown once."""

    id: UUID
    user_id: UUID
    ledger_id: UUID
    device_id: UUID
    refresh_token: str


async def register(connection: AsyncConnection, new: NewUser, keys: KeyRing, *, now: datetime.datetime) -> UUID:
    """Create a user with an empty ledger, which the transaction sees from now on; the user's id. Raises EmailTaken."""
    user_id, ledger_id = uuid4(), uuid4()
    values = {
        "id": user_id,
        "ledger_id": ledger_id,
        "created_at": now,
        "reminder_settings": msgspec.to_builtins(reminders.Settings()),
        **vars(new),
    }
    try:
        await connection.execute(insert(tables.users).values(values))
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint == "users_email_key":
            raise EmailTaken("this address has an account") from error
        if constraint == "users_email_is_lower_case_check":  # Python and Postgres know different letters
            raise errors.Invalid(
                "this address cannot be used", errors=(errors.FieldError("/email", "not an address"),)
            ) from error
        raise
    await roles.enter_async(connection, roles.API, [ledger_id])
    ledger = {"id": ledger_id, "owner_id": user_id, "data_key": keys.new_data_key(str(ledger_id)), "created_at": now}
    await connection.execute(insert(tables.ledgers).values(ledger))
    await connection.run_sync(lambda sync: outbox.enqueue(sync, [outbox.account_mail("verify", ledger_id, now=now)], now=now))
    return user_id


async def credentials(connection: AsyncConnection, email: str) -> Row[UUID, str] | None:
    """(id, password_hash) of the user with this address."""
    return (
        await connection.execute(select(tables.users.c.id, tables.users.c.password_hash).filter_by(email=email.lower()))
    ).first()


async def open_session(connection: AsyncConnection, user_id: UUID, device: Device, *, now: datetime.datetime) -> Session:
    """Sign a device in, whether the user knows it already or not."""
    seen = upsert(tables.devices).values(user_id=user_id, created_at=now, last_seen_at=now, **vars(device))
    await connection.execute(
        seen.on_conflict_do_update(
            index_elements=["user_id", "id"],
            set_={"name": seen.excluded.name, "platform": seen.excluded.platform, "last_seen_at": now},
        )
    )
    session_id = uuid4()
    times = {"created_at": now, "last_used_at": now, "expires_at": now + REFRESH_TOKEN_LIFETIME}
    await connection.execute(insert(tables.sessions).values(id=session_id, user_id=user_id, device_id=device.id, **times))
    token = await _issue(connection, session_id, None, now)
    return Session(session_id, user_id, await ledger_of(connection, user_id), device.id, token)


async def refresh(connection: AsyncConnection, token: str, *, now: datetime.datetime) -> Session | None:
    """Exchange a refresh token for its successor; None where the token is not good.

    A token may be used again only while its successor is unused (the reply was lost); any other reuse ends the session,
    because then two parties hold it (RFC 9700, 4.14). The caller commits also when there is no session.
    """
    given = digest(token)
    row = await _refreshable(connection, given, now)
    if row is None:
        return None
    child = tables.refresh_tokens.c.parent_hash == given
    used = select(func.count()).where(child, tables.refresh_tokens.c.used_at.is_not(None))
    if row.superseded_at is not None or await connection.scalar(used):
        await end_session(connection, row.session_id, now=now)
        return None
    await connection.execute(update(tables.refresh_tokens).where(child).values(revoked_at=now))
    await connection.execute(update(tables.refresh_tokens).where(tables.refresh_tokens.c.hash == given).values(used_at=now))
    prolonged = update(tables.sessions).where(tables.sessions.c.id == row.session_id)
    await connection.execute(prolonged.values(last_used_at=now, expires_at=now + REFRESH_TOKEN_LIFETIME))
    successor = await _issue(connection, row.session_id, given, now)
    return Session(row.session_id, row.user_id, row.ledger_id, row.device_id, successor)


async def _refreshable(connection: AsyncConnection, given: bytes, now: datetime.datetime) -> Row[*tuple[Any, ...]] | None:
    """The token's row and its live session, locked: two uses of one token are decided one after the other."""
    tokens, sessions = tables.refresh_tokens.c, tables.sessions.c
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
        .with_for_update(of=tables.sessions)
    )
    return (await connection.execute(query)).first()


async def end_session(connection: AsyncConnection, session_id: UUID, *, now: datetime.datetime) -> None:
    """No token of this session, access or refresh, is good any more."""
    active = and_(tables.sessions.c.id == session_id, tables.sessions.c.revoked_at.is_(None))
    await connection.execute(update(tables.sessions).where(active).values(revoked_at=now))


async def caller(connection: AsyncConnection, session_id: UUID, *, now: datetime.datetime) -> Row[*tuple[Any, ...]] | None:
    """Who a live session belongs to: user_id, device_id, ledger_id and what the user set; None where it has ended."""
    return (await connection.execute(_CALLER, {"session": session_id, "now": now})).first()


async def live(connection: AsyncConnection, session_ids: Collection[UUID], *, now: datetime.datetime) -> set[UUID]:
    """Those of these sessions that have not ended."""
    columns = tables.sessions.c
    going = select(columns.id).where(columns.id.in_(session_ids), columns.revoked_at.is_(None), columns.expires_at > now)
    return set((await connection.scalars(going)).all())


_sessions, _users = tables.sessions.c, tables.users.c
_CALLER = (
    select(_sessions.user_id, _sessions.device_id, _users.ledger_id, _users.time_zone, _users.locale, _users.default_currency)
    .join(tables.users, _users.id == _sessions.user_id)
    .where(_sessions.id == bindparam("session"), _sessions.revoked_at.is_(None), _sessions.expires_at > bindparam("now"))
)
"""Built once: it runs for every request."""


async def ledger_of(connection: AsyncConnection, user_id: UUID) -> UUID:
    """The id of the user's ledger: kept with the user too, since row-level security hides a ledger that is not named."""
    found: UUID = (await connection.execute(select(tables.users.c.ledger_id).where(tables.users.c.id == user_id))).scalar_one()
    return found


async def user(connection: AsyncConnection, user_id: UUID) -> Row[*tuple[Any, ...]]:
    """The user's row, without secrets."""
    columns = [column for column in tables.users.c if column.name != "password_hash"]
    return (await connection.execute(select(*columns).where(tables.users.c.id == user_id))).one()


async def update_user(connection: AsyncConnection, user_id: UUID, values: dict[str, Any]) -> None:
    """Change columns of the user's row."""
    if values:
        await connection.execute(update(tables.users).where(tables.users.c.id == user_id).values(values))


async def verify_email(connection: AsyncConnection, token: str, *, now: datetime.datetime) -> UUID | None:
    """Take a verification token; the id of the user whose address is verified by it, None where it is not good."""
    tokens = tables.one_time_tokens
    good = and_(
        tokens.c.hash == digest(token), tokens.c.purpose == "verify", tokens.c.expires_at > now, tokens.c.used_at.is_(None)
    )
    user_id: UUID | None = await connection.scalar(update(tokens).where(good).values(used_at=now).returning(tokens.c.user_id))
    if user_id is not None:
        unverified = and_(tables.users.c.id == user_id, tables.users.c.email_verified_at.is_(None))
        await connection.execute(update(tables.users).where(unverified).values(email_verified_at=now))
    return user_id


async def _issue(connection: AsyncConnection, session_id: UUID, parent: bytes | None, now: datetime.datetime) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values = {"hash": digest(token), "session_id": session_id, "parent_hash": parent, "created_at": now}
    await connection.execute(insert(tables.refresh_tokens).values(values | {"expires_at": now + REFRESH_TOKEN_LIFETIME}))
    return token


def digest(token: str) -> bytes:
    """What is kept of a token: SHA-256, enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
