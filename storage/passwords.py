"""Passwords, of which only hashes come here: changing one, and setting a new one for one that is forgotten."""

import datetime
from uuid import UUID

from sqlalchemy import Row, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import addresses
from storage import account_mails, identity, outbox, personal_tokens, roles, sessions, tables

_users = tables.users.c


async def read(connection: AsyncConnection, user_id: UUID) -> Row[str, str]:
    """(email, password_hash) of the user."""
    return (await connection.execute(select(_users.email, _users.password_hash).where(_users.id == user_id))).one()


async def hold(connection: AsyncConnection, user_id: UUID, password_hash: str) -> bool:
    """Whether this still is the user's hash; then it stays so until the transaction ends.

    A password is compared outside of transactions, for that takes long: what it opens is written down behind this.
    """
    same = select(_users.id).where(_users.id == user_id, _users.password_hash == password_hash)
    return (await connection.execute(same.with_for_update(key_share=True))).first() is not None


async def change(connection: AsyncConnection, user_id: UUID, before: str, after: str, *, now: datetime.datetime) -> bool:
    """Replace the hash `before`, and void what was mailed to reset it.

    False: it is another one by now, which whoever knew the old password may not change.
    """
    unchanged = and_(_users.id == user_id, _users.password_hash == before)
    changed = await connection.execute(update(tables.users).where(unchanged).values(password_hash=after))
    await identity.void_tokens(connection, user_id, "reset", now=now)
    return changed.rowcount == 1


async def forgotten(connection: AsyncConnection, email: str, *, now: datetime.datetime) -> None:
    """Have a way to a new password mailed to this address, if a user has it."""
    ledger_id = await connection.scalar(select(_users.ledger_id).where(_users.email == addresses.canonical(email)))
    if ledger_id is not None:
        await roles.enter_async(connection, roles.API, [ledger_id])
        await connection.run_sync(lambda sync: outbox.enqueue(sync, [account_mails.reset(ledger_id, now=now)], now=now))


async def reset(connection: AsyncConnection, token: str, after: str, *, now: datetime.datetime) -> str | None:
    """Set a new hash with a token from a mail; the address that it was mailed to, None where it is not good.

    The address is proven by it. Every session and every token of the user's ends: somebody else may have known the old password.
    """
    user_id = await identity.take_token(connection, token, "reset", now=now)
    if user_id is None:
        return None
    await identity.void_tokens(connection, user_id, "reset", now=now)
    await identity.void_tokens(connection, user_id, "verify", now=now)
    proven = {"password_hash": after, "email_verified_at": func.coalesce(_users.email_verified_at, now), **identity.NO_PROBLEM}
    changed = update(tables.users).where(_users.id == user_id).values(proven).returning(_users.email)
    email: str = (await connection.execute(changed)).scalar_one()
    await sessions.end_all(connection, user_id, now=now)
    await personal_tokens.remove_all(connection, user_id)
    return email
