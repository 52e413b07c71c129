"""Users, each with one ledger. Secrets are stored hashed, and compared by their hash."""

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import ColumnElement, Row, and_, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import addresses, errors, reminders
from storage import account_mails, outbox, roles, tables
from storage.encryption import KeyRing

Purpose = Literal["verify", "reset"]
"""What a token from a mail is good for."""


NO_PROBLEM: Final[dict[str, Any]] = {"mail_problem": None, "mail_problem_at": None}
"""The columns of a user whose address has just been seen to work."""


class EmailTaken(errors.DomainError):
    """Another user has this address."""

    code = "email_taken"


@dataclass(frozen=True)
class NewUser:
    """What registration asks for; `email` is as domain.addresses keeps it, `password_hash` argon2id."""

    email: str
    password_hash: str
    name: str | None
    time_zone: str
    locale: str
    default_currency: str


@dataclass(frozen=True)
class Made:
    """A user and their ledger."""

    user_id: UUID
    ledger_id: UUID


async def hold(connection: AsyncConnection, user_id: UUID) -> None:
    """Lock the user's row until the transaction ends: whoever else locks or changes it waits."""
    await connection.execute(select(tables.users.c.id).where(tables.users.c.id == user_id).with_for_update(key_share=True))


async def register(connection: AsyncConnection, new: NewUser, keys: KeyRing, *, now: datetime.datetime) -> UUID:
    """Create a user with an empty ledger, which the transaction sees from now on; the user's id. Raises EmailTaken."""
    made = await create(connection, new, keys, now=now)
    if made is None:
        raise EmailTaken("this address has an account")
    verification = account_mails.verification(made.ledger_id, now=now)
    await connection.run_sync(lambda sync: outbox.enqueue(sync, [verification], now=now))
    return made.user_id


async def create(connection: AsyncConnection, new: NewUser, keys: KeyRing, *, now: datetime.datetime) -> Made | None:
    """Create a user with an empty ledger, which the transaction sees from now on; None where the address is taken."""
    made = Made(uuid4(), uuid4())
    values = {
        "id": made.user_id,
        "ledger_id": made.ledger_id,
        "created_at": now,
        "reminder_settings": msgspec.to_builtins(reminders.Settings()),
        **vars(new),
    }
    unless_taken = upsert(tables.users).values(values).on_conflict_do_nothing(index_elements=["email"])
    try:
        if await connection.scalar(unless_taken.returning(tables.users.c.id)) is None:
            return None
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint == "users_email_is_lower_case_check":  # Python and Postgres know different letters
            raise errors.Invalid(
                "this address cannot be used", errors=(errors.FieldError("/email", "not an address"),)
            ) from error
        raise
    await roles.enter_async(connection, roles.API, [made.ledger_id])
    data_key = keys.new_data_key(str(made.ledger_id))
    ledger = {"id": made.ledger_id, "owner_id": made.user_id, "data_key": data_key, "created_at": now}
    await connection.execute(insert(tables.ledgers).values(ledger))
    return made


async def credentials(connection: AsyncConnection, email: str) -> Row[*tuple[Any, ...]] | None:
    """(id, password_hash, email_verified_at) of the user with this address."""
    users = tables.users.c
    query = select(users.id, users.password_hash, users.email_verified_at).where(users.email == addresses.canonical(email))
    return (await connection.execute(query)).first()


async def ledger_of(connection: AsyncConnection, user_id: UUID) -> UUID:
    """The id of the user's ledger: kept with the user too, since row-level security hides a ledger that is not named."""
    found: UUID = (await connection.execute(select(tables.users.c.ledger_id).where(tables.users.c.id == user_id))).scalar_one()
    return found


async def user(connection: AsyncConnection, user_id: UUID) -> Row[*tuple[Any, ...]] | None:
    """The user's row, without secrets; None where they have been erased."""
    columns = [column for column in tables.users.c if column.name != "password_hash"]
    return (await connection.execute(select(*columns).where(tables.users.c.id == user_id))).first()


async def update_user(connection: AsyncConnection, user_id: UUID, values: dict[str, Any]) -> None:
    """Change columns of the user's row; of `reminder_settings` those members that are given."""
    if "reminder_settings" in values:  # in the database: what others change meanwhile stays
        values = values | {"reminder_settings": tables.users.c.reminder_settings.concat(values["reminder_settings"])}
    if values:
        await connection.execute(update(tables.users).where(tables.users.c.id == user_id).values(values))


async def verify_email(connection: AsyncConnection, token: str, *, now: datetime.datetime) -> UUID | None:
    """Take a verification token; the id of the user whose address is verified by it, None where it is not good."""
    user_id = await take_token(connection, token, "verify", now=now)
    if user_id is not None:
        proven = {"email_verified_at": func.coalesce(tables.users.c.email_verified_at, now)}
        await connection.execute(update(tables.users).where(tables.users.c.id == user_id).values(proven | NO_PROBLEM))
    return user_id


async def take_token(connection: AsyncConnection, token: str, purpose: Purpose, *, now: datetime.datetime) -> UUID | None:
    """Use up a token from a mail; its user, None where it is not good.

    The user is held first, as by whoever makes tokens void: the other way round they would wait for each other.
    """
    user_id = await connection.scalar(select(tables.one_time_tokens.c.user_id).where(_is_good(token, purpose, now)))
    if user_id is None:
        return None
    await hold(connection, user_id)
    used = update(tables.one_time_tokens).where(_is_good(token, purpose, now)).values(used_at=now)
    taken: UUID | None = await connection.scalar(used.returning(tables.one_time_tokens.c.user_id))
    return taken


async def token_owner(
    connection: AsyncConnection, token: str, purpose: Purpose, *, now: datetime.datetime
) -> Row[*tuple[Any, ...]] | None:
    """(email, password_hash) of the user whose token take_token would take."""
    users, tokens = tables.users, tables.one_time_tokens
    query = select(users.c.email, users.c.password_hash).join(tokens, tokens.c.user_id == users.c.id)
    return (await connection.execute(query.where(_is_good(token, purpose, now)))).first()


async def has_token(connection: AsyncConnection, token: str, purpose: Purpose, *, now: datetime.datetime) -> bool:
    """Whether take_token would take it."""
    return bool(await connection.scalar(select(exists().where(_is_good(token, purpose, now)))))


async def void_tokens(connection: AsyncConnection, user_id: UUID, purpose: Purpose, *, now: datetime.datetime) -> None:
    """None of the user's tokens for `purpose` is good any more."""
    tokens = tables.one_time_tokens.c
    unused = and_(tokens.user_id == user_id, tokens.purpose == purpose, tokens.used_at.is_(None))
    await connection.execute(update(tables.one_time_tokens).where(unused).values(used_at=now))


def _is_good(token: str, purpose: Purpose, now: datetime.datetime) -> ColumnElement[bool]:
    tokens = tables.one_time_tokens.c
    return and_(tokens.hash == digest(token), tokens.purpose == purpose, tokens.expires_at > now, tokens.used_at.is_(None))


def digest(token: str) -> bytes:
    """What is kept of a token: SHA-256, enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
