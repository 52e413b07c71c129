"""Registering where nobody is told which addresses have accounts: what comes of it is in a mail."""

import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import account_mails, identity, outbox, personal_tokens, roles, tables
from storage.encryption import KeyRing
from storage.identity import NewUser

_users, _ledgers = tables.users.c, tables.ledgers.c


async def apply(connection: AsyncConnection, new: NewUser, keys: KeyRing, *, now: datetime.datetime) -> None:
    """Have a proof of the address mailed, with which the account is good.

    An account that nobody has proven takes the password and profile of whoever comes last, and what was mailed before is
    void. One that is proven, or has been in use, stays as it is.
    """
    made = await identity.create(connection, new, keys, now=now)
    if made is not None:
        ledger_id = made.ledger_id
    else:
        row = await _unproven(connection, new.email)
        if row is None:
            return
        ledger_id = row.ledger_id
        await identity.void_tokens(connection, row.id, "verify", now=now)
        await personal_tokens.remove_all(connection, row.id)
        anew = {**vars(new), "deleting_at": None}
        await connection.execute(update(tables.users).where(_users.id == row.id).values(anew))
    await connection.run_sync(_send, ledger_id, now)


def _send(connection: Connection, ledger_id: UUID, now: datetime.datetime) -> None:
    """Now, or where a mail has gone out in these minutes when they are over: the mail before is void."""
    this = account_mails.window(now)
    for since in (this, this + datetime.timedelta(minutes=account_mails.WINDOW_MINUTES)):
        if outbox.enqueue(connection, [account_mails.asked("verify", ledger_id, since, now=now)], now=now):
            return


async def _unproven(connection: AsyncConnection, email: str) -> Row[*tuple[Any, ...]] | None:
    """(id, ledger_id) of the account of this address, locked and its ledger seen, if nobody has proven or used it."""
    signed_in = exists().where(tables.sessions.c.user_id == _users.id)
    query = select(_users.id, _users.ledger_id, _users.email_verified_at, signed_in.label("was_used")).where(
        _users.email == email
    )
    row = (await connection.execute(query.with_for_update(of=tables.users))).first()
    if row is None or row.email_verified_at is not None or row.was_used:
        return None
    await roles.enter_async(connection, roles.API, [row.ledger_id])
    version = await connection.scalar(select(_ledgers.version).where(_ledgers.id == row.ledger_id))
    return None if version else row
