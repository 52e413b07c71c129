"""The last step of an erasure: who is due, and one transaction that removes every row of theirs and records that it did.

Files and snapshots go before (pipelines/defs/erasure/erasing.py has the order), for a user who is still here is what says
that there is something to do: killed anywhere, the next run does it again. Postgres decides who is due, by its own clock,
and only its function can remove them: no role of ours may delete from the log.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import BigInteger, Connection, DateTime, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from storage.engine import Begin

FILES: Final = ("files", "snapshot_files")
"""What an erasure counts that is not the name of a table."""


@dataclass(frozen=True)
class Due:
    """A user whose grace period is over."""

    user_id: UUID
    ledger_id: UUID
    email: str
    due_at: datetime.datetime


class NotNow(Exception):
    """Something is under way that could leave data of the user behind: the next run erases them. Says what, not whose."""


def due(connection: Connection) -> list[Due]:
    """Whom to erase, the longest due first."""
    return [Due(*row) for row in connection.execute(_DUE)]


def leaving(connection: Connection) -> set[UUID]:
    """Ledgers whose erasure may be under way: their files go before their rows, so who compares the two leaves them out."""
    return {user.ledger_id for user in due(connection)}


def resurrected(connection: Connection) -> list[UUID]:
    """The ledgers that were erased and are here again, out of a backup: from now on their users are due.

    Needs a database that kept its `erasures`, or got them back, when the rest was restored.
    """
    return list(connection.scalars(_RESURRECTED))


def calls(connection: Connection, ledger_id: UUID) -> int:
    """How many times somebody has begun to hand over a message of the ledger; what `erase` compares."""
    return int(connection.execute(_CALLS, {"ledger": ledger_id}).scalar_one())


def erase(
    connection: Connection, user_id: UUID, *, calls_seen: int, files: int = 0, snapshot_files: int = 0
) -> Mapping[str, int] | None:
    """Remove every row of a user who is due, and record it; how many of each table, and the files that it was told of.

    `calls_seen` are the `calls` from before mails and pushes were removed: where one more has begun, or one may still be
    under way, its file would stay. Raises NotNow. None: the user is gone, or is not due (any more); nothing was changed.
    """
    bound = {"user": user_id, "calls_seen": calls_seen, "files": files, "snapshot_files": snapshot_files}
    try:
        removed: Mapping[str, int] | None = connection.execute(_ERASE, bound).scalar_one()
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.ObjectInUse):
            raise NotNow(error.orig.diag.message_primary) from None
        raise
    return removed


def renew_statistics(begin: Begin) -> int:
    """Let the planner forget values of rows that are gone: it keeps samples of each column. How many tables that took.

    A transaction a table, and only those that nobody has analysed since the newest erasure: repeating it costs nothing.
    """
    with begin() as connection:
        stale = connection.scalars(_STALE).all()
    for name in stale:
        with begin() as connection:
            connection.execute(_RENEW, {"name": name})
    return len(stale)


def sweep(connection: Connection) -> int:
    """Remove messages of ledgers that are gone: one may be asked for in the very moment of an erasure. How many."""
    return connection.execute(_SWEEP).rowcount


_DUE = text("""
    select id, ledger_id, email, deleting_at from debitum.users where deleting_at <= clock_timestamp() order by deleting_at, id
""").columns(id=Uuid, ledger_id=Uuid, email=Text, deleting_at=DateTime(timezone=True))

_RESURRECTED = text("select ledger_id from debitum.mark_resurrected() as ledger_id").columns(ledger_id=Uuid)

_CALLS = text("select count(*) from debitum.delivery_attempts where ledger_id = :ledger").columns(count=BigInteger)

_ERASE = text("select debitum.erase_user(:user, :calls_seen, :files, :snapshot_files) as removed").columns(removed=JSONB)

_STALE = text("""
    select relname from pg_stat_all_tables
    where schemaname = 'debitum'
      and coalesce(greatest(last_analyze, last_autoanalyze), '-infinity') <= (select max(erased_at) from debitum.erasures)
    order by relname
""").columns(relname=Text)

_RENEW = text("select debitum.renew_statistics(:name)")

_SWEEP = text("""
    delete from debitum.outbox where not exists (select from debitum.ledgers where ledgers.id = outbox.ledger_id)
""")
